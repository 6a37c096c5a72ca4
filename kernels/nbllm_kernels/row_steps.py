"""The running requests on the device: staged changes in, a step's inputs out, a step's tokens back.

State is arrays of max_rows rows, views of one int32 tensor if the host stages its changes:
`apply_diffs` writes any words of it in one launch. `step_inputs` and `advance` are the first and
the last kernel of a decode step; between two steps the host is not needed. All three move a few
kilobytes: what they cost is a launch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._triton import jit, next_power_of_2, require_contiguous, tl, use_triton

BLOCK = 256


@dataclass(slots=True, frozen=True, kw_only=True)
class RowState:
    """What decoding reads and writes of max_rows requests."""

    last: Tensor  # [max_rows] int64, the newest token
    length: Tensor  # [max_rows] int64, tokens, the newest included
    limit: Tensor  # [max_rows] int64, length at which a request ends
    done: Tensor  # [max_rows] int32
    stop_ids: Tensor  # [S, max_rows] int64, padded with -1
    pages: Tensor  # [max_rows, M] int32, page tables padded with the null page 0
    history: Tensor | None = None  # [max_rows, max_length] int32, tokens by position
    counts: Tensor | None = None  # [max_rows, V] int32 of process_logits.Penalties


@dataclass(slots=True, frozen=True, kw_only=True)
class StepInputs:
    """One token each of B rows, as a model takes them. Rows that have nothing to do see no token."""

    ids: Tensor  # [B] int64
    positions: Tensor  # [B] int64
    slots: Tensor  # [B] int64, page * page_size + offset, in the null page for those
    kv_lens: Tensor  # [B] int64, 0 for those


def apply_diffs_ref(words: Tensor, at: Tensor, values: Tensor) -> None:
    """As `apply_diffs`."""
    keep = at >= 0
    words[at[keep].long()] = values[keep]


@jit(do_not_specialize=["count"])
def _diffs_kernel(words_ptr, at_ptr, values_ptr, count, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    at = tl.load(at_ptr + i, i < count, other=-1).to(tl.int64)
    tl.store(words_ptr + at, tl.load(values_ptr + i, i < count, other=0), at >= 0)


def apply_diffs(words: Tensor, at: Tensor, values: Tensor) -> None:
    """words[at] = values for int32 words, at [n] and values [n]; at -1 is skipped, none may repeat.

    A float32 is its bits; an int64 is two words, the lower first. at and values may be in page-locked
    memory of the host.
    """
    if not use_triton(words):
        return apply_diffs_ref(words, at, values)
    require_contiguous("apply_diffs", words=words, at=at, values=values)
    if len(at):
        _diffs_kernel[(-(-len(at) // BLOCK),)](words, at, values, len(at), BLOCK=BLOCK)
    return None


def step_inputs_ref(state: RowState, rows: Tensor, page_size: int) -> StepInputs:
    """As `step_inputs`."""
    row = rows.clamp(min=0).long()
    active = (rows >= 0) & (state.done[row] == 0)
    length = torch.where(active, state.length[row], 0)
    position = (length - 1).clamp(min=0)
    page = state.pages[row, position // page_size].long()
    slot = torch.where(active, page * page_size + position % page_size, 0)
    ids = torch.where(active, state.last[row], 0)
    return StepInputs(ids=ids, positions=position, slots=slot, kv_lens=length)


@jit(do_not_specialize=["B"])
def _inputs_kernel(
    rows_ptr,
    last_ptr,
    length_ptr,
    done_ptr,
    pages_ptr,
    ids_ptr,
    positions_ptr,
    slots_ptr,
    kv_lens_ptr,
    B,
    M,
    PAGE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    b = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row = tl.load(rows_ptr + b, b < B, other=-1).to(tl.int64)
    active = row >= 0
    active = active & (tl.load(done_ptr + row, active, other=1) == 0)
    length = tl.load(length_ptr + row, active, other=0)
    position = tl.maximum(length - 1, 0)
    page = tl.load(pages_ptr + row * M + position // PAGE, active, other=0).to(tl.int64)
    slot = tl.where(active, page * PAGE + position % PAGE, 0)
    tl.store(ids_ptr + b, tl.load(last_ptr + row, active, other=0), b < B)
    tl.store(positions_ptr + b, position, b < B)
    tl.store(slots_ptr + b, slot, b < B)
    tl.store(kv_lens_ptr + b, length, b < B)


def step_inputs(state: RowState, rows: Tensor, page_size: int) -> StepInputs:
    """Inputs of the step that runs `rows` [B]: their newest tokens. -1 is padding, done rows idle.

    A row's pages must hold its newest token.
    """
    if not use_triton(rows):
        return step_inputs_ref(state, rows, page_size)
    require_contiguous("step_inputs", rows=rows, last=state.last, length=state.length)
    require_contiguous("step_inputs", done=state.done, pages=state.pages)
    count = len(rows)
    outs = [torch.empty(count, dtype=torch.int64, device=rows.device) for _ in range(4)]
    if count:
        _inputs_kernel[(-(-count // BLOCK),)](
            rows,
            state.last,
            state.length,
            state.done,
            state.pages,
            *outs,
            count,
            state.pages.shape[1],
            PAGE=page_size,
            BLOCK=BLOCK,
        )
    return StepInputs(ids=outs[0], positions=outs[1], slots=outs[2], kv_lens=outs[3])


def advance_ref(state: RowState, rows: Tensor, tokens: Tensor, out: Tensor | None = None) -> Tensor:
    """As `advance`."""
    out = torch.full_like(tokens, -1) if out is None else out.fill_(-1)
    row = rows.clamp(min=0).long()
    active = (rows >= 0) & (state.done[row] == 0)
    row, token = row[active], tokens[active]
    length = state.length[row]
    if state.history is not None:
        fits = length < state.history.shape[1]
        state.history[row[fits], length[fits]] = token[fits].int()
    if state.counts is not None:
        state.counts[row, token] += 2
    state.last[row], state.length[row] = token, length + 1
    ended = (length + 1 >= state.limit[row]) | (state.stop_ids[:, row] == token).any(0)
    state.done[row] = ended.int()
    out[active] = token.to(out.dtype)
    return out


@jit(do_not_specialize=["B", "max_rows"])
def _advance_kernel(
    rows_ptr,
    tokens_ptr,
    last_ptr,
    length_ptr,
    limit_ptr,
    done_ptr,
    stops_ptr,
    history_ptr,
    counts_ptr,
    out_ptr,
    B,
    max_rows,
    max_length,
    V,
    STOPS: tl.constexpr,
    BLOCK_STOPS: tl.constexpr,
    HISTORY: tl.constexpr,
    COUNTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    b = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row = tl.load(rows_ptr + b, b < B, other=-1).to(tl.int64)
    active = row >= 0
    active = active & (tl.load(done_ptr + row, active, other=1) == 0)
    token = tl.load(tokens_ptr + b, active, other=-1)
    length = tl.load(length_ptr + row, active, other=0)
    if HISTORY:
        at = history_ptr + row * max_length + length
        tl.store(at, token.to(tl.int32), active & (length < max_length))
    if COUNTS:
        at = counts_ptr + row * V + token
        tl.store(at, tl.load(at, active, other=0) + 2, active)
    s = tl.arange(0, BLOCK_STOPS)
    at = stops_ptr + s[None, :] * max_rows + row[:, None]
    stops = tl.load(at, active[:, None] & (s < STOPS)[None, :], other=-1)
    stopped = tl.max((stops == token[:, None]).to(tl.int32), 1)
    ended = length + 1 >= tl.load(limit_ptr + row, active, other=0)
    tl.store(last_ptr + row, token, active)
    tl.store(length_ptr + row, length + 1, active)
    tl.store(done_ptr + row, tl.where(ended, 1, stopped), active)
    tl.store(out_ptr + b, token.to(out_ptr.dtype.element_ty), b < B)


def advance(state: RowState, rows: Tensor, tokens: Tensor, out: Tensor | None = None) -> Tensor:
    """Append one token to each of `rows` [B]; done ones, and padding -1, get none.

    Writes last, length, done, history and counts, and returns what was appended, -1 for nothing:
    [B], in `out`, of any type of integers, if given. A row is done at its limit and after one of its
    stop ids, which is appended too.
    """
    if not use_triton(rows):
        return advance_ref(state, rows, tokens, out)
    fields = {name: getattr(state, name) for name in state.__slots__}
    out = torch.empty_like(tokens) if out is None else out
    require_contiguous("advance", rows=rows, tokens=tokens, out=out, **fields)
    stops, max_rows = state.stop_ids.shape
    if len(rows):
        _advance_kernel[(-(-len(rows) // BLOCK),)](
            rows,
            tokens,
            state.last,
            state.length,
            state.limit,
            state.done,
            state.stop_ids,
            state.history,
            state.counts,
            out,
            len(rows),
            max_rows,
            0 if state.history is None else state.history.shape[1],
            0 if state.counts is None else state.counts.shape[1],
            STOPS=stops,
            BLOCK_STOPS=next_power_of_2(stops),
            HISTORY=state.history is not None,
            COUNTS=state.counts is not None,
            BLOCK=BLOCK,
        )
    return out
