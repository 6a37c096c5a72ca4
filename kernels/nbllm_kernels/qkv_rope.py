"""From the query-key-value projection to attention: head norms, rotary positions, the cache write.

q = rope(norm(q)),  k = rope(norm(k)),  cache[slot] = k, v        (norm, rope: where a model has them)

One launch instead of six; memory bound: it reads the projection and writes as much. The rotation is
the half-split one of `rope.py`. One program takes some heads of one token; its heads are queries,
keys or values by their number.
"""

# what a constexpr switches off is not read
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

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
) -> Tensor:
    """As `qkv_rope`; every step is rounded only once, at its end."""
    num_kv_heads, size, dim = kv.shape[3:]
    x = qkv.float().unflatten(-1, (num_heads + 2 * num_kv_heads, dim))
    q, k, v = x.split((num_heads, num_kv_heads, num_kv_heads), 1)
    if q_weight is not None and k_weight is not None:
        q = F.rms_norm(q, (dim,), q_weight.float(), eps)
        k = F.rms_norm(k, (dim,), k_weight.float(), eps)
    if cos_sin is not None:
        cos, sin = cos_sin[positions][:, None].chunk(2, -1)
        q, k = (
            torch.cat((a * cos - b * sin, b * cos + a * sin), -1)
            for a, b in (q.chunk(2, -1), k.chunk(2, -1))
        )
    page, offset = slots // size, slots % size
    kv[page, layer, 0, :, offset] = k.to(kv.dtype)
    kv[page, layer, 1, :, offset] = v.to(kv.dtype)
    return q.to(qkv.dtype)


@jit
def _normalised(a, b, a_weight, b_weight, eps, D: tl.constexpr):
    scale = tl.rsqrt((tl.sum(a * a, 1) + tl.sum(b * b, 1)) / D + eps)[:, None]
    return a * scale * a_weight, b * scale * b_weight


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
    H: tl.constexpr,
    K: tl.constexpr,
    D: tl.constexpr,
    PAGE: tl.constexpr,
    HEADS: tl.constexpr,
    HALF: tl.constexpr,
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
    half: tl.constexpr = D // 2
    mask = (head < H + 2 * K) & (col < half)
    at = (token * (H + 2 * K) + head) * D + col
    turned = head < H + K  # a query or a key
    slot = tl.load(slots_ptr + token).to(tl.int64)
    if ROPE:
        row = cos_sin_ptr + tl.load(positions_ptr + token).to(tl.int64) * D
        cos = tl.load(row + col, col < half, other=0.0)
        sin = tl.load(row + half + col, col < half, other=0.0)
    if NORM:
        query, inside = head < H, (col < half) & (head < H + K)
        wa = tl.load(q_weight_ptr + col + head * 0, query & inside, other=0.0).to(tl.float32)
        wb = tl.load(q_weight_ptr + half + col + head * 0, query & inside, other=0.0).to(tl.float32)
        wa += tl.load(k_weight_ptr + col + head * 0, inside & ~query, other=0.0).to(tl.float32)
        wb += tl.load(k_weight_ptr + half + col + head * 0, inside & ~query, other=0.0).to(
            tl.float32
        )
    await_inputs(PDL and EARLY)
    a = tl.load(qkv_ptr + at, mask, other=0.0).to(tl.float32)
    b = tl.load(qkv_ptr + at + half, mask, other=0.0).to(tl.float32)
    if NORM:
        na, nb = _normalised(a, b, wa, wb, eps, D)
        a, b = tl.where(turned, na, a), tl.where(turned, nb, b)
    if ROPE:
        ra, rb = a * cos - b * sin, b * cos + a * sin
        a, b = tl.where(turned, ra, a), tl.where(turned, rb, b)
    q_at = q_ptr + (token * H + head) * D + col
    tl.store(q_at, a.to(q_ptr.dtype.element_ty), mask & (head < H))
    tl.store(q_at + half, b.to(q_ptr.dtype.element_ty), mask & (head < H))
    base = kv_ptr + (slot // PAGE) * page_stride + layer.to(tl.int64) * layer_stride
    shared = head - H
    which, kv_head = shared // K, shared % K
    kv_at = base + which * kv_stride + (kv_head * PAGE + slot % PAGE) * D + col
    tl.store(kv_at, a.to(kv_ptr.dtype.element_ty), mask & (head >= H))
    tl.store(kv_at + half, b.to(kv_ptr.dtype.element_ty), mask & (head >= H))


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
    out: Tensor | None = None,
    early: bool = False,
) -> Tensor:
    """Queries [T, H, D] for attention; keys and values go to the cache.

    qkv [T, (H + 2 * K) * D]: queries, keys, values; positions, slots [T], slot = page * page_size +
    offset; cos_sin [max_length, D] of `rope_table`, or None for no rotation; kv [P, layers, 2, K,
    page_size, D]; q_weight, k_weight [D] of an RMSNorm over each head, or None. early promises that
    positions and slots are older than the launch before this one: see `overlap`.
    """
    if not use_triton(qkv):
        q = qkv_rope_ref(
            qkv, positions, slots, cos_sin, kv, layer, num_heads, q_weight, k_weight, eps
        )
        return q if out is None else out.copy_(q)
    check_cache("qkv_rope", kv)
    num_kv_heads, size, dim = kv.shape[3:]
    tokens, heads = len(qkv), num_heads + 2 * num_kv_heads
    if qkv.shape[1] != heads * dim or dim % 2:
        raise ValueError(
            f"qkv_rope: qkv has {qkv.shape[1]} columns; {num_heads} query and 2 x {num_kv_heads} "
            f"key-value heads of {dim} (which must be even) make {heads * dim}"
        )
    q = qkv.new_empty(tokens, num_heads, dim) if out is None else out
    require_contiguous("qkv_rope", qkv=qkv, positions=positions, slots=slots, cos_sin=cos_sin)
    require_contiguous("qkv_rope", q_weight=q_weight, k_weight=k_weight, out=q)
    if not tokens:
        return q
    block = next_power_of_2(dim // 2)
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
        H=num_heads,
        K=num_kv_heads,
        D=dim,
        PAGE=size,
        HEADS=per_program,
        HALF=block,
        ROPE=cos_sin is not None,
        NORM=q_weight is not None,
        EARLY=early,
        num_warps=4,
        **overlap(qkv),
    )
    return q


def check_cache(op: str, kv: Tensor) -> None:
    """A cache [P, layers, 2, K, page_size, D]: only pages, layers and k/v may lie apart."""
    if kv.ndim != 6 or kv.stride()[3:] != (kv.shape[4] * kv.shape[5], kv.shape[5], 1):
        raise ValueError(
            f"{op}: kv must be [P, layers, 2, K, page_size, D] with contiguous heads, got shape "
            f"{tuple(kv.shape)} with strides {kv.stride()}"
        )
