"""Causal attention of several new tokens a request over the paged cache (FlashAttention-2, Dao 2023).

softmax(cap(q k^T * scale)) v, the query at position i seeing the keys at (i - window, i]

Requests are packed: row b's new tokens are q_starts[b] to q_starts[b + 1], the last of its kv_lens[b]
tokens, which are all in the cache. One program takes a tile of queries of one head, and is bound by
its two matrix products. Tiles come from a work list (work_list.py), longest first.
"""

# in a kernel, types are Triton's business
# pyright: reportOperatorIssue=false

from __future__ import annotations

import torch
from torch import Tensor

from ._triton import (
    in_gluon,
    jit,
    next_power_of_2,
    require_contiguous,
    shared_memory,
    tl,
    use_triton,
)
from .decode_attention import capped
from .qkv_rope import check_cache
from .work_list import WorkList, prefill_work

TILE = 128
"""Queries of a tile of prefill_hopper.py."""
LONG = 1024
"""Tokens of a prompt beyond which these are worth while."""


def prefill_attention_ref(
    q: Tensor,
    kv: Tensor,
    layer: int,
    pages: Tensor,
    q_starts: Tensor,
    kv_lens: Tensor,
    scale: float,
    rows: Tensor | None = None,
    window: int = 0,
    softcap: float = 0.0,
) -> Tensor:
    """As `prefill_attention`, one request after the other, in float32."""
    out, size, starts = torch.zeros_like(q), kv.shape[4], q_starts.tolist()
    for b, length in enumerate(kv_lens.tolist()):
        mine = slice(starts[b], starts[b + 1])
        new = starts[b + 1] - starts[b]
        if not new or not length:
            continue
        table = pages[b if rows is None else int(rows[b]), : -(-length // size)].long()
        k, v = kv[table, layer].permute(1, 2, 0, 3, 4).flatten(2, 3)[:, :, :length].float()
        grouped = q[mine].float().unflatten(1, (k.shape[0], -1))  # [L, K, H / K, D]
        score = torch.einsum("lkgd,knd->kgln", grouped, k) * scale
        if softcap:
            score = softcap * (score / softcap).tanh()
        at = torch.arange(length, device=q.device)
        behind = at[length - new :, None] - at
        seen = (behind >= 0) & (behind < window if window else behind >= 0)
        p = score.masked_fill(~seen, -torch.inf).softmax(-1)
        out[mine] = torch.einsum("kgln,knd->lkgd", p, v).flatten(1, 2).to(q.dtype)
    return out


@jit
def _attend(
    q,
    acc,
    total,
    top,
    start,
    stop,
    position,
    table,
    layer_ptr,
    page_stride,
    kv_stride,
    kv_len,
    window,
    scale,
    softcap,
    D: tl.constexpr,
    PAGE: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    MASKED: tl.constexpr,
    WINDOW: tl.constexpr,
    CAP: tl.constexpr,
    STAGES: tl.constexpr,
):
    """The keys from start to stop, added to the sums; MASKED: not every query sees all of them."""
    n, d = tl.arange(0, BLOCK_N), tl.arange(0, BLOCK_D)
    to_bits = 1.4426950408889634 if CAP else scale * 1.4426950408889634
    in_head = d < D
    for at in tl.range(start, stop, BLOCK_N, num_stages=STAGES):  # pyright: ignore
        if BLOCK_N <= PAGE:
            page = tl.load(table + at // PAGE).to(tl.int64)
            tile_ptr = layer_ptr + page * page_stride + (at % PAGE) * D
            k_ptr = tile_ptr + n[None, :] * D + d[:, None]
            v_ptr = tile_ptr + kv_stride + n[:, None] * D + d[None, :]
        else:
            page = tl.load(table + (at + n) // PAGE, at + n < kv_len, other=0).to(tl.int64)
            rows_ptr = layer_ptr + page * page_stride + (at + n) % PAGE * D
            k_ptr = rows_ptr[None, :] + d[:, None]
            v_ptr = rows_ptr[:, None] + kv_stride + d[None, :]
        if MASKED:
            there = at + n < kv_len
            k = tl.load(k_ptr, there[None, :] & in_head[:, None], other=0.0)
            v = tl.load(v_ptr, there[:, None] & in_head[None, :], other=0.0)
        elif BLOCK_D == D:
            k, v = tl.load(k_ptr), tl.load(v_ptr)
        else:
            k = tl.load(k_ptr, in_head[:, None], other=0.0)
            v = tl.load(v_ptr, in_head[None, :], other=0.0)
        score = tl.dot(q, k, input_precision="ieee")
        if CAP:
            score = capped(score * scale, softcap)
        if MASKED:
            behind = position[:, None] - (at + n)[None, :]
            seen = behind >= 0
            if WINDOW:
                seen = seen & (behind < window)
            score = tl.where(seen, score, float("-inf"))
        # scaled where it is subtracted, so that both are one instruction
        higher = tl.maximum(top, tl.max(score, 1) * to_bits)
        p = tl.exp2(score * to_bits - higher[:, None])
        rescale = tl.exp2(top - higher)
        total = total * rescale + tl.sum(p, 1)
        acc = tl.dot(p.to(v.dtype), v, acc * rescale[:, None], input_precision="ieee")
        top = higher
    return acc, total, top


@jit(do_not_specialize=["layer", "window"])
def _prefill_kernel(
    q_ptr,
    kv_ptr,
    pages_ptr,
    rows_ptr,
    q_starts_ptr,
    lens_ptr,
    items_ptr,
    out_ptr,
    layer,
    window,
    scale,
    softcap,
    page_stride,
    layer_stride,
    kv_stride,
    table_stride,
    H: tl.constexpr,
    GROUP: tl.constexpr,
    D: tl.constexpr,
    PAGE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    ROWS: tl.constexpr,
    WINDOW: tl.constexpr,
    CAP: tl.constexpr,
    STAGES: tl.constexpr,
):
    # the last tiles of a prompt see the most keys: they go first
    head, item = tl.program_id(0), tl.num_programs(1) - 1 - tl.program_id(1)
    row, skipped = tl.load(items_ptr + item * 4), tl.load(items_ptr + item * 4 + 1)
    if row < 0:
        return
    q_start, q_stop = tl.load(q_starts_ptr + row), tl.load(q_starts_ptr + row + 1)
    kv_len = tl.load(lens_ptr + row).to(tl.int32)
    table = pages_ptr + row.to(tl.int64) * table_stride
    if ROWS:
        table = pages_ptr + tl.load(rows_ptr + row).to(tl.int64) * table_stride
    new = (q_stop - q_start).to(tl.int32)
    first = kv_len - new + skipped  # position of the tile's first query
    m, d = tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_D)
    token = q_start.to(tl.int64) + skipped + m
    q_at = (token[:, None] * H + head) * D + d[None, :]
    in_q = (skipped + m < new)[:, None] & (d < D)[None, :]
    q = tl.load(q_ptr + q_at, in_q, other=0.0)
    layer_ptr = kv_ptr + layer.to(tl.int64) * layer_stride + head // GROUP * (PAGE * D)
    position = first + m

    stop = tl.minimum(first + BLOCK_M, kv_len)
    start, diagonal = 0, (first + 1) // BLOCK_N * BLOCK_N
    if WINDOW:
        start = tl.maximum(first - window + 1, 0) // BLOCK_N * BLOCK_N
        diagonal = start
    # finite, so that a block without a visible key does not make -inf - -inf
    top = tl.full([BLOCK_M], -1e30, tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    acc = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
    if not WINDOW:
        acc, total, top = _attend(
            q,
            acc,
            total,
            top,
            start,
            diagonal,
            position,
            table,
            layer_ptr,
            page_stride,
            kv_stride,
            kv_len,
            window,
            scale,
            softcap,
            D,
            PAGE,
            BLOCK_N,
            BLOCK_D,
            False,
            WINDOW,
            CAP,
            STAGES,
        )
    acc, total, top = _attend(
        q,
        acc,
        total,
        top,
        diagonal,
        stop,
        position,
        table,
        layer_ptr,
        page_stride,
        kv_stride,
        kv_len,
        window,
        scale,
        softcap,
        D,
        PAGE,
        BLOCK_N,
        BLOCK_D,
        True,
        WINDOW,
        CAP,
        STAGES,
    )
    # rows of the tile beyond the new tokens may have seen nothing
    acc = acc / tl.where(total > 0.0, total, 1.0)[:, None]
    tl.store(out_ptr + q_at, acc.to(out_ptr.dtype.element_ty), in_q)


def work_for_prefill(
    q_starts: Tensor, num_tokens: int, kv: Tensor, *, plain: bool = True
) -> WorkList:
    """The work list that layers share for num_tokens new tokens, q_starts [B + 1].

    plain: those without window and cap.
    """
    mean = num_tokens / max(1, len(q_starts) - 1)
    tile = TILE if plain and mean > LONG and has_hopper(kv) else query_tile(mean, kv)
    return prefill_work(q_starts, num_tokens, tile)


def prefill_attention(
    q: Tensor,
    kv: Tensor,
    layer: int,
    pages: Tensor,
    q_starts: Tensor,
    kv_lens: Tensor,
    scale: float,
    *,
    work: WorkList | None = None,
    rows: Tensor | None = None,
    window: int = 0,
    softcap: float = 0.0,
    out: Tensor | None = None,
) -> Tensor:
    """New tokens of B requests, already in the cache. q [T, H, D] -> [T, H, D].

    q_starts [B + 1]: where each request's tokens begin, and T; kv_lens [B]: its tokens in the cache, 0: its
    new ones are padding, and get zeros.
    pages, rows, window, softcap: as in `decode_attention`. work: `work_for_prefill`.
    """
    if not use_triton(q):
        y = prefill_attention_ref(
            q, kv, layer, pages, q_starts, kv_lens, scale, rows, window, softcap
        )
        return y if out is None else out.copy_(y)
    (tokens, heads, dim), (num_kv_heads, size) = q.shape, kv.shape[3:5]
    y = torch.empty_like(q) if out is None else out
    require_contiguous("prefill_attention", q=q, pages=pages, q_starts=q_starts, kv_lens=kv_lens)
    require_contiguous("prefill_attention", rows=rows, out=y)
    check_cache("prefill_attention", kv)
    if not tokens:
        return y
    work = work or work_for_prefill(q_starts, tokens, kv, plain=not (window or softcap))
    if work.least == TILE:
        if window or softcap:
            raise ValueError("prefill_attention: this work is for layers without window and cap")
        from .prefill_hopper import prefill_hopper

        prefill_hopper(q, kv, layer, pages, q_starts, kv_lens, scale, work, rows, y)
        return y
    block_d = max(16, next_power_of_2(dim))
    block_n, stages, warps = tiles(tokens / len(kv_lens), block_d, size, kv)
    _prefill_kernel[(heads, work.capacity)](
        q,
        kv,
        pages,
        rows,
        q_starts,
        kv_lens,
        work.items,
        y,
        layer,
        window,
        scale,
        softcap,
        kv.stride(0),
        kv.stride(1),
        kv.stride(2),
        pages.stride(0),
        H=heads,
        GROUP=heads // num_kv_heads,
        D=dim,
        PAGE=size,
        BLOCK_M=work.least,
        BLOCK_N=block_n,
        BLOCK_D=block_d,
        ROWS=rows is not None,
        WINDOW=window > 0,
        CAP=softcap > 0,
        STAGES=stages,
        num_warps=warps,
    )
    return y


def has_hopper(kv: Tensor) -> bool:
    """Whether prefill_hopper.py serves this cache."""
    return kv.shape[-1] in (64, 128) and kv.shape[-2] == 64 and in_gluon(kv)


def query_tile(mean: float, kv: Tensor) -> int:
    """Queries in a tile, for requests of about `mean` new tokens."""
    if kv.element_size() > 2:
        # without tensor cores a tile's products take registers
        return 32 if kv.shape[-1] <= 128 else 16
    return 64 if mean > 16 else 16


def tiles(mean: float, block_d: int, page_size: int, kv: Tensor) -> tuple[int, int, int]:
    """(tokens in a tile of keys, pipeline stages, warps), as far as shared memory goes."""
    block_m, wide = query_tile(mean, kv), kv.element_size() > 2
    block_n = min(page_size, (32 if block_d <= 128 else 16) if wide else 64)
    free = shared_memory(kv) - block_m * block_d * kv.element_size()
    buffers = free // (2 * block_n * block_d * kv.element_size())
    # short prompts end before a deep pipeline is full; of long ones it is worth more than a second
    # program on the multiprocessor
    return block_n, max(2, min(6, buffers)) if mean > 512 else 2, 4
