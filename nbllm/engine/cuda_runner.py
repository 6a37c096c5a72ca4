"""The runner of a GPU: decoding repeats captured steps, prompts run as they come.

A captured step takes its rows from the device and appends their tokens there, so that the next ones
can be launched before anybody has seen them. Of the steps that have been launched the oldest is
handed out, as long as its rows are still those that are asked for, or more: a row does not depend
on its company. Otherwise what was launched is dropped, and `DeviceRows` sends what the requests
have. What a dropped step wrote to the cache lies behind the tokens that count.

What comes between logits and tokens is part of the step (`Draws`), in one graph with the layers if
it is common. Rows with a grammar let the layers of the next step run ahead, not the draw, which
needs the host's bits. Rows whose sampling is the host's (`needs.HOST`) get their tokens from the
sampler of all devices, out of the same logits; the others of the step do not notice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from nbllm.models.batch import PAGE_SIZE, Batch, Packed
from nbllm.models.config import ModelConfig
from nbllm_kernels.beam_steps import BeamShape
from nbllm_kernels.row_steps import step_inputs

from .columns import Column, Where, find, stacked
from .cuda_beams import CapturedWave, Seat, captures
from .device_rows import DeviceRows
from .draws import Draws, allowed_of, packed
from .driver import wait_for
from .graphs import Graphs, size_of
from .logits import ends_of_bad_words
from .needs import GRAMMAR, HOST, Needs, stops_of
from .pages import pages_for
from .request import Request
from .rows import NO_TOKEN, Rows
from .runner import AnyWave, Runner
from .sampler import Sampler, Samples
from .scheduler import BURSTS, Plan

FEW, DEEP, AHEAD = 32, 4, 2
"""Steps launched beyond the one that is waited for: AHEAD, or DEEP of up to FEW rows, which are short."""
MOST_AHEAD = DEEP + BURSTS[0][1]
"""Tokens of a row that the host may not have seen."""
ALIGNED = 16
"""Elements at whose multiples arrays begin in an upload."""

TOKENS, CHUNKS = (16, 32, 64, 128, 192, 256, 384, 512, 1024, 2048), (1, 8, 16)
"""Sizes of captured steps of short prompts: tokens in all, and prompts."""
AT_ONCE = 512
"""Tokens up to which such a step is captured when it first comes; a larger one when it comes again,
since a capture takes longer than it saves once."""
FIRST = 128
"""Tokens of the step of prompts that is there from the start."""

Finish = Callable[[], Samples]
"""Waits for what has been launched."""


@dataclass(slots=True, kw_only=True, frozen=True)
class Begun:
    """Rows whose layers have been launched, and that were not drawn for yet."""

    index: np.ndarray
    placement: np.ndarray
    size: int


class CudaRunner(Runner):
    """As `Runner`. Tokens are those of a CPU, up to what rounding does to logits."""

    ordered = False
    """Whether kernels that leave the order of their sums to chance are avoided."""

    def __init__(
        self, model: nn.Module, config: ModelConfig, rows: Rows, kv: Tensor, sampler: Sampler
    ):
        super().__init__(model, config, rows, kv, sampler)
        self.device, most = kv.device, self.width(rows.max_rows)
        self.most = most
        self.on_gpu = kv.device.type == "cuda"
        self.graphs = Graphs(kv.device)
        self.on_device = DeviceRows(rows, self.graphs, most)
        self.draws = Draws(
            rows,
            self.on_device,
            config.vocab_size,
            most,
            parts=MOST_AHEAD + 4,
            ordered=self.ordered,
        )
        self._idle = torch.full((most,), self.on_device.idle, dtype=torch.int32, device=kv.device)
        self._words = torch.zeros(_Short.SIZE, dtype=torch.int64, device=kv.device)
        self._idle_words = torch.from_numpy(_Short.idle(self.on_device.idle)).to(kv.device)
        # between the layers and the draw, where they are not captured together
        self._hidden: Tensor | None = None  # [most, N]
        self._drawn = self._idle.clone()  # the rows of these
        self._seats: dict[BeamShape, Seat] = {}
        self._met: set[_Short] = set()  # sizes that came before
        self._launched: deque[Column] = deque()
        self._begun: Begun | None = None
        self._latest: tuple[object, Needs] = None, Needs()  # those of rows that are known
        self._stream: torch.cuda.Stream | None = None
        self._whole = True  # the last run came to its end

    @classmethod
    def width(cls, max_rows: int) -> int:
        """Rows of the largest captured step."""
        return size_of(max_rows)

    def size(self, count: int) -> int:
        """Rows of the captured step for `count`."""
        return size_of(count)

    @torch.inference_mode()
    def run(self, plan: Plan) -> Samples | None:
        """Run the plan's tokens; None when no request got to its last one and none wants scores."""
        self._begin()
        found = self._mixed(plan) if plan.chunks else self._decode(plan)()
        self._whole = True
        return found if found.tokens.size or found.scores else None

    def wave(self, requests: list[Request]) -> AnyWave:
        """As `Runner.wave`: in captured steps, where nothing is needed from the host between two."""
        if captures(requests):
            return CapturedWave(requests, self)
        return super().wave(requests)

    def seat(self, shape: BeamShape) -> Seat:
        """What captured steps of this shape work on."""
        if shape not in self._seats:
            self._seats[shape] = Seat(shape, self.device)
        return self._seats[shape]

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Make the kernels and the two steps of a short prompt's first tokens.

        They are compiled, or found where they were kept, while the weights arrive.
        """
        if self.on_gpu:
            self.on_device.warm_up()
            self._warm_up_prompts()
            size, needs = self.size(1), Needs()
            self._graph(self._key(size, needs), lambda i: self._step(i, needs), size)

    def _warm_up_prompts(self) -> None:
        self._prompt_step(_Short(tokens=FIRST, chunks=1), Needs())

    def replace(self, model: nn.Module) -> None:
        """Go on with another model; captured steps have the addresses of the old one."""
        self.rest()
        super().replace(model)

    def close(self) -> None:
        """Let go of every tensor, graph and thread. Closing twice is no error."""
        with suppress(RuntimeError):  # a device that has failed holds nothing back either
            self.rest()
        for name in ("on_device", "draws", "_idle", "_words", "_idle_words"):
            vars(self).pop(name, None)
        for name in ("_hidden", "_drawn", "_passed"):
            vars(self).pop(name, None)
        super().close()

    def rest(self) -> None:
        """Wait until nothing runs, and free every graph: they know addresses."""
        self._launched.clear()
        self._whole = False
        if self.on_gpu:
            wait_for(self.device)
        self.graphs.close()
        self._seats.clear()

    def _begin(self) -> None:
        """Order this run after the last one, and start over if that was interrupted."""
        if not self._whole:
            self._launched.clear()
            self._begun = None
            if self.on_gpu:
                wait_for(self.device)
            self.on_device.forget()
            self.draws.ring.restart()
        self._whole = False
        self.follow_stream()

    def follow_stream(self) -> None:
        """Order what is launched from now on after what has been."""
        if self.on_gpu:
            stream = torch.cuda.current_stream(self.device)
            if self._stream is not None and self._stream != stream:
                stream.wait_stream(self._stream)
            self._stream = stream

    def _mixed(self, plan: Plan) -> Samples:
        """Prompts beside decoding rows, one after the other; then the next step of all of them."""
        if not plan.decoding:
            self._drop()
        finish = [self._decode(plan)] if plan.decoding else []
        finish.append(self._prompts(plan))
        if plan.completing:
            self._look_ahead(plan.sampled_rows)
        return _beside([each() for each in finish])

    def _kind(self, index: np.ndarray) -> int:
        """Whether the host has a part in sampling the rows `index`: HOST, GRAMMAR or 0."""
        if self.sampler.processed:
            return HOST if len(index) else 0
        wants = int(np.bitwise_or.reduce(self.rows.wants[index], initial=0))
        return HOST if wants & HOST else wants & GRAMMAR

    def _decode(self, plan: Plan) -> Finish:
        index = plan.rows
        if kind := self._kind(index):
            self._drop()
            return self._guide(plan) if kind == GRAMMAR else self._decode_by_host(plan)
        self._begun = None
        if not self._launched or self._launched[0].find(self.rows, index) is None:
            self._drop()
            self._launch(index)
        if not plan.chunks:
            return lambda: self._burst(plan)
        columns = list(self._launched)
        self._launched.clear()
        return lambda: stacked([self._read(column, index) for column in columns])

    def _burst(self, plan: Plan) -> Samples:
        """The steps that the plan allows, one after the other, with more of them on their way.

        Of less than FEW rows none that comes after an end: somebody may wait for it.
        """
        index, found, steps, stops = plan.rows, [], plan.steps, None
        ahead = DEEP if len(index) <= FEW else AHEAD
        if steps > 1 and len(index) < FEW:
            stops = self.rows.stop_ids[:, index]
            steps = min(steps, (self.rows.limit[index] - self.rows.length[index]).min())
        room, top = self.on_device.room(index), self.rows.top[index]
        launch, count, seen, at = None, 0, None, slice(0)
        while self._launched:
            while len(self._launched) <= ahead and count < room:
                launch = launch or self._launcher(index)
                launch()
                count += 1
            column = self._launched.popleft()
            if column.placement is not seen:
                seen, at = column.placement, self._at(column, index)
            found.append(column.read(at, top))
            if len(found) == steps or plan.hurried():
                break
            if stops is not None and (stops == found[-1].tokens).any():
                break
        self.on_device.advance(index, count)
        return stacked(found)

    def _at(self, column: Column, index: np.ndarray) -> Where:
        at = column.find(self.rows, index)
        assert at is not None, "a step that was launched has the rows that are asked for"
        return at

    def _read(self, column: Column, index: np.ndarray) -> Samples:
        return column.read(self._at(column, index), self.rows.top[index])

    def _drop(self) -> None:
        """Forget what was launched; the device's rows have to be told what they are."""
        for column in self._launched:
            self.on_device.differ(column.index)
        self._launched.clear()

    def _look_ahead(self, index: np.ndarray) -> None:
        """Launch the next step of the rows `index`, which includes prompts that have just ended."""
        kind, size = self._kind(index), self.size(len(index))
        if kind == HOST or not self.on_device.room(index):
            return
        # nobody waits for a capture before seeing the tokens that are there
        if not kind and self.graphs.has(self._key(size, self.draws.needs(index))):
            self._launch(index)
        elif kind and self.graphs.has(("hidden", size)):
            self._layers(index)

    def _key(self, size: int, needs: Needs) -> tuple:
        return ("step", size, needs.filters) if needs.plain else ("draw", size, needs)

    def _follow(self, index: np.ndarray, size: int = 0) -> None:
        moved = self.on_device.follow(index, size)
        if not self.sampler.processed:
            self.draws.follow(moved)

    def _launch(self, index: np.ndarray) -> None:
        """Launch a step of the rows `index`."""
        self._launcher(index)()
        self.on_device.advance(index)

    def _launcher(self, index: np.ndarray) -> Callable[[], None]:
        """What launches a step of the rows `index`, as often as `DeviceRows.room` allows.

        Nothing may change meanwhile, and afterwards the rows have to be advanced.
        """
        size = self.size(len(index))
        self._follow(index, size)
        known, needs = self._latest
        if known is not self.on_device.known:
            self._latest = self.on_device.known, (needs := self.draws.needs(index))
        placement, whole = self.rows.placement[index], None
        if needs.plain:
            whole = self._graph(self._key(size, needs), lambda i: self._step(i, needs), size)

        def launch() -> None:
            if whole is not None:
                whole.replay()
            else:
                self._replay_hidden(size)
                self._replay_draw(size, needs)
            self._launched.append(self._given(index, placement, size, needs))

        return launch

    def _column(self, index: np.ndarray, size: int, needs: Needs) -> Column:
        """As `_given`; the rows are advanced, too."""
        self.on_device.advance(index)
        return self._given(index, self.rows.placement[index], size, needs)

    def _given(self, index: np.ndarray, placement: np.ndarray, size: int, needs: Needs) -> Column:
        """What the step that has just been launched gives."""
        words, done = self.draws.ring.part(needs, size, self._stream)
        return Column(index=index, placement=placement, needs=needs, words=words, done=done)

    def _graph(self, key: tuple, function: Callable[[Tensor], object], size: int):
        if self.graphs.has(key):  # slices cost as much as a launch
            return self.graphs.made(key)
        return self.graphs.get(key, function, self.on_device.index[:size], self._idle[:size])

    def _step(self, index: Tensor, needs: Needs) -> None:
        """A whole step of the rows `index` [size] of the device."""
        self.draws.draw(self.model.compute_logits(self._forward(index)), index, needs)

    def _replay_hidden(self, size: int) -> None:
        """The layers of the rows in the device's index, for a draw."""
        self._graph(("hidden", size), lambda i: self._keep(self._forward(i), i), size).replay()

    def _keep(self, hidden: Tensor, index: Tensor) -> None:
        """Put hidden states and their rows where draws look for them."""
        if self._hidden is None:
            self._hidden = hidden.new_zeros(len(self._idle), hidden.shape[1])
        self._hidden[: len(hidden)].copy_(hidden)
        self._drawn[: len(index)].copy_(index)

    def _replay_draw(self, size: int, needs: Needs) -> Tensor | None:
        """Draw for the rows whose hidden states are kept; their logits [size, V], if needed."""

        def draw(index: Tensor) -> Tensor | None:
            assert self._hidden is not None
            logits = self.model.compute_logits(self._hidden[:size])
            self.draws.draw(logits, index, needs)
            return logits if needs.logits else None

        key = "draw", size, needs
        return self.graphs.get(key, draw, self._drawn[:size], self._idle[:size]).replay()

    def _forward(self, index: Tensor) -> Tensor:
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

    def _layers(self, index: np.ndarray) -> Begun:
        """Launch the layers of a step of the rows `index`."""
        size = self.size(len(index))
        self._follow(index, size)
        self._replay_hidden(size)
        self._begun = Begun(index=index, placement=self.rows.placement[index], size=size)
        return self._begun

    def _guide(self, plan: Plan) -> Finish:
        """A step with grammars: the next one's layers run while the host looks at its tokens."""
        index, begun = plan.rows, self._begun
        if begun is None or find(self.rows, index, begun.index, begun.placement) is None:
            begun = self._layers(index)
        self._allow(index)
        needs = self.draws.needs(begun.index)
        self._replay_draw(begun.size, needs)
        column, self._begun = self._column(begun.index, begun.size, needs), None
        if not plan.chunks and self.on_device.room(index):
            self._layers(index)
        return lambda: self._read(column, index)

    def _decode_by_host(self, plan: Plan) -> Finish:
        begun = self._layers(plan.rows)
        self._begun = None
        return self._draw(begun.index, plan.decoding, begun.size)

    def _draw(self, index: np.ndarray, requests: list[Request], size: int) -> Finish:
        """Draw for the rows `index` and their requests, whose hidden states are kept."""
        hosted = (self.rows.wants[index] & HOST) > 0
        at = np.flatnonzero(hosted | self.sampler.processed)
        self._allow(index)
        needs = Needs() if self.sampler.processed else self.draws.needs(index)
        needs = replace(needs, logits=len(at) > 0)
        logits = self._replay_draw(size, needs)
        column = self._column(index, size, needs)
        if logits is None:
            return lambda: self._read(column, index)
        mine = logits[torch.from_numpy(at).to(self.device, non_blocking=True)]
        special = self._by_host(mine, index[at], [requests[i] for i in at])

        def finish() -> Samples:
            found, other = self._read(column, index), special()
            found.tokens[:, at], found.logprobs[:, at] = other.tokens, other.logprobs
            found.tops |= {int(at[i]): tops for i, tops in other.tops.items()}
            return found

        return finish

    def _by_host(self, logits: Tensor, index: np.ndarray, requests: list[Request]) -> Finish:
        """By the sampler of all devices; the device's rows do not have these tokens."""
        self.on_device.differ(index)
        if self.ordered:
            each = [slice(i, i + 1) for i in range(len(index))]
            return lambda: _beside([self._sample(logits[i], index[i], requests[i]) for i in each])
        mask = self._begin_mask(requests, index)
        return lambda: self.sampler.sample(logits, index, requests, mask)

    def _sample(self, logits: Tensor, index: np.ndarray, requests: list[Request]) -> Samples:
        mask = self._begin_mask(requests, index)
        return self.sampler.sample(logits, index, requests, mask)

    def _allow(self, index: np.ndarray) -> None:
        """Tell the device what grammars allow the rows `index`; it is busy with their logits."""
        which = index[(self.rows.wants[index] & GRAMMAR) > 0]
        if not len(which) or self.sampler.processed:
            return
        requests = [r for row in which if (r := self.rows.request[row])]
        matchers = [m for r in requests if (m := r.matcher)]
        bits = self.masks.packed(matchers, [r.tokens for r in requests])
        for line, request in zip(bits.numpy(), requests, strict=True):
            self._restrict(line, request)
        self.draws.allow(which, bits)

    def _restrict(self, line: np.ndarray, request: Request) -> None:
        """Hold a grammar's bits to what else is allowed, unless that would leave nothing."""
        p = request.params
        early = request.num_output < p.min_tokens
        if not (early or request.bad_words or p.allowed_token_ids is not None):
            return
        allowed = allowed_of(request, self.config.vocab_size)
        allowed[ends_of_bad_words(request)] = False
        if early:
            allowed[[i for i in stops_of(request) if i < len(allowed)]] = False
        other = packed(allowed)
        both = line[: len(other)] & other
        if both.any():
            line[:] = 0
            line[: len(other)] = both

    def _prompts(self, plan: Plan) -> Finish:
        requests = plan.completing
        index = np.array([r.row for r in requests], np.int64)
        if _Short.fits(plan) and (finish := self._short_prompts(plan, index)):
            return finish
        batch, rows = self._packed(plan, index)
        hidden = self.model.forward(batch)
        mine, rest = hidden[: len(index)], hidden[len(index) :]
        if not len(index):
            return lambda: Samples.none(self._scores(plan, rest))
        size = self.size(len(index))
        self._follow(index)
        self._drawn.fill_(self.on_device.idle)
        self._keep(mine, rows)
        finish = self._draw(index, requests, size)
        return lambda: replace(finish(), scores=self._scores(plan, rest))

    def _short_prompts(self, plan: Plan, index: np.ndarray) -> Finish | None:
        """Launching the layers one by one takes longer than they do: repeat a captured step.

        None where there is none: what draws specially has no searches beside it.
        """
        short, searches = _Short.of(plan), len(plan.chunks) - len(index)
        if short.tokens > AT_ONCE and short not in self._met:
            self._met.add(short)
            return None
        rows = np.array([r.row for r, _, _ in plan.chunks], np.int64)
        self._follow(rows)
        needs, size = self.draws.needs(rows), short.chunks
        together = needs.plain and not self._kind(rows)
        if searches and not together:
            return None
        words = torch.from_numpy(short.words(plan, self.on_device.idle))
        self._words.copy_(words, non_blocking=True)
        self._prompt_step(short, needs if together else None).replay()
        if not together:
            return self._draw(index, plan.completing, size)
        column = self._column(rows, size, needs)
        return lambda: self._read(column, index) if len(index) else Samples.none([])

    def _prompt_step(self, short: _Short, needs: Needs | None):
        """The step of prompts of a size, captured; without `needs` it ends before the draw."""

        def step(words: Tensor) -> None:
            hidden, rows = self._prompts_of(words, short)
            if needs is None:
                self._keep(hidden, rows)
            else:
                self.draws.draw(self.model.compute_logits(hidden), rows, needs)

        key = "prompts", short.tokens, short.chunks, None if needs is None else needs.filters
        return self.graphs.get(key, step, self._words, self._idle_words)

    def _prompts_of(self, words: Tensor, short: _Short) -> tuple[Tensor, Tensor]:
        """The last hidden states of the prompts in `words`, and their rows."""
        ids, positions, slots, *small = words.split([max(TOKENS)] * 3 + [_Short.PART] * 4)
        starts, lens, last, rows = small
        index, pages = rows[: short.chunks].int(), self.on_device.state.pages
        packed = Packed(
            q_starts=starts[: short.chunks + 1],
            pages=pages,
            kv_lens=lens[: short.chunks],
            chunk_rows=index,
            ends=True,
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
        return self.model.forward(batch), index

    def _packed(self, plan: Plan, index: np.ndarray) -> tuple[Batch, Tensor]:
        """The plan's chunks, one after the other, and `index`, the rows that are sampled."""
        ids, positions, slots, last, scored, starts = [], [], [], [], [], [0]
        tables = np.zeros((len(plan.chunks), _wide(plan)), np.int64)
        for table, (request, start, stop) in zip(tables, plan.chunks, strict=True):
            at, new = starts[-1], np.arange(start, stop)
            table[: pages_for(stop)] = request.pages[: pages_for(stop)]
            ids.append(np.fromiter(request.tokens[start:stop], np.int64, stop - start))
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
            packed=Packed(
                q_starts=starts,
                pages=pages.view(tables.shape),
                kv_lens=lens,
                ends=len(last) == len(plan.chunks) and not scored,
            ),
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

    A search's prompt ends before its last token. What is sampled for it is left in the row that it
    gives up.

    Words: ids, positions, slots, of every token; starts, cached tokens, last tokens, rows, of every
    prompt. Tokens beyond the prompts' go to the null page, and nobody attends to them.
    """

    tokens: int
    chunks: int

    PART: ClassVar[int] = 32
    SIZE: ClassVar[int] = 3 * max(TOKENS) + 4 * PART

    @classmethod
    def fits(cls, plan: Plan) -> bool:
        """Whether there is such a step for the plan's chunks."""
        return (
            len(plan.chunks) <= max(CHUNKS)
            and all(stop == len(r.tokens) - (r.search is not None) for r, _, stop in plan.chunks)
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


def _beside(parts: list[Samples]) -> Samples:
    """The samples of decoding requests, and of one step of prompts, beside each other."""
    if len(parts) == 1:
        return parts[0]
    steps = max(len(p.tokens) for p in parts)

    def long(array: np.ndarray) -> np.ndarray:
        return np.pad(array, ((0, steps - len(array)), (0, 0)), constant_values=NO_TOKEN)

    joined, first = Samples.none(), 0
    joined.tokens = np.concatenate([long(p.tokens) for p in parts], 1)
    joined.logprobs = np.concatenate([long(p.logprobs) for p in parts], 1)
    for part in parts:
        joined.tops |= {first + i: top for i, top in part.tops.items()}
        joined.scores += part.scores
        first += part.tokens.shape[1]
    return joined
