"""Which tokens the grammars of a step allow: found while the model computes its logits.

What may come next depends only on tokens that are known before the step. On a CPU a worker thread
fills the bits beside the forward pass; on a GPU the host does once the kernels are launched, while
they run. Either way `Mask.apply` has them when the logits are there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .matcher import Matcher, at_a_time, fill, one_by_one, unpacked

if TYPE_CHECKING:
    from llguidance import LLExecutor

FEW, SLOW = 4, 100e-6
"""Masks that a GPU's host fills before it asks others to help, and the seconds each must have taken.

Most take 10 µs, and threads wake up later than that: 32 matchers have followed their tokens and made
their masks in 0.54 ms, with two threads in 0.60, with eight in 1.02 (an H200's host, 151,936 tokens)."""


class Masks:
    """Owns the threads. They are started when a step first needs them.

    A CPU's worker is one, so that a step that begins after an interrupted one waits for what that
    left undone. It fills by itself: a pool of more threads waits for the cores that the model has.
    """

    def __init__(self, device: torch.device):
        self.on_gpu = device.type == "cuda"
        self._worker: ThreadPoolExecutor | None = None
        self._executor: LLExecutor | None = None

    def begin(
        self, rows: np.ndarray, matchers: Sequence[Matcher], tokens: Sequence[Sequence[int] | None]
    ) -> Mask:
        """The masks of `rows` of the logits, with a matcher and its tokens each, on their way.

        tokens: what `Matcher.follow` takes; None for a matcher that is up to date. Call it before
        the model runs, and `Mask.apply` when it has returned.
        """
        make = partial(self.packed if self.on_gpu else _unpacked, matchers, tokens)
        return Mask(rows=torch.from_numpy(rows), filled=self.soon(make))

    def soon(self, make: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """What `make` gives, made beside the model: by the worker, or on a GPU's host when asked."""
        if self.on_gpu:
            return make
        self._worker = self._worker or ThreadPoolExecutor(1, thread_name_prefix="nbllm-masks")
        return self._worker.submit(make).result

    def close(self) -> None:
        """End the threads."""
        if self._worker is not None:
            self._worker.shutdown(wait=True)
        self._worker = self._executor = None

    def packed(self, matchers: Sequence[Matcher], tokens: Sequence[Sequence[int] | None]) -> Tensor:
        """[B, words] int32, in memory that a GPU reads without waiting."""
        shape = len(matchers), matchers[0].num_words
        bits = torch.empty(shape, dtype=torch.int32, pin_memory=self.on_gpu)
        fill(matchers, tokens, bits.numpy(), self._compute)
        return bits

    def _compute(self, matchers: Sequence[Matcher], bits: np.ndarray) -> None:
        """The first few one by one; the rest on several threads if those took long."""
        begin = time.perf_counter()
        one_by_one(matchers[:FEW], bits[:FEW])
        slow = time.perf_counter() - begin > SLOW * FEW
        if len(matchers) <= FEW or not slow:
            one_by_one(matchers[FEW:], bits[FEW:])
            return
        if self._executor is None:
            from llguidance import LLExecutor

            self._executor = LLExecutor(min(8, max(1, (os.cpu_count() or 1) // 2)))
        at_a_time(self._executor, matchers[FEW:], bits[FEW:])


@dataclass(slots=True, kw_only=True)
class Mask:
    """The masks of one step."""

    rows: Tensor  # [B] which rows of the logits are constrained
    filled: Callable[[], Tensor]  # [B, V] bool, or the bits; waits for them, raises their error

    def apply(self, logits: Tensor) -> Tensor:
        """A copy of logits [R, V], −inf where a grammar forbids. `ParamError`: nothing may follow."""
        allowed = self.filled().to(logits.device, non_blocking=True)
        self.rows = self.rows.to(logits.device, non_blocking=True)
        if allowed.dtype != torch.bool:
            bit = torch.arange(8, dtype=torch.uint8, device=logits.device)
            allowed = ((allowed.view(torch.uint8)[:, :, None] >> bit) & 1).flatten(1).bool()
        forbidden = ~allowed[:, : logits.shape[1]]
        if len(forbidden) == len(logits):
            return logits.masked_fill(forbidden, -torch.inf)
        logits = logits.clone()
        logits[self.rows] = logits[self.rows].masked_fill_(forbidden, -torch.inf)
        return logits

    def hold(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Logits [R, V] that later rules have changed, held to what `apply` left; writes into them.

        A row that lost every token gets those back, so where a grammar is complete its EOS is
        sampled, min_tokens or not; and no processor brings a forbidden token back.
        """
        grammar = allowed[self.rows]
        x = logits[self.rows].masked_fill(grammar == -torch.inf, -torch.inf)
        lost = ~(x > -torch.inf).any(-1, keepdim=True)
        logits[self.rows] = torch.where(lost, grammar, x)
        return logits


def _unpacked(matchers: Sequence[Matcher], tokens: Sequence[Sequence[int] | None]) -> Tensor:
    """[B, 32 · words] bool."""
    return torch.from_numpy(unpacked(fill(matchers, tokens)))
