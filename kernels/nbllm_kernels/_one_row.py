"""The kernel of `skinny_linear.py` for one row: lanes multiply and add.

Each lane has its own columns of some rows of W; sums cross lanes and warps once.
"""

# in a kernel, types are Triton's business
# pyright: reportOperatorIssue=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportPossiblyUnboundVariable=false, reportAttributeAccessIssue=false

from __future__ import annotations

from ._around import activated, normed
from ._triton import await_inputs, jit, release, tl


@jit
def _over_columns(x):
    """The sum over axes 1, 2 and 4, the columns of a row's tile: registers, lanes, then warps."""
    return tl.sum(tl.sum(tl.sum(x, 2, keep_dims=True), 4, keep_dims=True), 1, keep_dims=True)


@jit
def _row_statistics(x, x_ptr, at, eps, K: tl.constexpr, STEP: tl.constexpr):
    """(mean, 1 / deviation) of the row at x_ptr, of which x is the tile `at`."""
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
def _both(a, b, c, d):
    return a + c, b + d


@jit
def _sums(x, y):
    """[LANES, REPEATS] of the tiles x and y, over what lanes and warps have of a row."""
    x, y = tl.reduce((x, y), 3, _both)
    return tl.reduce((x, y), 1, _both)


@jit
def one_row_kernel(
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
    the rows are registers. x is read in the same shape, as every lane needs it. What RMSNorm divides
    by is the same for all columns: the sums are divided, and nothing waits until it is known.
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
        add = tl.load(add_ptr + n, n < N, other=0.0)

    mean, scale = 0.0, 0.0
    if CENTER:
        mean, scale = _row_statistics(x, x_ptr, x_at, eps, K, STEP)
    elif NORM:
        squares = tl.zeros([LANES, WARPS, COLUMNS, 1, WIDTH], tl.float32)
    sums = tl.zeros([LANES, WARPS, REPEATS, WIDTH], tl.float32)
    if GATE:
        up_sums = tl.zeros([LANES, WARPS, REPEATS, WIDTH], tl.float32)
    for k in tl.range(0, K, STEP, num_stages=1):
        w_now, x_now, norm_weight_now, norm_bias_now = w, x, norm_weight, norm_bias
        if GATE:
            u_now = u
        if STEP < K:  # the next tile is on its way while this one is multiplied
            more = real & (k + STEP + c < K)
            w = tl.load(rows_ptr + k + STEP + at, more, other=0.0, eviction_policy="evict_first")
            if GATE:
                u = tl.load(ups_ptr + k + STEP + at, more, other=0.0, eviction_policy="evict_first")
            here = k + STEP + x_at
            x = tl.load(x_ptr + here, here < K, other=0.0)
            if NORM:
                norm_weight = tl.load(norm_weight_ptr + here, here < K, other=0.0)
            if SHIFT:
                norm_bias = tl.load(norm_bias_ptr + here, here < K, other=0.0)

        if CENTER:
            x_now = normed(x_now, mean, scale, norm_weight_now, norm_bias_now, SHIFT)
        wide = x_now.to(tl.float32)
        if NORM and not CENTER:
            squares += wide * wide
            wide *= norm_weight_now.to(tl.float32)
        sums += tl.sum(w_now.to(tl.float32) * wide, 2)
        if GATE:
            up_sums += tl.sum(u_now.to(tl.float32) * wide, 2)
    if NORM and not CENTER:
        of_row = tl.broadcast_to(tl.sum(squares, 2), [LANES, WARPS, REPEATS, WIDTH])
        y, square = _sums(sums, of_row)
        scale = tl.rsqrt(square / K + eps)
        y *= scale
    else:
        y = tl.sum(tl.sum(sums, 3), 1)
    if BIAS:
        y += bias
    y = activated(y, ACT)
    if GATE:
        up = tl.sum(tl.sum(up_sums, 3), 1)
        if NORM and not CENTER:
            up *= scale
        if BIAS:
            up += up_bias
        y = y * up
    if ADD:
        y += add.to(tl.float32)
    tl.store(y_ptr + n, y.to(y_ptr.dtype.element_ty), n < N)
