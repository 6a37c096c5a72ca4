"""Attention of one new token a request over the paged cache: split-KV decoding (Dao et al. 2023).

softmax(cap(q k^T * scale)) v over a row's last `window` tokens;   cap(s) = c tanh(s / c), if given

Bound by reading the cache once. The H / K query heads that share a key-value head are the rows of
one tile, so that a page is read for all of them; a tile has 16 rows at least, as tensor cores want.
A work list (work_list.py) cuts every row's pages into items of about equal work, one program each;
of a row of several items, whoever ends last merges their partial sums. Lengths are only read on the
device: a captured launch stays right while rows grow.

The cache of all layers is kv [P, layers, 2, K, page_size, D], addressed by base and strides.
"""

# what a constexpr switches off is not read
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import torch
from torch import Tensor

from ._triton import (
    await_inputs,
    jit,
    multiprocessors,
    next_power_of_2,
    overlap,
    release,
    require_contiguous,
    tl,
    use_triton,
)
from .qkv_rope import check_cache
from .work_list import PART, WorkList, decode_work

PROGRAMS = 8
"""Programs for each multiprocessor: enough that the last ones to end are a small part."""
FEW, FEW_PROGRAMS = 8, 4
"""Up to so many rows a step waits for one launch after the other rather than for memory: then there
are few programs, and they read what they can of the cache before they wait."""
SPLITS = 16
"""Partial sums that the merge reads at a time."""
LEAST = 2
"""Pages in an item at the least: fewer are read in less time than merged."""


def decode_attention_ref(
    q: Tensor,
    kv: Tensor,
    layer: int,
    pages: Tensor,
    kv_lens: Tensor,
    scale: float,
    rows: Tensor | None = None,
    window: int = 0,
    softcap: float = 0.0,
) -> Tensor:
    """As `decode_attention`, one row after the other, in float32."""
    out, size = torch.zeros_like(q), kv.shape[4]
    for b, length in enumerate(kv_lens.tolist()):
        if not length:
            continue
        table = pages[b if rows is None else int(rows[b]), : -(-length // size)].long()
        # [pages, 2, K, page_size, D] -> [2, K, kv_len, D]
        cache = kv[table, layer].permute(1, 2, 0, 3, 4).flatten(2, 3)[:, :, :length].float()
        k, v = cache[:, :, max(0, length - window) if window else 0 :]
        score = q[b].float().unflatten(0, (k.shape[0], -1)) @ k.mT * scale  # [K, H / K, kv_len]
        if softcap:
            score = softcap * (score / softcap).tanh()
        out[b] = (score.softmax(-1) @ v).flatten(0, 1).to(q.dtype)
    return out


@jit
def capped(score, softcap):
    """softcap * tanh(score / softcap), from the exponential that every target has."""
    z = score / softcap
    tanh = 1.0 - 2.0 / (tl.exp2(z * (2.0 * 1.4426950408889634)) + 1.0)
    # that difference loses the digits of what is small; Taylor's series does not
    s = z * z
    series = z + z * s * (-1 / 3 + s * (2 / 15 + s * (-17 / 315 + s * (62 / 2835))))
    return softcap * tl.where(s < 0.0625, series, tanh)


@jit
def _attended(
    q, k, v, seen, old, top, total, acc, scale, softcap, WINDOW: tl.constexpr, CAP: tl.constexpr
):
    """(top, total, acc) of the online softmax with the keys k [D, N] and values v [N, D] more.

    seen [N]: which of them there are; old [N]: which are older than the window.
    """
    score = tl.dot(q, k, input_precision="ieee") * scale
    if CAP:
        score = capped(score, softcap)
    if WINDOW:
        seen = seen & (old == 0)
    score = tl.where(seen[None, :], score * 1.4426950408889634, float("-inf"))
    higher = tl.maximum(top, tl.max(score, 1))
    p = tl.exp2(score - higher[:, None])
    rescale = tl.exp2(top - higher)
    total = total * rescale + tl.sum(p, 1)
    acc = tl.dot(p.to(v.dtype), v, acc * rescale[:, None], input_precision="ieee")
    return higher, total, acc


@jit(do_not_specialize=["layer", "window"])
def _decode_kernel(
    q_ptr,
    kv_ptr,
    pages_ptr,
    rows_ptr,
    lens_ptr,
    starts_ptr,
    items_ptr,
    arrivals_ptr,
    out_ptr,
    part_ptr,
    lse_ptr,
    layer,
    window,
    scale,
    softcap,
    page_stride,
    layer_stride,
    kv_stride,
    table_stride,
    K: tl.constexpr,
    GROUP: tl.constexpr,
    D: tl.constexpr,
    PAGE: tl.constexpr,
    M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    ROWS: tl.constexpr,
    WINDOW: tl.constexpr,
    CAP: tl.constexpr,
    STAGES: tl.constexpr,
    SPLITS: tl.constexpr,
    BLOCK_G: tl.constexpr,
    PART: tl.constexpr,
    EARLY: tl.constexpr,
    FIRST: tl.constexpr,
    PDL: tl.constexpr,
):
    """FIRST: the newest token starts the sum, and the first tile before it is read without waiting."""
    release(PDL)
    await_inputs(PDL and not EARLY)
    item, head = tl.program_id(0) // K, tl.program_id(0) % K
    row = tl.load(items_ptr + item * 4)
    start, stop = tl.load(items_ptr + item * 4 + 1), tl.load(items_ptr + item * 4 + 2)
    parts = tl.load(items_ptr + item * 4 + 3)
    if row < 0:
        await_inputs(PDL and EARLY)
        return
    first = tl.load(starts_ptr + row)
    slot, parts = first + parts // PART, parts % PART
    table = pages_ptr + row.to(tl.int64) * table_stride
    if ROWS:
        table = pages_ptr + tl.load(rows_ptr + row).to(tl.int64) * table_stride
    oldest = 0
    if WINDOW:
        oldest = tl.load(lens_ptr + row).to(tl.int32) - window

    m, n, d = tl.arange(0, M), tl.arange(0, BLOCK_N), tl.arange(0, BLOCK_D)
    in_head = d < D
    q_at = (row.to(tl.int64) * K + head) * GROUP * D + m[:, None] * D + d[None, :]
    in_q = (m < GROUP)[:, None] & in_head[None, :]
    layer_ptr = kv_ptr + layer.to(tl.int64) * layer_stride + head * (PAGE * D)
    k_at, v_at = n[None, :] * D + d[:, None], n[:, None] * D + d[None, :]
    # finite, so that a block without a visible key does not make -inf - -inf
    top = tl.full([M], -1e30, tl.float32)
    total = tl.zeros([M], tl.float32)
    acc = tl.zeros([M, BLOCK_D], tl.float32)
    if FIRST:
        newest = tl.load(lens_ptr + row).to(tl.int32) - 1
        own = (newest >= start) & (newest < stop)
        stop = tl.minimum(stop, newest)
        block_ptr = layer_ptr + tl.load(table + start // PAGE).to(tl.int64) * page_stride
        block_ptr += (start % PAGE) * D
        seen = start + n < stop
        k = tl.load(block_ptr + k_at, seen[None, :] & in_head[:, None], other=0.0)
        v = tl.load(block_ptr + kv_stride + v_at, seen[:, None] & in_head[None, :], other=0.0)
        last = tl.maximum(newest, 0)
        last_ptr = layer_ptr + tl.load(table + last // PAGE).to(tl.int64) * page_stride
        # for every query, so that nothing has to be handed on before all of it is fetched
        last_at = last_ptr + (last % PAGE) * D + m[:, None] * 0 + d[None, :]
        in_last = (m >= 0)[:, None] & (d < tl.where(own, D, 0))[None, :]
    await_inputs(PDL and EARLY)
    q = tl.load(q_ptr + q_at, in_q, other=0.0)
    if FIRST:
        key = tl.load(last_at, in_last, other=0.0)
        value = tl.load(last_at + kv_stride, in_last, other=0.0)
        q = tl.where(in_q, q, 0.0)
        score = tl.sum(q.to(tl.float32) * key.to(tl.float32), 1) * scale
        if CAP:
            score = capped(score, softcap)
        top = tl.where(own, score * 1.4426950408889634, top)
        total = tl.where(own, total + 1.0, total)
        acc += tl.where(in_last, value, 0.0).to(tl.float32)
        old = start + n < oldest
        top, total, acc = _attended(
            q, k, v, seen, old, top, total, acc, scale, softcap, WINDOW, CAP
        )
        start += BLOCK_N
    for at in tl.range(start, stop, BLOCK_N, num_stages=STAGES):  # pyright: ignore
        page = tl.load(table + at // PAGE).to(tl.int64)
        block_ptr = layer_ptr + page * page_stride + (at % PAGE) * D
        seen = at + n < stop
        if BLOCK_D == D:
            k = tl.load(block_ptr + k_at, seen[None, :], other=0.0)
            v = tl.load(block_ptr + kv_stride + v_at, seen[:, None], other=0.0)
        else:
            k = tl.load(block_ptr + k_at, seen[None, :] & in_head[:, None], other=0.0)
            v = tl.load(block_ptr + kv_stride + v_at, seen[:, None] & in_head[None, :], other=0.0)
        old = at + n < oldest
        top, total, acc = _attended(
            q, k, v, seen, old, top, total, acc, scale, softcap, WINDOW, CAP
        )
    # a row without tokens, as padding has, gives zeros
    acc = acc / tl.where(total > 0.0, total, 1.0)[:, None]
    if parts == 1:
        tl.store(out_ptr + q_at, acc.to(out_ptr.dtype.element_ty), in_q)
        return
    part_row = (slot.to(tl.int64) * K + head) * GROUP + m
    tl.store(part_ptr + part_row[:, None] * D + d[None, :], acc, in_q)
    tl.store(lse_ptr + part_row, top + tl.log2(total), m < GROUP)
    # every thread has written before one of them says so
    tl.debug_barrier()
    arrival_ptr = arrivals_ptr + row * K + head
    if tl.atomic_add(arrival_ptr, 1, sem="acq_rel") == parts - 1:
        tl.store(arrival_ptr, 0)
        g = tl.arange(0, BLOCK_G)
        merged = _merged(
            part_ptr, lse_ptr, first, parts, head, g, d, K, GROUP, D, BLOCK_G, BLOCK_D, SPLITS
        )
        to = out_ptr + (row.to(tl.int64) * K + head) * GROUP * D + g[:, None] * D + d[None, :]
        in_out = (g < GROUP)[:, None] & in_head[None, :]
        tl.store(to, merged.to(out_ptr.dtype.element_ty), in_out)


@jit
def _merged(
    part_ptr,
    lse_ptr,
    first,
    parts,
    head,
    g,
    d,
    K: tl.constexpr,
    GROUP: tl.constexpr,
    D: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_D: tl.constexpr,
    SPLITS: tl.constexpr,
):
    """The items of a row as one, for a group's heads: [BLOCK_G, BLOCK_D]."""
    top, total = tl.full([BLOCK_G], -1e30, tl.float32), tl.zeros([BLOCK_G], tl.float32)
    acc = tl.zeros([BLOCK_G, BLOCK_D], tl.float32)
    for at in range(0, parts, SPLITS):
        split = at + tl.arange(0, SPLITS)
        part = ((first + split).to(tl.int64) * K + head) * GROUP
        there = (g < GROUP)[:, None] & (split < parts)[None, :]
        row = part[None, :] + g[:, None]
        sums_at = part_ptr + row[:, :, None] * D + d[None, None, :]
        real = there[:, :, None] & (d < D)[None, None, :]
        # not from a cache that other multiprocessors do not write to
        lse = tl.load(lse_ptr + row, there, other=float("-inf"), cache_modifier=".cg")
        sums = tl.load(sums_at, real, other=0.0, cache_modifier=".cg")
        higher = tl.maximum(top, tl.max(lse, 1))
        weight, rescale = tl.exp2(lse - higher[:, None]), tl.exp2(top - higher)
        total = total * rescale + tl.sum(weight, 1)
        acc = acc * rescale[:, None] + tl.sum(sums * weight[:, :, None], 1)
        top = higher
    return acc / tl.where(total > 0.0, total, 1.0)[:, None]


def work_for_decode(kv_lens: Tensor, kv: Tensor, window: int = 0) -> WorkList:
    """The work list that all layers with this window share in a step."""
    few = len(kv_lens) <= FEW
    target = -(-multiprocessors(kv) * (FEW_PROGRAMS if few else PROGRAMS) // kv.shape[3])
    shape = kv.shape[4], kv.shape[3]
    return decode_work(kv_lens, *shape, target, window, 1 if few else LEAST, ordered=not few)


def decode_attention(
    q: Tensor,
    kv: Tensor,
    layer: int,
    pages: Tensor,
    kv_lens: Tensor,
    scale: float,
    *,
    work: WorkList | None = None,
    rows: Tensor | None = None,
    window: int = 0,
    softcap: float = 0.0,
    out: Tensor | None = None,
    early: bool = False,
) -> Tensor:
    """One new token a row, already in the cache. q [B, H, D], kv_lens [B] -> [B, H, D].

    pages [R, M]: page tables; rows [B] says which of them each row has, None: its own number.
    window: the newest tokens that are seen, the row's own included, 0: all; softcap 0: none.
    work: `work_for_decode` of the same lengths and window. A row of length 0 gives zeros. early
    promises that all but q and each row's newest token in the cache is older than the launch before
    this one: see `overlap`.
    """
    if not use_triton(q):
        y = decode_attention_ref(q, kv, layer, pages, kv_lens, scale, rows, window, softcap)
        return y if out is None else out.copy_(y)
    (batch, heads, dim), (num_kv_heads, size) = q.shape, kv.shape[3:5]
    y = torch.empty_like(q) if out is None else out
    require_contiguous("decode_attention", q=q, pages=pages, kv_lens=kv_lens, rows=rows, out=y)
    check_cache("decode_attention", kv)
    if not batch:
        return y
    work = work or work_for_decode(kv_lens, kv, window)
    parts = torch.empty(work.capacity, heads, dim, dtype=torch.float32, device=q.device)
    lse = torch.empty(work.capacity, heads, dtype=torch.float32, device=q.device)
    block_d, group = max(16, next_power_of_2(dim)), heads // num_kv_heads
    block_n, stages, warps = tiles(block_d, size, kv, batch, num_kv_heads)
    few = batch <= FEW
    _decode_kernel[(work.capacity * num_kv_heads,)](
        q,
        kv,
        pages,
        rows,
        kv_lens,
        work.starts,
        work.items,
        work.arrivals,
        y,
        parts,
        lse,
        layer,
        window,
        scale,
        softcap,
        kv.stride(0),
        kv.stride(1),
        kv.stride(2),
        pages.stride(0),
        K=num_kv_heads,
        GROUP=group,
        D=dim,
        PAGE=size,
        M=max(16, next_power_of_2(group)),
        BLOCK_N=block_n,
        BLOCK_D=block_d,
        ROWS=rows is not None,
        WINDOW=window > 0,
        CAP=softcap > 0,
        STAGES=stages,
        SPLITS=_splits(next_power_of_2(group) * block_d, few),
        BLOCK_G=next_power_of_2(group),
        PART=PART,
        EARLY=early,
        FIRST=few,
        num_warps=warps,
        **overlap(q),
    )
    return y


def _splits(width: int, few: bool) -> int:
    """Partial sums that are merged at a time; of few rows whoever merges has the registers."""
    most, size = (2 * SPLITS, 8192) if few else (SPLITS, 2048)
    return max(2, min(most, size // width))


def tiles(
    block_d: int, page_size: int, kv: Tensor, rows: int, num_kv_heads: int
) -> tuple[int, int, int]:
    """(tokens in a tile, pipeline stages, warps)."""
    if kv.element_size() <= 2 and block_d < 256:
        # of many programs, smaller ones leave fewer multiprocessors waiting; of few, they end sooner
        small = rows <= FEW or rows * num_kv_heads > 2 * multiprocessors(kv)
        return min(page_size, 64), 3, 2 if small else 4
    return min(page_size, 32), 3, 4
