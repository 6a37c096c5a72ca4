"""The runner of a GPU: decoding repeats captured steps, prompts run as they come.

A captured step takes its rows from the device and appends their tokens there, so that the next one
can be launched before anybody has seen them. Of the steps that have been launched the oldest is
handed out, as long as its rows are still those that are asked for, or more: a row does not depend
on its company. Otherwise what was launched is dropped, and `DeviceRows` sends what the requests
have. What a dropped step wrote to the cache lies behind the tokens that count.

Rows that need more than the captured sampler (`Rows.special`) decode by a captured step that ends
with hidden states; logits and the sampler of all devices follow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from nbllm.models.batch import PAGE_SIZE, Batch, Packed
from nbllm.models.config import ModelConfig
from nbllm_kernels.row_steps import advance, step_inputs
from nbllm_kernels.sample import sample

from .device_rows import DeviceRows
from .graphs import Graphs, size_of
from .masks import Mask
from .pages import pages_for
from .request import Request
from .rows import Rows
from .runner import Runner
from .sampler import Sampler, Samples
from .scheduler import Plan

AHEAD = 1
"""Steps launched beyond the one that is waited for: the GPU works while the host does."""
ALIGNED = 16
"""Elements at whose multiples arrays begin in an upload."""

TOKENS, CHUNKS = (16, 32, 64, 128, 192, 256, 384, 512), (1, 8)
"""Sizes of captured steps of short prompts: tokens in all, and prompts."""
FIRST = 128
"""Tokens of the step of prompts that is there from the start."""

Finish = Callable[[], Samples]
"""Waits for what has been launched."""


@dataclass(slots=True, kw_only=True)
class Column:
    """A launched step: one token each of its rows, once `done`."""

    index: np.ndarray  # [B] its rows
    placement: np.ndarray  # [B] of these when it was launched
    out: Tensor  # [2, size] int32, on the host: tokens, and the bits of their log-probabilities
    done: torch.cuda.Event | None  # None: already

    def find(self, rows: Rows, index: np.ndarray) -> np.ndarray | None:
        """Where the rows `index` are in it; None if one is not, or has another request by now."""
        where = np.full(rows.max_rows, -1)
        where[self.index] = np.arange(len(self.index))
        at = where[index]
        same = (at >= 0) & (self.placement[at] == rows.placement[index])
        return at if same.all() else None

    def read(self, at: np.ndarray) -> Samples:
        """Wait, then take the tokens of some rows."""
        if self.done is not None:
            self.done.synchronize()
        tokens, bits = self.out.numpy()
        chosen = tokens[at].astype(np.int64)
        assert chosen.min(initial=0) >= 0, "a running row was idle on the device"
        return Samples(tokens=chosen, logprobs=bits[at].view(np.float32), tops={})


class CudaRunner(Runner):
    """As `Runner`. Tokens are those of a CPU, up to what rounding does to logits."""

    def __init__(
        self, model: nn.Module, config: ModelConfig, rows: Rows, kv: Tensor, sampler: Sampler
    ):
        super().__init__(model, config, rows, kv, sampler)
        self.device, most = kv.device, size_of(rows.max_rows)
        self.on_gpu = kv.device.type == "cuda"
        self.on_device = DeviceRows(rows, kv.device, most)
        self.graphs = Graphs(kv.device)
        self._idle = torch.full((most,), self.on_device.idle, dtype=torch.int32, device=kv.device)
        self._out = torch.zeros(2 * most, dtype=torch.int32, device=kv.device)
        self._outs = [
            torch.zeros(2 * most, dtype=torch.int32, pin_memory=self.on_gpu)
            for _ in range(AHEAD + 2)
        ]
        self._words = torch.zeros(_Short.SIZE, dtype=torch.int64, device=kv.device)
        self._idle_words = torch.from_numpy(_Short.idle(self.on_device.idle)).to(kv.device)
        self._launched: deque[Column] = deque()
        self._stream: torch.cuda.Stream | None = None
        self._whole = True  # the last run came to its end

    @torch.inference_mode()
    def run(self, plan: Plan) -> Samples | None:
        """Run the plan's tokens; None when no request got to its last one and none wants scores."""
        self._begin()
        decoded = self._decode(plan) if plan.decoding else None
        prompts = self._prompts(plan) if plan.chunks else None
        parts = [finish() for finish in (decoded, prompts) if finish is not None]
        self._whole = True
        found = _joined(parts)
        return found if len(found.tokens) or found.scores else None

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Make the kernels and the two steps of a short prompt's first tokens.

        They are compiled, or found where they were kept, while the weights arrive.
        """
        if self.on_gpu:
            self.on_device.warm_up()
            self._prompt_step(_Short(tokens=FIRST, chunks=1), filters=False)
            self._step(1, filters=False)

    def replace(self, model: nn.Module) -> None:
        """Go on with another model; captured steps have the addresses of the old one."""
        self._forget_steps()
        self.on_device.forget()
        super().replace(model)

    def close(self) -> None:
        """Let go of every tensor, graph and thread."""
        self._forget_steps()
        del self.on_device, self._idle, self._out, self._outs, self._words, self._idle_words
        super().close()

    def _forget_steps(self) -> None:
        self._launched.clear()
        if self.on_gpu:
            with suppress(RuntimeError):  # a device that has failed holds nothing back either
                torch.cuda.synchronize(self.device)
        self.graphs.close()

    def _begin(self) -> None:
        """Order this run after the last one, and start over if that was interrupted."""
        if not self._whole:
            self._launched.clear()
            if self.on_gpu:
                torch.cuda.synchronize(self.device)
            self.on_device.forget()
        self._whole = False
        if self.on_gpu:
            stream = torch.cuda.current_stream(self.device)
            if self._stream is not None and self._stream != stream:
                stream.wait_stream(self._stream)
            self._stream = stream

    def _plain(self, index: np.ndarray) -> bool:
        """Whether the captured sampler suffices for the rows `index`."""
        rows = self.rows
        early = rows.length[index] < rows.min_length[index]
        return not (self.sampler.processed or rows.special[index].any() or early.any())

    def _decode(self, plan: Plan) -> Finish:
        index = plan.rows
        if not self._plain(index):
            return self._decode_specially(plan)
        at = self._launched[0].find(self.rows, index) if self._launched else None
        if at is None:
            self._launched.clear()
            self._launch(index)
            at = np.arange(len(index))
        column = self._launched.popleft()
        # with a prompt in the plan the next step has other rows
        if not plan.chunks and not self._launched and self._may_continue(index):
            self._launch(index, 1)
        return lambda: column.read(at)

    def _may_continue(self, index: np.ndarray) -> bool:
        """Whether some of the rows need a step after the one under way, and all have room for it."""
        rows = self.rows
        length, limit = rows.length[index] + 1, rows.limit[index]
        going = length < limit
        return bool(going.any() and (length <= rows.capacity[index])[going].all())

    def _launch(self, index: np.ndarray, launched: int = 0) -> None:
        """Launch a step of the rows `index`, the one after `launched` others."""
        size, device = size_of(len(index)), self.on_device
        device.follow(index, launched, size)
        self._step(size, device.filtered(index)).replay()
        self._launched.append(self._column(index, size))

    def _column(self, index: np.ndarray, size: int) -> Column:
        """What the step that has just been launched gives."""
        self.on_device.advance(index)
        out = self._outs[0][: 2 * size].copy_(self._out[: 2 * size], non_blocking=True)
        self._outs.append(self._outs.pop(0))
        done = None
        if self.on_gpu:
            done = torch.cuda.Event()
            done.record()
        placement = self.rows.placement[index]
        return Column(index=index, placement=placement, out=out.view(2, size), done=done)

    def _step(self, size: int, filters: bool):
        """A whole step of `size` rows, captured."""
        key = "sampled", size, filters
        return self._graph(key, lambda rows: self._sampled(rows, filters), size)

    def _graph(self, key: tuple, function: Callable[[Tensor], Tensor], size: int):
        return self.graphs.get(key, function, self.on_device.index[:size], self._idle[:size])

    def _sampled(self, index: Tensor, filters: bool) -> Tensor:
        """A whole step of the rows `index` [size] of the device."""
        return self._append(self._hidden(index), index, filters)

    def _append(self, hidden: Tensor, index: Tensor, filters: bool) -> Tensor:
        """Sample a token for each of the rows `index`, and append it to them on the device."""
        tokens, logprobs = self._draw(self.model.compute_logits(hidden), index, filters)
        tokens = advance(self.on_device.state, index, tokens)
        out = self._out[: 2 * len(index)].view(2, -1)
        out[0].copy_(tokens)
        out[1].copy_(logprobs.view(torch.int32))
        return out

    def _hidden(self, index: Tensor) -> Tensor:
        state = self.on_device.state
        inputs = step_inputs(state, index, PAGE_SIZE)
        return self.model.forward(
            Batch(
                ids=inputs.ids,
                positions=inputs.positions,
                slots=inputs.slots,
                kv=self.kv,
                pages=state.pages,
                kv_lens=inputs.kv_lens,
                max_kv_len=0,
                chunks=[],
                last=None,
                packed=Packed(rows=index),
            )
        )

    def _draw(self, logits: Tensor, index: Tensor, filters: bool) -> tuple[Tensor, Tensor]:
        v = self.on_device.views
        of = v["temperature"], v["top_k"], v["top_p"], v["min_p"], v["seed"], v["length"]
        return sample(logits, index, *of, filters=filters)

    def _decode_specially(self, plan: Plan) -> Finish:
        self._launched.clear()
        index, size = plan.rows, size_of(len(plan.rows))
        self.on_device.follow(index, 0, size)
        mask = self._begin_mask(plan.decoding, index)
        hidden = self._graph(("hidden", size), self._hidden, size).replay()[: len(index)]
        return lambda: self._sample(hidden, index, plan.decoding, mask)

    def _sample(
        self, hidden: Tensor, index: np.ndarray, requests: list[Request], mask: Mask | None
    ) -> Samples:
        """By the sampler of all devices."""
        return self.sampler.sample(self.model.compute_logits(hidden), index, requests, mask)

    def _prompts(self, plan: Plan) -> Finish:
        requests = plan.completing
        index = np.array([r.row for r in requests], np.int64)
        if _Short.fits(plan) and self._plain(index):
            return self._short_prompts(plan, index)
        batch, rows = self._packed(plan, index)
        mask = self._begin_mask(requests, index)
        hidden = self.model.forward(batch)
        mine, rest = hidden[: len(index)], hidden[len(index) :]
        if self._plain(index):
            self.on_device.follow(index)

        def finish() -> Samples:
            if not len(index):
                found = _joined([])
            elif self._plain(index):
                logits = self.model.compute_logits(mine)
                tokens, logprobs = self._draw(logits, rows, self.on_device.filtered(index))
                found = Samples(
                    tokens=tokens.cpu().numpy(), logprobs=logprobs.cpu().numpy(), tops={}
                )
            else:
                found = self._sample(mine, index, requests, mask)
            found.scores = self._scores(plan, rest)
            return found

        return finish

    def _short_prompts(self, plan: Plan, index: np.ndarray) -> Finish:
        """Launching the layers one by one takes longer than they do: repeat a captured step."""
        short = _Short.of(plan)
        words = torch.from_numpy(short.words(plan, self.on_device.idle))
        self._words.copy_(words, non_blocking=True)
        self.on_device.follow(index)
        self._prompt_step(short, self.on_device.filtered(index)).replay()
        column = self._column(index, short.chunks)
        return lambda: column.read(np.arange(len(index)))

    def _prompt_step(self, short: _Short, filters: bool):
        """The step of prompts of a size, captured."""

        def step(words: Tensor) -> Tensor:
            return self._prompts_of(words, short, filters)

        key = "prompts", short.tokens, short.chunks, filters
        return self.graphs.get(key, step, self._words, self._idle_words)

    def _prompts_of(self, words: Tensor, short: _Short, filters: bool) -> Tensor:
        """The prompts in `words`, and their first tokens."""
        ids, positions, slots, *small = words.split([max(TOKENS)] * 3 + [_Short.PART] * 4)
        starts, lens, last, rows = small
        index, pages = rows[: short.chunks].int(), self.on_device.state.pages
        packed = Packed(
            q_starts=starts[: short.chunks + 1],
            pages=pages,
            kv_lens=lens[: short.chunks],
            chunk_rows=index,
        )
        batch = Batch(
            ids=ids[: short.tokens],
            positions=positions[: short.tokens],
            slots=slots[: short.tokens],
            kv=self.kv,
            pages=pages,
            kv_lens=lens[:0],
            max_kv_len=0,
            chunks=[],
            last=last[: short.chunks],
            packed=packed,
        )
        return self._append(self.model.forward(batch), index, filters)

    def _packed(self, plan: Plan, index: np.ndarray) -> tuple[Batch, Tensor]:
        """The plan's chunks, one after the other, and `index`, the rows that are sampled."""
        ids, positions, slots, last, scored, starts = [], [], [], [], [], [0]
        tables = np.zeros((len(plan.chunks), _wide(plan)), np.int64)
        for table, (request, start, stop) in zip(tables, plan.chunks, strict=True):
            at, new = starts[-1], np.arange(start, stop)
            table[: pages_for(stop)] = request.pages[: pages_for(stop)]
            ids.append(np.array(request.tokens[start:stop]))
            positions.append(new)
            slots.append(table[new // PAGE_SIZE] * PAGE_SIZE + new % PAGE_SIZE)
            scored += [at + i - start for i in request.scored(start, stop)]
            starts.append(at + stop - start)
            if stop == len(request.tokens):
                last.append(starts[-1] - 1)
        parts = (
            *(np.concatenate(a) for a in (ids, positions, slots)),
            *(np.array(a, np.int64) for a in (last + scored, starts)),
            *(np.array([stop for _, _, stop in plan.chunks]), index, tables.ravel()),
        )
        ids, positions, slots, last, starts, lens, rows, pages = self._upload(parts)
        batch = Batch(
            ids=ids,
            positions=positions,
            slots=slots,
            kv=self.kv,
            pages=self.on_device.state.pages,
            kv_lens=lens[:0],
            max_kv_len=0,
            chunks=[],
            last=last,
            packed=Packed(q_starts=starts, pages=pages.view(tables.shape), kv_lens=lens),
        )
        return batch, rows.int()

    def _upload(self, parts: tuple[np.ndarray, ...]) -> list[Tensor]:
        """Arrays of integers, in one piece."""
        sizes = [-(-len(a) // ALIGNED) * ALIGNED for a in parts]
        every = np.zeros(sum(sizes), np.int64)
        for a, stop, size in zip(parts, np.cumsum(sizes), sizes, strict=True):
            every[stop - size : stop - size + len(a)] = a
        moved = torch.from_numpy(every).to(self.device, non_blocking=True)
        return [t[: len(a)] for t, a in zip(moved.split(sizes), parts, strict=True)]


@dataclass(slots=True, frozen=True)
class _Short:
    """The size of a captured step of prompts, all of them run to their ends, and its input.

    Words: ids, positions, slots, of every token; starts, cached tokens, last tokens, rows, of every
    prompt. Tokens beyond the prompts' go to the null page, and nobody attends to them.
    """

    tokens: int
    chunks: int

    PART: ClassVar[int] = 16
    SIZE: ClassVar[int] = 3 * max(TOKENS) + 4 * PART

    @classmethod
    def fits(cls, plan: Plan) -> bool:
        """Whether there is such a step for the plan's chunks."""
        return (
            len(plan.completing) == len(plan.chunks) <= max(CHUNKS)
            and sum(stop - start for _, start, stop in plan.chunks) <= max(TOKENS)
            and not any(r.scoring for r in plan.completing)
        )

    @classmethod
    def of(cls, plan: Plan) -> _Short:
        """The smallest one."""
        count = sum(stop - start for _, start, stop in plan.chunks)
        return cls(
            next(n for n in TOKENS if n >= count), next(n for n in CHUNKS if n >= len(plan.chunks))
        )

    @classmethod
    def idle(cls, row: int) -> np.ndarray:
        """No prompts; `row` is the idle one."""
        words = np.zeros(cls.SIZE, np.int64)
        words[-cls.PART :] = row
        return words

    def words(self, plan: Plan, idle: int) -> np.ndarray:
        """The input that the plan's chunks make."""
        words, most = self.idle(idle), max(TOKENS)
        ids, positions, slots = words[: 3 * most].reshape(3, most)
        starts, lens, last, rows = words[3 * most :].reshape(4, self.PART)
        at = 0
        for i, (request, start, stop) in enumerate(plan.chunks):
            new, end = np.arange(start, stop), at + stop - start
            table = np.array(request.pages[: pages_for(stop)])
            ids[at:end], positions[at:end] = request.tokens[start:stop], new
            slots[at:end] = table[new // PAGE_SIZE] * PAGE_SIZE + new % PAGE_SIZE
            lens[i], last[i], rows[i], at = stop, end - 1, request.row, end
            starts[i + 1 :] = at
        return words


def _wide(plan: Plan) -> int:
    """Columns of a page table that holds every chunk."""
    return pages_for(max(stop for _, _, stop in plan.chunks))


def _joined(parts: list[Samples]) -> Samples:
    """The samples of decoding requests and those of prompts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    tokens = [np.zeros(0, np.int64), *(p.tokens for p in parts)]
    logprobs = [np.zeros(0, np.float32), *(p.logprobs for p in parts)]
    joined = Samples(tokens=np.concatenate(tokens), logprobs=np.concatenate(logprobs), tops={})
    first = 0
    for part in parts:
        joined.tops |= {first + i: top for i, top in part.tops.items()}
        joined.scores += part.scores
        first += len(part.tokens)
    return joined
