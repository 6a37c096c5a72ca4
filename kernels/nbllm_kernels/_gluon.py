"""What the kernels in Gluon share. Importing it fails where Triton has no such language."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import tma
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

TYPES = {torch.bfloat16: gl.bfloat16, torch.float16: gl.float16}
async_load = (
    getattr(tma, "async_load", None) or tma.async_copy_global_to_shared
)  # before Triton 3.7


@cache
def layout(rows: int, columns: int, dtype: torch.dtype) -> gl.NVMMASharedLayout:
    """How a tile lies in shared memory."""
    kind = TYPES[dtype]
    return gl.NVMMASharedLayout.get_default_for([rows, columns], kind)  # pyright: ignore


def matrix(x: Tensor, rows: int, columns: int) -> TensorDescriptor:
    """The contiguous x as a matrix of its last axis, to copy tiles from."""
    width = x.shape[-1]
    height = x.shape[0] * x.stride(0) // width
    where = layout(rows, columns, x.dtype)
    return TensorDescriptor(x, [height, width], [width, 1], [rows, columns], where)


@gluon.jit
def activated(y, ACT: gl.constexpr):
    """As `_around.activated`, whose language is another."""
    if ACT == 1:
        y = gl.maximum(y, 0.0)
    if ACT == 2:
        y = 0.5 * y * (1.0 + gl.erf(y * 0.7071067811865476))
    if ACT == 3:
        z = 0.7978845608028654 * (y + 0.044715 * y * y * y)
        y = y / (1.0 + gl.exp(-2.0 * z))
    if ACT == 4:
        y = y / (1.0 + gl.exp(-y))
    return y
