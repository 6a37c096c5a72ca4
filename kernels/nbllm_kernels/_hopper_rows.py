"""The kernel of `skinny_linear.py` for 2 to 64 rows and a large weight, in Hopper's way.

The product is W x^T, as in `_many_rows.py`. What limits it there is reading the L2 cache, where x lies:
it is read once for each tile of rows of W. Here a tile is 256 rows. One warp copies it (TMA), and x
beside it; two groups of four warps take 128 rows each, as two products of 64. The warp begins with W
while the launch before this one ends.

Written in Gluon, Triton's language of explicit layouts: it cannot be interpreted on a CPU.
"""

# in a kernel, types are Triton's business
# pyright: reportOperatorIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportAssignmentType=false, reportGeneralTypeIssues=false
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

from typing import Any

from torch import Tensor
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    warpgroup_mma,
    warpgroup_mma_wait,
)
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from ._gluon import activated, async_load, matrix
from .skinny_tiles import HopperTile

ROWS, DEPTH = 256, 64
"""Rows of W of a tile, and columns of a stage."""


@gluon.jit
def _place(N, K, SPLITS: gl.constexpr, OUTPUTS: gl.constexpr):
    """First row of y's columns, first column of W, stages, and which part of the sum."""
    part = gl.program_id(0) % SPLITS
    steps = (K + 63) // 64
    span = (steps + SPLITS - 1) // SPLITS
    count = gl.maximum(gl.minimum(span, steps - part * span), 0)
    return gl.program_id(0) // SPLITS * OUTPUTS, part * span * 64, count, part


@gluon.jit
def _weights(w_desc, w_smem, full, stage, first, k, N, GATE: gl.constexpr):
    """A tile of W, 64 rows at a time; with a gate, each group has 64 of each half."""
    for j in gl.static_range(4):
        row = first + j // 2 * 64 + j % 2 * N if GATE else first + j * 64
        async_load(w_desc, [row, k], full.index(stage), w_smem.index(stage).slice(j * 64, 64))


@gluon.jit
def _copy(
    x_desc, w_desc, w_smem, x_smem, full, empty, N, K,
    BLOCK_M: gl.constexpr, SPLITS: gl.constexpr, STAGES: gl.constexpr, GATE: gl.constexpr,
):  # fmt: skip
    """The warp that fills the buffers."""
    BYTES: gl.constexpr = (256 + BLOCK_M) * 64 * 2
    OUTPUTS: gl.constexpr = 128 if GATE else 256
    first, start, count, _part = _place(N, K, SPLITS, OUTPUTS)
    early = gl.minimum(count, STAGES)
    for i in range(early):
        mbarrier.expect(full.index(i), BYTES)
        _weights(w_desc, w_smem, full, i, first, start + i * 64, N, GATE)
    gdc_wait()
    for i in range(early):
        async_load(x_desc, [0, start + i * 64], full.index(i), x_smem.index(i))
    for i in range(early, count):
        stage = i % STAGES
        mbarrier.wait(empty.index(stage), ((i // STAGES) & 1) ^ 1)
        mbarrier.expect(full.index(stage), BYTES)
        _weights(w_desc, w_smem, full, stage, first, start + i * 64, N, GATE)
        async_load(x_desc, [0, start + i * 64], full.index(stage), x_smem.index(stage))


@gluon.jit
def _store(y, add_ptr, y_ptr, first, part, M, N, ADD: gl.constexpr, OUT: gl.constexpr):
    """y [64, BLOCK_M] is what stands at [m, first + n]."""
    n = first + gl.arange(0, 64, layout=gl.SliceLayout(1, OUT))
    m = gl.arange(0, y.shape[1], layout=gl.SliceLayout(0, OUT))
    at = m.to(gl.int64)[None, :] * N + n[:, None]
    mine = (m < M)[None, :] & (n < N)[:, None]
    if ADD:
        y = y.to(gl.float32) + gl.load(add_ptr + at, mask=mine, other=0.0).to(gl.float32)
    gl.store(y_ptr + part.to(gl.int64) * M * N + at, y.to(y_ptr.dtype.element_ty), mask=mine)


@gluon.jit
def _biased(y, bias_ptr, first, N, part, SUMS: gl.constexpr):
    n = first + gl.arange(0, 64, layout=gl.SliceLayout(1, SUMS))
    bias = gl.load(bias_ptr + n, mask=n < N, other=0.0).to(gl.float32)
    return y + gl.where(part == 0, bias, 0.0)[:, None]


@gluon.jit
def _multiply(
    bias_ptr, add_ptr, y_ptr, w_smem, x_smem, full, empty, M, N, K,
    WHO: gl.constexpr, BLOCK_M: gl.constexpr, SPLITS: gl.constexpr, STAGES: gl.constexpr,
    ACT: gl.constexpr, GATE: gl.constexpr, BIAS: gl.constexpr, ADD: gl.constexpr,
):  # fmt: skip
    """A group of four warps: two times 64 rows of the tile."""
    SUMS: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BLOCK_M, 16])
    OUT: gl.constexpr = gl.BlockedLayout([8, 1], [8, 4], [1, 4], [0, 1])
    OUTPUTS: gl.constexpr = 128 if GATE else 256
    first, _start, count, part = _place(N, K, SPLITS, OUTPUTS)
    one = gl.zeros([64, BLOCK_M], gl.float32, layout=SUMS)
    two = gl.zeros([64, BLOCK_M], gl.float32, layout=SUMS)
    for i in range(count):
        stage = i % STAGES
        mbarrier.wait(full.index(stage), (i // STAGES) & 1)
        mine, x = w_smem.index(stage), x_smem.index(stage).permute((1, 0))
        one = warpgroup_mma(mine.slice(WHO * 128, 64), x, one, is_async=True)
        two = warpgroup_mma(mine.slice(WHO * 128 + 64, 64), x, two, is_async=True)
        # the products of the stage before have ended
        one, two = warpgroup_mma_wait(2, deps=(one, two))
        mbarrier.arrive(empty.index((i + STAGES - 1) % STAGES), count=1, pred=i > 0)
    one, two = warpgroup_mma_wait(0, deps=(one, two))
    gdc_wait()
    DTYPE: gl.constexpr = gl.float32 if ADD else y_ptr.dtype.element_ty
    if GATE:
        first += WHO * 64
        if BIAS:
            one = _biased(one, bias_ptr, first, N, part, SUMS)
            two = _biased(two, bias_ptr + N, first, N, part, SUMS)
        y = gl.convert_layout((activated(one, ACT) * two).to(DTYPE), OUT)
        _store(y, add_ptr, y_ptr, first, part, M, N, ADD, OUT)
    else:
        first += WHO * 128
        if BIAS:
            one = _biased(one, bias_ptr, first, N, part, SUMS)
            two = _biased(two, bias_ptr, first + 64, N, part, SUMS)
        y = gl.convert_layout(activated(one, ACT).to(DTYPE), OUT)
        _store(y, add_ptr, y_ptr, first, part, M, N, ADD, OUT)
        y = gl.convert_layout(activated(two, ACT).to(DTYPE), OUT)
        _store(y, add_ptr, y_ptr, first + 64, part, M, N, ADD, OUT)


@gluon.jit(do_not_specialize=["M"])
def hopper_rows_kernel(
    x_desc, w_desc, bias_ptr, add_ptr, y_ptr, N, K, M,
    BLOCK_M: gl.constexpr, SPLITS: gl.constexpr, STAGES: gl.constexpr,
    ACT: gl.constexpr, GATE: gl.constexpr, BIAS: gl.constexpr, ADD: gl.constexpr, PDL: gl.constexpr,
):  # fmt: skip
    """A tile of y [M, N], or a part of its sums [SPLITS, M, N]."""
    if PDL:
        gdc_launch_dependents()
    DTYPE: gl.constexpr = w_desc.dtype
    W: gl.constexpr = gl.NVMMASharedLayout.get_default_for([256, 64], DTYPE)
    X: gl.constexpr = gl.NVMMASharedLayout.get_default_for([BLOCK_M, 64], DTYPE)
    w_smem = gl.allocate_shared_memory(DTYPE, [STAGES, 256, 64], W)
    x_smem = gl.allocate_shared_memory(DTYPE, [STAGES, BLOCK_M, 64], X)
    full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    for i in gl.static_range(STAGES):
        mbarrier.init(full.index(i), count=1)
        mbarrier.init(empty.index(i), count=2)
    fence_async_shared()
    gl.warp_specialize(
        [
            (_multiply, (bias_ptr, add_ptr, y_ptr, w_smem, x_smem, full, empty, M, N, K,
                         0, BLOCK_M, SPLITS, STAGES, ACT, GATE, BIAS, ADD)),
            (_multiply, (bias_ptr, add_ptr, y_ptr, w_smem, x_smem, full, empty, M, N, K,
                         1, BLOCK_M, SPLITS, STAGES, ACT, GATE, BIAS, ADD)),
            (_copy, (x_desc, w_desc, w_smem, x_smem, full, empty, N, K,
                     BLOCK_M, SPLITS, STAGES, GATE)),
        ],
        [4, 1],
        [216, 24],
    )  # fmt: skip


def hopper_rows(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    add: Tensor | None,
    y: Tensor,
    size_out: int,
    tile: HopperTile,
    options: dict[str, Any],
) -> None:
    """y [M, N], or its parts [splits, M, N], from x [M, K] and weight, which `skinny_linear` has checked."""
    count, size = x.shape
    tiles = -(-size_out // (ROWS // 2 if options["GATE"] else ROWS))
    hopper_rows_kernel[(tiles * tile.splits,)](
        matrix(x, tile.block, DEPTH),
        matrix(weight, 64, DEPTH),
        bias,
        add,
        y,
        size_out,
        size,
        count,
        BLOCK_M=tile.block,
        SPLITS=tile.splits,
        STAGES=tile.stages,
        num_warps=4,
        **options,
    )
