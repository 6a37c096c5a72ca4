"""The runner for `deterministic=True`: every pass through the model has one shape.

What a library or a kernel does with a row depends on how many there are: which tiles, which order
of sums, how many parts. So here there are always WIDTH tokens, each pass padded to them, and
attention takes every token as one of a prompt, tile by tile from the first key on. Then a row's
numbers depend on its own tokens alone, bit for bit: whether they came as a prompt, in chunks, out of
the prefix cache, one by one, or again after a preemption, and in whatever company.

Of what follows the layers, logits are computed for as many rows in every step, and a kernel that
leaves an order to chance is not used. Beam searches run as they do otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from nbllm.models.batch import PAGE_SIZE, Batch, Packed
from nbllm_kernels.row_steps import step_inputs

from .cuda_runner import CudaRunner, Finish
from .pages import pages_for
from .request import Request
from .sampler import Samples, score
from .scheduler import Plan

WIDTH = 256
"""Tokens of a pass at the least; so many cost a GPU little more than one."""

Part = tuple[Request, int, int]
"""A request's tokens start … stop."""


class UniformRunner(CudaRunner):
    """As `CudaRunner`; a request's tokens are the same in any batch, also in half precision."""

    ordered = True
    _passed: Tensor | None = None  # the words of the captured pass of prompts

    @classmethod
    def width(cls, max_rows: int) -> int:
        """Tokens of a pass."""
        return max(WIDTH, super().width(max_rows))

    def size(self, count: int) -> int:
        """Rows of every captured step."""
        return self.most

    def _warm_up_prompts(self) -> None:
        """Nothing: passes of prompts are those of steps."""

    def _forward(self, index: Tensor) -> Tensor:
        """The hidden states [most, N] of the rows `index`, each one a prompt's last token."""
        state = self.on_device.state
        inputs = step_inputs(state, index, PAGE_SIZE)
        starts = torch.arange(self.most + 1, device=self.device)
        return self._pass(inputs.ids, inputs.positions, inputs.slots, starts, inputs.kv_lens, index)

    def _pass(
        self,
        ids: Tensor,
        positions: Tensor,
        slots: Tensor,
        starts: Tensor,
        lens: Tensor,
        rows: Tensor,
    ) -> Tensor:
        pages = self.on_device.state.pages
        packed = Packed(q_starts=starts, pages=pages, kv_lens=lens, chunk_rows=rows, uniform=True)
        return self.model.forward(
            Batch(
                ids=ids,
                positions=positions,
                slots=slots,
                kv=self.kv,
                pages=pages,
                kv_lens=lens[:0],
                max_kv_len=0,
                chunks=[],
                last=None,
                packed=packed,
            )
        )

    def _prompts(self, plan: Plan) -> Finish:
        requests = plan.completing
        index = np.array([r.row for r in requests], np.int64)
        rows = np.array([r.row for r, _, _ in plan.chunks], np.int64)
        self._follow(rows)
        hidden, scored = [], []
        for parts in passes(plan.chunks, self.most):
            states, at = self._run(parts), 0
            for request, start, stop in parts:
                scored += [states[at + i - start] for i in request.scored(start, stop)]
                at += stop - start
                if stop == len(request.tokens):
                    hidden.append(states[at - 1])
        rest = torch.stack(scored) if scored else self.kv.new_zeros(0, 1)
        if not hidden:
            return lambda: Samples.none(self._scores(plan, rest))
        kept = torch.full((self.most,), self.on_device.idle, dtype=torch.int32)
        kept[: len(index)] = torch.from_numpy(index)
        self._keep(torch.stack(hidden), kept.to(self.device))
        finish = self._draw(index, requests, self.most)

        def scores() -> Samples:
            found = finish()
            found.scores = self._scores(plan, rest)
            return found

        return scores

    def _run(self, parts: list[Part]) -> Tensor:
        """The hidden states [most, N] of some parts of prompts, one after the other."""
        most, at = self.most, 0
        words = np.zeros((6, most + 1), np.int64)
        ids, positions, slots, starts, lens, rows = words
        rows[:] = self.on_device.idle
        for i, (request, start, stop) in enumerate(parts):
            new, end = np.arange(start, stop), at + stop - start
            table = np.array(request.pages[: pages_for(stop)])
            ids[at:end], positions[at:end] = request.tokens[start:stop], new
            slots[at:end] = table[new // PAGE_SIZE] * PAGE_SIZE + new % PAGE_SIZE
            lens[i], rows[i], at = stop, request.row, end
            starts[i + 1 :] = at
        idle = torch.zeros(words.size, dtype=torch.int64, device=self.device)
        idle[-most - 1 :] = self.on_device.idle
        if self._passed is None:
            self._passed = idle.clone()
        self._passed.copy_(torch.from_numpy(words.ravel()))

        def step(words: Tensor) -> Tensor:
            ids, positions, slots, starts, lens, rows = words.view(6, most + 1)
            tokens = ids[:most], positions[:most], slots[:most]
            return self._pass(*tokens, starts, lens[:most], rows[:most].int())

        made = self.graphs.get(("pass",), step, self._passed, idle)
        return made.replay().clone()

    def _score(self, hidden: Tensor, targets: list[int], count: int):
        """As many rows of logits at a time as everywhere else."""
        logprobs, tops = [], []
        for at in range(0, len(targets), self.most):
            some = hidden[at : at + self.most]
            padded = torch.cat((some, some.new_zeros(self.most - len(some), some.shape[1])))
            mine = targets[at : at + self.most]
            wanted = torch.tensor(mine, device=hidden.device)
            new, best = score(self.model.compute_logits(padded)[: len(mine)], wanted, count)
            logprobs += new
            tops += best
        return logprobs, tops


def passes(chunks: list[Part], most: int) -> Iterator[list[Part]]:
    """The chunks in their order, cut into passes of up to `most` tokens."""
    parts, room = list[Part](), most
    for request, start, stop in chunks:
        while start < stop:
            count = min(stop - start, room)
            parts.append((request, start, start + count))
            start, room = start + count, room - count
            if not room:
                yield parts
                parts, room = [], most
    if parts:
        yield parts
