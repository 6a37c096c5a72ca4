"""Work lists for attention, made on the device from lengths that live there.

Row b has span[b] units of work, pages of its cache or new tokens, cut into items of `size` units:

size = max(least, ceil(sum(span) / target)),   count[b] = ceil(span[b] / size)

so there are at most target + B items, or sum(span) / least + B, whatever the lengths are. A grid of
that many programs fits every step; nothing about a length is known to the host, or to a CUDA graph.
Every program of the kernel sums all counts, which is cheap, and writes its share of the list.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._triton import jit, next_power_of_2, require_contiguous, tl, use_triton

ITEMS = 16
"""Items that one program of the kernel writes."""


@dataclass(slots=True, kw_only=True)
class WorkList:
    """Item i is part i - starts[rows[i]] of row rows[i]; items from starts[B] on do not exist."""

    starts: Tensor  # [B + 1] int32, the first item of each row, then their number
    rows: Tensor  # [capacity] int32
    size: Tensor  # [1] int32, units in an item
    least: int  # what size is at least

    @property
    def capacity(self) -> int:
        """The most items there can be."""
        return len(self.rows)


def cache_spans(kv_lens: Tensor, page_size: int, window: int) -> Tensor:
    """Pages [B] that decoding reads; window > 0: only those of the last `window` tokens."""
    first = (kv_lens - window).clamp(min=0) // page_size if window else 0
    return -(-kv_lens // page_size) - first


def work_list_ref(span: Tensor, target: int, least: int, capacity: int) -> WorkList:
    """The list for spans [B]."""
    size = torch.clamp(-(-span.sum() // target), min=least)
    ends = (-(-span // size)).cumsum(0)
    items = torch.arange(capacity, device=span.device)
    rows = torch.searchsorted(ends, items, right=True).clamp(max=len(span) - 1)
    starts = torch.cat((ends.new_zeros(1), ends))
    return WorkList(starts=starts.int(), rows=rows.int(), size=size[None].int(), least=least)


@jit(do_not_specialize=["B", "target", "capacity", "window"])
def _work_list_kernel(
    lens_ptr,
    starts_ptr,
    rows_ptr,
    size_ptr,
    B,
    target,
    least,
    capacity,
    window,
    PAGE: tl.constexpr,
    BLOCK: tl.constexpr,
    ITEMS: tl.constexpr,
):
    b = tl.arange(0, BLOCK)
    lens = tl.load(lens_ptr + b, b < B, other=0).to(tl.int32)
    if PAGE > 0:
        first = tl.where(window > 0, tl.maximum(lens - window, 0) // PAGE, 0)
        span = (lens + PAGE - 1) // PAGE - first
    else:
        # starts of the rows' new tokens
        span = tl.load(lens_ptr + b + 1, b < B, other=0).to(tl.int32) - lens
        span = tl.where(b < B, span, 0)
    size = tl.maximum((tl.sum(span, 0) + target - 1) // target, least)
    count = (span + size - 1) // size
    ends = tl.cumsum(count, 0)
    item = tl.program_id(0) * ITEMS + tl.arange(0, ITEMS)
    # the row of an item: how many rows end at or before it
    passed = ((ends[None, :] <= item[:, None]) & (b < B)[None, :]).to(tl.int32)
    row = tl.minimum(tl.sum(passed, 1), B - 1)
    tl.store(rows_ptr + item, row, item < capacity)
    if tl.program_id(0) == 0:
        tl.store(starts_ptr + b, ends - count, b < B)
        tl.store(starts_ptr + B, tl.sum(count, 0))
        tl.store(size_ptr, size)


def decode_work(
    kv_lens: Tensor, page_size: int, target: int, window: int = 0, least: int = 1
) -> WorkList:
    """Items of at least `least` pages for lengths [B], `target` of them and at most B more."""
    capacity = target + len(kv_lens)
    if not use_triton(kv_lens):
        return work_list_ref(cache_spans(kv_lens, page_size, window), target, least, capacity)
    return _launch(kv_lens, len(kv_lens), capacity, target, least, page_size, window)


def prefill_work(q_starts: Tensor, num_tokens: int, block: int) -> WorkList:
    """Items of `block` new tokens; q_starts [B + 1] says where in num_tokens each row's begin."""
    rows = len(q_starts) - 1
    capacity, target = -(-num_tokens // block) + rows, 1 << 30
    if not use_triton(q_starts):
        return work_list_ref(q_starts.diff(), target, block, capacity)
    return _launch(q_starts, rows, capacity, target, block, 0, 0)


def _launch(
    lens: Tensor, rows: int, capacity: int, target: int, least: int, page_size: int, window: int
) -> WorkList:
    require_contiguous("work_list", lens=lens)
    starts, items, size = (
        torch.empty(n, dtype=torch.int32, device=lens.device) for n in (rows + 1, capacity, 1)
    )
    _work_list_kernel[(-(-capacity // ITEMS),)](
        lens,
        starts,
        items,
        size,
        rows,
        target,
        least,
        capacity,
        window,
        PAGE=page_size,
        BLOCK=next_power_of_2(rows),
        ITEMS=ITEMS,
        num_warps=4,
    )
    return WorkList(starts=starts, rows=items, size=size, least=least)
