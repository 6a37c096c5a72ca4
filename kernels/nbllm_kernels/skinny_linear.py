"""A linear layer of a few rows with what comes before and after it, in one launch.

y = act(norm(x) W^T + b) + add       gate: y = act(g) * u + add, with g, u = halves of norm(x) W^T + b

norm is RMSNorm or layer norm; its result is rounded to the type of x, as if it had been stored, and
y is rounded once, at the end. Bound by reading W once; a step of one row is also a chain of such
launches, each waiting for the one before. So the weights of a program's first tile, often all of
them, are read before it waits (see `overlap`), and then little is left to do.

One row: lanes multiply and add, each with its own columns of some rows of W; sums cross lanes and
warps once. Several rows: every warp takes a stretch of the columns to the tensor cores, for all
rows of x alike, so that a row does not depend on its company. Neither needs a second launch or
atomics to sum over K, and the order of every sum is fixed. Tiles are those of `skinny_tiles.py`.
"""

# in a kernel, types are Triton's business
# pyright: reportOperatorIssue=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from ._triton import (
    await_inputs,
    jit,
    overlap,
    release,
    require_contiguous,
    shared_memory,
    tl,
    use_triton,
)
from .skinny_tiles import LANES, RowsTile, RowTile, row_tile, rows_tile

MOST = 8
"""Rows of x up to which this is faster than products of any size, with a norm and a sum apart."""
LARGE = 20 << 20
"""Elements of a weight up to which it is so for more than one row."""
NORMED = 2048
"""Columns up to which a norm is cheaper once more in every program than in a launch of its own."""


class Norm(NamedTuple):
    """Layer norm if `center`, else RMSNorm."""

    weight: Tensor  # [K]
    bias: Tensor | None  # [K], only with `center`
    eps: float
    center: bool


ACTS: dict[str | None, Callable[[Tensor], Tensor]] = {
    None: lambda y: y,
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda y: F.gelu(y, approximate="tanh"),
    "silu": F.silu,
}
_NUMBER = {name: i for i, name in enumerate(ACTS)}


def fits(x: Tensor, weight: Tensor, most: int = MOST) -> bool:
    """Whether `skinny_linear` is the fastest way from x [M, K] through weight; most 0: it never is."""
    if not 0 < len(x) <= most or not use_triton(x) or x.dtype != weight.dtype:
        return False
    if not weight.is_contiguous():  # somebody else's, stored the other way round
        return False
    # without tensor cores, several rows are a product like any other; with them, of a large weight
    return len(x) == 1 or (x.element_size() == 2 and weight.numel() <= LARGE)


def takes_norm(x: Tensor) -> bool:
    """Whether every program may normalise x for itself: where one tile holds its columns."""
    return x.shape[1] <= NORMED


def skinny_linear_ref(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    norm: Norm | None = None,
    act: str | None = None,
    gate: bool = False,
    add: Tensor | None = None,
) -> Tensor:
    """As `skinny_linear`, in float32."""
    if norm is not None:
        x = _norm_ref(x, norm)
    y = F.linear(x.float(), weight.float(), None if bias is None else bias.float())
    if gate:
        g, u = y.chunk(2, -1)
        y = ACTS[act](g) * u
    else:
        y = ACTS[act](y)
    return (y if add is None else y + add.float()).to(x.dtype)


def _norm_ref(x: Tensor, norm: Norm) -> Tensor:
    size, wide, weight = x.shape[-1:], x.float(), norm.weight.float()
    if norm.center:
        bias = None if norm.bias is None else norm.bias.float()
        return F.layer_norm(wide, size, weight, bias, norm.eps).to(x.dtype)
    return F.rms_norm(wide, size, weight, norm.eps).to(x.dtype)


@jit
def _activated(y, ACT: tl.constexpr):
    """ACT: a number of `ACTS`."""
    if ACT == 1:
        y = tl.maximum(y, 0.0)
    if ACT == 2:
        y = 0.5 * y * (1.0 + tl.erf(y * 0.7071067811865476))
    if ACT == 3:
        z = 0.7978845608028654 * (y + 0.044715 * y * y * y)
        y = y * tl.sigmoid(2.0 * z)
    if ACT == 4:
        y = y * tl.sigmoid(y)
    return y


@jit
def _normed(x, mean, scale, weight, bias, BIAS: tl.constexpr):
    """x of the input's type, normalised and rounded to it again."""
    y = (x.to(tl.float32) - mean) * scale * weight.to(tl.float32)
    if BIAS:
        y += bias.to(tl.float32)
    return y.to(x.dtype)


@jit
def _over_columns(x):
    """The sum over axes 1, 2 and 4, the columns of a row's tile: registers, lanes, then warps."""
    return tl.sum(tl.sum(tl.sum(x, 2, keep_dims=True), 4, keep_dims=True), 1, keep_dims=True)


@jit
def _row_statistics(x, x_ptr, at, eps, K: tl.constexpr, STEP: tl.constexpr, CENTER: tl.constexpr):
    """(mean, 1 / deviation) of the row at x_ptr, of which x is the tile `at`."""
    mean = 0.0
    if CENTER:
        total = x.to(tl.float32)
        for k in tl.range(STEP, K, STEP, num_stages=1):
            total += tl.load(x_ptr + k + at, k + at < K, other=0.0).to(tl.float32)
        mean = _over_columns(total) / K
    d = tl.where(at < K, x.to(tl.float32) - mean, 0.0)
    squares = d * d
    for k in tl.range(STEP, K, STEP, num_stages=1):
        d = tl.load(x_ptr + k + at, k + at < K, other=0.0).to(tl.float32)
        d = tl.where(k + at < K, d - mean, 0.0)
        squares += d * d
    return mean, tl.rsqrt(_over_columns(squares) / K + eps)


@jit
def _row_kernel(
    x_ptr,
    weight_ptr,
    bias_ptr,
    norm_weight_ptr,
    norm_bias_ptr,
    add_ptr,
    y_ptr,
    N,
    eps,
    K: tl.constexpr,
    REPEATS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WARPS: tl.constexpr,
    LANES: tl.constexpr,
    WIDTH: tl.constexpr,
    NORM: tl.constexpr,
    CENTER: tl.constexpr,
    SHIFT: tl.constexpr,
    ACT: tl.constexpr,
    GATE: tl.constexpr,
    BIAS: tl.constexpr,
    ADD: tl.constexpr,
    PDL: tl.constexpr,
):
    """y[n] for REPEATS * LANES rows n of W, one row of x.

    A tile has five axes, so that lanes and warps lie where they should: LANES rows of W beside each
    other and WIDTH columns are a warp's; WARPS stretches of columns; COLUMNS of these and REPEATS of
    the rows are registers. x is read in the same shape, as every lane needs it.
    """
    release(PDL)
    STEP: tl.constexpr = COLUMNS * WARPS * WIDTH
    lane = tl.arange(0, LANES)[:, None, None, None, None]
    warp = tl.arange(0, WARPS)[None, :, None, None, None]
    column = tl.arange(0, COLUMNS)[None, None, :, None, None]
    repeat = tl.arange(0, REPEATS)[None, None, None, :, None]
    c = (column * WARPS + warp) * WIDTH + tl.arange(0, WIDTH)[None, None, None, None, :]
    first = tl.program_id(0) * (REPEATS * LANES)
    row = repeat * LANES + lane
    rows_ptr = weight_ptr + first.to(tl.int64) * K
    ups_ptr = rows_ptr + N * tl.full([], K, tl.int64)
    at, real = row * K + c, first + row < N
    w = tl.load(rows_ptr + at, real & (c < K), other=0.0, eviction_policy="evict_first")
    if GATE:
        u = tl.load(ups_ptr + at, real & (c < K), other=0.0, eviction_policy="evict_first")
    x_at = c + lane * 0
    norm_weight, norm_bias = 0.0, 0.0
    if NORM:
        norm_weight = tl.load(norm_weight_ptr + x_at, x_at < K, other=0.0)
    if SHIFT:
        norm_bias = tl.load(norm_bias_ptr + x_at, x_at < K, other=0.0)
    n = first + tl.arange(0, REPEATS)[None, :] * LANES + tl.arange(0, LANES)[:, None]
    if BIAS:
        bias = tl.load(bias_ptr + n, n < N, other=0.0).to(tl.float32)
        if GATE:
            up_bias = tl.load(bias_ptr + N + n, n < N, other=0.0).to(tl.float32)
    await_inputs(PDL)

    x = tl.load(x_ptr + x_at, x_at < K, other=0.0)
    if ADD:
        add = tl.load(add_ptr + n, n < N, other=0.0).to(tl.float32)
    mean, scale = 0.0, 0.0
    if NORM:
        mean, scale = _row_statistics(x, x_ptr, x_at, eps, K, STEP, CENTER)
    sums = tl.zeros([LANES, WARPS, REPEATS, WIDTH], tl.float32)
    if GATE:
        up_sums = tl.zeros([LANES, WARPS, REPEATS, WIDTH], tl.float32)
    for k in tl.range(0, K, STEP, num_stages=1):
        w_now = w
        if GATE:
            u_now = u
        if STEP < K:  # the next tile is on its way while this one is multiplied
            more = real & (k + STEP + c < K)
            w = tl.load(rows_ptr + k + STEP + at, more, other=0.0, eviction_policy="evict_first")
            if GATE:
                u = tl.load(ups_ptr + k + STEP + at, more, other=0.0, eviction_policy="evict_first")
            here = k + x_at
            x = tl.load(x_ptr + here, here < K, other=0.0)
            if NORM:
                norm_weight = tl.load(norm_weight_ptr + here, here < K, other=0.0)
            if SHIFT:
                norm_bias = tl.load(norm_bias_ptr + here, here < K, other=0.0)
        if NORM:
            x = _normed(x, mean, scale, norm_weight, norm_bias, SHIFT)
        sums += tl.sum(w_now.to(tl.float32) * x.to(tl.float32), 2)
        if GATE:
            up_sums += tl.sum(u_now.to(tl.float32) * x.to(tl.float32), 2)
    y = tl.sum(tl.sum(sums, 3), 1)
    if BIAS:
        y += bias
    y = _activated(y, ACT)
    if GATE:
        up = tl.sum(tl.sum(up_sums, 3), 1)
        if BIAS:
            up += up_bias
        y = y * up
    if ADD:
        y += add
    tl.store(y_ptr + n, y.to(y_ptr.dtype.element_ty), n < N)


@jit
def _rows_statistics(
    x, x_ptr, at, k, some, eps, K: tl.constexpr, STEP: tl.constexpr, CENTER: tl.constexpr
):
    """(mean, 1 / deviation) of the rows at x_ptr, of which x is the tile `at`, of columns k."""
    mean = 0.0
    if CENTER:
        total = tl.sum(x.to(tl.float32), 1, keep_dims=True)
        for s in tl.range(STEP, K, STEP, num_stages=1):
            x_s = tl.load(x_ptr + s + at, some & (s + k < K), other=0.0)
            total += tl.sum(x_s.to(tl.float32), 1, keep_dims=True)
        mean = tl.sum(total, 0, keep_dims=True) / K
    d = tl.where(k < K, x.to(tl.float32) - mean, 0.0)
    squares = tl.sum(d * d, 1, keep_dims=True)
    for s in tl.range(STEP, K, STEP, num_stages=1):
        d = tl.load(x_ptr + s + at, some & (s + k < K), other=0.0).to(tl.float32)
        d = tl.where(s + k < K, d - mean, 0.0)
        squares += tl.sum(d * d, 1, keep_dims=True)
    return mean, tl.rsqrt(tl.sum(squares, 0, keep_dims=True) / K + eps)


@jit(do_not_specialize=["M"])
def _rows_kernel(
    x_ptr,
    weight_ptr,
    bias_ptr,
    norm_weight_ptr,
    norm_bias_ptr,
    add_ptr,
    y_ptr,
    N,
    M,
    eps,
    K: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    WARPS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    NORM: tl.constexpr,
    CENTER: tl.constexpr,
    SHIFT: tl.constexpr,
    ACT: tl.constexpr,
    GATE: tl.constexpr,
    BIAS: tl.constexpr,
    ADD: tl.constexpr,
    PDL: tl.constexpr,
):
    """y[m, n] for ROWS rows n of W and all rows m of x, WARPS stretches of WIDTH columns at a time."""
    release(PDL)
    STEP: tl.constexpr = WARPS * WIDTH
    stretch = tl.arange(0, WARPS)[:, None, None] * WIDTH
    first = tl.program_id(0) * ROWS
    row, c = tl.arange(0, ROWS)[None, :, None], stretch + tl.arange(0, WIDTH)[None, None, :]
    rows_ptr = weight_ptr + first.to(tl.int64) * K
    ups_ptr = rows_ptr + N * tl.full([], K, tl.int64)
    at, real = row * K + c, first + row < N
    w = tl.load(rows_ptr + at, real & (c < K), other=0.0)
    if GATE:
        u = tl.load(ups_ptr + at, real & (c < K), other=0.0)
    m, k = tl.arange(0, BLOCK_M)[None, None, :], stretch + tl.arange(0, WIDTH)[None, :, None]
    x_at, some = m * K + k, m < M
    norm_weight, norm_bias = 0.0, 0.0
    if NORM:
        norm_weight = tl.load(norm_weight_ptr + k, k < K, other=0.0)
    if SHIFT:
        norm_bias = tl.load(norm_bias_ptr + k, k < K, other=0.0)
    n = first + tl.arange(0, ROWS)[:, None]
    y_at = tl.arange(0, BLOCK_M)[None, :] * N + n
    mine = (n < N) & (tl.arange(0, BLOCK_M)[None, :] < M)
    if BIAS:
        bias = tl.load(bias_ptr + n, n < N, other=0.0).to(tl.float32)
        if GATE:
            up_bias = tl.load(bias_ptr + N + n, n < N, other=0.0).to(tl.float32)
    await_inputs(PDL)

    x = tl.load(x_ptr + x_at, some & (k < K), other=0.0)
    if ADD:
        add = tl.load(add_ptr + y_at, mine, other=0.0).to(tl.float32)
    mean, scale = 0.0, 0.0
    if NORM:
        mean, scale = _rows_statistics(x, x_ptr, x_at, k, some, eps, K, STEP, CENTER)
    sums = tl.zeros([WARPS, ROWS, BLOCK_M], tl.float32)
    if GATE:
        up_sums = tl.zeros([WARPS, ROWS, BLOCK_M], tl.float32)
    for s in tl.range(0, K, STEP, num_stages=1):
        w_now = w
        if GATE:
            u_now = u
        if STEP < K:
            more = real & (s + STEP + c < K)
            w = tl.load(rows_ptr + s + STEP + at, more, other=0.0)
            if GATE:
                u = tl.load(ups_ptr + s + STEP + at, more, other=0.0)
            x = tl.load(x_ptr + s + x_at, some & (s + k < K), other=0.0)
            if NORM:
                norm_weight = tl.load(norm_weight_ptr + s + k, s + k < K, other=0.0)
            if SHIFT:
                norm_bias = tl.load(norm_bias_ptr + s + k, s + k < K, other=0.0)
        if NORM:
            x = _normed(x, mean, scale, norm_weight, norm_bias, SHIFT)
        sums = tl.dot(w_now, x, sums, input_precision="ieee")
        if GATE:
            up_sums = tl.dot(u_now, x, up_sums, input_precision="ieee")
    y = tl.sum(sums, 0)
    if BIAS:
        y += bias
    y = _activated(y, ACT)
    if GATE:
        up = tl.sum(up_sums, 0)
        if BIAS:
            up += up_bias
        y = y * up
    if ADD:
        y += add
    tl.store(y_ptr + y_at, y.to(y_ptr.dtype.element_ty), mine)


def _width(tile: RowsTile, x: Tensor, gate: bool) -> int:
    """The tile's, or what shared memory has room for: the tensor cores take their operands there."""
    width, of_each = tile.width, tile.rows * (1 + gate) + 16
    while width > 16 and of_each * width * tile.warps * x.element_size() > shared_memory(x) * 0.8:
        width //= 2
    return width


def skinny_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    norm: Norm | None = None,
    act: str | None = None,
    gate: bool = False,
    add: Tensor | None = None,
    out: Tensor | None = None,
    tile: RowTile | RowsTile | None = None,
) -> Tensor:
    """x [M, K], weight [N, K] ([2 * N, K] with `gate`), bias [N] or [2 * N], add [M, N] -> [M, N].

    act: a name of `ACTS`; out: where to, which may be `add`. M is at most 16, and up to `MOST` it
    is worth it. tile: another one than the table has, for measuring; a `RowTile` is for M = 1.
    """
    if not use_triton(x):
        y = skinny_linear_ref(x, weight, bias, norm=norm, act=act, gate=gate, add=add)
        return y if out is None else out.copy_(y)
    (count, size), size_out = x.shape, len(weight) // (2 if gate else 1)
    if weight.shape[1] != size or count > 16:
        raise ValueError(
            f"skinny_linear: x is [{count}, {size}] and weight {list(weight.shape)}; x may have 16 "
            "rows, and as many columns as weight"
        )
    y = x.new_empty(count, size_out) if out is None else out
    require_contiguous("skinny_linear", x=x, weight=weight, bias=bias, add=add, out=y)
    weights = (norm.weight, norm.bias) if norm else (None, None)
    require_contiguous("skinny_linear", norm_weight=weights[0], norm_bias=weights[1])
    if not count:
        return y
    options = {
        "K": size,
        "NORM": norm is not None,
        "CENTER": norm is not None and norm.center,
        "SHIFT": weights[1] is not None,
        "ACT": _NUMBER[act],
        "GATE": gate,
        "BIAS": bias is not None,
        "ADD": add is not None,
        **overlap(x),
    }
    tensors, eps = (x, weight, bias, *weights, add, y), norm.eps if norm else 0.0
    width = 64 * 2 // x.element_size()
    if tile is None:
        tile = (row_tile if count == 1 else rows_tile)(size_out, size, gate)
    if isinstance(tile, RowTile):
        _row_kernel[(-(-size_out // (tile.repeats * LANES)),)](
            *tensors,
            size_out,
            eps,
            REPEATS=tile.repeats,
            COLUMNS=tile.columns,
            WARPS=tile.warps,
            LANES=LANES,
            WIDTH=width,
            num_warps=tile.warps,
            **options,
        )
    else:
        _rows_kernel[(-(-size_out // tile.rows),)](
            *tensors,
            size_out,
            count,
            eps,
            ROWS=tile.rows,
            WIDTH=_width(tile, x, gate),
            WARPS=tile.warps,
            BLOCK_M=8 if count <= 8 else 16,
            num_warps=tile.warps,
            **options,
        )
    return y
