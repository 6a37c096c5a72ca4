"""Tiles of `skinny_linear.py`, found by measuring; other shapes get what suits their size."""

from __future__ import annotations

from typing import NamedTuple

from ._triton import next_power_of_2

LANES = 4
"""Rows of W that a warp reads beside each other, 128 bytes of each."""


class RowTile(NamedTuple):
    """For one row of x: `repeats` * LANES rows of W, `columns` * `warps` * 64 columns at a time."""

    repeats: int
    columns: int
    warps: int


class RowsTile(NamedTuple):
    """For several: `rows` of W, `warps` * `width` columns at a time."""

    rows: int
    width: int
    warps: int


def row_tile(N: int, K: int, gate: bool) -> RowTile:
    """For y [1, N] from x [1, K]."""
    columns = max(1, min(16, next_power_of_2(K) // 256))
    repeats = max(1, (8 if gate else 16) // columns)
    return RowTile(repeats, columns, 4)


def rows_tile(N: int, K: int, gate: bool) -> RowsTile:
    """For y [M, N] from x [M, K]."""
    return RowsTile(16, max(16, min(256, next_power_of_2(K) // 4)), 4)
