"""Steps that have been launched: what they give, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .needs import FIELDS, NO_TOP, Needs
from .request import TopLogprobs
from .rows import Rows
from .sampler import Samples

Where = np.ndarray | slice
"""Which of a step's rows: by number, or the first ones, which padding follows."""


def find(rows: Rows, index: np.ndarray, among: np.ndarray, placement: np.ndarray) -> Where | None:
    """Where the rows `index` are `among` others; None if one is not, or has another request by now."""
    if index is among or np.array_equal(index, among):
        return slice(len(index)) if (placement == rows.placement[index]).all() else None
    where = np.full(rows.max_rows, -1)
    where[among] = np.arange(len(among))
    at = where[index]
    same = (at >= 0) & (placement[at] == rows.placement[index])
    return at if same.all() else None


@dataclass(slots=True, kw_only=True)
class Column:
    """A launched step: one token each of its rows, once `done`."""

    index: np.ndarray  # [B] its rows
    placement: np.ndarray  # [B] of these when it was launched
    needs: Needs
    words: np.ndarray  # [needs.words, size] int32, on the host; see `Draws.draw`
    done: torch.cuda.Event | None  # None: already

    def find(self, rows: Rows, index: np.ndarray) -> Where | None:
        """Where the rows `index` are in it; None if one is not."""
        return find(rows, index, self.index, self.placement)

    def read(self, at: Where, top: np.ndarray) -> Samples:
        """Wait, then take the tokens of some rows, and of each the `top` likeliest ones."""
        if self.done is not None:
            self.done.synchronize()
        words = self.words[:, at]
        # copies: the next step that uses this memory may be on its way
        tokens, logprobs = words[0].astype(np.int64), words[1].view(np.float32).copy()
        tops = self._tops(words, top) if self.needs.tops else {}
        return Samples(tokens=tokens[None], logprobs=logprobs[None], tops=tops)

    def _tops(self, words: np.ndarray, top: np.ndarray) -> dict[int, list[TopLogprobs]]:
        k, rank = self.needs.tops, words[2].tolist()
        ids = list(words[FIELDS : FIELDS + k].T.astype(np.int64))
        values = list(words[FIELDS + k :].view(np.float32).T.copy())
        return {
            i: [TopLogprobs(rank=rank[i], token_ids=ids[i][:n], logprobs=values[i][:n])]
            for i, n in enumerate(top.tolist())
            if n != NO_TOP
        }


class Ring:
    """Page-locked memory that steps write what they give to, one part after the other."""

    def __init__(self, parts: int, size: int, device: torch.device):
        on_gpu = device.type == "cuda"
        self.memory = torch.zeros(parts, size, dtype=torch.int32, pin_memory=on_gpu)
        self.turn = torch.zeros(1, dtype=torch.int32, device=device)
        self._words, self._next = self.memory.numpy(), 0
        self._events = [torch.cuda.Event() for _ in range(parts)] if on_gpu else []

    def restart(self) -> None:
        """Begin with the first part; nothing is running."""
        self._next = 0
        self.turn.zero_()

    def part(
        self, needs: Needs, size: int, stream: torch.cuda.Stream | None
    ) -> tuple[np.ndarray, torch.cuda.Event | None]:
        """The words [needs.words, size] of the step just launched on `stream`, once the event is over."""
        i = self._next
        self._next = (i + 1) % len(self._words)
        done = None
        if self._events:
            done = self._events[i]
            done.record(stream)  # to ask for the present one takes longer
        return self._words[i, : needs.words * size].reshape(needs.words, size), done


def stacked(steps: list[Samples]) -> Samples:
    """Steps of the same requests, one after the other."""
    if len(steps) == 1:
        return steps[0]
    return Samples(
        tokens=np.concatenate([s.tokens for s in steps]),
        logprobs=np.concatenate([s.logprobs for s in steps]),
        tops={i: [top for s in steps for top in s.tops[i]] for i in steps[0].tops},
    )
