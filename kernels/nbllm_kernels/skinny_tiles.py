"""Tiles of `skinny_linear.py`, found by measuring; other shapes get what suits their size."""

from __future__ import annotations

from typing import NamedTuple

from ._triton import next_power_of_2

LANES = 4
"""Rows of W that a warp reads beside each other for one row of x, 128 bytes of each."""
MOST = 256
"""Rows of x up to which there are tiles."""


class RowTile(NamedTuple):
    """For one row of x: `repeats` * LANES rows of W, `columns` * `warps` * 64 columns at a time."""

    repeats: int
    columns: int
    warps: int


class RowsTile(NamedTuple):
    """For up to 32: `rows` of W, `warps` * `chunks` * 32 columns at a time."""

    rows: int
    chunks: int
    warps: int


class BlockTile(NamedTuple):
    """For any number: `rows` of W times `block` rows of x, `depth` columns at a time.

    With a gate half of the rows are of each half of W. splits: in how many parts the sum is made.
    """

    rows: int
    block: int
    depth: int
    stages: int
    warps: int
    splits: int = 1


Tile = RowTile | RowsTile | BlockTile

ONE_ROW = {
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

LIMITS = (8, 16, 32, 64, 128, 192, MOST)
"""Rows of x up to which a tile of `ROWS` is for."""
ROWS: dict[tuple[int, int, bool], tuple[RowsTile | BlockTile | None, ...]] = {}
"""As `ONE_ROW`, a tile for each of `LIMITS`; None: a product of any size is faster."""


def tile_for(count: int, N: int, K: int, gate: bool) -> Tile | None:
    """For y [count, N] from x [count, K]; None: there is nothing faster than a product of any size."""
    if not 0 < count <= MOST:
        return None
    if count == 1:
        return ONE_ROW.get((N, K, gate)) or _one_row(N, K, gate)
    if (found := ROWS.get((N, K, gate))) is not None:
        return next(t for t, limit in zip(found, LIMITS, strict=True) if count <= limit)
    size = N * K * (2 if gate else 1)
    if count <= 8 or (count <= 16 and size <= 8 << 20):
        return rows_tile(N, K, gate)
    return block_tile(count, N, K, gate) if size <= 64 << 20 else None


def _one_row(N: int, K: int, gate: bool) -> RowTile:
    warps = 4 if K <= 1024 else 8
    if K > 8192:
        return RowTile(4, 2, warps)
    columns = max(1, min(8, next_power_of_2(K) // (64 * warps)))
    repeats = 2 if N > 2048 or columns == 1 else 1
    return RowTile(max(1, repeats // (2 if gate else 1)), columns, warps)


def rows_tile(N: int, K: int, gate: bool) -> RowsTile:
    """For up to 16 rows: what a warp reads first is all it reads, where registers have room for it."""
    del N
    chunks = max(1, min(4 if gate else 8, next_power_of_2(K) // (8 * 32)))
    return RowsTile(16, chunks if K <= 2048 else 4, 8)


def block_tile(count: int, N: int, K: int, gate: bool) -> BlockTile:
    """For up to `MOST` rows: enough programs for a GPU, by splits of K where W has few rows."""
    block = max(16, min(128, next_power_of_2(count)))
    tiles, splits = -(-N // (32 if gate else 64)) * -(-count // block), 1
    while not gate and tiles * splits < 96 and K // (2 * splits) >= 256 and splits < 8:
        splits *= 2
    return BlockTile(64, block, 128 if block <= 32 else 64, 4, 4, splits)
