"""Work lists for attention, made on the device from lengths that live there.

Row b has span[b] units of work, pages of its cache or new tokens, cut into items of `size` units:

size = max(least, ceil(sum(span) / target)),   count[b] = ceil(span[b] / size)

so there are at most target + B items, or sum(span) / least + B, whatever the lengths are. A grid of
that many programs fits every step; nothing about a length is known to the host, or to a CUDA graph.
Every program of the kernel sums all counts, which is cheap, and writes its share of the list. An
item is one record, since whoever works on it waits for each load that another one leads to.

A list may be sorted, the whole items before what is left of each row, the most before the least: if
there are more than a GPU runs at a time, multiprocessors then come to their ends together.
"""

# in a kernel, types are Triton's business
# pyright: reportArgumentType=false

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._triton import jit, next_power_of_2, require_contiguous, tl, use_triton

ITEMS = 16
"""Items that one program of the kernel writes."""
PART = 1 << 16
"""More than the items of a row of the cache; tiles of new tokens may be more, and are not told apart."""


@dataclass(slots=True, kw_only=True)
class WorkList:
    """What there is to do, row by row or sorted."""

    # [capacity, 4] int32: row, -1 for no item; first token; last + 1; the row's items, and which of
    # them it is times PART
    items: Tensor
    # [B + 1] int32, the items of all rows before, then of all: an item's number is its row's start
    # and which of the row's it is, wherever it stands in a sorted list
    starts: Tensor
    least: int  # units in an item at the least
    arrivals: Tensor | None = None  # [B, K] int32 zeros, for whoever merges the items of a row

    @property
    def capacity(self) -> int:
        """The most items there can be."""
        return len(self.items)


def work_list_ref(
    first: Tensor,
    stop: Tensor,
    unit: int,
    target: int,
    least: int,
    capacity: int,
    idle: int = 0,
    ordered: bool = False,
) -> WorkList:
    """The list for rows of the tokens from first [B] to stop [B], in units of `unit` tokens.

    idle 1: a row without tokens has an item all the same. ordered: sorted.
    """
    span = -(-(stop - first) // unit)
    size = torch.clamp(-(-span.sum() // target), min=least)
    count = (-(-span // size)).clamp(min=idle)
    starts = torch.cat((count.new_zeros(1), count.cumsum(0)))
    row = torch.repeat_interleave(count)
    part = torch.arange(len(row), device=span.device) - starts[row]
    begin = first[row] + part * size * unit
    end = torch.minimum(begin + size * unit, stop[row])
    real = torch.stack((row, begin, end, count[row] + part * PART), 1)
    if ordered:
        units = torch.minimum(size, span[row] - part * size)
        real = real[units.argsort(descending=True, stable=True)]
    items = real.new_tensor((-1, 0, 0, 0)).repeat(capacity, 1)
    items[: len(real)] = real
    return WorkList(items=items.int(), starts=starts.int(), least=least)


@jit
def _at(rows, b, values):
    """values[rows], for a tile `values` over b."""
    return tl.sum(tl.where(rows[:, None] == b[None, :], values[None, :], 0), 1)


@jit
def _row_and_part(item, b, count, B):
    """Which item of which row, where row b has `count` of them in a row; row B for one beyond."""
    ends = tl.cumsum(count, 0)
    # how many rows end at or before it
    passed = ((ends[None, :] <= item[:, None]) & (b < B)[None, :]).to(tl.int32)
    row = tl.sum(passed, 1)
    return row, item - _at(row, b, ends - count)


@jit(do_not_specialize=["B", "target", "capacity", "window"])
def _work_list_kernel(
    lens_ptr,
    starts_ptr,
    items_ptr,
    B,
    target,
    least,
    capacity,
    window,
    UNIT: tl.constexpr,
    PACKED: tl.constexpr,
    ORDERED: tl.constexpr,
    PART: tl.constexpr,
    BLOCK: tl.constexpr,
    ITEMS: tl.constexpr,
):
    b = tl.arange(0, BLOCK)
    stop = tl.load(lens_ptr + b, b < B, other=0).to(tl.int32)
    if PACKED:  # starts of the rows' new tokens, not lengths
        stop = tl.load(lens_ptr + b + 1, b < B, other=0).to(tl.int32) - stop
    first = tl.where(window > 0, tl.maximum(stop - window, 0) // UNIT * UNIT, 0)
    span = (stop - first + UNIT - 1) // UNIT
    size = tl.maximum((tl.sum(span, 0) + target - 1) // target, least)
    count = (span + size - 1) // size
    if not PACKED:  # somebody has to write the output of a row without tokens
        count = tl.maximum(count, tl.where(b < B, 1, 0))
    item = tl.program_id(0) * ITEMS + tl.arange(0, ITEMS)
    if ORDERED:
        whole = span // size
        rest = tl.where((count > whole) & (b < B), (span - whole * size) * BLOCK + b, -1)
        num_whole = tl.sum(whole, 0)
        row, part = _row_and_part(item, b, whole, B)
        # behind them what is left of the rows; the key says of which
        key = _at(item - num_whole, b, tl.sort(rest, descending=True))
        left = item - num_whole < tl.sum((rest >= 0).to(tl.int32), 0)
        other = tl.where(left, key % BLOCK, B)
        row = tl.where(item < num_whole, row, other)
        part = tl.where(item < num_whole, part, _at(other, b, whole))
    else:
        row, part = _row_and_part(item, b, count, B)
    begin = _at(row, b, first) + part * size * UNIT
    end = tl.minimum(begin + size * UNIT, _at(row, b, stop))
    at, real = items_ptr + item * 4, item < capacity
    tl.store(at, tl.where(row < B, row, -1), real)
    tl.store(at + 1, begin, real)
    tl.store(at + 2, end, real)
    tl.store(at + 3, _at(row, b, count) + part * PART, real)
    if tl.program_id(0) == 0:
        ends = tl.cumsum(count, 0)
        tl.store(starts_ptr + b, ends - count, b < B)
        tl.store(starts_ptr + B, tl.sum(count, 0))


def decode_work(
    kv_lens: Tensor,
    page_size: int,
    num_kv_heads: int,
    target: int,
    window: int = 0,
    least: int = 1,
    ordered: bool = False,
) -> WorkList:
    """Items of at least `least` pages for lengths [B], `target` of them and at most B more.

    window > 0: only the pages of the last `window` tokens. A row without tokens has an empty item.
    ordered: sorted, the most pages first.
    """
    rows = len(kv_lens)
    if use_triton(kv_lens):
        work = _launch(kv_lens, rows, target + rows, target, least, page_size, window, ordered)
    else:
        first = (kv_lens - window).clamp(min=0) // page_size * page_size
        first = first if window else torch.zeros_like(first)
        work = work_list_ref(first, kv_lens, page_size, target, least, target + rows, 1, ordered)
    work.arrivals = torch.zeros(rows, num_kv_heads, dtype=torch.int32, device=kv_lens.device)
    return work


def prefill_work(
    q_starts: Tensor, num_tokens: int, block: int, most: int | None = None
) -> WorkList:
    """Items of `block` new tokens; q_starts [B + 1] says where in num_tokens each row's begin.

    most: how many rows have tokens, at the most.
    """
    rows = len(q_starts) - 1
    capacity = -(-num_tokens // block) + (rows if most is None else min(rows, most))
    target = 1 << 30
    if use_triton(q_starts):
        return _launch(q_starts, rows, capacity, target, block, 0, 0)
    new = q_starts.diff()
    return work_list_ref(torch.zeros_like(new), new, 1, target, block, capacity)


def _launch(
    lens: Tensor,
    rows: int,
    capacity: int,
    target: int,
    least: int,
    page_size: int,
    window: int,
    ordered: bool = False,
) -> WorkList:
    require_contiguous("work_list", lens=lens)
    starts = torch.empty(rows + 1, dtype=torch.int32, device=lens.device)
    items = torch.empty(capacity, 4, dtype=torch.int32, device=lens.device)
    _work_list_kernel[(-(-capacity // ITEMS),)](
        lens,
        starts,
        items,
        rows,
        target,
        least,
        capacity,
        window,
        UNIT=page_size or 1,
        PACKED=page_size == 0,
        ORDERED=ordered,
        PART=PART,
        BLOCK=next_power_of_2(rows),
        ITEMS=ITEMS,
        num_warps=4,
    )
    return WorkList(items=items, starts=starts, least=least)
