"""Logits bounded softly (Gemma Team 2024): cap * tanh(x / cap).

Memory bound: reads a value and writes one, instead of three times each.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._triton import jit, require_contiguous, tl, use_triton
from .decode_attention import capped

BLOCK = 1024


def soft_cap_ref(x: Tensor, cap: float) -> Tensor:
    """As `soft_cap`; rounded only once, at its end."""
    return (cap * torch.tanh(x.float() / cap)).to(x.dtype)


@jit(do_not_specialize=["count"])
def _soft_cap_kernel(x_ptr, y_ptr, count, cap, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, at < count, other=0.0).to(tl.float32)
    tl.store(y_ptr + at, capped(x, cap).to(y_ptr.dtype.element_ty), at < count)


def soft_cap(x: Tensor, cap: float, out: Tensor | None = None) -> Tensor:
    """x of any shape, cap > 0 -> the same shape, in `out` if given, which may be x."""
    if not use_triton(x):
        y = soft_cap_ref(x, cap)
        return y if out is None else out.copy_(y)
    y = torch.empty_like(x) if out is None else out
    require_contiguous("soft_cap", x=x, out=y)
    if x.numel():
        grid = (-(-x.numel() // BLOCK),)
        _soft_cap_kernel[grid](x, y, x.numel(), float(cap), BLOCK=BLOCK, num_warps=4)
    return y
