"""From logits to tokens, exactly and without a sort: filters, Gumbel-max, log-probabilities.

x = logits / temperature, in the order (x descending, id ascending); kept is the longest prefix with
    x >= max(x) + log(min_p),   fewer than top_k before,   and, of the probability that these two
    keep, less than top_p before;       token = argmax over kept of x + gumbel(seed, position, id)

Bound by reading the logits. Most kernels have one program for each stretch of a row: `_scan` finds
maxima, sums of exponentials, and draws in rows without filters: with a bound of the noise, cheaper than
the noise, it finds the token to compute that for, and whether another could be worth more. For rows
with filters `_histogram` counts the tokens by their distance from the maximum, `_limit` finds one that
is sure to hold all that can be kept, `_near` takes those out, and `_choose`, one program a row, finds
the exact cut among them by bisection on the ordered bits of x, and draws. If they are too many,
`_level` sums count and probability within some distances, and once more within the last of them;
`_gather` takes out only the tokens of that part, and `_draw` draws in the whole row; if even these are
too many, as many equal logits are, the cut is found in the whole row, slowly. `_finish` merges the
stretches.
"""

# in a kernel, types are Triton's business
# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import torch
from torch import Tensor

from ._triton import AVAILABLE, jit, next_power_of_2, require_contiguous, tl, use_triton
from .gumbel import gumbel_bound, gumbel_ref, gumbel_tile, log_tile, stream_of

STRETCH = 4096
"""Logits that one program reads."""
CANDIDATES = 4096
"""The most tokens that are gathered for the exact cut."""
TILE = 1024
"""Logits of a stretch that the threads of `_scan` have beside each other: eight each."""
SLICE = 2048
"""Logits of a stretch that `_level` takes at a time, and twice as many as `_near` does."""
BINS, FINENESS = 128, 12.0
"""Distances d are counted by FINENESS * log2(1 + d / 2): 0.12 wide near the maximum, 0.7 at 10."""
LEVELS, NEAREST, RATIO = 12, 0.5, 1.6
"""Distances from the maximum: NEAREST * RATIO**i for LEVELS of them."""
PARTS = 32
"""Equal parts of the level that has the cut, if it holds too many tokens."""

if AVAILABLE:
    _LEVELS, _NEAREST, _RATIO = tl.constexpr(LEVELS), tl.constexpr(NEAREST), tl.constexpr(RATIO)
    _PARTS = tl.constexpr(PARTS)
    _BINS, _FINENESS = tl.constexpr(BINS), tl.constexpr(FINENESS)
    _CANDIDATES = tl.constexpr(CANDIDATES)
    _ALL, _PART, _ROW = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)
    _LOWEST, _HIGHEST = tl.constexpr(-(1 << 31)), tl.constexpr((1 << 31) - 1)


def sample_ref(
    logits: Tensor,
    rows: Tensor,
    temperature: Tensor,
    top_k: Tensor,
    top_p: Tensor,
    min_p: Tensor,
    seeds: Tensor,
    positions: Tensor,
    raw: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """As `sample`, with a stable sort of every row."""
    z, raw = logits.float(), (logits if raw is None else raw).float()
    t, k, p, m = (a[rows][:, None] for a in (temperature, top_k, top_p, min_p))
    x = z / torch.where(t > 0, t, 1)
    values, ids = x.sort(dim=-1, descending=True, stable=True)
    rank = torch.arange(x.shape[1], device=x.device)
    kept = (values >= values[:, :1] + m.log()) & ((k <= 0) | (rank < k))
    mass = torch.where(kept, (values - values[:, :1]).exp(), 0)
    before = mass.cumsum(-1, dtype=torch.float64) - mass
    kept &= (p >= 1) | (before < p.double() * mass.double().sum(-1, keepdim=True))
    noise = gumbel_ref(seeds[rows], positions[rows], ids)
    drawn = (values + noise).masked_fill(~kept, -torch.inf).argmax(-1, keepdim=True)
    tokens = torch.where(t > 0, ids.gather(1, drawn), z.argmax(-1, keepdim=True))
    return tokens[:, 0], (raw.gather(1, tokens) - raw.logsumexp(-1, keepdim=True))[:, 0]


@jit
def _parameters(row, temperature_ptr, top_k_ptr, top_p_ptr, min_p_ptr):
    t = tl.load(temperature_ptr + row)
    k = tl.load(top_k_ptr + row).to(tl.int32)
    p, m = tl.load(top_p_ptr + row), tl.load(min_p_ptr + row)
    filtered = (t > 0.0) & ((k > 0) | (p < 1.0) | (m > 0.0))
    return t, k, p, m, filtered


@jit
def _scaled(z, t):
    # + 0.0 makes one zero of the two, whose bits would be ordered
    return tl.div_rn(z.to(tl.float32), t) + 0.0


@jit
def _sum_lanes(top, total):
    highest = tl.max(top, 0)
    return highest, tl.sum(total * tl.exp(top - highest), 0)


@jit
def _store_sum(to, x):
    """(max, sum of exp(x - max)) of a tile."""
    tops = tl.maximum(tl.max(x, 0), -1e30)
    top, total = _sum_lanes(tops, tl.sum(tl.exp(x - tops[None, :]), 0))
    tl.store(to, top)
    tl.store(to + 1, total)


@jit
def _best_of(logits_ptr, start, stop, t, stream, TILE: tl.constexpr):
    """(the highest score from start up to stop, its id), with the noise of every token."""
    best = tl.full([TILE], float("-inf"), tl.float32)
    best_ids = start + tl.arange(0, TILE)
    for first in range(start, stop, TILE):
        ids = first + tl.arange(0, TILE)
        z = tl.load(logits_ptr + ids, ids < stop, other=float("-inf"))
        score = _scaled(z, t) + gumbel_tile(stream, ids)
        better = score > best
        best, best_ids = tl.where(better, score, best), tl.where(better, ids, best_ids)
    winner = tl.max(best, 0)
    return winner, tl.min(tl.where(best == winner, best_ids, _HIGHEST), 0)


@jit
def _scan_kernel(
    logits_ptr,
    raw_ptr,
    rows_ptr,
    temperature_ptr,
    top_k_ptr,
    top_p_ptr,
    min_p_ptr,
    seeds_ptr,
    positions_ptr,
    sums_ptr,
    ids_ptr,
    bins_ptr,
    V,
    STRETCH: tl.constexpr,
    TILE: tl.constexpr,
    RAW: tl.constexpr,
    FILTERS: tl.constexpr,
):
    r, s = tl.program_id(0).to(tl.int64), tl.program_id(1)
    if FILTERS:  # noqa: SIM102 - the compiler decides this one
        if s == 0:
            tl.store(bins_ptr + r * _BINS + tl.arange(0, _BINS), tl.zeros([_BINS], tl.int32))
    row = tl.load(rows_ptr + r)
    t, _k, _p, _m, filtered = _parameters(row, temperature_ptr, top_k_ptr, top_p_ptr, min_p_ptr)
    stream = stream_of(tl.load(seeds_ptr + row), tl.load(positions_ptr + row))
    start, part = s * STRETCH, r * tl.num_programs(1) + s
    ids = start + tl.arange(0, STRETCH // TILE)[:, None] * TILE + tl.arange(0, TILE)[None, :]
    z = tl.load(logits_ptr + r * V + ids, ids < V, other=float("-inf")).to(tl.float32)
    raw = z
    if RAW:
        raw = tl.load(raw_ptr + r * V + ids, ids < V, other=float("-inf")).to(tl.float32)
    sums_ptr += part * 5
    _store_sum(sums_ptr, raw)
    draws = (t > 0.0) & (not filtered)
    score = z
    if draws:
        # a reciprocal and a product round differently from a division
        reciprocal = 1.0 / t
        noise = gumbel_bound(stream, ids)
        score = tl.maximum(z * (reciprocal * 0.9999995), z * (reciprocal * 1.0000005)) + noise
    elif filtered:
        score = _scaled(z, t)
        _store_sum(sums_ptr + 2, score)
    # what is no number is never taken: neither a NaN of the model nor a forbidden one's -inf + inf
    score = tl.where(score == score, score, float("-inf"))
    best, turn = tl.max(score, 0, return_indices=True, return_indices_tie_break_left=True)
    best_ids = start + turn * TILE + tl.arange(0, TILE)
    winner = tl.max(best, 0)
    token = tl.min(tl.where(best == winner, best_ids, _HIGHEST), 0)
    if draws & (winner > float("-inf")):
        others = tl.max(tl.max(tl.where(ids == token, float("-inf"), score), 0), 0)
        exact = _scaled(tl.load(logits_ptr + r * V + token), t) + gumbel_tile(stream, token)
        if others < exact:
            winner = exact
        else:  # seldom: what another is worth may be more
            stop = tl.minimum(start + STRETCH, V)
            winner, token = _best_of(logits_ptr + r * V, start, stop, t, stream, TILE // 2)
    tl.store(sums_ptr + 4, winner)
    tl.store(ids_ptr + part, token)


@jit
def _merged(sums_ptr, r, column, S, BLOCK_S: tl.constexpr):
    """(max, sum of exponentials) of a row, from columns of its stretches."""
    s = tl.arange(0, BLOCK_S)
    at = sums_ptr + (r * S + s) * 5 + column
    tops = tl.load(at, s < S, other=float("-inf"))
    top = tl.max(tops, 0)
    return top, tl.sum(tl.load(at + 1, s < S, other=0.0) * tl.exp(tops - top), 0)


@jit
def _bin(x, top):
    distance = tl.log2(1.0 + 0.5 * (top - x)) * _FINENESS
    return tl.minimum(distance, _BINS - 1.0).to(tl.int32)


@jit
def _histogram_kernel(
    logits_ptr,
    rows_ptr,
    temperature_ptr,
    top_k_ptr,
    top_p_ptr,
    min_p_ptr,
    sums_ptr,
    bins_ptr,
    V,
    STRETCH: tl.constexpr,
    BLOCK_S: tl.constexpr,
):
    r, s, S = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    row = tl.load(rows_ptr + r)
    t, _k, _p, _m, filtered = _parameters(row, temperature_ptr, top_k_ptr, top_p_ptr, min_p_ptr)
    if not filtered:
        return
    top, _total = _merged(sums_ptr, r, 2, S, BLOCK_S)
    ids = s * STRETCH + tl.arange(0, STRETCH)
    z = tl.load(logits_ptr + r * V + ids, ids < V, other=float("-inf"))
    counts = tl.histogram(_bin(_scaled(z, t), top), _BINS)
    to = bins_ptr + r * _BINS + tl.arange(0, _BINS)
    tl.atomic_add(to, counts, counts > 0, sem="relaxed")


@jit
def _limit_kernel(
    rows_ptr,
    temperature_ptr,
    top_k_ptr,
    top_p_ptr,
    min_p_ptr,
    sums_ptr,
    bins_ptr,
    limits_ptr,
    found_ptr,
    above_ptr,
    V,
    S,
    BLOCK_S: tl.constexpr,
    ORDERED: tl.constexpr,
):
    """The bin up to which all that can be kept lies; -1 if these are too many to gather."""
    r = tl.program_id(0).to(tl.int64)
    row = tl.load(rows_ptr + r)
    _t, k, p, m, filtered = _parameters(row, temperature_ptr, top_k_ptr, top_p_ptr, min_p_ptr)
    if not filtered:
        return
    _top, total = _merged(sums_ptr, r, 2, S, BLOCK_S)
    b = tl.arange(0, _BINS)
    counts = tl.load(bins_ptr + r * _BINS + b)
    passed = tl.cumsum(counts, 0)
    nearest = 2.0 * (tl.exp2(b.to(tl.float32) / _FINENESS) - 1.0)
    # at most what is left beyond a bin
    most = counts.to(tl.float32) * tl.exp(-nearest)
    beyond = tl.cumsum(most, 0, reverse=True) - most
    cut = (k > 0) & (k < V)
    holds = cut & (passed >= k)
    if m > 0.0:
        holds = holds | (nearest > 1e-3 - log_tile(tl.maximum(m, 1e-30)))
    else:
        holds = holds | ((not cut) & (beyond < (1.0 - p) * total * 0.999))
    # one more, lest a logit at the edge is on its other side for another kernel
    last = tl.min(tl.where(holds, b, _BINS), 0) + 1
    found = tl.sum(tl.where(b <= last, counts, 0), 0)
    few = (last < _BINS - 1) & (found <= _CANDIDATES)
    if ORDERED:
        few = last < 0
    tl.store(limits_ptr + r, tl.where(few, last, -1))
    tl.store(found_ptr + r * 3, 0)
    tl.store(found_ptr + r * 3 + 1, _ALL)
    tl.store(found_ptr + r * 3 + 2, 0)
    tl.store(above_ptr + r, 0.0)


@jit
def _near_kernel(
    logits_ptr,
    rows_ptr,
    temperature_ptr,
    top_k_ptr,
    top_p_ptr,
    min_p_ptr,
    sums_ptr,
    limits_ptr,
    values_ptr,
    ids_ptr,
    found_ptr,
    V,
    STRETCH: tl.constexpr,
    BLOCK_S: tl.constexpr,
    SLICE: tl.constexpr,
):
    """The tokens up to that bin, in any order."""
    r, s, S = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    row = tl.load(rows_ptr + r)
    t, _k, _p, _m, filtered = _parameters(row, temperature_ptr, top_k_ptr, top_p_ptr, min_p_ptr)
    if not filtered:
        return
    last = tl.load(limits_ptr + r)
    top, _total = _merged(sums_ptr, r, 2, S, BLOCK_S)
    if _bin(tl.load(sums_ptr + (r * S + s) * 5 + 2), top) > last:
        return
    for start in range(s * STRETCH, tl.minimum((s + 1) * STRETCH, V), SLICE):
        ids = start + tl.arange(0, SLICE)
        z = tl.load(logits_ptr + r * V + ids, ids < V, other=float("-inf"))
        x = _scaled(z, t)
        near = _bin(x, top) <= last
        place = tl.cumsum(near.to(tl.int32), 0)
        count = tl.max(place, 0)
        if count > 0:
            place += tl.atomic_add(found_ptr + r * 3, count, sem="relaxed") - 1
            near = near & (place < _CANDIDATES)
            tl.store(values_ptr + r * _CANDIDATES + place, x, near)
            tl.store(ids_ptr + r * _CANDIDATES + place, ids, near)


@jit
def _first_level(
    counts_ptr,
    masses_ptr,
    edges_ptr,
    r,
    S,
    k,
    p,
    m,
    top,
    total,
    V,
    LEVELS: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_S: tl.constexpr,
):
    """(the first level that holds what can be kept, counts, masses and edges of all levels)."""
    level, stretch = tl.arange(0, BLOCK_L), tl.arange(0, BLOCK_S)
    at = (r * LEVELS + level[:, None]) * S + stretch[None, :]
    real = (level < LEVELS)[:, None] & (stretch < S)[None, :]
    count = tl.sum(tl.load(counts_ptr + at, real, other=0), 1)
    mass = tl.sum(tl.load(masses_ptr + at, real, other=0.0), 1)
    edges = tl.load(edges_ptr + r * LEVELS + level, level < LEVELS, other=0.0)
    # top_k and min_p keep a prefix each: the first level that holds one of them. top_p shares the
    # probability of that prefix, which must be there as a whole; alone, it takes a little more
    # than its part, since later sums round differently
    cut = (k > 0) & (k < V)
    holds = cut & (count >= k)
    if m > 0.0:
        holds = holds | (edges < top + log_tile(tl.maximum(m, 1e-30)) - 1e-3)
    else:
        holds = holds | ((not cut) & (mass >= p * total * 1.000002))
    first = tl.min(tl.where(holds & (level < LEVELS), level, BLOCK_L), 0)
    return first, count, mass, edges


@jit
def _pick(values, index, BLOCK_L: tl.constexpr):
    return tl.sum(tl.where(tl.arange(0, BLOCK_L) == index, values, 0), 0)


@jit
def _divisible(k, p, m, V):
    """Whether the tokens above the cut need not be at hand: top_p shares no other prefix."""
    return (p >= 1.0) | ((m <= 0.0) & ((k <= 0) | (k >= V)))


@jit
def _level_kernel(
    logits_ptr,
    rows_ptr,
    temperature_ptr,
    top_k_ptr,
    top_p_ptr,
    min_p_ptr,
    sums_ptr,
    limits_ptr,
    counts_ptr,
    masses_ptr,
    edges_ptr,
    fine_counts_ptr,
    fine_masses_ptr,
    fine_edges_ptr,
    V,
    STRETCH: tl.constexpr,
    BLOCK_S: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_P: tl.constexpr,
    SLICE: tl.constexpr,
    FINE: tl.constexpr,
):
    r, s, S = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    row = tl.load(rows_ptr + r)
    t, k, p, m, filtered = _parameters(row, temperature_ptr, top_k_ptr, top_p_ptr, min_p_ptr)
    if not filtered:
        return
    if tl.load(limits_ptr + r) >= 0:
        return
    top, total = _merged(sums_ptr, r, 2, S, BLOCK_S)
    edge, step, ratio = top - _NEAREST, _NEAREST * (_RATIO - 1.0), _RATIO
    if FINE:
        first, count, _mass, edges = _first_level(
            counts_ptr,
            masses_ptr,
            edges_ptr,
            r,
            S,
            k,
            p,
            m,
            top,
            total,
            V,
            _LEVELS,
            BLOCK_L,
            BLOCK_S,
        )
        if (first >= _LEVELS) | (_pick(count, first, BLOCK_L) <= _CANDIDATES):
            return
        above = tl.where(first > 0, _pick(edges, first - 1, BLOCK_L), top + 1.0)
        # a little too far, lest the last edge rounds to above the one it stands for
        step = (above - _pick(edges, first, BLOCK_L)) * (1.001 / _PARTS)
        edge, ratio = above - step, 1.0
        counts_ptr, masses_ptr, edges_ptr = fine_counts_ptr, fine_masses_ptr, fine_edges_ptr
    NUM: tl.constexpr = _PARTS if FINE else _LEVELS
    BLOCK: tl.constexpr = BLOCK_P if FINE else BLOCK_L
    # all programs have the same edges, and others read them from memory
    level = tl.arange(0, BLOCK)
    edges = tl.zeros([BLOCK], tl.float32)
    for i in tl.static_range(NUM):
        edges = tl.where(level == i, edge, edges)
        edge -= step
        step *= ratio
    if s == 0:
        tl.store(edges_ptr + r * NUM + level, edges, level < NUM)
    counts, masses = tl.zeros([BLOCK], tl.int32), tl.zeros([BLOCK], tl.float32)
    for start in range(s * STRETCH, tl.minimum((s + 1) * STRETCH, V), SLICE):
        ids = start + tl.arange(0, SLICE)
        z = tl.load(logits_ptr + r * V + ids, ids < V, other=float("-inf"))
        x = _scaled(z, t)
        mass = tl.exp(x - top)
        for i in tl.static_range(NUM):
            near = x >= tl.sum(tl.where(level == i, edges, 0.0), 0)
            counts += tl.where(level == i, tl.sum(near.to(tl.int32), 0), 0)
            masses += tl.where(level == i, tl.sum(tl.where(near, mass, 0.0), 0), 0.0)
    at = (r * NUM + level) * S + s
    tl.store(counts_ptr + at, counts, level < NUM)
    tl.store(masses_ptr + at, masses, level < NUM)


@jit
def _gather_kernel(
    logits_ptr,
    rows_ptr,
    temperature_ptr,
    top_k_ptr,
    top_p_ptr,
    min_p_ptr,
    sums_ptr,
    limits_ptr,
    counts_ptr,
    masses_ptr,
    edges_ptr,
    fine_counts_ptr,
    fine_masses_ptr,
    fine_edges_ptr,
    values_ptr,
    ids_ptr,
    found_ptr,
    above_ptr,
    V,
    STRETCH: tl.constexpr,
    BLOCK_S: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    r, s, S = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    row = tl.load(rows_ptr + r)
    t, k, p, m, filtered = _parameters(row, temperature_ptr, top_k_ptr, top_p_ptr, min_p_ptr)
    if not filtered:
        return
    if tl.load(limits_ptr + r) >= 0:
        return
    top, total = _merged(sums_ptr, r, 2, S, BLOCK_S)
    first, count, mass, edges = _first_level(
        counts_ptr,
        masses_ptr,
        edges_ptr,
        r,
        S,
        k,
        p,
        m,
        top,
        total,
        V,
        _LEVELS,
        BLOCK_L,
        BLOCK_S,
    )
    found, edge = _pick(count, first, BLOCK_L), _pick(edges, first, BLOCK_L)
    below, what = float("inf"), tl.full([], _ALL, tl.int32)
    # tokens above those that are gathered, and their mass
    count_above, mass_above = tl.full([], 0, tl.int32), 0.0
    fits = (first < _LEVELS) & (found <= _CANDIDATES)
    lower_counts_ptr = counts_ptr + (r * _LEVELS + tl.minimum(first, _LEVELS - 1)) * S
    # nothing is counted before the stretch s where everything above the edge is gathered
    upper_counts_ptr, has_upper = lower_counts_ptr, first < 0
    if (first < _LEVELS) & (not fits):
        fine, fine_count, fine_mass, fine_edges = _first_level(
            fine_counts_ptr,
            fine_masses_ptr,
            fine_edges_ptr,
            r,
            S,
            k,
            p,
            m,
            top,
            total,
            V,
            _PARTS,
            BLOCK_P,
            BLOCK_S,
        )
        if _divisible(k, p, m, V):
            what = tl.full([], _PART, tl.int32)
            if fine > 0:
                count_above = _pick(fine_count, fine - 1, BLOCK_P)
                mass_above = _pick(fine_mass, fine - 1, BLOCK_P)
                below = _pick(fine_edges, fine - 1, BLOCK_P)
                upper_counts_ptr = fine_counts_ptr + (r * _PARTS + fine - 1) * S
                has_upper = fine > 0
            elif first > 0:
                count_above = _pick(count, first - 1, BLOCK_L)
                mass_above = _pick(mass, first - 1, BLOCK_L)
                below = _pick(edges, first - 1, BLOCK_L)
                upper_counts_ptr = counts_ptr + (r * _LEVELS + first - 1) * S
                has_upper = first > 0
        found = _pick(fine_count, fine, BLOCK_P) - count_above
        edge = _pick(fine_edges, fine, BLOCK_P)
        lower_counts_ptr = fine_counts_ptr + (r * _PARTS + tl.minimum(fine, _PARTS - 1)) * S
        fits = (fine < _PARTS) & (found <= _CANDIDATES)
    if s == 0:
        tl.store(found_ptr + r * 3, tl.where(fits, found, 0))
        tl.store(found_ptr + r * 3 + 1, tl.where(fits, what, _ROW))
        tl.store(found_ptr + r * 3 + 2, tl.where(fits, count_above, 0))
        tl.store(above_ptr + r, tl.where(fits, mass_above, 0.0))
    if not fits:
        return
    stretch = tl.arange(0, BLOCK_S)
    earlier = tl.load(lower_counts_ptr + stretch, stretch < s, other=0)
    earlier -= tl.load(upper_counts_ptr + stretch, stretch < tl.where(has_upper, s, 0), other=0)
    ids = s * STRETCH + tl.arange(0, STRETCH)
    z = tl.load(logits_ptr + r * V + ids, ids < V, other=float("-inf"))
    x = _scaled(z, t)
    mine = (x >= edge) & (x < below)
    to = r * _CANDIDATES + tl.sum(earlier, 0) + tl.cumsum(mine.to(tl.int32), 0) - 1
    tl.store(values_ptr + to, x, mine)
    tl.store(ids_ptr + to, ids, mine)


@jit
def _key(x):
    """int32 in the order of float32."""
    bits = x.to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@jit
def _middle(low, high):
    return ((low.to(tl.int64) + high.to(tl.int64)) >> 1).to(tl.int32)


@jit
def _tile(logits_ptr, start, V, t, TILE: tl.constexpr):
    ids = start + tl.arange(0, TILE)
    z = tl.load(logits_ptr + ids, ids < V, other=float("-inf"))
    return _scaled(z, t), ids


# The sums below are over the candidates x, ids if SMALL, which stay in registers, else over the row.
# A token is in the cut (key, last) if its key is higher, or equal and its id at most `last`.


@jit
def _in_cut(keys, ids, key, last):
    return (keys > key) | ((keys == key) & (ids <= last))


@jit
def _count(x, ids, logits_ptr, V, t, low, key, last, SMALL: tl.constexpr, TILE: tl.constexpr):
    """How many tokens are in the cut (key, last) and have a key of at least `low`."""
    if SMALL:
        keys = _key(x)
        total = tl.sum((_in_cut(keys, ids, key, last) & (keys >= low)).to(tl.int32), 0)
    else:
        parts = tl.zeros([TILE], tl.int32)
        for start in range(0, V, TILE):
            y, tile_ids = _tile(logits_ptr, start, V, t, TILE)
            keys = _key(y)
            inside = _in_cut(keys, tile_ids, key, last) & (keys >= low) & (tile_ids < V)
            parts += inside.to(tl.int32)
        total = tl.sum(parts, 0)
    return total


@jit
def _mass(x, ids, logits_ptr, V, t, top, above, key, last, SMALL: tl.constexpr, TILE: tl.constexpr):
    """Sum of exp(x - top) over the tokens in the cut (key, last) with a key over `above`."""
    if SMALL:
        keys = _key(x)
        inside = _in_cut(keys, ids, key, last) & (keys > above)
        total = tl.sum(tl.where(inside, tl.exp(x - top), 0.0), 0)
    else:
        parts = tl.zeros([TILE], tl.float32)
        for start in range(0, V, TILE):
            y, tile_ids = _tile(logits_ptr, start, V, t, TILE)
            keys = _key(y)
            inside = _in_cut(keys, tile_ids, key, last) & (keys > above)
            parts += tl.where(inside, tl.exp(y - top), 0.0)
        total = tl.sum(parts, 0)
    return total


@jit
def _last_id(x, ids, logits_ptr, V, t, key, wanted, SMALL: tl.constexpr, TILE: tl.constexpr):
    """The id at which `wanted` tokens with this very key have passed, in the order of ids."""
    low, high = tl.full([], -1, tl.int32), tl.full([], V - 1, tl.int32)
    while high - low > 1:
        middle = (low + high) // 2
        # nothing is over the highest key of all, so that only this key counts
        if SMALL:
            passed = tl.sum(((_key(x) == key) & (ids <= middle)).to(tl.int32), 0)
        else:
            passed = _count(x, ids, logits_ptr, V, t, key, key, middle, SMALL, TILE)
            passed -= _count(x, ids, logits_ptr, V, t, key, key, -1, SMALL, TILE)
        if passed >= wanted:
            high = middle
        else:
            low = middle
    return high


@jit
def _cut(
    x,
    ids,
    logits_ptr,
    V,
    t,
    k,
    p,
    m,
    top,
    row_mass,
    count_above,
    mass_above,
    SMALL: tl.constexpr,
    TILE: tl.constexpr,
):
    """(key, last) of a row with filters, `count_above` tokens of it being over the candidates."""
    highest = _key(top)
    lowest = tl.full([], _LOWEST, tl.int32)
    if SMALL:
        highest = tl.max(_key(x), 0)
        lowest = tl.min(_key(tl.where(x == float("-inf"), top, x)), 0) - 1
    # top_k and min_p
    key, last = tl.full([], _LOWEST, tl.int32), tl.full([], _HIGHEST, tl.int32)
    if (k > 0) & (k < V):
        left = k - count_above
        low, high = lowest, highest + 1
        while high.to(tl.int64) - low.to(tl.int64) > 1:
            middle = _middle(low, high)
            passed = _count(x, ids, logits_ptr, V, t, middle, middle, _HIGHEST, SMALL, TILE)
            if passed >= left:
                low = middle
            else:
                high = middle
            if passed == left:
                high = middle + 1
        key = low
        over = _count(x, ids, logits_ptr, V, t, key, key, -1, SMALL, TILE)
        if _count(x, ids, logits_ptr, V, t, key, key, _HIGHEST, SMALL, TILE) > left:
            last = _last_id(x, ids, logits_ptr, V, t, key, left - over, SMALL, TILE)
    if m > 0.0:
        least = _key(top + log_tile(tl.maximum(m, 1e-30)))
        if least > key:
            key, last = least, tl.full([], _HIGHEST, tl.int32)
    # top_p, of the probability of what is left
    if p < 1.0:
        kept = row_mass
        if ((k > 0) & (k < V)) | (m > 0.0):
            kept = _mass(x, ids, logits_ptr, V, t, top, lowest, key, last, SMALL, TILE)
        wanted = kept * p - mass_above
        # the lowest key with less than that above it
        low, high = tl.maximum(key, lowest + 1) - 1, highest
        while high.to(tl.int64) - low.to(tl.int64) > 1:
            middle = _middle(low, high)
            if _mass(x, ids, logits_ptr, V, t, top, middle, key, last, SMALL, TILE) < wanted:
                high = middle
            else:
                low = middle
        if high > key:
            key, last = high, tl.full([], _HIGHEST, tl.int32)
        over = _mass(x, ids, logits_ptr, V, t, top, high, key, last, SMALL, TILE)
        bits = high ^ ((high >> 31) & 0x7FFFFFFF)
        each = tl.exp(bits.to(tl.float32, bitcast=True) - top)
        # of tokens with this very key, those with less than `wanted` before them
        ties = tl.ceil(tl.minimum((wanted - over) / tl.maximum(each, 1e-38), 1e9)).to(tl.int32)
        ties = tl.maximum(ties, 1)
        equal = _count(x, ids, logits_ptr, V, t, high, high, last, SMALL, TILE)
        equal -= _count(x, ids, logits_ptr, V, t, high, high, -1, SMALL, TILE)
        if equal > ties:
            last = _last_id(x, ids, logits_ptr, V, t, high, ties, SMALL, TILE)
    return key, last


@jit
def _choose_kernel(
    logits_ptr,
    rows_ptr,
    temperature_ptr,
    top_k_ptr,
    top_p_ptr,
    min_p_ptr,
    seeds_ptr,
    positions_ptr,
    sums_ptr,
    values_ptr,
    ids_ptr,
    found_ptr,
    above_ptr,
    cuts_ptr,
    V,
    S,
    BLOCK_S: tl.constexpr,
    TILE: tl.constexpr,
    ROW_TILE: tl.constexpr,
):
    r = tl.program_id(0).to(tl.int64)
    row = tl.load(rows_ptr + r)
    t, k, p, m, filtered = _parameters(row, temperature_ptr, top_k_ptr, top_p_ptr, min_p_ptr)
    if not filtered:
        return
    top, total = _merged(sums_ptr, r, 2, S, BLOCK_S)
    found, what = tl.load(found_ptr + r * 3), tl.load(found_ptr + r * 3 + 1)
    count, mass = tl.load(found_ptr + r * 3 + 2), tl.load(above_ptr + r)
    found = tl.minimum(found, TILE)
    c = tl.arange(0, TILE)
    x = tl.load(values_ptr + r * TILE + c, c < found, other=float("-inf"))
    # ids that no real token has, so that the rest of the tile is in no cut
    ids = tl.load(ids_ptr + r * TILE + c, c < found, other=_HIGHEST)
    row_ptr = logits_ptr + r * V
    if what == _ROW:
        key, last = _cut(x, ids, row_ptr, V, t, k, p, m, top, total, count, mass, False, ROW_TILE)
    else:
        key, last = _cut(x, ids, row_ptr, V, t, k, p, m, top, total, count, mass, True, TILE)
    token = tl.full([], -1, tl.int32)
    if what == _ALL:
        stream = stream_of(tl.load(seeds_ptr + row), tl.load(positions_ptr + row))
        score = tl.where(_in_cut(_key(x), ids, key, last), x, float("-inf"))
        score += gumbel_tile(stream, ids)
        _best, at = tl.max(score, 0, return_indices=True, return_indices_tie_break_left=True)
        token = tl.sum(tl.where(c == at, ids, 0), 0)
    tl.store(cuts_ptr + r * 3, token)
    tl.store(cuts_ptr + r * 3 + 1, key)
    tl.store(cuts_ptr + r * 3 + 2, last)


@jit
def _draw_kernel(
    logits_ptr,
    rows_ptr,
    temperature_ptr,
    top_k_ptr,
    top_p_ptr,
    min_p_ptr,
    seeds_ptr,
    positions_ptr,
    sums_ptr,
    best_ptr,
    cuts_ptr,
    V,
    STRETCH: tl.constexpr,
):
    r, s = tl.program_id(0).to(tl.int64), tl.program_id(1)
    row = tl.load(rows_ptr + r)
    t, _k, _p, _m, filtered = _parameters(row, temperature_ptr, top_k_ptr, top_p_ptr, min_p_ptr)
    if not filtered:
        return
    if tl.load(cuts_ptr + r * 3) >= 0:
        return
    key, last = tl.load(cuts_ptr + r * 3 + 1), tl.load(cuts_ptr + r * 3 + 2)
    ids = s * STRETCH + tl.arange(0, STRETCH)
    z = tl.load(logits_ptr + r * V + ids, ids < V, other=float("-inf"))
    x = _scaled(z, t)
    score = tl.where(_in_cut(_key(x), ids, key, last), x, float("-inf"))
    if tl.max(score, 0) > float("-inf"):
        stream = stream_of(tl.load(seeds_ptr + row), tl.load(positions_ptr + row))
        score += gumbel_tile(stream, ids)
    best, at = tl.max(score, 0, return_indices=True, return_indices_tie_break_left=True)
    part = r * tl.num_programs(1) + s
    tl.store(sums_ptr + part * 5 + 4, best)
    tl.store(best_ptr + part, s * STRETCH + at)


@jit
def _finish_kernel(
    raw_ptr,
    rows_ptr,
    temperature_ptr,
    top_k_ptr,
    top_p_ptr,
    min_p_ptr,
    sums_ptr,
    best_ptr,
    cuts_ptr,
    tokens_ptr,
    logprobs_ptr,
    V,
    S,
    BLOCK_S: tl.constexpr,
    FILTERS: tl.constexpr,
):
    r = tl.program_id(0).to(tl.int64)
    s = tl.arange(0, BLOCK_S)
    scores = tl.load(sums_ptr + (r * S + s) * 5 + 4, s < S, other=float("-inf"))
    _best, at = tl.max(scores, 0, return_indices=True, return_indices_tie_break_left=True)
    token = tl.load(best_ptr + r * S + at)
    if FILTERS:
        row = tl.load(rows_ptr + r)
        _t, _k, _p, _m, filtered = _parameters(
            row, temperature_ptr, top_k_ptr, top_p_ptr, min_p_ptr
        )
        chosen = tl.load(cuts_ptr + r * 3, filtered, other=-1)
        token = tl.where(chosen >= 0, chosen, token)
    raw_top, raw_sum = _merged(sums_ptr, r, 0, S, BLOCK_S)
    own = tl.load(raw_ptr + r * V + token).to(tl.float32)
    tl.store(tokens_ptr + r, token.to(tl.int64))
    tl.store(logprobs_ptr + r, own - raw_top - log_tile(raw_sum))


def sample(
    logits: Tensor,
    rows: Tensor,
    temperature: Tensor,
    top_k: Tensor,
    top_p: Tensor,
    min_p: Tensor,
    seeds: Tensor,
    positions: Tensor,
    raw: Tensor | None = None,
    filters: bool = True,
    ordered: bool = False,
    logprobs: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Tokens [R], int64, and their log-probabilities [R], float32, under the raw logits.

    logits [R, V] after penalties and masks; raw [R, V] before them, None: the same. rows [R]: the
    row of each in the arrays of parameters. temperature 0 is greedy; top_k 0, top_p 1 and min_p 0
    are off. filters False promises that they all are, which saves eight launches. ordered: sum
    probabilities in the same order every time, which takes longer with filters. logprobs: where
    those are put.
    """
    if not use_triton(logits):
        of = rows, temperature, top_k, top_p, min_p, seeds, positions, raw
        tokens, found = sample_ref(logits, *of)
        return tokens, found if logprobs is None else logprobs.copy_(found)
    require_contiguous("sample", logits=logits, raw=raw, rows=rows, temperature=temperature)
    require_contiguous("sample", top_k=top_k, top_p=top_p, min_p=min_p, seeds=seeds)
    require_contiguous("sample", positions=positions, logprobs=logprobs)
    count, size = logits.shape
    stretches = -(-size // STRETCH)
    block_s = next_power_of_2(stretches)

    def memory(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=logits.device)

    tokens = memory(count, dtype=torch.int64)
    logprobs = memory(count, dtype=torch.float32) if logprobs is None else logprobs
    if not count:
        return tokens, logprobs
    parameters = (rows, temperature, top_k, top_p, min_p)
    sums = memory(count, stretches, 5, dtype=torch.float32)
    best = memory(count, stretches, dtype=torch.int32)
    grid = (count, stretches)
    original = logits if raw is None else raw
    cuts = bins = None
    if filters:
        bins = memory(count, BINS, dtype=torch.int32)
    _scan_kernel[grid](
        logits,
        original,
        *parameters,
        seeds,
        positions,
        sums,
        best,
        bins,
        size,
        STRETCH=STRETCH,
        TILE=TILE,
        RAW=raw is not None,
        FILTERS=filters,
        num_warps=4,
    )
    if filters:
        levels = [
            memory(*shape, dtype=dtype)
            for num in (LEVELS, PARTS)
            for shape, dtype in (
                ((count, num, stretches), torch.int32),
                ((count, num, stretches), torch.float32),
                ((count, num), torch.float32),
            )
        ]
        candidates = (
            memory(count, CANDIDATES, dtype=torch.float32),
            memory(count, CANDIDATES, dtype=torch.int32),
            memory(count, 3, dtype=torch.int32),
            memory(count, dtype=torch.float32),
        )
        limits = memory(count, dtype=torch.int32)
        cuts = memory(count, 3, dtype=torch.int32)
        shared = {"STRETCH": STRETCH, "BLOCK_S": block_s}
        shared |= {"BLOCK_L": next_power_of_2(LEVELS), "BLOCK_P": next_power_of_2(PARTS)}
        _histogram_kernel[grid](
            logits,
            *parameters,
            sums,
            bins,
            size,
            STRETCH=STRETCH,
            BLOCK_S=block_s,
            num_warps=8,
        )
        _limit_kernel[(count,)](
            *parameters,
            sums,
            bins,
            limits,
            *candidates[2:],
            size,
            stretches,
            BLOCK_S=block_s,
            ORDERED=ordered,
            num_warps=1,
        )
        _near_kernel[grid](
            logits,
            *parameters,
            sums,
            limits,
            *candidates[:3],
            size,
            STRETCH=STRETCH,
            BLOCK_S=block_s,
            SLICE=SLICE // 2,
            num_warps=4,
        )
        args = (logits, *parameters, sums, limits, *levels)
        for fine in (False, True):
            _level_kernel[grid](*args, size, SLICE=SLICE, FINE=fine, num_warps=4, **shared)
        _gather_kernel[grid](*args, *candidates, size, num_warps=4, **shared)
        _choose_kernel[(count,)](
            logits,
            *parameters,
            seeds,
            positions,
            sums,
            *candidates,
            cuts,
            size,
            stretches,
            BLOCK_S=block_s,
            TILE=CANDIDATES,
            ROW_TILE=2 * STRETCH,
            num_warps=16,
        )
        _draw_kernel[grid](
            logits,
            *parameters,
            seeds,
            positions,
            sums,
            best,
            cuts,
            size,
            STRETCH=STRETCH,
            num_warps=8,
        )
    _finish_kernel[(count,)](
        original,
        *parameters,
        sums,
        best,
        cuts,
        tokens,
        logprobs,
        size,
        stretches,
        BLOCK_S=block_s,
        FILTERS=filters,
        num_warps=1,
    )
    return tokens, logprobs
