"""Layer norm, optionally after the residual add that precedes it (Ba et al. 2016).

residual = x + residual                  (if a residual is given; x may come as parts to be added up)
y = (residual - mean) / sqrt(var(residual) + eps) * weight + bias

Memory bound, as `rms_norm.py`, whose way of adding and whose tiles it has.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ._triton import await_inputs, jit, release, require_contiguous, tl, use_triton
from .rms_norm import added, added_ref, options_of, parts_of, shape_of


def layer_norm_ref(x: Tensor, weight: Tensor, bias: Tensor | None, eps: float) -> Tensor:
    """x [..., N], weight and bias [N] -> [..., N]; torch's statistics are float32 whatever the dtype."""
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def add_layer_norm_ref(
    x: Tensor, residual: Tensor | None, weight: Tensor, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """(normalised, new residual); `residual` None stands for zero."""
    residual = x if residual is None else added_ref(x, residual)
    return layer_norm_ref(residual, weight, bias, eps), residual


@jit(do_not_specialize=["T"])
def _layer_norm_kernel(
    x_ptr,
    residual_ptr,
    weight_ptr,
    bias_ptr,
    y_ptr,
    sum_ptr,
    T,
    eps,
    N: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    BIAS: tl.constexpr,
    PARTS: tl.constexpr,
    PDL: tl.constexpr,
):
    """PARTS: as of `rms_norm.py`."""
    release(PDL)
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    cols = tl.arange(0, BLOCK)[None, :]
    at, mask = rows * N + cols, (rows < T) & (cols < N)
    weight = tl.load(weight_ptr + cols, cols < N, other=0.0).to(tl.float32)
    bias = 0.0
    if BIAS:
        bias = tl.load(bias_ptr + cols, cols < N, other=0.0).to(tl.float32)
    await_inputs(PDL)
    if PARTS:
        x = added(x_ptr, residual_ptr, sum_ptr, at, mask, T.to(tl.int64) * N, PARTS)
    else:
        x = tl.load(x_ptr + at, mask, other=0.0).to(tl.float32)
    d = tl.where(mask, x - (tl.sum(x, 1) / N)[:, None], 0.0)
    scale = tl.rsqrt(tl.sum(d * d, 1) / N + eps)
    y = d * scale[:, None] * weight + bias
    tl.store(y_ptr + at, y.to(y_ptr.dtype.element_ty), mask)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor | None, eps: float) -> Tensor:
    """x [..., N], weight and bias [N] -> [..., N]."""
    if not use_triton(x):
        return layer_norm_ref(x, weight, bias, eps)
    y = torch.empty_like(x)
    _launch(x, None, weight, bias, eps, y, None)
    return y


def add_layer_norm(
    x: Tensor, residual: Tensor | None, weight: Tensor, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """(normalised, new residual).

    x [..., N] as the residual, or float32 parts [S, ..., N] of it, added up in their order.
    """
    if not use_triton(x):
        return add_layer_norm_ref(x, residual, weight, bias, eps)
    if residual is None:
        return layer_norm(x, weight, bias, eps), x
    y, total = torch.empty_like(residual), torch.empty_like(residual)
    _launch(x, residual, weight, bias, eps, y, total)
    return y, total


def _launch(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    eps: float,
    y: Tensor,
    total: Tensor | None,
) -> None:
    require_contiguous("layer_norm", x=x, residual=residual, weight=weight, bias=bias)
    if y.numel() == 0:
        return
    size, block, rows, warps = shape_of(y)
    programs = -(-(y.numel() // size) // rows)
    _layer_norm_kernel[(programs,)](
        x,
        residual,
        weight,
        bias,
        y,
        total,
        y.numel() // size,
        eps,
        N=size,
        ROWS=rows,
        BLOCK=block,
        BIAS=bias is not None,
        PARTS=parts_of(x, residual),
        **options_of(x, programs, warps),
    )
