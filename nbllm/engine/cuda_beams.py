"""Beam search in captured steps: the host launches some, and reads later what became of the candidates.

Without early stopping nothing of a step is needed on the host before the next one. So a wave's whole
state is one tensor on the device (`BeamState`), which holds the records of its latest steps too; a
replay takes it a step further, and the host reads records behind an event. The truth is what the
device has: after an interrupt, wherever it hit, the steps done are counted there, and the records that
nobody has read are there as well, since never more steps are launched than there are records.

A captured step works on one tensor, its seat. Of several waves of the same shape one sits there; to
change places is a copy each way.

Shapes: G searches, W beams each, C candidates a beam.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nbllm.beams import Step
from nbllm.models.batch import PAGE_SIZE, Batch, Packed
from nbllm.sampling_params import GREEDY_BELOW
from nbllm_kernels.beam_steps import BeamShape, beam_inputs, beam_select
from nbllm_kernels.likeliest import MAX_K, likeliest
from nbllm_kernels.tree_attention import MAX_WIDTH

from .beam import search_of
from .driver import wait_for
from .graphs import size_of
from .request import Request
from .search import Search

if TYPE_CHECKING:
    from .cuda_runner import CudaRunner

RECORDS = 32
"""Steps that may be launched and not yet read."""
AHEAD = 2
"""How many times the steps that are asked for are launched: the GPU works while the host reads."""
SHORTEST, LONGER = 256, 8
"""Captured steps have room for searches of so many steps, or so many times as many, and so on."""


def captures(requests: list[Request]) -> bool:
    """Whether searches with equal parameters need nothing from the host between two steps."""
    searches = [search_of(r) for r in requests]
    params = searches[0].params
    return (
        params.early_stopping is None
        and params.num_beam_groups == 1
        and params.allowed_token_ids is None
        and not params.stop
        and not any(s.constraint for s in searches)
        and params.beam_width <= min(MAX_WIDTH, MAX_K // 2)
    )


@dataclass(slots=True, frozen=True, kw_only=True)
class Progress:
    """What has been read of a wave."""

    num: int  # steps
    ended: np.ndarray  # [G] bool: searches that have come to their end
    lives: np.ndarray  # [G, W] bool: beams that go into the next step


class Seat:
    """The tensor that a captured step works on."""

    def __init__(self, shape: BeamShape, device: torch.device):
        self.words = torch.zeros(shape.num_words, dtype=torch.int32, device=device)
        self.idle = torch.zeros_like(self.words)
        for words in (self.words, self.idle):
            state = shape.state(words)
            state.done.fill_(1)
            state.temperature.fill_(1.0)
        self.state, self.records = shape.state(self.words), shape.records_in(self.words)
        self.wave: CapturedWave | None = None

    def take(self, wave: CapturedWave) -> None:
        """Make it `wave` that a replay advances."""
        if self.wave is wave:
            return
        # interrupted between any two of these lines, they may be repeated
        if self.wave is not None and self.wave.words is not None:
            self.wave.words.copy_(self.words)
        self.wave = None
        assert wave.words is not None
        self.words.copy_(wave.words)
        self.wave = wave


class CapturedWave:
    """Searches with the same parameters that began together; as `beam.Wave`."""

    def __init__(self, requests: list[Request], runner: CudaRunner):
        self.requests, self.steps = requests, list[Step]()
        searches = [search_of(r) for r in requests]
        params, vocab = searches[0].params, runner.config.vocab_size
        limit, most = max(s.limit for s in searches), SHORTEST
        while most < limit:
            most *= LONGER
        self.shape = BeamShape(
            groups=size_of(len(requests)),
            width=params.beam_width,
            candidates=min(2 * params.beam_width, vocab),
            steps=most,
            prompt_pages=runner.rows.pages.shape[1],
            vocab=vocab,
            records=RECORDS,
            page_size=PAGE_SIZE,
        )
        self.limits = np.array([s.limit for s in searches])
        self.ends = np.zeros(-(-vocab // 32) * 32, bool)
        self.ends[[i for i in {*searches[0].eos_ids, *params.stop_ids} if i < vocab]] = True
        lives = np.zeros((len(requests), params.beam_width), bool)
        lives[:, 0] = True
        self.progress = Progress(num=0, ended=np.zeros(len(requests), bool), lives=lives)
        runner.follow_stream()
        self.words: Tensor | None = self._first(searches, runner)
        # page-locked, where the device writes by itself; zeros would be written by every thread
        records = torch.empty(
            RECORDS, self.shape.record_words, dtype=torch.int32, pin_memory=runner.on_gpu
        )
        self._records = records
        # numpy's, since torch takes every thread for an array of this size, and waits for them
        self._fields = {n: v.numpy() for n, v in self.shape.record_views(records).items()}
        self._dropped = np.zeros(len(requests), bool)  # aborted, and the device knows
        self._launched, self._whole = 0, True
        self._pending = deque[tuple[int, torch.cuda.Event | None]]()
        for i, search in enumerate(searches):
            search.wave, search.index = self, i

    @property
    def num_steps(self) -> int:
        """Steps done, as far as they have been read."""
        return self.progress.num

    @property
    def over(self) -> bool:
        """Whether none of its requests goes on."""
        return all(r.finished for r in self.requests)

    @property
    def done(self) -> list[Request]:
        """The requests whose searches have come to their end."""
        return [self.requests[i] for i in np.flatnonzero(self.progress.ended)]

    def release(self) -> None:
        """Let go of the device; what was found stays."""
        self.words = None
        self._pending.clear()
        # to lock pages takes a millisecond: the next wave has these
        self._records = torch.empty(0)
        self._fields.clear()

    @torch.inference_mode()
    def step(self, runner: CudaRunner, most: int) -> int:
        """Launch steps, and read the oldest that are under way, at most `most`; how many beams these had."""
        going = self._going()
        if not len(going):
            return 0
        runner.follow_stream()
        seat = runner.seat(self.shape)
        seat.take(self)
        if not self._whole:
            self._recover(seat, runner)
        self._whole = False
        self._drop(seat)
        # the first one is waited for
        self._launch(seat, runner, most if self._launched else 1, self.limits[going].max())
        count = self._read()
        self._whole = True
        return count

    def _drop(self, seat: Seat) -> None:
        """Stop the searches that were aborted: their pages may be others' soon."""
        for i in np.flatnonzero(self._finished & ~self.progress.ended & ~self._dropped):
            seat.state.done[i] = 1
            self._dropped[i] = True

    def _going(self) -> np.ndarray:
        """The searches that want another step."""
        return np.flatnonzero(~(self._finished | self.progress.ended))

    @property
    def _finished(self) -> np.ndarray:
        return np.array([r.finished for r in self.requests])

    def _recover(self, seat: Seat, runner: CudaRunner) -> None:
        """After an interrupt: see how far the device is, and take what it has."""
        if runner.on_gpu:
            wait_for(runner.device)
        self._pending.clear()
        self._launched = int(seat.state.step.max())
        if self._launched > self.progress.num:
            self._fetch(seat, self.progress.num)

    def _launch(self, seat: Seat, runner: CudaRunner, most: int, last: int) -> None:
        while self._launched < last and self._launched - self.progress.num < AHEAD * most:
            first = self._launched
            graph = runner.graphs.get(
                ("beams", self.shape),
                partial(_captured, runner, self.shape),
                seat.words,
                seat.idle,
            )
            # ever fewer of the last ones: little is left to read when the device has done them
            for _ in range(min(most, -(-(last - first) // 2))):
                graph.replay()
                self._launched += 1
            self._fetch(seat, first)

    def _fetch(self, seat: Seat, first: int) -> None:
        """Have the records copied of the steps from `first` to the latest that was launched."""
        while first < self._launched:
            at = first % RECORDS
            count = min(self._launched - first, RECORDS - at)
            self._records[at : at + count].copy_(seat.records[at : at + count], non_blocking=True)
            first += count
        event = None
        if seat.words.is_cuda:
            event = torch.cuda.Event()
            event.record()
        self._pending.append((self._launched, event))

    def _read(self) -> int:
        """Wait for the oldest records on their way, and keep them; how many beams they are of."""
        if not self._pending:
            return 0
        stop, event = self._pending[0]
        if event is not None:
            event.synchronize()
        progress, new = self._found(range(self.progress.num, stop))
        if not self.progress.num:
            for request in self.requests:
                request.first_token_time = time.time()
        self.steps[self.progress.num :] = new
        self.progress = progress
        self._pending.popleft()
        return sum(s.kept.size for s in new)

    def _found(self, steps: range) -> tuple[Progress, list[Step]]:
        """Some steps from their records, and how far the searches are then."""
        count, new = len(self.requests), list[Step]()
        at = [s % RECORDS for s in steps]
        every = {name: field[at, :count] for name, field in self._fields.items()}
        # those that are done do not write any more; of those aborted nobody wants to know
        made = (every["made"] == np.array(steps)[:, None] + 1) & ~self._finished
        lives = np.concatenate((self.progress.lives[None], every["totals"] > -np.inf))
        real = lives[:-1, :, :, None] & (every["logprobs"] > -np.inf)
        every["completed"] = self.ends.take(every["tokens"]) & real
        for i in range(len(steps)):
            groups = np.flatnonzero(made[i])
            if not len(groups):
                break
            of = slice(None) if len(groups) == count else groups
            new.append(
                Step(
                    groups=groups,
                    tokens=every["tokens"][i, of],
                    logprobs=every["logprobs"][i, of],
                    ranks=None,
                    completed=every["completed"][i, of],
                    kept=every["parents"][i, of],
                    scores=every["totals"][i, of],
                )
            )
        ended = self.progress.ended | (made & (every["ended"] > 0)).any(0)
        # of those that have ended nobody asks which beams live
        return Progress(num=steps.start + len(new), ended=ended, lives=lives[len(new)]), new

    def _first(self, searches: list[Search], runner: CudaRunner) -> Tensor:
        """The words of a state before the first step; the prompts may be running yet."""
        shape, params, device = self.shape, searches[0].params, runner.device
        host = torch.empty(shape.given_words, dtype=torch.int32, pin_memory=runner.on_gpu)
        host.numpy().fill(0)
        of, count = {n: v.numpy() for n, v in shape.views(host).items()}, len(searches)
        of["done"][count:] = 1
        of["limit"][:count] = self.limits
        of["prompt_lens"][:count] = [len(r.tokens) - 1 for r in self.requests]
        of["newest"][:count] = [[r.tokens[-1]] for r in self.requests]
        # one beam; the others come to life with the first step
        of["scores"].fill(-np.inf)
        of["scores"][:, 0] = 0.0
        of["counts"].fill(shape.width)
        of["temperature"].fill(params.temperature if params.temperature >= GREEDY_BELOW else 1.0)
        of["ends"][:] = np.packbits(self.ends, bitorder="little").view(np.int32)
        for i, (request, search) in enumerate(zip(self.requests, searches, strict=True)):
            of["pages"][i, : len(request.pages)] = request.pages
            of["own"][i, : len(search.pages)] = search.pages
        words = torch.zeros(shape.num_words, dtype=torch.int32, device=device)
        words[: len(host)].copy_(host, non_blocking=True)
        state, beam = shape.views(words), torch.arange(shape.width, device=device)
        state["seen_tokens"][:, : shape.width] = beam
        state["seen"][:, : shape.width] = 1 << beam
        return words


def _captured(runner: CudaRunner, shape: BeamShape, words: Tensor) -> Tensor:
    """A step of all searches in `words`."""
    state = shape.state(words)
    inputs = beam_inputs(state, PAGE_SIZE)
    batch = Batch(
        ids=inputs.ids,
        positions=inputs.positions,
        slots=inputs.slots,
        kv=runner.kv,
        pages=state.pages,
        kv_lens=inputs.lens[:0],
        max_kv_len=0,
        chunks=[],
        last=None,
        packed=Packed(),
        tree=state.tree(inputs.lens),
    )
    logits = runner.model.compute_logits(runner.model.forward(batch))
    temperature = state.temperature.flatten()
    logprobs, tokens, _ = likeliest(logits, shape.candidates, temperature=temperature)
    beam_select(state, tokens, logprobs)
    return state.step
