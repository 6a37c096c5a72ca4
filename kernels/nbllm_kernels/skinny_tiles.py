"""Tiles of `skinny_linear.py`, found by measuring; other shapes get what suits their size."""

from __future__ import annotations

from typing import NamedTuple

from ._triton import next_power_of_2

LANES = 4
"""Rows of W that a warp reads beside each other for one row of x, 128 bytes of each."""
MOST = 256
"""Rows of x up to which there are tiles."""
LARGE, MEDIUM = 20 << 20, 8 << 20
"""Elements of a weight up to which they are faster than products of any size: of up to 8 rows, of more."""

PROGRAMS = 132
"""Programs that keep a Hopper GPU busy, one a multiprocessor."""


class RowTile(NamedTuple):
    """For one row of x: `repeats` * LANES rows of W, `columns` * `warps` * 64 columns at a time.

    registers: what a thread may have. Unasked (0), the compiler saves registers for programs that
    will never come: it moves loads to where they are used, behind others that are waited for, and
    the latency of memory is paid again and again. Too few, and it spills.
    """

    repeats: int
    columns: int
    warps: int
    registers: int = 0


class RowsTile(NamedTuple):
    """For up to 32: `rows` of W, `warps` * `chunks` * 32 columns at a time; registers as above."""

    rows: int
    chunks: int
    warps: int
    registers: int = 0


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


class HopperTile(NamedTuple):
    """For up to `block` rows of x and a large weight; `splits` as of a `BlockTile`."""

    block: int
    stages: int
    splits: int = 1


Tile = RowTile | RowsTile | BlockTile | HopperTile

ONE_ROW = {
    (768, 768, False): RowTile(1, 4, 4, 255),
    (768, 3072, False): RowTile(1, 16, 4, 255),
    (2304, 768, False): RowTile(2, 8, 2, 255),
    (3072, 768, False): RowTile(2, 8, 2, 255),
    (50272, 768, False): RowTile(4, 2, 8),
    (4096, 1024, False): RowTile(2, 8, 2, 255),
    (1024, 2048, False): RowTile(4, 4, 8, 128),
    (3072, 1024, True): RowTile(2, 4, 4, 168),
    (1024, 3072, False): RowTile(2, 8, 8, 168),
    (151936, 1024, False): RowTile(2, 2, 8),
    (6144, 4096, False): RowTile(4, 4, 4, 168),
    (4096, 4096, False): RowTile(4, 2, 8, 128),
    (14336, 4096, True): RowTile(1, 8, 8, 128),
    (4096, 14336, False): RowTile(4, 2, 8, 128),
    (128256, 4096, False): RowTile(2, 8, 8),
}
"""By rows of y, columns of x, and whether there is a gate; on an H200, in bfloat16."""

LIMITS = (8, 16, 32, 64, 128, 192, MOST)
"""Rows of x up to which a tile of `ROWS` is for."""


def _blocks(*tiles: tuple[int, ...] | None) -> tuple[BlockTile | None, ...]:
    return tuple(None if tile is None else BlockTile(*tile) for tile in tiles)


_OF_BOTH = _blocks(
    *((64, 16, 128, 4, 4, 4), (64, 32, 256, 3, 4, 4), (64, 32, 128, 4, 4, 4)),
    *((64, 64, 128, 4, 4, 4), (64, 64, 128, 4, 4, 2), (64, 64, 128, 4, 4, 2)),
)
_NONE = (None,) * 6
ROWS: dict[tuple[int, int, bool], tuple[RowsTile | BlockTile | None, ...]] = {
    (4096, 1024, False): (
        RowsTile(32, 8, 4, 255),
        *_blocks((64, 16, 256, 3, 4), (64, 32, 256, 3, 4), (64, 32, 256, 3, 4)),
        *_blocks((64, 64, 128, 4, 4), (64, 64, 128, 4, 4), None),
    ),
    (1024, 2048, False): (RowsTile(16, 8, 8, 255), *_OF_BOTH),
    (3072, 1024, True): (
        RowsTile(16, 4, 4, 255),
        *_blocks((64, 16, 256, 3, 4), (64, 32, 256, 3, 4), (64, 64, 128, 4, 4)),
        *_blocks((64, 64, 64, 5, 4), (64, 128, 64, 4, 4), (64, 128, 64, 4, 4)),
    ),
    (1024, 3072, False): (RowsTile(16, 8, 8, 255), *_OF_BOTH),
    (151936, 1024, False): (RowsTile(16, 8, 4), *_NONE),
    (2304, 768, False): (
        RowsTile(16, 8, 4, 255),
        *_blocks((64, 16, 256, 3, 4), (64, 32, 256, 3, 4), (64, 32, 256, 3, 4)),
        *_blocks((64, 64, 128, 4, 4), (64, 64, 64, 5, 4), (64, 64, 64, 5, 4)),
    ),
    (768, 768, False): (
        RowsTile(16, 8, 4, 255),
        *_blocks((64, 16, 64, 6, 4, 4), (64, 32, 64, 6, 4, 4), (64, 32, 64, 6, 4, 4)),
        *_blocks((64, 64, 64, 5, 4, 4), (64, 64, 64, 5, 4, 2), (64, 64, 64, 5, 4, 2)),
    ),
    (3072, 768, False): (
        RowsTile(16, 8, 4, 255),
        *_blocks((64, 16, 256, 3, 4), (64, 32, 256, 3, 4), (64, 32, 256, 3, 4)),
        *_blocks((64, 64, 128, 4, 4), (64, 64, 64, 5, 4), (64, 64, 64, 5, 4)),
    ),
    (768, 3072, False): (
        RowsTile(16, 8, 8, 255),
        *_blocks((64, 16, 256, 3, 4, 4), (64, 32, 128, 4, 4, 4), (64, 32, 256, 3, 4, 4)),
        *_blocks((64, 64, 128, 4, 4, 4), (64, 128, 128, 3, 4, 4), (64, 128, 128, 3, 4, 4)),
    ),
    (50272, 768, False): (RowsTile(16, 8, 4), *_NONE),
    (4096, 4096, False): (RowsTile(16, 8, 8, 128), *_NONE),
    (14336, 4096, True): (
        None,
        *_blocks(None, None, (64, 64, 64, 5, 4), (128, 128, 64, 3, 4), None, None),
    ),
    (4096, 14336, False): (
        RowsTile(16, 4, 8, 128),
        *_blocks(None, None, (64, 64, 128, 4, 4, 2), None, None, None),
    ),
}
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
    if count <= 8:
        return rows_tile(N, K, gate) if size <= LARGE else None
    return block_tile(count, N, K, gate) if size <= MEDIUM else None


def hopper_tile(count: int, N: int, K: int, gate: bool) -> HopperTile | None:
    """As `tile_for`, where there are kernels in Gluon; None: those of all GPUs are as fast.

    On an H200 reading an 8B model's weights for 8 rows takes: gate and up 57.5 µs, down 28.6, o 9.5;
    products of any size take 57.6 (with nothing of them begun early), 31.7 and 13.2.
    """
    if not 1 < count <= 64 or K < 2048 or K % 8 or N * K <= MEDIUM:
        return None
    tiles, splits = -(-N // (128 if gate else 256)), 1
    if tiles < PROGRAMS // 2:
        splits = min(8, PROGRAMS // tiles)
        if gate or count > 16:  # parts of more rows take as long as they save
            return None
    return HopperTile(
        16 if count <= 16 else 32 if count <= 32 else 64, 5 if count <= 32 else 4, splits
    )


def _one_row(N: int, K: int, gate: bool) -> RowTile:
    warps = 4 if K <= 1024 else 8
    if K > 8192:
        return RowTile(4, 2, warps)
    columns = max(1, min(8, next_power_of_2(K) // (64 * warps)))
    repeats = 2 if N > 2048 or columns == 1 else 1
    return RowTile(max(1, repeats // (2 if gate else 1)), columns, warps)


def rows_tile(N: int, K: int, gate: bool) -> RowsTile:
    """For up to 16 rows: what a warp reads first is all it reads, where registers have room for it."""
    warps = 4 if K <= 1024 else 8
    most = 4 if gate or N >= 4096 else 8
    return RowsTile(16, max(1, min(most, next_power_of_2(K) // (32 * warps))), warps)


def block_tile(count: int, N: int, K: int, gate: bool) -> BlockTile:
    """For up to `MOST` rows: enough programs for a GPU, by splits of K where W has few rows."""
    block, depth, stages = (16, 256, 3) if count <= 16 else (32, 256, 3)
    if count > 64:
        block, depth, stages = 64, 128, 4
    tiles, splits = -(-N // (32 if gate else 64)) * -(-count // block), 1
    while not gate and tiles * splits < 64 and K // (2 * splits) >= 256 and splits < 4:
        splits *= 2
    return BlockTile(64, block, depth, stages, 4, splits)
