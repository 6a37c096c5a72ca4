"""The MLPs of a mixture of experts, each over the tokens that go to it (Shazeer et al. 2017).

y[t] = add[t] + sum over j of weights[t, j] * down_e (silu(gate_e x[t]) * up_e x[t]),   e = ids[t, j]

Decoding is bound by reading the chosen experts' matrices. The T * k pairs of a token and an expert are
sorted by expert, and a work list (work_list.py) cuts each expert's pairs into tiles: a matrix is read
once a tile, by programs that each take some of its rows. Where pairs are few against experts, each
is a tile of its own, and nothing is sorted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ._triton import (
    await_inputs,
    jit,
    multiprocessors,
    next_power_of_2,
    overlap,
    release,
    require_contiguous,
    tl,
    use_triton,
)
from .silu_mul import silu_mul_ref
from .work_list import prefill_work


def experts_ref(x: Tensor, ids: Tensor, weights: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    """As `experts`, one expert after the other."""
    y = torch.zeros_like(x)
    for e in ids.unique().tolist():
        token, j = (ids == e).nonzero(as_tuple=True)
        hidden = silu_mul_ref(F.linear(x[token], gate_up[e]))
        y.index_add_(0, token, F.linear(hidden, down[e]) * weights[token, j, None].to(x.dtype))
    return y


@dataclass(slots=True, kw_only=True)
class Tiles:
    """The pairs of each tile. Where `items` is None, a tile is the pair of its number."""

    ids: Tensor  # [P] int32, the expert of each pair, pair p = t * k + j
    order: Tensor | None = None  # [P] the pairs, sorted by expert
    starts: Tensor | None = None  # [E + 1] where in `order` each expert's begin
    items: Tensor | None = None  # [count, 4] see work_list.py
    count: int
    rows: int  # pairs in a tile at the most, 16 at the least


def tiles_of(ids: Tensor, num_experts: int) -> Tiles:
    """Made on the device; ids [T, k] int32."""
    pairs = ids.numel()
    if 2 * pairs <= num_experts:
        return Tiles(ids=ids.view(-1), count=pairs, rows=16)
    sorted_ids, order = ids.view(-1).sort(stable=True)
    every = torch.arange(num_experts + 1, dtype=torch.int32, device=ids.device)
    starts, mean = torch.searchsorted(sorted_ids, every), pairs / num_experts
    rows = 16 if mean <= 16 else 32 if mean <= 32 else 64
    work = prefill_work(starts, pairs, rows, most=pairs)
    found = {"order": order, "starts": starts, "items": work.items}
    return Tiles(ids=ids.view(-1), count=work.capacity, rows=rows, **found)


@jit
def _tile(ids_ptr, order_ptr, starts_ptr, items_ptr, BLOCK_M: tl.constexpr, SORTED: tl.constexpr):
    """Of the program's tile: expert (-1: none), places in the order, pairs, which are there."""
    item, m = tl.program_id(0), tl.arange(0, BLOCK_M)
    if SORTED:
        expert = tl.load(items_ptr + item * 4)
        first, stop = tl.load(items_ptr + item * 4 + 1), tl.load(items_ptr + item * 4 + 2)
        place = tl.load(starts_ptr + tl.maximum(expert, 0)) + first + m
        there = first + m < stop
        pair = tl.load(order_ptr + place, there, other=0)
    else:
        expert = tl.load(ids_ptr + item)
        place, there = (item + m).to(tl.int64), m < 1
        pair = place
    return expert, place, pair, there


@jit
def _gate_up_kernel(
    x_ptr,
    w_ptr,
    h_ptr,
    ids_ptr,
    order_ptr,
    starts_ptr,
    items_ptr,
    TOP: tl.constexpr,
    N: tl.constexpr,
    I: tl.constexpr,  # noqa: E741
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    SORTED: tl.constexpr,
    PDL: tl.constexpr,
):
    """h[place] = silu(gate x) * up x, BLOCK_N of its I columns for one tile."""
    release(PDL)
    await_inputs(PDL)
    expert, place, pair, there = _tile(ids_ptr, order_ptr, starts_ptr, items_ptr, BLOCK_M, SORTED)
    if expert < 0:
        return
    col, k = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N), tl.arange(0, BLOCK_K)
    x_at = x_ptr + (pair // TOP).to(tl.int64)[:, None] * N + k[None, :]
    w_at = w_ptr + (expert.to(tl.int64) * 2 * I + col)[None, :] * N + k[:, None]
    gate, up = tl.zeros([BLOCK_M, BLOCK_N], tl.float32), tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for at in range(0, N, BLOCK_K):
        inside = k < N - at
        x = tl.load(x_at + at, there[:, None] & inside[None, :], other=0.0)
        real = (col < I)[None, :] & inside[:, None]
        g = tl.load(w_at + at, real, other=0.0)
        u = tl.load(w_at + I * N + at, real, other=0.0)
        gate = tl.dot(x, g, gate, input_precision="ieee")
        up = tl.dot(x, u, up, input_precision="ieee")
    h = gate * tl.sigmoid(gate) * up
    h_at = h_ptr + place.to(tl.int64)[:, None] * I + col[None, :]
    tl.store(h_at, h.to(h_ptr.dtype.element_ty), there[:, None] & (col < I)[None, :])


@jit
def _down_kernel(
    h_ptr,
    w_ptr,
    weights_ptr,
    y_ptr,
    ids_ptr,
    order_ptr,
    starts_ptr,
    items_ptr,
    N: tl.constexpr,
    I: tl.constexpr,  # noqa: E741
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    SORTED: tl.constexpr,
    PDL: tl.constexpr,
):
    """y[pair] = weight * down h[place], BLOCK_N of its N columns for one tile."""
    release(PDL)
    await_inputs(PDL)
    expert, place, pair, there = _tile(ids_ptr, order_ptr, starts_ptr, items_ptr, BLOCK_M, SORTED)
    if expert < 0:
        return
    col, k = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N), tl.arange(0, BLOCK_K)
    h_at = h_ptr + place.to(tl.int64)[:, None] * I + k[None, :]
    w_at = w_ptr + (expert.to(tl.int64) * N + col)[None, :] * I + k[:, None]
    y = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for at in range(0, I, BLOCK_K):
        inside = k < I - at
        h = tl.load(h_at + at, there[:, None] & inside[None, :], other=0.0)
        w = tl.load(w_at + at, (col < N)[None, :] & inside[:, None], other=0.0)
        y = tl.dot(h, w, y, input_precision="ieee")
    y *= tl.load(weights_ptr + pair, there, other=0.0)[:, None]
    y_at = y_ptr + pair.to(tl.int64)[:, None] * N + col[None, :]
    tl.store(y_at, y.to(y_ptr.dtype.element_ty), there[:, None] & (col < N)[None, :])


@jit
def _sum_kernel(
    pairs_ptr,
    add_ptr,
    y_ptr,
    N,
    TOP: tl.constexpr,
    BLOCK_TOP: tl.constexpr,
    BLOCK: tl.constexpr,
    ADD: tl.constexpr,
    PDL: tl.constexpr,
):
    """y[t] = add[t] + the sum of its TOP pairs, BLOCK of N columns."""
    release(PDL)
    token = tl.program_id(0).to(tl.int64)
    col, j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, BLOCK_TOP)
    at = (token * TOP + j)[:, None] * N + col[None, :]
    await_inputs(PDL)
    pairs = tl.load(pairs_ptr + at, (j < TOP)[:, None] & (col < N)[None, :], other=0.0)
    y = tl.sum(pairs.to(tl.float32), 0)
    if ADD:
        y += tl.load(add_ptr + token * N + col, col < N, other=0.0).to(tl.float32)
    tl.store(y_ptr + token * N + col, y.to(y_ptr.dtype.element_ty), col < N)


def experts(
    x: Tensor,
    ids: Tensor,
    weights: Tensor,
    gate_up: Tensor,
    down: Tensor,
    add: Tensor | None = None,
) -> Tensor:
    """Tokens x [T, N] through the experts ids [T, k] int32, weighted by weights [T, k] -> [T, N].

    gate_up [E, 2 * I, N], gates above ups; down [E, N, I]; add [T, N].
    """
    if not use_triton(x):
        y = experts_ref(x, ids, weights, gate_up, down)
        return y if add is None else add + y
    require_contiguous("experts", x=x, ids=ids, weights=weights, gate_up=gate_up, down=down)
    require_contiguous("experts", add=add)
    (tokens, size), top, inner = x.shape, ids.shape[1], down.shape[2]
    if not tokens:
        return torch.empty_like(x)
    tiles = tiles_of(ids, len(down))
    h, pairs = x.new_empty(tokens * top, inner), x.new_empty(tokens * top, size)
    where = tiles.ids, tiles.order, tiles.starts, tiles.items
    shape = {"N": size, "I": inner, "BLOCK_M": tiles.rows, "SORTED": tiles.items is not None}
    how = {**shape, **blocks(tiles, inner, x), **overlap(x)}
    grid = tiles.count, -(-inner // how["BLOCK_N"])
    _gate_up_kernel[grid](x, gate_up, h, *where, TOP=top, **how)
    grid = tiles.count, -(-size // how["BLOCK_N"])
    _down_kernel[grid](h, down, weights, pairs, *where, **how)
    y = torch.empty_like(x)
    columns = {"TOP": top, "BLOCK_TOP": next_power_of_2(top), "BLOCK": 256}
    _sum_kernel[tokens, -(-size // 256)](
        pairs, add, y, size, ADD=add is not None, **columns, num_warps=2, **overlap(x)
    )
    return y


def blocks(tiles: Tiles, inner: int, x: Tensor) -> dict[str, int]:
    """Of the matrices, the rows and columns that a program takes at a time; stages and warps."""
    if x.element_size() > 2:
        return {"BLOCK_N": 32, "BLOCK_K": 32, "num_stages": 3, "num_warps": 4}
    if tiles.rows > 16:
        return {"BLOCK_N": 64, "BLOCK_K": 64, "num_stages": 3, "num_warps": 4}
    # bound by reading; where programs are few, each has to have more on its way
    if tiles.count * inner <= 64 * multiprocessors(x):
        return {"BLOCK_N": 32, "BLOCK_K": 256, "num_stages": 3, "num_warps": 2}
    return {"BLOCK_N": 32, "BLOCK_K": 128, "num_stages": 4, "num_warps": 4}
