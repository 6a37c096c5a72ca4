"""`Rows` on the device: what a captured step reads of each request, kept up to date by what changed.

All of it is one tensor of words, and on the host a mirror of them. Before a step the mirror is
compared with `Rows`, row by row, and the words that differ are sent and written by one launch. The
device appends tokens by itself, so most steps send nothing. After an interrupt `forget` makes every
row differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nbllm.models.batch import PAGE_SIZE
from nbllm_kernels.row_steps import RowState, apply_diffs

from .rows import NO_TOKEN, Rows

ALIGNED = 64
"""Words at whose multiples arrays begin, as kernels like it."""
SLOTS = 3
"""Uploads that may be on their way."""
GROWING = ("last", "length")
FIXED = ("limit", "seed", "top_k", "temperature", "top_p", "min_p")
NOBODY = -1


@dataclass(slots=True)
class Upload:
    """Page-locked memory, and when the device has read it."""

    words: Tensor
    sent: torch.cuda.Event | None = None


class DeviceRows:
    """max_rows rows and an idle one, which padding points to; `index`: those of a step."""

    def __init__(self, rows: Rows, device: torch.device, most: int):
        self.rows, self.idle, self._on_gpu = rows, rows.max_rows, device.type == "cuda"
        count = rows.max_rows + 1
        shapes = dict.fromkeys((*GROWING, *FIXED, "done"), (count,))
        shapes |= {"index": (most,), "pages": (count, rows.pages.shape[1])}
        self._starts, self._widths, total = {}, {}, 0
        for name, shape in shapes.items():
            words = _dtype_of(name, rows).itemsize // 4
            self._starts[name], self._widths[name] = total, words
            total += -(-int(np.prod(shape)) * words // ALIGNED) * ALIGNED
        self._mirror = np.zeros(total, np.int32)
        self.words = torch.zeros(total, dtype=torch.int32, device=device)
        self._host, views = {}, {}
        for name, shape in shapes.items():
            dtype, start = _dtype_of(name, rows), self._starts[name]
            part = slice(start, start + int(np.prod(shape)) * self._widths[name])
            self._host[name] = self._mirror[part].view(dtype).reshape(shape)
            kind = torch.from_numpy(np.zeros(0, dtype)).dtype
            views[name] = self.words[part].view(kind).view(shape)
        self._host["done"][self.idle] = 1
        self._host["index"][:] = self.idle
        self.words.copy_(torch.from_numpy(self._mirror))
        self.index, self.views = views["index"], views
        self.state = RowState(
            # where a stop id ends a row is for the host to see
            stop_ids=torch.full((1, count), NO_TOKEN, dtype=torch.int64, device=device),
            **{name: views[name] for name in (*GROWING, "limit", "done", "pages")},
        )
        self._filtered = np.zeros(rows.max_rows, bool)
        self._num_pages = np.zeros(rows.max_rows, np.int64)
        self._placement = np.zeros(rows.max_rows, np.int64)
        self._staged = torch.zeros(2 * total, dtype=torch.int32, device=device)
        self._uploads = [
            Upload(torch.zeros(2 * total, dtype=torch.int32, pin_memory=self._on_gpu))
            for _ in range(SLOTS)
        ]

    def warm_up(self) -> None:
        """Make the kernel that takes changes, with none."""
        nothing = self._staged[:8].fill_(NOBODY)
        apply_diffs(self.words, nothing[:4], nothing[4:])

    def forget(self) -> None:
        """Send everything anew before the next step."""
        self._placement[:] = 0
        self._host["index"][:] = NOBODY

    def follow(self, index: np.ndarray, launched: int = 0, size: int = 0) -> None:
        """Make the device's rows `index` what `Rows` has, `launched` steps later.

        size: of the step that will run them; its `index` is set. 0: none will.
        """
        places = self._changes(index, launched)
        if size:
            places.append(self._arrange(index, size))
        if places:
            self._send(np.concatenate(places))

    def advance(self, index: np.ndarray) -> None:
        """A step has been launched that appends a token to each of `index`."""
        length, limit = self._host["length"], self._host["limit"]
        length[index] += length[index] < limit[index]

    def filtered(self, index: np.ndarray) -> bool:
        """Whether any of `index`, which `follow` has seen, draws from less than all tokens."""
        return bool(self._filtered[index].any())

    def _changes(self, index: np.ndarray, launched: int) -> list[np.ndarray]:
        rows, host, places = self.rows, self._host, []
        anew = rows.placement[index] != self._placement[index]
        moved = anew | (host["length"][index] != rows.length[index] + launched)
        if moved.any():
            which = index[moved]
            host["done"][which] = 0
            places.append(self._places("done", which))
            for name in GROWING:
                host[name][which] = getattr(rows, name)[which]
                places.append(self._places(name, which))
        num_pages = rows.capacity[index] // PAGE_SIZE
        grown = anew | (self._num_pages[index] != num_pages)
        if anew.any():
            which = index[anew]
            for name in FIXED:
                host[name][which] = getattr(rows, name)[which]
                places.append(self._places(name, which))
            filters = (rows.top_k > 0) | (rows.top_p < 1) | (rows.min_p > 0)
            self._filtered[which] = (filters & (rows.temperature > 0))[which]
            self._num_pages[which], self._placement[which] = 0, rows.placement[which]
        width = host["pages"].shape[1]
        for row, count in zip(index[grown], num_pages[grown], strict=True):
            new = np.arange(min(self._num_pages[row], count), count)
            host["pages"][row, new] = rows.pages[row, new]
            places.append(self._places("pages", row * width + new))
            self._num_pages[row] = count
        return places

    def _arrange(self, index: np.ndarray, size: int) -> np.ndarray:
        wanted = np.full(size, self.idle, np.int32)
        wanted[: len(index)] = index
        new = np.flatnonzero(self._host["index"][:size] != wanted)
        self._host["index"][:size] = wanted
        return self._places("index", new)

    def _places(self, name: str, elements: np.ndarray) -> np.ndarray:
        first = self._starts[name] + elements * self._widths[name]
        return first if self._widths[name] == 1 else np.concatenate((first, first + 1))

    def _send(self, places: np.ndarray) -> None:
        if not len(places):
            return
        count = -(-len(places) // 4) * 4  # so that the values, behind the places, are aligned too
        upload = self._uploads[0]
        if upload.sent is not None:
            upload.sent.synchronize()
        words = upload.words.numpy()
        words[:count] = NOBODY
        words[: len(places)] = places
        words[count : count + len(places)] = self._mirror[places]
        staged = self._staged[: 2 * count].copy_(upload.words[: 2 * count], non_blocking=True)
        if self._on_gpu:
            upload.sent = upload.sent or torch.cuda.Event()
            upload.sent.record()
        apply_diffs(self.words, staged[:count], staged[count:])
        self._uploads.append(self._uploads.pop(0))


def _dtype_of(name: str, rows: Rows) -> np.dtype:
    if name in ("done", "index", "pages"):
        return np.dtype(np.int32)
    return getattr(rows, name).dtype
