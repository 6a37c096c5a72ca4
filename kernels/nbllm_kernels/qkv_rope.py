"""From the query-key-value projection to attention: head norms, rotary positions, the cache write.

q = rope(norm(q)),  k = rope(norm(k)),  cache[slot] = k, v        (norm, rope: where a model has them)

One launch instead of six; memory bound: it reads the projection and writes as much. The rotation is
the half-split one of `rope.py`, of a head's first R dims where the table has so many. One program takes some heads of one token; its heads are queries,
keys or values by their number.
"""

# what a constexpr switches off is not read
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ._triton import (
    await_inputs,
    jit,
    next_power_of_2,
    overlap,
    release,
    require_contiguous,
    tl,
    use_triton,
)


class Projection(NamedTuple):
    """Where the tokens of a projection are, and what becomes of their heads: arguments of `qkv_rope`."""

    positions: Tensor  # [T] int64
    slots: Tensor  # [T] int64
    cos_sin: Tensor | None  # [max_length, R]
    q_weight: Tensor | None = None  # [D]
    k_weight: Tensor | None = None  # [D]
    eps: float = 1e-6
    offset: float = 0.0


def qkv_rope_ref(
    qkv: Tensor,
    positions: Tensor,
    slots: Tensor,
    cos_sin: Tensor | None,
    kv: Tensor,
    layer: int,
    num_heads: int,
    q_weight: Tensor | None = None,
    k_weight: Tensor | None = None,
    eps: float = 1e-6,
    offset: float = 0.0,
) -> Tensor:
    """As `qkv_rope`; every step is rounded only once, at its end."""
    num_kv_heads, size, dim = kv.shape[3:]
    x = qkv.float().unflatten(-1, (num_heads + 2 * num_kv_heads, dim))
    q, k, v = x.split((num_heads, num_kv_heads, num_kv_heads), 1)
    if q_weight is not None and k_weight is not None:
        q = F.rms_norm(q, (dim,), q_weight.float() + offset, eps)
        k = F.rms_norm(k, (dim,), k_weight.float() + offset, eps)
    if cos_sin is not None:
        half, (cos, sin) = cos_sin.shape[1] // 2, cos_sin[positions][:, None].chunk(2, -1)
        q, k = (
            torch.cat((a * cos - b * sin, b * cos + a * sin, rest), -1)
            for a, b, rest in (x.split((half, half, dim - 2 * half), -1) for x in (q, k))
        )
    page, place = slots // size, slots % size
    kv[page, layer, 0, :, place] = k.to(kv.dtype)
    kv[page, layer, 1, :, place] = v.to(kv.dtype)
    return q.to(qkv.dtype)


@jit
def partner(d, R: tl.constexpr):
    """The dim that each of d is rotated with; itself where it is not rotated."""
    half: tl.constexpr = R // 2
    return tl.where(d < half, d + half, tl.where(d < R, d - half, d))


@jit
def angles(cos_sin_ptr, position, d, R: tl.constexpr):
    """What a token's dims d, and their partners, are multiplied by: both of the shape of d."""
    half: tl.constexpr = R // 2
    low = d < half
    at = cos_sin_ptr + position.to(tl.int64) * R + tl.where(low, d, d - half)
    sin = tl.load(at + half, d < R, other=0.0)
    return tl.load(at, d < R, other=1.0), tl.where(low, -sin, sin)


@jit
def head_weight(weight_ptr, d, in_head, offset):
    """Of a head norm, of the dims d."""
    return tl.load(weight_ptr + d, in_head, other=0.0).to(tl.float32) + offset


@jit
def turned(x, pair, weight, pair_weight, cos, sin, eps, D, NORM: tl.constexpr, ROPE: tl.constexpr):
    """Heads x [N, D] with their norm and rotation, rounded as they came; pair: x at `partner`."""
    y, with_it = x.to(tl.float32), pair.to(tl.float32)
    if NORM:
        scale = tl.rsqrt(tl.sum(y * y, 1) / D + eps)[:, None]
        y, with_it = y * scale * weight, with_it * scale * pair_weight
    if ROPE:
        y = y * cos + with_it * sin
    return y.to(x.dtype)


@jit
def _weight(q_weight_ptr, k_weight_ptr, at, query, there, offset):
    """Of the head norms of queries and keys, a tile's part."""
    of_q = tl.load(q_weight_ptr + at, there & query, other=0.0).to(tl.float32)
    return of_q + tl.load(k_weight_ptr + at, there & ~query, other=0.0).to(tl.float32) + offset


@jit(do_not_specialize=["layer"])
def _qkv_rope_kernel(
    qkv_ptr,
    positions_ptr,
    slots_ptr,
    cos_sin_ptr,
    kv_ptr,
    q_weight_ptr,
    k_weight_ptr,
    q_ptr,
    layer,
    page_stride,
    layer_stride,
    kv_stride,
    eps,
    offset,
    H: tl.constexpr,
    K: tl.constexpr,
    D: tl.constexpr,
    PAGE: tl.constexpr,
    HEADS: tl.constexpr,
    R: tl.constexpr,
    HALF: tl.constexpr,
    REST: tl.constexpr,
    ROPE: tl.constexpr,
    NORM: tl.constexpr,
    EARLY: tl.constexpr,
    PDL: tl.constexpr,
):
    release(PDL)
    await_inputs(PDL and not EARLY)
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)[:, None]
    col = tl.arange(0, HALF)[None, :]
    half: tl.constexpr = R // 2
    mask = (head < H + 2 * K) & (col < half)
    at = (token * (H + 2 * K) + head) * D + col
    turned, query = head < H + K, head < H  # a query or a key
    beyond = R + tl.arange(0, REST)[None, :]  # the dims that are not rotated
    outside = (head < H + 2 * K) & (beyond < D)
    c_at = (token * (H + 2 * K) + head) * D + beyond
    slot = tl.load(slots_ptr + token).to(tl.int64)
    if ROPE:
        row = cos_sin_ptr + tl.load(positions_ptr + token).to(tl.int64) * R
        cos = tl.load(row + col, col < half, other=0.0)
        sin = tl.load(row + half + col, col < half, other=0.0)
    if NORM:
        here, there = col + head * 0, (col < half) & turned
        wa = _weight(q_weight_ptr, k_weight_ptr, here, query, there, offset)
        wb = _weight(q_weight_ptr, k_weight_ptr, here + half, query, there, offset)
        here, there = beyond + head * 0, outside & turned
        wc = _weight(q_weight_ptr, k_weight_ptr, here, query, there, offset)
    await_inputs(PDL and EARLY)
    a = tl.load(qkv_ptr + at, mask, other=0.0).to(tl.float32)
    b = tl.load(qkv_ptr + at + half, mask, other=0.0).to(tl.float32)
    c = tl.load(qkv_ptr + c_at, outside, other=0.0).to(tl.float32)
    if NORM:
        square = tl.sum(a * a, 1) + tl.sum(b * b, 1) + tl.sum(c * c, 1)
        scale = tl.rsqrt(square / D + eps)[:, None]
        a, b = tl.where(turned, a * scale * wa, a), tl.where(turned, b * scale * wb, b)
        c = tl.where(turned, c * scale * wc, c)
    if ROPE:
        ra, rb = a * cos - b * sin, b * cos + a * sin
        a, b = tl.where(turned, ra, a), tl.where(turned, rb, b)
    q_at = q_ptr + (token * H + head) * D
    tl.store(q_at + col, a.to(q_ptr.dtype.element_ty), mask & query)
    tl.store(q_at + half + col, b.to(q_ptr.dtype.element_ty), mask & query)
    base = kv_ptr + (slot // PAGE) * page_stride + layer.to(tl.int64) * layer_stride
    shared = head - H
    which, kv_head = shared // K, shared % K
    kv_at = base + which * kv_stride + (kv_head * PAGE + slot % PAGE) * D
    tl.store(kv_at + col, a.to(kv_ptr.dtype.element_ty), mask & ~query)
    tl.store(kv_at + half + col, b.to(kv_ptr.dtype.element_ty), mask & ~query)
    tl.store(q_at + beyond, c.to(q_ptr.dtype.element_ty), outside & query)
    tl.store(kv_at + beyond, c.to(kv_ptr.dtype.element_ty), outside & ~query)


def qkv_rope(
    qkv: Tensor,
    positions: Tensor,
    slots: Tensor,
    cos_sin: Tensor | None,
    kv: Tensor,
    layer: int,
    num_heads: int,
    q_weight: Tensor | None = None,
    k_weight: Tensor | None = None,
    eps: float = 1e-6,
    offset: float = 0.0,
    out: Tensor | None = None,
    early: bool = False,
) -> Tensor:
    """Queries [T, H, D] for attention; keys and values go to the cache.

    qkv [T, (H + 2 * K) * D]: queries, keys, values; positions, slots [T], slot = page * page_size +
    offset; cos_sin [max_length, R] of `rope_table`, or None for no rotation; kv [P, layers, 2, K,
    page_size, D]; q_weight, k_weight [D] of an RMSNorm over each head, or None, plus `offset`. early
    promises that positions and slots are older than the launch before this one: see `overlap`.
    """
    if not use_triton(qkv):
        q = qkv_rope_ref(
            qkv, positions, slots, cos_sin, kv, layer, num_heads, q_weight, k_weight, eps, offset
        )
        return q if out is None else out.copy_(q)
    check_cache("qkv_rope", kv)
    num_kv_heads, size, dim = kv.shape[3:]
    tokens, heads = len(qkv), num_heads + 2 * num_kv_heads
    of = Projection(positions, slots, cos_sin, q_weight, k_weight)
    check_projection("qkv_rope", qkv, of, kv, num_heads)
    q = qkv.new_empty(tokens, num_heads, dim) if out is None else out
    require_contiguous("qkv_rope", out=q)
    if not tokens:
        return q
    rotated = dim if cos_sin is None else cos_sin.shape[1]
    block = next_power_of_2(rotated // 2)
    per_program = max(1, (512 if tokens <= 256 else 1024) // block)
    _qkv_rope_kernel[(tokens, -(-heads // per_program))](
        qkv,
        positions,
        slots,
        cos_sin,
        kv,
        q_weight,
        k_weight,
        q,
        layer,
        kv.stride(0),
        kv.stride(1),
        kv.stride(2),
        eps,
        offset,
        H=num_heads,
        K=num_kv_heads,
        D=dim,
        PAGE=size,
        HEADS=per_program,
        R=rotated,
        HALF=block,
        REST=next_power_of_2(max(1, dim - rotated)),
        ROPE=cos_sin is not None,
        NORM=q_weight is not None,
        EARLY=early,
        num_warps=4,
        **overlap(qkv),
    )
    return q


def check_projection(op: str, qkv: Tensor, of: Projection, kv: Tensor, num_heads: int) -> None:
    """A projection [T, (H + 2 * K) * D] and what becomes of its heads."""
    num_kv_heads, _, dim = kv.shape[3:]
    heads = num_heads + 2 * num_kv_heads
    if qkv.shape[1] != heads * dim or dim % 2:
        raise ValueError(
            f"{op}: qkv has {qkv.shape[1]} columns; {num_heads} query and 2 x {num_kv_heads} "
            f"key-value heads of {dim} (which must be even) make {heads * dim}"
        )
    tensors = {n: t for n, t in of._asdict().items() if not isinstance(t, float)}
    require_contiguous(op, qkv=qkv, **tensors)


def check_cache(op: str, kv: Tensor) -> None:
    """A cache [P, layers, 2, K, page_size, D]: only pages, layers and k/v may lie apart."""
    if kv.ndim != 6 or kv.stride()[3:] != (kv.shape[4] * kv.shape[5], kv.shape[5], 1):
        raise ValueError(
            f"{op}: kv must be [P, layers, 2, K, page_size, D] with contiguous heads, got shape "
            f"{tuple(kv.shape)} with strides {kv.stride()}"
        )
