"""What a captured step gives, written where the host reads it: into memory that both of them see.

ring[turn % slots, :n] = out;   turn = turn + 1           (unless the first row is the idle one)

A few kilobytes over the bus, by one program, as the last launch of a step. A copy for each step would
cost the host more than launching the step does. Whoever launches counts the turns too.
"""

from __future__ import annotations

from torch import Tensor

from ._triton import jit, require_contiguous, tl, use_triton

BLOCK = 1024


def hand_over_ref(out: Tensor, ring: Tensor, turn: Tensor, rows: Tensor, idle: int) -> None:
    """As `hand_over`."""
    if int(rows[0]) == idle:
        return
    ring[int(turn) % len(ring), : len(out)] = out.to(ring.device)
    turn += 1


@jit(do_not_specialize=["n", "slots", "idle"])
def _hand_over_kernel(
    out_ptr, ring_ptr, turn_ptr, rows_ptr, idle, n, slots, stride, BLOCK: tl.constexpr
):
    if tl.load(rows_ptr) == idle:
        return
    turn = tl.load(turn_ptr)
    to = ring_ptr + (turn % slots).to(tl.int64) * stride
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        tl.store(to + i, tl.load(out_ptr + i, i < n, other=0), i < n)
    # every thread has read it
    tl.debug_barrier()
    tl.store(turn_ptr, turn + 1)


def hand_over(out: Tensor, ring: Tensor, turn: Tensor, rows: Tensor, idle: int) -> None:
    """Write out [n] into the ring [slots, width] on the host, and count the turn [1]; all int32.

    The ring is page-locked, so that kernels write to it; n is at most the width. rows [R]: of the
    step; if the first is `idle` it is not one, and nothing happens.
    """
    if not use_triton(out):
        return hand_over_ref(out, ring, turn, rows, idle)
    require_contiguous("hand_over", out=out, ring=ring, turn=turn, rows=rows)
    sizes = idle, len(out), len(ring), ring.stride(0)
    _hand_over_kernel[(1,)](out, ring, turn, rows, *sizes, BLOCK=BLOCK, num_warps=4)
    return None
