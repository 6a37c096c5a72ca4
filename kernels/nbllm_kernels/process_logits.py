"""What comes between the model's logits and sampling: biases, masks, penalties, in one pass.

x = logit + bias;  -inf where only other ids are allowed, where a grammar forbids, and for stop ids
before min_length;  x / r if x > 0 else x * r   for ids seen in prompt or output;
x - frequency * n - presence * [n > 0]          for n times in the output

Memory bound: reads and writes the logits once, and the counts of rows with penalties. The lists of
ids are short: each program looks through all of its row's for those in its stretch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._triton import jit, next_power_of_2, require_contiguous, tl, use_triton

STRETCH = 4096
"""Logits that one program reads."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Penalties:
    """Of max_rows rows; 1, 0 and 0 are off."""

    counts: Tensor  # [max_rows, V] int32: twice the times in the output, plus 1 if in the prompt
    repetition: Tensor  # [max_rows] float32
    presence: Tensor  # [max_rows] float32
    frequency: Tensor  # [max_rows] float32


@dataclass(slots=True, frozen=True, kw_only=True)
class Listed:
    """Biases of up to N ids in each of max_rows rows, and whether no other id is allowed."""

    ids: Tensor  # [max_rows, N] int32, each once, padded with -1
    bias: Tensor  # [max_rows, N] float32, 0 for an id that is allowed as it is
    only: Tensor  # [max_rows] int32


@dataclass(slots=True, frozen=True, kw_only=True)
class EarlyStops:
    """Ids that cannot come before a row has min_length tokens."""

    ids: Tensor  # [S, max_rows] int64, padded with -1
    length: Tensor  # [max_rows] int64
    min_length: Tensor  # [max_rows] int64


def process_logits_ref(
    logits: Tensor,
    rows: Tensor,
    penalties: Penalties | None = None,
    listed: Listed | None = None,
    stops: EarlyStops | None = None,
    bitmask: Tensor | None = None,
) -> Tensor:
    """As `process_logits`."""
    x, size = logits.float(), logits.shape[1]
    ids = torch.arange(size, device=x.device)
    if listed is not None:
        named, bias = listed.ids[rows].long(), listed.bias[rows]
        at = torch.where(named >= 0, named, size)  # padding goes to a column of its own
        wide = x.new_zeros(len(x), size + 1)
        among = wide.scatter(1, at, 1.0)[:, :size] > 0
        x = x + wide.scatter(1, at, bias)[:, :size]
        x = x.masked_fill((listed.only[rows] != 0)[:, None] & ~among, -torch.inf)
    if bitmask is not None:
        words = bitmask[rows].long()[:, ids // 32]
        x = x.masked_fill((words >> (ids % 32)) & 1 == 0, -torch.inf)
    if stops is not None:
        early = stops.length[rows] < stops.min_length[rows]
        stop = (stops.ids[:, rows].mT[:, :, None] == ids).any(1)
        x = x.masked_fill(early[:, None] & stop, -torch.inf)
    if penalties is not None:
        seen, times = penalties.counts[rows] != 0, penalties.counts[rows] >> 1
        r = penalties.repetition[rows][:, None]
        x = torch.where(seen, torch.where(x > 0, x / r, x * r), x)
        x = x - penalties.frequency[rows][:, None] * times
        x = x - penalties.presence[rows][:, None] * (times > 0)
    return x


@jit
def _penalised(x, count, r, presence, frequency):
    x = tl.where(count != 0, tl.where(x > 0.0, tl.div_rn(x, r), x * r), x)
    times = count >> 1
    return x - frequency * times.to(tl.float32) - tl.where(times > 0, presence, 0.0)


@jit
def _allowed(mask_ptr, ids, there):
    word = tl.load(mask_ptr + ids // 32, there, other=0)
    return ((word >> (ids % 32)) & 1) != 0


@jit(do_not_specialize=["max_rows"])
def _process_kernel(
    logits_ptr,
    rows_ptr,
    out_ptr,
    counts_ptr,
    repetition_ptr,
    presence_ptr,
    frequency_ptr,
    named_ptr,
    bias_ptr,
    only_ptr,
    stops_ptr,
    length_ptr,
    min_length_ptr,
    mask_ptr,
    V,
    max_rows,
    NAMED: tl.constexpr,
    STOPS: tl.constexpr,
    BLOCK_NAMED: tl.constexpr,
    BLOCK_STOPS: tl.constexpr,
    PENALTIES: tl.constexpr,
    MASK: tl.constexpr,
    STRETCH: tl.constexpr,
):
    r, start = tl.program_id(0).to(tl.int64), tl.program_id(1) * STRETCH
    row = tl.load(rows_ptr + r).to(tl.int64)
    ids = start + tl.arange(0, STRETCH)
    there = ids < V
    x = tl.load(logits_ptr + r * V + ids, there, other=0.0).to(tl.float32)
    repetition, presence, frequency = 1.0, 0.0, 0.0
    if PENALTIES:
        repetition = tl.load(repetition_ptr + row)
        presence, frequency = tl.load(presence_ptr + row), tl.load(frequency_ptr + row)
        count = tl.load(counts_ptr + row * V + ids, there, other=0)
        x = _penalised(x, count, repetition, presence, frequency)
    mask_ptr += row * ((V + 31) // 32)
    if MASK:
        x = tl.where(_allowed(mask_ptr, ids, there), x, float("-inf"))
    if NAMED > 0:
        x = tl.where(tl.load(only_ptr + row) != 0, float("-inf"), x)
    tl.store(out_ptr + r * V + ids, x, there)
    if NAMED > 0:
        n = tl.arange(0, BLOCK_NAMED)
        named = tl.load(named_ptr + row * NAMED + n, n < NAMED, other=-1)
        mine = (named >= start) & (named < start + STRETCH) & (named < V)
        y = tl.load(logits_ptr + r * V + named, mine, other=0.0).to(tl.float32)
        y += tl.load(bias_ptr + row * NAMED + n, n < NAMED, other=0.0)
        if PENALTIES:
            count = tl.load(counts_ptr + row * V + named, mine, other=0)
            y = _penalised(y, count, repetition, presence, frequency)
        if MASK:
            y = tl.where(_allowed(mask_ptr, named, mine), y, float("-inf"))
        # other threads have written there
        tl.debug_barrier()
        tl.store(out_ptr + r * V + named, y, mine)
    if STOPS > 0:
        n = tl.arange(0, BLOCK_STOPS)
        stop = tl.load(stops_ptr + n * max_rows + row, n < STOPS, other=-1)
        mine = (stop >= start) & (stop < start + STRETCH) & (stop < V)
        if tl.load(length_ptr + row) < tl.load(min_length_ptr + row):
            tl.debug_barrier()
            never = tl.full([BLOCK_STOPS], float("-inf"), tl.float32)
            tl.store(out_ptr + r * V + stop, never, mine)


def process_logits(
    logits: Tensor,
    rows: Tensor,
    penalties: Penalties | None = None,
    listed: Listed | None = None,
    stops: EarlyStops | None = None,
    bitmask: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Logits to sample from, float32. logits [R, V]; rows [R]: each one's row in the rest -> [R, V].

    bitmask [max_rows, ceil(V / 32)] int32: bit i % 32 of word i // 32 allows id i. `out` cannot be
    the logits.
    """
    if not use_triton(logits):
        y = process_logits_ref(logits, rows, penalties, listed, stops, bitmask)
        return y if out is None else out.copy_(y)
    count, size = logits.shape
    y = torch.empty_like(logits, dtype=torch.float32) if out is None else out
    require_contiguous("process_logits", logits=logits, rows=rows, out=y, bitmask=bitmask)
    for group in (penalties, listed, stops):
        if group is not None:
            fields = {name: getattr(group, name) for name in group.__slots__}
            require_contiguous("process_logits", **fields)
    if not count:
        return y
    named = 0 if listed is None else listed.ids.shape[1]
    num_stops = 0 if stops is None else len(stops.ids)
    _process_kernel[(count, -(-size // STRETCH))](
        logits,
        rows,
        y,
        penalties and penalties.counts,
        penalties and penalties.repetition,
        penalties and penalties.presence,
        penalties and penalties.frequency,
        listed and listed.ids,
        listed and listed.bias,
        listed and listed.only,
        stops and stops.ids,
        stops and stops.length,
        stops and stops.min_length,
        rows if bitmask is None else bitmask,
        size,
        0 if stops is None else stops.ids.shape[1],
        NAMED=named,
        STOPS=num_stops,
        BLOCK_NAMED=next_power_of_2(named),
        BLOCK_STOPS=next_power_of_2(num_stops),
        PENALTIES=penalties is not None,
        MASK=bitmask is not None,
        STRETCH=STRETCH,
        num_warps=8,
    )
    return y
