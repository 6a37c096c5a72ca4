"""A linear layer of up to 256 rows with what comes before and after it, in one launch.

y = act(norm(x) W^T + b) + add       gate: y = act(g) * u + add, with g, u = halves of norm(x) W^T + b

norm is RMSNorm or layer norm. What RMSNorm divides a row by divides the sums, so that no product waits
for it; other norms' results are rounded to the type of x, as if they had been stored. y is rounded
once, at the end. Bound by reading W once; a step of few rows is also a chain of such
launches, each waiting for the one before. So weights are read before a launch waits (see `overlap`),
the first tile of few rows into registers, others into the L2 cache, and then little is left to do.

There is a kernel for one row (`_one_row.py`), one for up to 32, which can do it all (`_few_rows.py`),
and one for more (`_many_rows.py`), which leaves the norm to a launch of its own, as does one for large
weights on a Hopper GPU (`_hopper_rows.py`). `skinny_tiles.py` chooses. The order of every sum is fixed, there are no atomics, and a row does not depend on the
others that a kernel computes with the same tile.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ._around import ACTS, NUMBER
from ._few_rows import few_rows_kernel
from ._many_rows import many_rows_kernel
from ._one_row import one_row_kernel
from ._triton import in_gluon, overlap, registers, require_contiguous, use_triton
from .skinny_tiles import (
    LANES,
    LARGE,
    MOST,
    BlockTile,
    HopperTile,
    RowsTile,
    RowTile,
    Tile,
    hopper_tile,
    tile_for,
)

__all__ = ["ACTS", "MOST", "Norm", "choose", "skinny_linear", "skinny_linear_ref", "takes_norm"]

NORMED = 2048
"""Columns up to which a norm is cheaper once more in every program than in a launch of its own."""
FEW = 32
"""Rows of x up to which a `RowsTile` is for."""
AHEAD = {RowsTile: 2048, BlockTile: 1024}
"""Columns of W, behind what is in registers, that a program fetches before it waits for x: of a
weight of up to `LARGE` elements. A larger one keeps the memory busy anyway."""


class Norm(NamedTuple):
    """Layer norm if `center`, else RMSNorm."""

    weight: Tensor  # [K]
    bias: Tensor | None  # [K], only with `center`
    eps: float
    center: bool


def choose(x: Tensor, weight: Tensor, gate: bool = False, most: int = MOST) -> Tile | None:
    """The tile with which `skinny_linear` is the fastest way from x [M, K] through weight, if it is.

    None for more than `most` rows.
    """
    if not 0 < len(x) <= most or not use_triton(x) or x.dtype != weight.dtype:
        return None
    if not weight.is_contiguous():  # somebody else's, stored the other way round
        return None
    if len(x) > 1 and x.element_size() != 2:  # the tensor cores' float32 is not float32
        return None
    shape = len(x), len(weight) // (2 if gate else 1), weight.shape[1], gate
    if in_gluon(x) and weight.data_ptr() % 16 == 0 and (tile := hopper_tile(*shape)):
        return tile
    return tile_for(*shape)


def takes_norm(x: Tensor, tile: Tile | None) -> bool:
    """Whether every program may normalise x for itself: where few rows have few columns."""
    return isinstance(tile, RowTile | RowsTile) and x.shape[1] <= NORMED


def skinny_linear_ref(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    norm: Norm | None = None,
    act: str | None = None,
    gate: bool = False,
    add: Tensor | None = None,
) -> Tensor:
    """As `skinny_linear`, in float32."""
    if norm is not None:
        x = _norm_ref(x, norm)
    y = F.linear(x.float(), weight.float(), None if bias is None else bias.float())
    if gate:
        g, u = y.chunk(2, -1)
        y = ACTS[act](g) * u
    else:
        y = ACTS[act](y)
    return (y if add is None else y + add.float()).to(x.dtype)


def _norm_ref(x: Tensor, norm: Norm) -> Tensor:
    size, wide, weight = x.shape[-1:], x.float(), norm.weight.float()
    if norm.center:
        bias = None if norm.bias is None else norm.bias.float()
        return F.layer_norm(wide, size, weight, bias, norm.eps).to(x.dtype)
    return F.rms_norm(wide, size, weight, norm.eps).to(x.dtype)


def skinny_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    norm: Norm | None = None,
    act: str | None = None,
    gate: bool = False,
    add: Tensor | None = None,
    out: Tensor | None = None,
    tile: Tile | None = None,
) -> Tensor:
    """x [M, K], weight [N, K] ([2 * N, K] with `gate`), bias [N] or [2 * N], add [M, N] -> [M, N].

    act: a name of `ACTS`; out: where to, which may be `add`; tile: of `choose`, else what the tables
    have. A `RowTile` is for M = 1, a `RowsTile` for up to 32, and only these two take a norm. With a
    `BlockTile` or a `HopperTile` of several splits the result is their partial sums, [splits, M, N] in
    float32, of a layer that has no act, gate, add or out.
    """
    if not use_triton(x):
        y = skinny_linear_ref(x, weight, bias, norm=norm, act=act, gate=gate, add=add)
        return y if out is None else out.copy_(y)
    (count, size), size_out = x.shape, len(weight) // (2 if gate else 1)
    if not count and weight.shape[1] == size:
        return x.new_empty(0, size_out) if out is None else out
    tile = _checked(x, weight, tile or tile_for(count, size_out, size, gate))
    if isinstance(tile, BlockTile | HopperTile) and tile.splits > 1:
        if gate or not (act is add is out is None):
            raise ValueError(
                f"skinny_linear: {tile} gives parts of a sum, so it can only have a bias"
            )
        y = x.new_empty(tile.splits, count, size_out, dtype=torch.float32)
    else:
        y = x.new_empty(count, size_out) if out is None else out
    weights = (norm.weight, norm.bias) if norm else (None, None)
    require_contiguous("skinny_linear", x=x, weight=weight, bias=bias, add=add, out=y)
    require_contiguous("skinny_linear", norm_weight=weights[0], norm_bias=weights[1])
    options = {
        "ACT": NUMBER[act],
        "GATE": gate,
        "BIAS": bias is not None,
        "ADD": add is not None,
        **overlap(x),
    }
    if isinstance(tile, BlockTile | HopperTile):
        if norm is not None:
            raise ValueError(f"skinny_linear: {tile} leaves the norm to another launch")
        if isinstance(tile, BlockTile):
            _many(x, weight, bias, add, y, size_out, tile, options)
        else:
            from ._hopper_rows import hopper_rows

            hopper_rows(x, weight, bias, add, y, size_out, tile, options)
        return y
    tensors, eps = (x, weight, bias, *weights, add, y), norm.eps if norm else 0.0
    options |= {"K": size, "NORM": norm is not None, "CENTER": norm is not None and norm.center}
    options["SHIFT"] = weights[1] is not None
    if isinstance(tile, RowTile):
        _one(tensors, size_out, eps, tile, options)
    else:
        _few(tensors, size_out, eps, tile, options)
    return y


def _reads_ahead(weight: Tensor, options: dict[str, Any]) -> bool:
    return options["PDL"] and weight.shape[1] % 8 == 0 and weight.numel() <= LARGE


def _checked(x: Tensor, weight: Tensor, tile: Tile | None) -> Tile:
    """The tile; raises ValueError if it is for fewer rows, or the matrices do not fit."""
    count, size = x.shape
    most = {RowTile: 1, RowsTile: FEW, BlockTile: count}.get(type(tile), MOST)
    if isinstance(tile, HopperTile):
        most = tile.block
    if tile is None or weight.shape[1] != size or count > most:
        raise ValueError(
            f"skinny_linear: x is [{count}, {size}] and weight {list(weight.shape)}; x must have as "
            f"many columns as weight, and at most {most} rows"
        )
    return tile


def _one(tensors: tuple, size_out: int, eps: float, tile: RowTile, options: dict[str, Any]) -> None:
    one_row_kernel[(-(-size_out // (tile.repeats * LANES)),)](
        *tensors,
        size_out,
        eps,
        REPEATS=tile.repeats,
        COLUMNS=tile.columns,
        WARPS=tile.warps,
        LANES=LANES,
        WIDTH=64 * 2 // tensors[0].element_size(),
        num_warps=tile.warps,
        **registers(tensors[0], tile.registers),
        **options,
    )


def _few(
    tensors: tuple, size_out: int, eps: float, tile: RowsTile, options: dict[str, Any]
) -> None:
    x, K = tensors[0], options["K"]
    # what has no tensor cores goes through shared memory
    chunks = max(1, tile.chunks * 2 // x.element_size())
    behind = min(AHEAD[RowsTile], K - tile.warps * chunks * 32)
    few_rows_kernel[(-(-size_out // tile.rows),)](
        *tensors,
        size_out,
        len(x),
        eps,
        # rows that are not yet divided might be too large for float16
        LATE=options["NORM"] and not options["CENTER"] and x.dtype is not torch.float16,
        ROWS=tile.rows,
        CHUNKS=chunks,
        WARPS=tile.warps,
        BLOCK_M=8 if len(x) <= 8 else 16 if len(x) <= 16 else FEW,
        AHEAD=max(0, behind) if _reads_ahead(tensors[1], options) else 0,
        num_warps=tile.warps,
        **registers(x, tile.registers),
        **options,
    )


def _many(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    add: Tensor | None,
    y: Tensor,
    size_out: int,
    tile: BlockTile,
    options: dict[str, Any],
) -> None:
    count, K = x.shape
    tiles = -(-size_out // (tile.rows // 2 if options["GATE"] else tile.rows))
    many_rows_kernel[(tiles * tile.splits * -(-count // tile.block),)](
        x,
        weight,
        bias,
        add,
        y,
        size_out,
        K,
        count,
        ROWS=tile.rows,
        BLOCK_M=tile.block,
        BLOCK_K=tile.depth,
        SPLITS=tile.splits,
        STAGES=tile.stages,
        EVEN=K % (tile.depth * tile.splits) == 0,
        WHOLE=count % tile.block == 0,
        AHEAD=AHEAD[BlockTile] if _reads_ahead(weight, options) else 0,
        WARPS=tile.warps,
        num_warps=tile.warps,
        **options,
    )
