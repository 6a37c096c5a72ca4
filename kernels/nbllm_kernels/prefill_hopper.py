"""Causal attention of long prompts over the paged cache, in Hopper's way (FlashAttention-3, Shah et al. 2024).

As prefill_attention.py, which says what is computed, for heads of 64 or 128 without window and cap.
A tile is 128 queries of one head. One warp copies pages of keys and values to shared memory (TMA); two
groups of four warps, 64 queries each, share what it brings, which halves what is read of the L2 cache,
the limit of smaller tiles. Each group starts the product of its next scores before it turns the last
ones into probabilities, so that the tensor cores work meanwhile, also for the other group.

Programs stay (one a multiprocessor) and take tiles, the longest first and in alternating order, so
that the copies of a tile begin while the one before it ends.

Written in Gluon, Triton's language of explicit layouts: it cannot be interpreted on a CPU.
"""

# in a kernel, types are Triton's business
# pyright: reportOperatorIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportAssignmentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from math import e, log2

from torch import Tensor
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    warpgroup_mma,
    warpgroup_mma_wait,
)

from ._gluon import async_load, matrix
from ._triton import multiprocessors
from .work_list import WorkList

BLOCK_N, STAGES = 128, 3
"""Keys of a block, two pages; blocks that are on their way."""


@gluon.jit
def _tile(p, t, H: gl.constexpr, BLOCK_N: gl.constexpr):
    """Tile t: its row and head; its first token, and how many are new; the position of the first; the
    row's tokens in the cache, and the blocks of keys that the tile sees. No token, no block: no tile."""
    items_ptr, capacity, q_starts_ptr, lens_ptr = p
    item = capacity - 1 - t // H
    head = t % H
    row = gl.load(items_ptr + item * 4)
    skipped = gl.load(items_ptr + item * 4 + 1)
    safe = gl.maximum(row, 0)
    start = gl.load(q_starts_ptr + safe)
    new = (gl.load(q_starts_ptr + safe + 1) - start).to(gl.int32)
    kv_len = gl.load(lens_ptr + safe).to(gl.int32)
    first = kv_len - new + skipped
    stop = gl.where(row < 0, 0, gl.maximum(gl.minimum(first + 128, kv_len), 0))
    new = gl.where(row < 0, 0, gl.minimum(new - skipped, 128))
    return safe, head, start + skipped, new, first, kv_len, (stop + BLOCK_N - 1) // BLOCK_N


@gluon.jit
def _turn(r):
    """Number of the tile that this program takes in round r."""
    programs, me = gl.num_programs(0), gl.program_id(0)
    return r * programs + gl.where(r % 2 == 0, me, programs - 1 - me)


@gluon.jit
def _copy(
    p, kv_desc, pages_ptr, rows_ptr, table_stride, page_rows, kv_rows, layer_row, k_smem, v_smem,
    k_full, k_empty, v_full, v_empty, tiles,
    H: gl.constexpr, GROUP: gl.constexpr, PAGE: gl.constexpr, BLOCK_N: gl.constexpr,
    ROWS: gl.constexpr, STAGES: gl.constexpr,
):  # fmt: skip
    """The warp that fills the buffers."""
    done = 0
    for r in range((tiles + gl.num_programs(0) - 1) // gl.num_programs(0)):
        t = _turn(r)
        if t < tiles:
            row, head, _, _, _, kv_len, blocks = _tile(p, t, H, BLOCK_N)
            table = pages_ptr + row.to(gl.int64) * table_stride
            if ROWS:
                table = pages_ptr + gl.load(rows_ptr + row).to(gl.int64) * table_stride
            head_row = layer_row + head // GROUP * PAGE
            last = (kv_len - 1) // PAGE
            for i in range(blocks):
                block = blocks - 1 - i
                stage, phase = done % STAGES, (done // STAGES) & 1
                mbarrier.wait(k_empty.index(stage), phase ^ 1)
                mbarrier.expect(k_full.index(stage), BLOCK_N * k_smem.shape[2] * 2)
                for j in gl.static_range(BLOCK_N // PAGE):
                    at = gl.minimum(block * (BLOCK_N // PAGE) + j, last)
                    page = gl.load(table + at).to(gl.int32)
                    async_load(
                        kv_desc,
                        [page * page_rows + head_row, 0],
                        k_full.index(stage),
                        k_smem.index(stage).slice(j * PAGE, PAGE),
                    )
                mbarrier.wait(v_empty.index(stage), phase ^ 1)
                mbarrier.expect(v_full.index(stage), BLOCK_N * k_smem.shape[2] * 2)
                for j in gl.static_range(BLOCK_N // PAGE):
                    at = gl.minimum(block * (BLOCK_N // PAGE) + j, last)
                    page = gl.load(table + at).to(gl.int32)
                    async_load(
                        kv_desc,
                        [page * page_rows + head_row + kv_rows, 0],
                        v_full.index(stage),
                        v_smem.index(stage).slice(j * PAGE, PAGE),
                    )
                done += 1


@gluon.jit
def _probabilities(
    score, top, total, block, position, kv_len, to_bits,
    MASKED: gl.constexpr, BLOCK_N: gl.constexpr, S: gl.constexpr, P: gl.constexpr, DTYPE: gl.constexpr,
):  # fmt: skip
    """Scores of a block to what values are weighted with, and by how much the sums before shrink."""
    if MASKED:
        key = block * BLOCK_N + gl.arange(0, BLOCK_N, layout=gl.SliceLayout(0, S))
        seen = (key[None, :] <= position[:, None]) & (key < kv_len)[None, :]
        score = gl.where(seen, score, float("-inf"))
    higher = gl.maximum(top, gl.max(score, 1) * to_bits)
    p = gl.exp2(score * to_bits - higher[:, None])
    shrink = gl.exp2(top - higher)
    total = total * shrink + gl.sum(p, 1)
    return gl.convert_layout(p.to(DTYPE), P), shrink, higher, total


@gluon.jit
def _clear(v_smem, first, kv_len, BLOCK_N: gl.constexpr, LAYOUT: gl.constexpr):
    """Zero the values from kv_len on: nobody has written them, and 0 times NaN is NaN. Both groups do."""
    for j in gl.static_range(BLOCK_N // 64):
        half = v_smem.slice(j * 64, 64)
        key = first + j * 64 + gl.arange(0, 64, layout=gl.SliceLayout(1, LAYOUT))
        value = half.load(LAYOUT)
        half.store(gl.where((key < kv_len)[:, None], value, gl.zeros_like(value)))
    fence_async_shared()


@gluon.jit
def _blocks(
    p, acc, top, total, block, count, done, q_smem, k_smem, v_smem, k_full, k_empty, v_full, v_empty,
    position, kv_len, to_bits,
    MASKED: gl.constexpr, BLOCK_N: gl.constexpr, STAGES: gl.constexpr,
    S: gl.constexpr, ACC: gl.constexpr, P: gl.constexpr,
):  # fmt: skip
    """`count` more blocks down from `block`; p: the weights of the one before, not yet applied."""
    for _ in range(count):
        stage, phase = done % STAGES, (done // STAGES) & 1
        before, phase_before = (done - 1) % STAGES, ((done - 1) // STAGES) & 1
        mbarrier.wait(k_full.index(stage), phase)
        zeros = gl.zeros([64, BLOCK_N], gl.float32, layout=S)
        scores = warpgroup_mma(
            q_smem, k_smem.index(stage).permute((1, 0)), zeros, use_acc=False, is_async=True
        )
        mbarrier.wait(v_full.index(before), phase_before)
        sums = warpgroup_mma(p, v_smem.index(before), acc, is_async=True)
        score = warpgroup_mma_wait(1, deps=[scores])
        mbarrier.arrive(k_empty.index(stage), count=1)
        new_p, shrink, top, total = _probabilities(
            score, top, total, block, position, kv_len, to_bits, MASKED, BLOCK_N, S, P, p.dtype
        )
        acc = warpgroup_mma_wait(0, deps=[sums])
        mbarrier.arrive(v_empty.index(before), count=1)
        acc = acc * gl.convert_layout(shrink, gl.SliceLayout(1, ACC))[:, None]
        p = new_p
        block -= 1
        done += 1
    return p, acc, top, total, block, done


@gluon.jit
def _attend(
    p, q_ptr, out_ptr, q_smem, k_smem, v_smem, k_full, k_empty, v_full, v_empty, to_bits, tiles,
    WHO: gl.constexpr, H: gl.constexpr, D: gl.constexpr, BLOCK_N: gl.constexpr, STAGES: gl.constexpr,
):  # fmt: skip
    """A group of four warps: 64 queries of each tile."""
    DTYPE: gl.constexpr = q_ptr.dtype.element_ty
    S: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BLOCK_N, 16])
    ACC: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, D, 16])
    P: gl.constexpr = gl.DotOperandLayout(0, ACC, 2)
    Q: gl.constexpr = gl.BlockedLayout([1, 8], [32 * 8 // D, D // 8], [4, 1], [1, 0])
    done = 0
    for r in range((tiles + gl.num_programs(0) - 1) // gl.num_programs(0)):
        t = _turn(r)
        if t < tiles:
            _, head, token, new, first, kv_len, blocks = _tile(p, t, H, BLOCK_N)
            if blocks > 0:
                m = WHO * 64 + gl.arange(0, 64, layout=gl.SliceLayout(1, Q))
                d = gl.arange(0, D, layout=gl.SliceLayout(0, Q))
                at = ((token + m).to(gl.int64) * H + head)[:, None] * D + d[None, :]
                q_smem.store(gl.load(q_ptr + at, mask=(m < new)[:, None], other=0.0))
                fence_async_shared()
                position = first + WHO * 64 + gl.arange(0, 64, layout=gl.SliceLayout(1, S))
                block = blocks - 1
                stage, phase = done % STAGES, (done // STAGES) & 1
                mbarrier.wait(k_full.index(stage), phase)
                zeros = gl.zeros([64, BLOCK_N], gl.float32, layout=S)
                scores = warpgroup_mma(
                    q_smem, k_smem.index(stage).permute((1, 0)), zeros, use_acc=False, is_async=True
                )
                score = warpgroup_mma_wait(0, deps=[scores])
                mbarrier.arrive(k_empty.index(stage), count=1)
                # finite, so that a block without a visible key does not make -inf - -inf
                top = gl.full([64], -1e30, gl.float32, layout=gl.SliceLayout(1, S))
                total = gl.zeros([64], gl.float32, layout=gl.SliceLayout(1, S))
                acc = gl.zeros([64, D], gl.float32, layout=ACC)
                weights, _shrink, top, total = _probabilities(
                    score, top, total, block, position, kv_len, to_bits, True, BLOCK_N, S, P, DTYPE
                )
                if (block + 1) * BLOCK_N > kv_len:
                    mbarrier.wait(v_full.index(stage), phase)
                    _clear(v_smem.index(stage), block * BLOCK_N, kv_len, BLOCK_N, Q)
                block -= 1
                done += 1
                # the blocks that every query of the group sees whole
                whole = gl.minimum((first + WHO * 64 + 1) // BLOCK_N, block + 1)
                weights, acc, top, total, block, done = _blocks(
                    weights, acc, top, total, block, block + 1 - whole, done, q_smem, k_smem, v_smem,
                    k_full, k_empty, v_full, v_empty, position, kv_len, to_bits,
                    True, BLOCK_N, STAGES, S, ACC, P,
                )  # fmt: skip
                weights, acc, top, total, block, done = _blocks(
                    weights, acc, top, total, block, whole, done, q_smem, k_smem, v_smem,
                    k_full, k_empty, v_full, v_empty, position, kv_len, to_bits,
                    False, BLOCK_N, STAGES, S, ACC, P,
                )  # fmt: skip
                before, phase_before = (done - 1) % STAGES, ((done - 1) // STAGES) & 1
                mbarrier.wait(v_full.index(before), phase_before)
                sums = warpgroup_mma(weights, v_smem.index(before), acc, is_async=True)
                acc = warpgroup_mma_wait(0, deps=[sums])
                mbarrier.arrive(v_empty.index(before), count=1)
                # queries beyond the new tokens may have seen nothing
                share = 1.0 / gl.where(total > 0.0, total, 1.0)
                out = (acc * gl.convert_layout(share, gl.SliceLayout(1, ACC))[:, None]).to(DTYPE)
                om = WHO * 64 + gl.arange(0, 64, layout=gl.SliceLayout(1, ACC))
                od = gl.arange(0, D, layout=gl.SliceLayout(0, ACC))
                out_at = ((token + om).to(gl.int64) * H + head)[:, None] * D + od[None, :]
                gl.store(out_ptr + out_at, out, mask=(om < new)[:, None])
            else:
                m = WHO * 64 + gl.arange(0, 64, layout=gl.SliceLayout(1, Q))
                d = gl.arange(0, D, layout=gl.SliceLayout(0, Q))
                at = ((token + m).to(gl.int64) * H + head)[:, None] * D + d[None, :]
                none = gl.zeros([64, D], DTYPE, layout=Q)
                gl.store(out_ptr + at, none, mask=(m < new)[:, None])


@gluon.jit(do_not_specialize=["layer_row", "table_stride", "capacity", "tiles"])
def _prefill_hopper_kernel(
    q_ptr, kv_desc, pages_ptr, rows_ptr, q_starts_ptr, lens_ptr, items_ptr, out_ptr,
    layer_row, page_rows, kv_rows, table_stride, capacity, tiles, to_bits,
    H: gl.constexpr, GROUP: gl.constexpr, D: gl.constexpr, PAGE: gl.constexpr,
    BLOCK_N: gl.constexpr, ROWS: gl.constexpr, STAGES: gl.constexpr,
):  # fmt: skip
    DTYPE: gl.constexpr = q_ptr.dtype.element_ty
    KV: gl.constexpr = gl.NVMMASharedLayout.get_default_for([BLOCK_N, D], DTYPE)
    QS: gl.constexpr = gl.NVMMASharedLayout.get_default_for([64, D], DTYPE)
    k_smem = gl.allocate_shared_memory(DTYPE, [STAGES, BLOCK_N, D], KV)
    v_smem = gl.allocate_shared_memory(DTYPE, [STAGES, BLOCK_N, D], KV)
    q_smem = gl.allocate_shared_memory(DTYPE, [2, 64, D], QS)
    BAR: gl.constexpr = mbarrier.MBarrierLayout()
    k_full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], BAR)
    k_empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], BAR)
    v_full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], BAR)
    v_empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], BAR)
    for i in gl.static_range(STAGES):
        mbarrier.init(k_full.index(i), count=1)
        mbarrier.init(v_full.index(i), count=1)
        mbarrier.init(k_empty.index(i), count=2)
        mbarrier.init(v_empty.index(i), count=2)
    fence_async_shared()
    p = (items_ptr, capacity, q_starts_ptr, lens_ptr)
    gl.warp_specialize(
        [
            (_attend, (p, q_ptr, out_ptr, q_smem.index(0), k_smem, v_smem, k_full, k_empty, v_full,
                       v_empty, to_bits, tiles, 0, H, D, BLOCK_N, STAGES)),
            (_attend, (p, q_ptr, out_ptr, q_smem.index(1), k_smem, v_smem, k_full, k_empty, v_full,
                       v_empty, to_bits, tiles, 1, H, D, BLOCK_N, STAGES)),
            (_copy, (p, kv_desc, pages_ptr, rows_ptr, table_stride, page_rows, kv_rows, layer_row,
                     k_smem, v_smem, k_full, k_empty, v_full, v_empty, tiles,
                     H, GROUP, PAGE, BLOCK_N, ROWS, STAGES)),
        ],
        [4, 1],
        [240, 24],
    )  # fmt: skip


def prefill_hopper(
    q: Tensor,
    kv: Tensor,
    layer: int,
    pages: Tensor,
    q_starts: Tensor,
    kv_lens: Tensor,
    scale: float,
    work: WorkList,
    rows: Tensor | None,
    out: Tensor,
) -> None:
    """As `prefill_attention`, which has checked the arguments; work is of tiles of TILE queries."""
    heads, dim = q.shape[1:]
    num_kv_heads, size = kv.shape[3:5]
    tiles = heads * work.capacity
    _prefill_hopper_kernel[(min(tiles, multiprocessors(q)),)](
        q,
        matrix(kv, size, dim),
        pages,
        rows,
        q_starts,
        kv_lens,
        work.items,
        out,
        layer * kv.stride(1) // dim,
        kv.stride(0) // dim,
        kv.stride(2) // dim,
        pages.stride(0),
        work.capacity,
        tiles,
        scale * log2(e),
        H=heads,
        GROUP=heads // num_kv_heads,
        D=dim,
        PAGE=size,
        BLOCK_N=BLOCK_N,
        ROWS=rows is not None,
        STAGES=STAGES,
        num_warps=4,
    )
