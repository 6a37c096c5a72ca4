"""The kernel of `skinny_linear.py` for up to 32 rows: tensor cores, fed from registers.

The sum over K may take its columns in any order. They are taken in that in which lanes hold the 16
bytes that they load: four lanes have 32 columns of a row beside each other, and what one lane has is
what `mma` wants of it, of W and of x alike. So nothing goes through shared memory but the sums, once,
and W may be on its way, as far as there are registers, before x is there.
"""

# in a kernel, types are Triton's business
# pyright: reportOperatorIssue=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportPossiblyUnboundVariable=false, reportAttributeAccessIssue=false

from __future__ import annotations

from ._around import activated, normed, read_ahead
from ._triton import await_inputs, jit, release, tl


@jit
def _operand(x, WARPS: tl.constexpr, ROWS: tl.constexpr, CHUNKS: tl.constexpr):
    """A tile as `few_rows_kernel` loads it -> [WARPS, ROWS, CHUNKS * 32], as `mma` takes it."""
    pairs = tl.reshape(x, (4, 8, WARPS, ROWS // 8, CHUNKS, 4, 2))
    return tl.reshape(tl.permute(pairs, (2, 3, 1, 4, 5, 0, 6)), (WARPS, ROWS, CHUNKS * 32))


@jit
def _within(x):
    """The sum over a lane's columns of each row."""
    return tl.sum(tl.sum(x, 5, keep_dims=True), 4, keep_dims=True)


@jit
def _across(x):
    """The sum over the lanes and warps that share a row."""
    return tl.sum(tl.sum(x, 0, keep_dims=True), 2, keep_dims=True)


@jit
def _statistics(
    x, x_ptr, at, c, some, eps, K: tl.constexpr, STEP: tl.constexpr, CENTER: tl.constexpr
):
    """(mean, 1 / deviation) of the rows at x_ptr, of which x is the tile `at`, of columns c."""
    mean = 0.0
    if CENTER:
        total = _within(x.to(tl.float32))
        for s in tl.range(STEP, K, STEP, num_stages=1):
            x_s = tl.load(x_ptr + s + at, some & (s + c < K), other=0.0)
            total += _within(x_s.to(tl.float32))
        mean = _across(total) / K
    d = tl.where(c < K, x.to(tl.float32) - mean, 0.0)
    squares = _within(d * d)
    for s in tl.range(STEP, K, STEP, num_stages=1):
        d = tl.load(x_ptr + s + at, some & (s + c < K), other=0.0).to(tl.float32)
        d = tl.where(s + c < K, d - mean, 0.0)
        squares += _within(d * d)
    return mean, tl.rsqrt(_across(squares) / K + eps)


@jit(do_not_specialize=["M"])
def few_rows_kernel(
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
    CHUNKS: tl.constexpr,
    WARPS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    NORM: tl.constexpr,
    CENTER: tl.constexpr,
    SHIFT: tl.constexpr,
    LATE: tl.constexpr,
    ACT: tl.constexpr,
    GATE: tl.constexpr,
    BIAS: tl.constexpr,
    ADD: tl.constexpr,
    AHEAD: tl.constexpr,
    PDL: tl.constexpr,
):
    """y[m, n] for ROWS rows n of W and all rows m of x; a warp has CHUNKS * 32 columns at a time.

    Axes of a tile: 4 lanes along K, 8 along the rows, warps; then what a lane has: more rows, chunks
    of columns, the 8 columns of a load. AHEAD: columns behind the first tile that are fetched early.
    LATE: what the norm divides by, the same for all columns, divides the sums: nothing waits for it.
    """
    release(PDL)
    STEP: tl.constexpr = WARPS * CHUNKS * 32
    EACH: tl.constexpr = WARPS * 32 // ROWS
    lane = tl.arange(0, 4)[:, None, None, None, None, None]
    eighth = tl.arange(0, 8)[None, :, None, None, None, None]
    warp = tl.arange(0, WARPS)[None, None, :, None, None, None]
    chunk = tl.arange(0, CHUNKS)[None, None, None, None, :, None]
    c = ((warp * CHUNKS + chunk) * 4 + lane) * 8 + tl.arange(0, 8)[None, None, None, None, None, :]
    first = tl.program_id(0) * ROWS
    row = tl.arange(0, ROWS // 8)[None, None, None, :, None, None] * 8 + eighth
    rows_ptr = weight_ptr + first.to(tl.int64) * K
    ups_ptr = rows_ptr + N * tl.full([], K, tl.int64)
    at, real = row * K + c, first + row < N
    w = tl.load(rows_ptr + at, real & (c < K), other=0.0, eviction_policy="evict_first")
    if GATE:
        u = tl.load(ups_ptr + at, real & (c < K), other=0.0, eviction_policy="evict_first")
    if AHEAD:
        thread = tl.arange(0, WARPS * 32)
        behind = tl.minimum(first + thread // EACH, N - 1).to(tl.int64) * K + STEP
        count = tl.where(thread % EACH == 0, AHEAD, 0)
        read_ahead(weight_ptr + behind, count)
        if GATE:
            read_ahead(weight_ptr + behind + N * tl.full([], K, tl.int64), count)
    m = tl.arange(0, BLOCK_M // 8)[None, None, None, :, None, None] * 8 + eighth
    x_at, some, every = m * K + c, m < M, c + eighth * 0
    norm_weight, norm_bias = 0.0, 0.0
    if NORM:
        norm_weight = tl.load(norm_weight_ptr + every, every < K, other=0.0)
    if SHIFT:
        norm_bias = tl.load(norm_bias_ptr + every, every < K, other=0.0)
    n = first + tl.arange(0, ROWS)[:, None]
    y_at = tl.arange(0, BLOCK_M)[None, :] * N + n
    mine = (n < N) & (tl.arange(0, BLOCK_M)[None, :] < M)
    if BIAS:
        bias = tl.load(bias_ptr + n, n < N, other=0.0).to(tl.float32)
        if GATE:
            up_bias = tl.load(bias_ptr + N + n, n < N, other=0.0).to(tl.float32)
    await_inputs(PDL)

    x = tl.load(x_ptr + x_at, some & (c < K), other=0.0)
    if ADD:
        add = tl.load(add_ptr + y_at, mine, other=0.0).to(tl.float32)
    mean, scale = 0.0, 0.0
    if LATE:
        squares = tl.zeros([4, 8, WARPS, BLOCK_M // 8, 1, 1], tl.float32)
    elif NORM:
        mean, scale = _statistics(x, x_ptr, x_at, c, some, eps, K, STEP, CENTER)
    sums = tl.zeros([WARPS, ROWS, BLOCK_M], tl.float32)
    if GATE:
        up_sums = tl.zeros([WARPS, ROWS, BLOCK_M], tl.float32)
    for s in tl.static_range(0, K, STEP):  # a loop would take registers apart, 16 bits at a time
        w_now = w
        if GATE:
            u_now = u
        if s + STEP < K:  # the next tile is on its way while this one is multiplied
            more = real & (s + STEP + c < K)
            w = tl.load(rows_ptr + s + STEP + at, more, other=0.0, eviction_policy="evict_first")
            if GATE:
                u = tl.load(ups_ptr + s + STEP + at, more, other=0.0, eviction_policy="evict_first")
        if s:
            x = tl.load(x_ptr + s + x_at, some & (s + c < K), other=0.0)
            if NORM:
                norm_weight = tl.load(norm_weight_ptr + s + every, s + every < K, other=0.0)
            if SHIFT:
                norm_bias = tl.load(norm_bias_ptr + s + every, s + every < K, other=0.0)
        if LATE:
            wide = x.to(tl.float32)
            squares += _within(wide * wide)
            x = (wide * norm_weight.to(tl.float32)).to(x.dtype)
        elif NORM:
            x = normed(x, mean, scale, norm_weight, norm_bias, SHIFT)
        columns = tl.permute(_operand(x, WARPS, BLOCK_M, CHUNKS), (0, 2, 1))
        w_now = _operand(w_now, WARPS, ROWS, CHUNKS)
        sums = tl.dot(w_now, columns, sums, input_precision="ieee")
        if GATE:
            u_now = _operand(u_now, WARPS, ROWS, CHUNKS)
            up_sums = tl.dot(u_now, columns, up_sums, input_precision="ieee")
    y = tl.sum(sums, 0)
    if LATE:
        scale = tl.rsqrt(_across(squares) / K + eps)
        scale = tl.reshape(tl.permute(scale, (0, 2, 4, 5, 3, 1)), (1, BLOCK_M))
        y *= scale
    if BIAS:
        y += bias
    y = activated(y, ACT)
    if GATE:
        up = tl.sum(up_sums, 0)
        if LATE:
            up *= scale
        if BIAS:
            up += up_bias
        y = y * up
    if ADD:
        y += add
    tl.store(y_ptr + y_at, y.to(y_ptr.dtype.element_ty), mine)
