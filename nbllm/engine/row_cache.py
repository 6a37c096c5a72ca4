"""Copies of decoding requests' keys and values, side by side, for a CPU.

Pages are what many requests share and what outlives them; a step that reads them all gathers them
first, and then reads the copy: on a CPU that is half of its time. Here the copy is kept, and grows
by a token a step. It is filled from the pages, and dropped without loss.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nbllm.models.batch import PAGE_SIZE

from .host_copy import private_memory
from .pages import pages_for
from .rows import Rows


class RowCache:
    """The first of its places are always those of the requests that decode."""

    def __init__(self, kv: Tensor, rows: Rows, max_bytes: int):
        self.kv, self.rows, self.max_bytes = kv, rows, max_bytes
        self.clear()

    def clear(self) -> None:
        """Hold nothing, and no memory."""
        self.side: Tensor | None = None  # [layers, 2, S, K, L, D]
        self._row = np.zeros(0, np.int64)  # [S] whose each place is
        self._placement = np.zeros(0, np.int64)  # [S] of that row; 0: nobody's
        self._length = np.zeros(0, np.int64)  # [S] its tokens here
        self._latest: tuple[object, np.ndarray | None] = None, None  # rows, and their arrangement

    def arrange(self, index: np.ndarray) -> np.ndarray | None:
        """Put all but the newest token of the rows `index` [B] in the first B places.

        Returns [B] which of `index` has which place; None where there is not enough memory.
        """
        known, order = self._latest
        # most often the rows of the step before; they are another array if one has come or gone
        if index is known and order is not None and self._is_there(index[order]):
            return order
        self._latest = index, (order := self._sort(index))
        return order

    def _is_there(self, index: np.ndarray) -> bool:
        """Whether the first places have all but the newest token of the rows `index`."""
        lengths, count = self.rows.length[index] - 1, len(index)
        there = bool((self._length[:count] >= lengths).all())
        if there:
            self._length[:count] = lengths
        return there

    def _sort(self, index: np.ndarray) -> np.ndarray | None:
        if not self._reserve(index):
            self.clear()
            return None
        rows, count = self.rows, len(index)
        place = np.full(rows.max_rows, -1)
        place[self._row[self._placement > 0]] = np.flatnonzero(self._placement)
        at = place[index]
        here = (self._placement[at] == rows.placement[index]) & (at >= 0)
        here &= self._length[at] >= rows.length[index] - 1
        order, stays = np.full(count, -1), here & (at < count)
        order[at[stays]] = np.flatnonzero(stays)
        others = [*np.flatnonzero(here & ~stays), *np.flatnonzero(~here)]
        for target, i in zip(np.flatnonzero(order < 0).tolist(), others, strict=True):
            order[target] = i
            self._fill(target, index[i], at[i] if here[i] else None)
        self._length[:count] = rows.length[index[order]] - 1
        return order

    def written(self, count: int) -> None:
        """The newest tokens of the first `count` have come in."""
        self._length[:count] += 1

    def _reserve(self, index: np.ndarray) -> bool:
        """Whether there is room for the rows, for as long as they may become."""
        count, longest = len(index), int(self.rows.limit[index].max())
        if self.side is not None and count <= self.side.shape[2] and longest <= self.side.shape[4]:
            return True
        _, layers, two, heads, _, dim = self.kv.shape
        have = (0, 0) if self.side is None else (self.side.shape[2], self.side.shape[4])
        for places, tokens in (
            (max(have[0], 1 << (count - 1).bit_length()), max(have[1], longest)),
            (count, longest),
        ):
            shape = (layers, two, places, heads, pages_for(tokens) * PAGE_SIZE, dim)
            if (size := int(np.prod(shape)) * self.kv.dtype.itemsize) <= self.max_bytes:
                self.clear()
                self._row, self._placement, self._length = np.zeros((3, places), np.int64)
                memory = torch.frombuffer(private_memory(size), dtype=self.kv.dtype)
                self.side = memory.view(shape)
                return True
        return False

    def _fill(self, target: int, row: int, source: int | None) -> None:
        """Let a place be a row's: from another place, or from the row's pages."""
        assert self.side is not None
        length, mine = self.rows.length[row] - 1, self.side[:, :, target]
        self._placement[target] = 0  # nobody's, if this is interrupted
        if source is not None:
            mine[:, :, :, :length] = self.side[:, :, source, :, :length]
            self._placement[source] = 0
        else:
            pages = torch.from_numpy(self.rows.pages[row, : pages_for(length)])
            size = len(pages) * PAGE_SIZE
            new = self.kv[pages].permute(1, 2, 3, 0, 4, 5)  # [layers, 2, K, M, PAGE_SIZE, D]
            mine[:, :, :, :size].view(new.shape).copy_(new)
        self._row[target], self._length[target] = row, length
        self._placement[target] = self.rows.placement[row]
