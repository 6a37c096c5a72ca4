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


MEASURED = {
    (768, 768, False): RowTile(1, 4, 4),
    (768, 3072, False): RowTile(1, 16, 4),
    (2304, 768, False): RowTile(2, 8, 2),
    (3072, 768, False): RowTile(2, 8, 2),
    (50272, 768, False): RowTile(4, 2, 8),
    (4096, 1024, False): RowTile(4, 4, 4),
    (1024, 2048, False): RowTile(1, 4, 8),
    (3072, 1024, True): RowTile(2, 4, 4),
    (1024, 3072, False): RowTile(1, 8, 8),
    (151936, 1024, False): RowTile(2, 2, 8),
    (6144, 4096, False): RowTile(4, 4, 4),
    (4096, 4096, False): RowTile(4, 2, 8),
    (14336, 4096, True): RowTile(1, 8, 4),
    (4096, 14336, False): RowTile(4, 2, 8),
    (128256, 4096, False): RowTile(2, 8, 8),
}
"""By rows of y, columns of x, and whether there is a gate; on an H200, in bfloat16."""


def row_tile(N: int, K: int, gate: bool) -> RowTile:
    """For y [1, N] from x [1, K]."""
    if (found := MEASURED.get((N, K, gate))) is not None:
        return found
    warps = 4 if K <= 1024 else 8
    if K > 8192:
        return RowTile(4, 2, warps)
    columns = max(1, min(8, next_power_of_2(K) // (64 * warps)))
    repeats = 2 if N > 2048 or columns == 1 else 1
    return RowTile(max(1, repeats // (2 if gate else 1)), columns, warps)


def rows_tile(N: int, K: int, gate: bool) -> RowsTile:
    """For y [M, N] from x [M, K]."""
    warps = 8 if 1024 < K < 4096 else 4
    width = max(16, min(256, next_power_of_2(K) // warps))
    return RowsTile(32 if N >= 2048 and K <= 1024 and not gate else 16, width, warps)
