"""Which tokens the grammars of a step allow, found while the model computes its logits.

What may come next depends only on tokens that are known before the step, so a worker thread fills
the bits beside the forward pass and `Mask.apply` finds them done.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .matcher import Matcher, fill, unpacked

if TYPE_CHECKING:
    from llguidance import LLExecutor


class Masks:
    """Owns the worker. It is started by the first constrained step and does one step at a time.

    One worker, so that a step that begins after an interrupted one waits for what that left undone.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self._worker: ThreadPoolExecutor | None = None
        self._executor: LLExecutor | None = None

    def begin(
        self, rows: np.ndarray, matchers: Sequence[Matcher], tokens: Sequence[Sequence[int] | None]
    ) -> Mask:
        """Begin to fill the masks of `rows` of the logits, with a matcher and its tokens each.

        tokens: what `Matcher.follow` takes; None for a matcher that is up to date.
        """
        if self._worker is None:
            self._start()
        assert self._worker is not None
        bits = torch.empty(
            (len(rows), matchers[0].num_words),
            dtype=torch.int32,
            pin_memory=self.device.type == "cuda",
        )
        filled = self._worker.submit(self._fill, bits, matchers, tokens)
        return Mask(rows=torch.from_numpy(rows), filled=filled)

    def close(self) -> None:
        """End the threads."""
        if self._worker is not None:
            self._worker.shutdown(wait=True)
            self._worker = self._executor = None

    def _start(self) -> None:
        if self.device.type == "cuda":
            # the host's cores have little else to do; on a CPU they are the model's, and a pool of
            # threads of its own makes the worker wait for one (ten times as long, measured)
            from llguidance import LLExecutor

            self._executor = LLExecutor(min(8, max(1, (os.cpu_count() or 1) // 2)))
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="nbllm-masks")

    def _fill(self, bits: Tensor, matchers, tokens) -> Tensor:
        """The bits, for a GPU; [rows, V] bool for a CPU."""
        words = fill(matchers, tokens, bits.numpy(), self._executor)
        return bits if self.device.type == "cuda" else torch.from_numpy(unpacked(words))


@dataclass(slots=True, kw_only=True)
class Mask:
    """The masks of one step, on their way."""

    rows: Tensor  # [B] which rows of the logits are constrained
    filled: Future[Tensor]

    def apply(self, logits: Tensor) -> Tensor:
        """A copy of logits [R, V], −inf where a grammar forbids. Waits for the worker, raises its error."""
        allowed = self.filled.result().to(logits.device, non_blocking=True)
        self.rows = self.rows.to(logits.device, non_blocking=True)
        if allowed.dtype != torch.bool:
            bit = torch.arange(8, dtype=torch.uint8, device=logits.device)
            allowed = ((allowed.view(torch.uint8)[:, :, None] >> bit) & 1).flatten(1).bool()
        logits = logits.clone()
        forbidden = ~allowed[:, : logits.shape[1]]
        logits[self.rows] = logits[self.rows].masked_fill_(forbidden, -torch.inf)
        return logits

    def spare(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Logits [R, V] with rows that lost every token to later rules as `apply` left them.

        So where a grammar is complete its EOS is sampled, min_tokens or not. Writes into `logits`.
        """
        x = logits[self.rows]
        lost = ~(x > -torch.inf).any(-1, keepdim=True)
        logits[self.rows] = torch.where(lost, allowed[self.rows], x)
        return logits
