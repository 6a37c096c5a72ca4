"""The kernel of `gated_linear.py` for many rows, in Hopper's way.

A tile is 192 rows of x by 128 rows of g's weights and 128 of u's. One warp copies them, 64 columns at a
time (TMA); three groups of four warps take 64 rows of x each, and what belongs together of g and u ends
in the same thread. What limits it is power, and tiles of 128 rows read a third more of the L2 cache.
Programs stay, one a multiprocessor, and the copies of a tile begin while the one before it ends. Tiles
that run at the same time share what they read: `TOGETHER` blocks of x by as many of W as there are
programs for.

Written in Gluon, Triton's language of explicit layouts: it cannot be interpreted on a CPU.
"""

# in a kernel, types are Triton's business
# pyright: reportOperatorIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportAssignmentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

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
from ._triton import multiprocessors, overlap
from .gated_linear import TILE

DEPTH, STAGES = 64, 3
"""Columns of a stage; stages that are on their way."""
TOGETHER = 12
"""Blocks of x whose tiles run together."""


@gluon.jit
def _tile(t, M, N, TOGETHER: gl.constexpr):
    """First row of x and first output of tile t."""
    blocks_m, blocks_n = (M + 191) // 192, (N + 127) // 128
    first = t // (TOGETHER * blocks_n) * TOGETHER
    size = gl.minimum(blocks_m - first, TOGETHER)
    inside = t % (TOGETHER * blocks_n)
    return (first + inside % size) * 192, inside // size * 128


@gluon.jit
def _copy(
    x_desc, w_desc, x_smem, w_smem, full, empty, M, N, K, tiles,
    TOGETHER: gl.constexpr, STAGES: gl.constexpr,
):  # fmt: skip
    """The warp that fills the buffers."""
    done = 0
    gdc_wait()
    for t in range(gl.program_id(0), tiles, gl.num_programs(0)):
        m, n = _tile(t, M, N, TOGETHER)
        for k in range(0, K, 64):
            stage = done % STAGES
            mbarrier.wait(empty.index(stage), ((done // STAGES) & 1) ^ 1)
            mbarrier.expect(full.index(stage), (192 + 256) * 64 * 2)
            for j in gl.static_range(3):
                rows = x_smem.index(stage * 3 + j)
                async_load(x_desc, [m + j * 64, k], full.index(stage), rows)
            async_load(w_desc, [n, k], full.index(stage), w_smem.index(stage).slice(0, 128))
            async_load(w_desc, [N + n, k], full.index(stage), w_smem.index(stage).slice(128, 128))
            done += 1


@gluon.jit
def _multiply(
    y_ptr, x_smem, w_smem, full, empty, M, N, K, tiles,
    WHO: gl.constexpr, ACT: gl.constexpr, TOGETHER: gl.constexpr, STAGES: gl.constexpr,
):  # fmt: skip
    """A group of four warps: 64 rows of each tile."""
    SUMS: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, 128, 16])
    OUT: gl.constexpr = gl.BlockedLayout([1, 8], [2, 16], [4, 1], [1, 0])
    done = 0
    gdc_wait()
    for t in range(gl.program_id(0), tiles, gl.num_programs(0)):
        m, n = _tile(t, M, N, TOGETHER)
        g = gl.zeros([64, 128], gl.float32, layout=SUMS)
        u = gl.zeros([64, 128], gl.float32, layout=SUMS)
        for k in range(0, K, 64):
            stage = done % STAGES
            mbarrier.wait(full.index(stage), (done // STAGES) & 1)
            x, w = x_smem.index(stage * 3 + WHO), w_smem.index(stage)
            g = warpgroup_mma(x, w.slice(0, 128).permute((1, 0)), g, is_async=True)
            u = warpgroup_mma(x, w.slice(128, 128).permute((1, 0)), u, is_async=True)
            # the products of the stage before have ended
            g, u = warpgroup_mma_wait(2, deps=(g, u))
            mbarrier.arrive(empty.index((done + STAGES - 1) % STAGES), count=1, pred=k > 0)
            done += 1
        g, u = warpgroup_mma_wait(0, deps=(g, u))
        mbarrier.arrive(empty.index((done + STAGES - 1) % STAGES), count=1)
        y = gl.convert_layout((activated(g, ACT) * u).to(y_ptr.dtype.element_ty), OUT)
        m = m + WHO * 64 + gl.arange(0, 64, layout=gl.SliceLayout(1, OUT))
        n = n + gl.arange(0, 128, layout=gl.SliceLayout(0, OUT))
        at = m.to(gl.int64)[:, None] * N + n[None, :]
        gl.store(y_ptr + at, y, mask=(m < M)[:, None] & (n < N)[None, :])


@gluon.jit(do_not_specialize=["M", "tiles"])
def hopper_gate_kernel(
    x_desc, w_desc, y_ptr, M, N, K, tiles,
    ACT: gl.constexpr, TOGETHER: gl.constexpr, STAGES: gl.constexpr, PDL: gl.constexpr,
):  # fmt: skip
    """y [M, N] of x [M, K] and W [2 * N, K]."""
    if PDL:
        gdc_launch_dependents()
    DTYPE: gl.constexpr = w_desc.dtype
    X: gl.constexpr = gl.NVMMASharedLayout.get_default_for([64, 64], DTYPE)
    W: gl.constexpr = gl.NVMMASharedLayout.get_default_for([256, 64], DTYPE)
    x_smem = gl.allocate_shared_memory(DTYPE, [STAGES * 3, 64, 64], X)
    w_smem = gl.allocate_shared_memory(DTYPE, [STAGES, 256, 64], W)
    full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    for i in gl.static_range(STAGES):
        mbarrier.init(full.index(i), count=1)
        mbarrier.init(empty.index(i), count=3)
    fence_async_shared()
    gl.warp_specialize(
        [
            (_multiply, (y_ptr, x_smem, w_smem, full, empty, M, N, K, tiles,
                         0, ACT, TOGETHER, STAGES)),
            (_multiply, (y_ptr, x_smem, w_smem, full, empty, M, N, K, tiles,
                         1, ACT, TOGETHER, STAGES)),
            (_multiply, (y_ptr, x_smem, w_smem, full, empty, M, N, K, tiles,
                         2, ACT, TOGETHER, STAGES)),
            (_copy, (x_desc, w_desc, x_smem, w_smem, full, empty, M, N, K, tiles,
                     TOGETHER, STAGES)),
        ],
        [4, 4, 1],
        [160, 160, 24],
    )  # fmt: skip


def hopper_gate(x: Tensor, weight: Tensor, act: int, y: Tensor) -> None:
    """As `gated_linear`, which has checked the arguments; act: a number of `ACTS`."""
    (count, size), size_out = x.shape, y.shape[1]
    tiles = -(-count // TILE[0]) * -(-size_out // TILE[1])
    hopper_gate_kernel[(min(tiles, multiprocessors(x)),)](
        matrix(x, 64, DEPTH),
        matrix(weight, TILE[1], DEPTH),
        y,
        count,
        size_out,
        size,
        tiles,
        ACT=act,
        TOGETHER=TOGETHER,
        STAGES=STAGES,
        num_warps=4,
        **overlap(x),
    )
