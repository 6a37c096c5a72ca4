"""RMSNorm, optionally after the residual add that precedes it (Zhang & Sennrich 2019).

residual = x + residual                  (if a residual is given; x may come as parts to be added up)
y = residual / sqrt(mean(residual**2) + eps) * (weight + offset)

Memory bound: with a residual it reads two rows and writes two. One program takes a row, or several
short ones.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ._triton import (
    await_inputs,
    jit,
    multiprocessors,
    next_power_of_2,
    overlap,
    registers,
    release,
    require_contiguous,
    tl,
    use_triton,
)


def rms_norm_ref(x: Tensor, weight: Tensor, eps: float, offset: float = 0.0) -> Tensor:
    """x [..., N], weight [N] -> [..., N]; the statistics are float32 whatever the dtype."""
    # torch's own has no CPU kernel and takes twice as many operations
    least, per_root = _constants(x.shape[-1], eps, x.device)
    wide = x if x.dtype == torch.float32 else x.float()
    scale = weight if weight.dtype == torch.float32 else weight.float()
    norm = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    root = torch.hypot(norm, least).mul_(per_root)
    y = torch.div(wide, root).mul_(scale + offset if offset else scale)
    return y if y.dtype == x.dtype else y.to(x.dtype)


@lru_cache
def _constants(size: int, eps: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """sqrt(size * eps) and 1 / sqrt(size), as tensors: torch would make one of a number each time."""
    where = {"dtype": torch.float32, "device": device}
    with torch.inference_mode(False):
        return torch.tensor((size * eps) ** 0.5, **where), torch.tensor(size**-0.5, **where)


def add_rms_norm_ref(
    x: Tensor, residual: Tensor | None, weight: Tensor, eps: float, offset: float = 0.0
) -> tuple[Tensor, Tensor]:
    """(normalised, new residual); `residual` None stands for zero."""
    residual = x if residual is None else added_ref(x, residual)
    return rms_norm_ref(residual, weight, eps, offset), residual


def added_ref(x: Tensor, residual: Tensor) -> Tensor:
    """x + residual [..., N], rounded once; x may be its parts [S, ..., N]."""
    if x.ndim > residual.ndim:
        return (x.sum(0) + residual).to(residual.dtype)
    return x + residual


@jit
def added(x_ptr, residual_ptr, sum_ptr, at, mask, size, PARTS: tl.constexpr):
    """The sum at `at` of PARTS tensors of `size` elements and the residual, stored and as stored."""
    x = tl.load(x_ptr + at, mask, other=0.0).to(tl.float32)
    for part in tl.static_range(1, PARTS):  # pyright: ignore
        x += tl.load(x_ptr + part * size + at, mask, other=0.0)
    x += tl.load(residual_ptr + at, mask, other=0.0).to(tl.float32)
    rounded = x.to(sum_ptr.dtype.element_ty)
    tl.store(sum_ptr + at, rounded, mask)
    # what the next layer adds to is what this one normalises
    return rounded.to(tl.float32)


@jit(do_not_specialize=["T"])
def _rms_norm_kernel(
    x_ptr,
    residual_ptr,
    weight_ptr,
    y_ptr,
    sum_ptr,
    T,
    eps,
    offset,
    N: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    PARTS: tl.constexpr,
    PDL: tl.constexpr,
):
    """PARTS: those of x that are added up with the residual; 0: x is normalised as it is."""
    release(PDL)
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    cols = tl.arange(0, BLOCK)[None, :]
    at, mask = rows * N + cols, (rows < T) & (cols < N)
    weight = tl.load(weight_ptr + cols, cols < N, other=0.0).to(tl.float32)
    await_inputs(PDL)
    if PARTS:
        x = added(x_ptr, residual_ptr, sum_ptr, at, mask, T.to(tl.int64) * N, PARTS)
    else:
        x = tl.load(x_ptr + at, mask, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(x * x, 1) / N + eps)
    y = x * scale[:, None] * (weight + offset)
    tl.store(y_ptr + at, y.to(y_ptr.dtype.element_ty), mask)


def rms_norm(
    x: Tensor, weight: Tensor, eps: float, out: Tensor | None = None, offset: float = 0.0
) -> Tensor:
    """x [..., N], weight [N] -> [..., N], in `out` if given, which may be x."""
    if not use_triton(x):
        y = rms_norm_ref(x, weight, eps, offset)
        return y if out is None else out.copy_(y)
    y = torch.empty_like(x) if out is None else out
    _launch(x, None, weight, eps, offset, y, None)
    return y


def add_rms_norm(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor,
    eps: float,
    out: Tensor | None = None,
    residual_out: Tensor | None = None,
    offset: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """(normalised, new residual), in `out` and `residual_out`, which may be x and residual.

    x [..., N] as the residual, or float32 parts [S, ..., N] of it, added up in their order.
    """
    if not use_triton(x):
        y, total = add_rms_norm_ref(x, residual, weight, eps, offset)
        y = y if out is None else out.copy_(y)
        return y, total if residual_out is None else residual_out.copy_(total)
    if residual is None:
        total = x if residual_out is None else residual_out.copy_(x)
        return rms_norm(x, weight, eps, out, offset), total
    y = torch.empty_like(residual) if out is None else out
    total = torch.empty_like(residual) if residual_out is None else residual_out
    _launch(x, residual, weight, eps, offset, y, total)
    return y, total


def _launch(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor,
    eps: float,
    offset: float,
    y: Tensor,
    total: Tensor | None,
) -> None:
    require_contiguous("rms_norm", x=x, residual=residual, weight=weight, out=y, total=total)
    if y.numel() == 0:
        return
    size, block, rows, warps = shape_of(y)
    programs = -(-(y.numel() // size) // rows)
    _rms_norm_kernel[(programs,)](
        x,
        residual,
        weight,
        y,
        total,
        y.numel() // size,
        eps,
        offset,
        N=size,
        ROWS=rows,
        BLOCK=block,
        PARTS=parts_of(x, residual),
        **options_of(x, programs, warps),
    )


def shape_of(y: Tensor) -> tuple[int, int, int, int]:
    """(columns, those of a tile, rows of a program, warps) to normalise y [..., N] with."""
    size = y.shape[-1]
    count, block = y.numel() // size, next_power_of_2(size)
    # about 1024 elements a program, unless there are so few rows that each gets its own
    rows = max(1, 1024 // block) if count > 64 else 1
    return size, block, rows, min(16, max(1, rows * block // 512))


def options_of(x: Tensor, programs: int, warps: int) -> dict[str, Any]:
    """Options of the launch. A program that has a multiprocessor for itself may have its registers, or
    the parts of a sum would be fetched one after the other (see `RowTile`)."""
    alone = programs <= multiprocessors(x)
    return {"num_warps": warps, **overlap(x), **registers(x, 128 if alone else 0)}


def parts_of(x: Tensor, residual: Tensor | None) -> int:
    """The parts that x comes in; 0 if there is nothing to add it to."""
    if residual is None:
        return 0
    return len(x) if x.ndim > residual.ndim else 1
