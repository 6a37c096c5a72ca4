"""What the kernels of `skinny_linear.py` do to a tile before and after the product."""

# in a kernel, types are Triton's business
# pyright: reportOperatorIssue=false, reportArgumentType=false

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from ._triton import jit, tl

ACTS: dict[str | None, Callable[[Tensor], Tensor]] = {
    None: lambda y: y,
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda y: F.gelu(y, approximate="tanh"),
    "silu": F.silu,
}
NUMBER = {name: i for i, name in enumerate(ACTS)}
"""An activation as kernels know it."""


@jit
def activated(y, ACT: tl.constexpr):
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
def normed(x, mean, scale, weight, bias, BIAS: tl.constexpr):
    """x of the input's type, normalised and rounded to it again."""
    y = (x.to(tl.float32) - mean) * scale * weight.to(tl.float32)
    if BIAS:
        y += bias.to(tl.float32)
    return y.to(x.dtype)


@jit
def read_ahead(at, count):
    """Fetch `count` [T] elements of 16 bits from at [T] on into the L2 cache; nothing waits for it.

    From Hopper on. count is a multiple of 8, and of what is not positive nothing is read. Threads
    of a warp take turns, so the T, as many as threads, should have something to read here and there.
    """
    tl.inline_asm_elementwise(
        "{ .reg .pred none; setp.le.s32 none, $2, 0; @none bra done;"
        " cp.async.bulk.prefetch.L2.global [$1], $2; done: mov.u32 $0, 0; }",
        "=r,l,r",
        [at.to(tl.int64), count * 2],
        dtype=tl.int32,
        is_pure=False,
        pack=1,
    )
