"""The gate of SwiGLU (Shazeer 2020): silu(gate) * up, with gate and up in the halves of one row.

Memory bound: reads two values and writes one.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ._triton import (
    await_inputs,
    jit,
    overlap,
    release,
    require_contiguous,
    tl,
    use_triton,
)

BLOCK = 1024


def silu_mul_ref(gate_up: Tensor) -> Tensor:
    """gate_up [..., 2 * N] -> [..., N]."""
    gate, up = gate_up.chunk(2, -1)
    return F.silu(gate).mul_(up)


@jit
def _silu_mul_kernel(gate_up_ptr, y_ptr, N, BLOCK: tl.constexpr, PDL: tl.constexpr):
    release(PDL)
    row = tl.program_id(0).to(tl.int64)
    cols = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = cols < N
    await_inputs(PDL)
    gate = tl.load(gate_up_ptr + row * 2 * N + cols, mask, other=0.0).to(tl.float32)
    up = tl.load(gate_up_ptr + row * 2 * N + N + cols, mask, other=0.0).to(tl.float32)
    y = gate * tl.sigmoid(gate) * up
    tl.store(y_ptr + row * N + cols, y.to(y_ptr.dtype.element_ty), mask)


def silu_mul(gate_up: Tensor, out: Tensor | None = None) -> Tensor:
    """gate_up [..., 2 * N] -> [..., N], in `out` if given."""
    if not use_triton(gate_up):
        y = silu_mul_ref(gate_up)
        return y if out is None else out.copy_(y)
    size = gate_up.shape[-1] // 2
    y = gate_up.new_empty(*gate_up.shape[:-1], size) if out is None else out
    require_contiguous("silu_mul", gate_up=gate_up, out=y)
    if y.numel():
        grid = (y.numel() // size, -(-size // BLOCK))
        _silu_mul_kernel[grid](gate_up, y, size, BLOCK=BLOCK, num_warps=4, **overlap(gate_up))
    return y
