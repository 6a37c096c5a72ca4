"""The kernel of `skinny_linear.py` for 9 to 256 rows: tiles of W times tiles of x, pipelined.

The product is computed the other way round, W x^T, so that the side of which there is much fills the
64 rows that the tensor cores take at a time. What is read of W comes from memory once, and what is
read of x from the L2 cache: ROWS rows of W for each reading of x. While the launch before this one
ends, the first columns of W are fetched into the L2 cache, from where the pipeline reads them.

A long sum of few rows of W may be cut into SPLITS stretches of K, for more programs to work on. The
partial sums [SPLITS, M, N] are the result then, in float32, and whoever reads them adds them up in
their order: a norm does, which reads y in any case (`rms_norm.py`, `layer_norm.py`).
"""

# in a kernel, types are Triton's business
# pyright: reportOperatorIssue=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

from ._around import activated, read_ahead
from ._triton import await_inputs, jit, release, tl


@jit
def _row_of_weight(i, first, N, ROWS: tl.constexpr, GATE: tl.constexpr):
    """Which row of W is row i of a tile: with a gate, half of them are of the second half of W.

    Beyond the last it is the last again, which is multiplied in vain but needs no mask.
    """
    if GATE:
        HALF: tl.constexpr = ROWS // 2
        n = tl.minimum(first + i % HALF, N - 1)
        return tl.where(i < HALF, n, n + N)
    return tl.minimum(first + i, N - 1)


@jit
def _read_ahead(
    weight_ptr,
    start,
    stop,
    first,
    N,
    K,
    AHEAD: tl.constexpr,
    ROWS: tl.constexpr,
    GATE: tl.constexpr,
    WARPS: tl.constexpr,
):
    """The first AHEAD columns of a tile's rows, from start up to stop."""
    if AHEAD:
        EACH: tl.constexpr = WARPS * 32 // ROWS
        thread = tl.arange(0, WARPS * 32)
        row = _row_of_weight(thread // EACH, first, N, ROWS, GATE).to(tl.int64)
        count = tl.where(thread % EACH == 0, tl.minimum(start + AHEAD, stop) - start, 0)
        read_ahead(weight_ptr + row * K + start, count)


@jit(do_not_specialize=["M"])
def many_rows_kernel(
    x_ptr,
    weight_ptr,
    bias_ptr,
    add_ptr,
    y_ptr,
    N,
    K,
    M,
    ROWS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
    SPLITS: tl.constexpr,
    STAGES: tl.constexpr,
    EVEN: tl.constexpr,
    WHOLE: tl.constexpr,
    AHEAD: tl.constexpr,
    WARPS: tl.constexpr,
    ACT: tl.constexpr,
    GATE: tl.constexpr,
    BIAS: tl.constexpr,
    ADD: tl.constexpr,
    PDL: tl.constexpr,
):
    """A tile of y, or of its partial sums; programs of the same rows of W are neighbours.

    EVEN: every split has whole blocks of K; WHOLE: x has whole blocks of rows. AHEAD: columns that
    are fetched early, 0: none.
    """
    release(PDL)
    blocks = tl.cdiv(M, BLOCK_M)
    block, part = tl.program_id(0) % blocks, tl.program_id(0) // blocks
    split, tile = part % SPLITS, part // SPLITS
    OUTPUTS: tl.constexpr = ROWS // 2 if GATE else ROWS
    first = tile * OUTPUTS
    span = tl.cdiv(K, BLOCK_K * SPLITS) * BLOCK_K
    start, stop = split * span, tl.minimum(split * span + span, K)
    if block == 0:
        _read_ahead(weight_ptr, start, stop, first, N, K, AHEAD, ROWS, GATE, WARPS)
    row = _row_of_weight(tl.arange(0, ROWS), first, N, ROWS, GATE)
    m, k = block * BLOCK_M + tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_K)
    w_ptrs = weight_ptr + row.to(tl.int64)[:, None] * K + k[None, :]
    x_ptrs = x_ptr + m[:, None] * K + k[None, :]
    # rows that are not there are not read: many reads of one row in their place wait for each other
    here = (m < M)[:, None]
    sums = tl.zeros([ROWS, BLOCK_M], tl.float32)
    if BIAS:
        bias = tl.load(bias_ptr + row).to(tl.float32)
        sums += tl.where(split == 0, bias, 0.0)[:, None]
    await_inputs(PDL)

    for s in tl.range(start, stop, BLOCK_K, num_stages=STAGES):
        if EVEN:
            w = tl.load(w_ptrs + s)
            x = tl.load(x_ptrs + s) if WHOLE else tl.load(x_ptrs + s, here, other=0.0)
        else:
            some = (s + k < stop)[None, :]
            w = tl.load(w_ptrs + s, some, other=0.0)
            x = tl.load(x_ptrs + s, some & here, other=0.0)
        sums = tl.dot(w, tl.trans(x), sums, input_precision="ieee")
    n = first + tl.arange(0, OUTPUTS)
    y_at = m[None, :] * N + n[:, None]
    mine = (m < M)[None, :] & (n < N)[:, None]
    if SPLITS > 1:
        parts_ptr = y_ptr + split.to(tl.int64) * M * N
        tl.store(parts_ptr + y_at, sums, mine)
    else:
        if GATE:
            halves = tl.permute(tl.reshape(sums, (2, OUTPUTS, BLOCK_M)), (1, 2, 0))
            g, u = tl.split(halves)
            y = activated(g, ACT) * u
        else:
            y = activated(sums, ACT)
        if ADD:
            y += tl.load(add_ptr + y_at, mine, other=0.0).to(tl.float32)
        tl.store(y_ptr + y_at, y.to(y_ptr.dtype.element_ty), mine)
