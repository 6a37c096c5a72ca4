"""`Rows` on the device: what a captured step reads of each request, kept up to date by what changed.

All of it is one tensor of words, and on the host a mirror of them. Before a step the mirror is
compared with `Rows`, row by row, and one captured launch reads the words that differ from memory of the
host and writes them. The device appends tokens by itself, so most steps send nothing. After an interrupt
`forget` makes every row differ.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nbllm.models.batch import PAGE_SIZE
from nbllm_kernels.row_steps import RowState, apply_diffs

from .graphs import Captured, Graphs
from .needs import MOST_STOPS, STOPS
from .rows import NO_TOKEN, Rows

ALIGNED = 64
"""Words at whose multiples arrays begin, as kernels like it."""
SLOTS = 6
"""Changes that may be on their way: more than the steps that run ahead."""
SIZES = (64, 256, 1024)
"""Words that a captured launch writes; then four times as many, as often as needed."""
GROWING = ("last", "length")
FIXED = (
    *("limit", "seed", "top_k", "temperature", "top_p", "min_p"),
    *("repetition", "frequency", "presence", "min_length"),
)
MOVING = (*GROWING, "done")
NOBODY = -1


class Upload:
    """Page-locked memory that holds places and then values, and when the device has read it."""

    def __init__(self, size: int, on_gpu: bool):
        self.words = torch.full((size,), NOBODY, dtype=torch.int32, pin_memory=on_gpu)
        self.host = self.words.numpy()
        self.read = torch.cuda.Event() if on_gpu else None


class DeviceRows:
    """max_rows rows and an idle one, which padding points to; `index`: those of a step."""

    def __init__(self, rows: Rows, graphs: Graphs, most: int):
        device = graphs.device
        self.rows, self.idle, self._graphs = rows, rows.max_rows, graphs
        count = rows.max_rows + 1
        shapes = dict.fromkeys((*GROWING, *FIXED, "done"), (count,))
        shapes |= {"index": (most,), "pages": (count, rows.pages.shape[1])}
        shapes |= {"early": (MOST_STOPS, count)}
        self._starts, self._widths, total = {}, {}, 0
        for name, shape in shapes.items():
            words = _dtype_of(name, rows).itemsize // 4
            self._starts[name], self._widths[name] = total, words
            total += -(-int(np.prod(shape)) * words // ALIGNED) * ALIGNED
        self._words_of: dict[tuple[str, ...], np.ndarray] = {}
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
        self.length = self._host["length"]  # what it will be when all that was launched has run
        self._stale = np.zeros(rows.max_rows, bool)
        self.known: object = None  # the same object as long as `follow` has nothing to do
        self._num_pages = np.zeros(rows.max_rows, np.int64)
        self._placement = np.zeros(rows.max_rows, np.int64)
        self._sizes: list[int] = [*SIZES]
        while self._sizes[-1] < total:
            self._sizes.append(min(self._sizes[-1] * 4, total))
        longest = 2 * self._sizes[-1]
        self._nothing = torch.full((longest,), NOBODY, dtype=torch.int32, device=device)
        self._uploads = [Upload(longest, device.type == "cuda") for _ in range(SLOTS)]
        self._slot = 0

    def warm_up(self) -> None:
        """Capture what takes few changes, with which nobody is to wait for that."""
        for size in SIZES:
            self._writing(0, size)

    def forget(self) -> None:
        """Send everything anew before the next step."""
        self._placement[:] = 0
        self._host["index"][:] = NOBODY
        self.known = None

    def differ(self, index: np.ndarray) -> None:
        """The device's tokens of the rows `index` are not those that they have."""
        self._stale[index] = True
        self.known = None

    def follow(self, index: np.ndarray, size: int = 0) -> np.ndarray:
        """Make the device's rows `index` what `Rows` has; those that were others before.

        size: of the step that will run them; its `index` is set. 0: none will.
        """
        known = self.rows.version, size, index.tobytes() if size else None
        if size and known == self.known:
            return index[:0]
        self.known = None
        places, moved = self._changes(index)
        if size:
            places.append(self._arrange(index, size))
        if places:
            self._send(np.concatenate(places))
        if size:
            self.known = known
        return moved

    def advance(self, index: np.ndarray, steps: int = 1) -> None:
        """Steps have been launched that append a token each to each of `index`."""
        self.length[index] = np.minimum(self.length[index] + steps, self._host["limit"][index])

    def room(self, index: np.ndarray) -> int:
        """Steps of the rows that can follow all that was launched.

        Until each has reached its limit, or one that has not has no page for its next token.
        """
        length = self.length[index]
        left = self._host["limit"][index] - length
        room = np.maximum(self.rows.capacity[index] - length + 1, 0)
        return int(room.min(where=room < left, initial=left.max(initial=0)))

    def _changes(self, index: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        rows, host, places = self.rows, self._host, []
        anew = rows.placement[index] != self._placement[index]
        moved = anew | self._stale[index]
        if moved.any():
            which = index[moved]
            at = _plainly(which)
            host["done"][at] = 0
            self._stale[at] = False
            for name in GROWING:
                host[name][at] = getattr(rows, name)[at]
            places.append(self._places_of(MOVING, which))
        num_pages = rows.capacity[index] // PAGE_SIZE
        if anew.any():
            which = index[anew]
            at = _plainly(which)
            for name in FIXED:
                host[name][at] = getattr(rows, name)[at]
            places.append(self._places_of(FIXED, which))
            # where it stays 0 nobody looks at stop ids
            host["min_length"][at] *= (rows.wants[at] & STOPS) > 0
            self._num_pages[at], self._placement[at] = 0, rows.placement[at]
            places += [self._stops(row) for row in which[(rows.wants[which] & STOPS) > 0]]
        width = host["pages"].shape[1]
        more = np.maximum(num_pages - self._num_pages[index], 0)
        if more.any():
            row = index.repeat(more)
            new = np.arange(len(row)) + (num_pages - more.cumsum()).repeat(more)
            host["pages"][row, new] = rows.pages[row, new]
            places.append(self._places("pages", row * width + new))
        self._num_pages[index] = num_pages
        return places, index[moved]

    def _stops(self, row: int) -> np.ndarray:
        ids, early = self.rows.stop_ids[:, row], self._host["early"]
        ids = ids[ids != NO_TOKEN]
        early[:, row] = NO_TOKEN
        early[: len(ids), row] = ids
        return self._places("early", np.arange(MOST_STOPS) * early.shape[1] + row)

    def _arrange(self, index: np.ndarray, size: int) -> np.ndarray:
        wanted = np.full(size, self.idle, np.int32)
        wanted[: len(index)] = index
        new = np.flatnonzero(self._host["index"][:size] != wanted)
        self._host["index"][:size] = wanted
        return self._places("index", new)

    def _places_of(self, names: tuple[str, ...], rows: np.ndarray) -> np.ndarray:
        """The words of some fields of some rows."""
        if names not in self._words_of:
            widths = [(self._starts[n], self._widths[n]) for n in names]
            words = [(start + i, width) for start, width in widths for i in range(width)]
            self._words_of[names] = np.array(words).T
        first, width = self._words_of[names]
        return (first + rows[:, None] * width).ravel()

    def _places(self, name: str, elements: np.ndarray) -> np.ndarray:
        first = self._starts[name] + elements * self._widths[name]
        return first if self._widths[name] == 1 else np.concatenate((first, first + 1))

    def _send(self, places: np.ndarray) -> None:
        if not len(places):
            return
        slot, self._slot = self._slot, (self._slot + 1) % SLOTS
        upload, count = self._uploads[slot], len(places)
        if upload.read is not None:
            upload.read.synchronize()
        size = next(n for n in self._sizes if n >= count)
        upload.host[:count] = places
        upload.host[count:size] = NOBODY
        upload.host[size : size + count] = self._mirror[places]
        self._writing(slot, size).replay()
        if upload.read is not None:
            upload.read.record()

    def _writing(self, slot: int, size: int) -> Captured[None]:
        """What writes the changes of an upload."""
        key = "changes", slot, size
        if not self._graphs.has(key):
            # those of all uploads, lest some later step has to wait for it
            for i, upload in enumerate(self._uploads):
                words, nothing = upload.words[: 2 * size], self._nothing[: 2 * size]
                self._graphs.get(("changes", i, size), self._write, words, nothing)
        return self._graphs.made(key)

    def _write(self, changes: Tensor) -> None:
        places, values = changes.chunk(2)
        apply_diffs(self.words, places, values)


def _plainly(rows: np.ndarray) -> np.ndarray | int:
    """A row by itself, which numpy finds ten times as fast as one of several."""
    return rows if len(rows) > 1 else int(rows[0])


def _dtype_of(name: str, rows: Rows) -> np.dtype:
    if name in ("done", "index", "pages"):
        return np.dtype(np.int32)
    return rows.stop_ids.dtype if name == "early" else getattr(rows, name).dtype
