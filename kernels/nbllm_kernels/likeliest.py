"""The k likeliest tokens of each row of logits, with their log-probabilities.

log p(i) = x(i) - logsumexp(x),   x = logits / temperature

Tokens that are not allowed are never among them, but they keep their share of the sum: the others'
log-probabilities are those of the raw distribution. Equal log-probabilities rank by token id. Bound
by reading the logits: one program takes the k largest out of each stretch of a row, a second kernel
merges them. Of a stretch that is cut into 4 k chunks, at least k elements reach the k-th largest of
the chunks' maxima, and few more do: only those are sorted.
"""

# in a kernel, types are Triton's business
# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import torch
from torch import Tensor

from ._triton import AVAILABLE, jit, next_power_of_2, require_contiguous, tl, use_triton
from .gumbel import log_tile

STRETCH = 4096
"""Logits that one program reads."""
MAX_K = 128
"""More are sorted by torch."""

if AVAILABLE:
    _NOTHING = tl.constexpr(-(1 << 63))


def top_ref(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row of x [R, V] and their indices, both [R, k]; ties by index."""
    # topk leaves the order of ties open, also at its end: one more shows whether there are any
    values, ids = x.topk(min(k + 1, x.shape[1]))
    tied = values[:, 1:] == values[:, :-1]
    values, ids = values[:, :k], ids[:, :k]
    if tied.any():
        tied = tied.any(1)
        values, ids = values.clone(), ids.clone()
        exact, order = x[tied].sort(dim=-1, descending=True, stable=True)
        values[tied], ids[tied] = exact[:, :k], order[:, :k]
    return values, ids


def likeliest_ref(
    logits: Tensor, k: int, allowed: Tensor | None = None, temperature: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """As `likeliest`."""
    x = logits.float()
    if temperature is not None:
        x = x / temperature[:, None]
    x = x.log_softmax(-1)
    if allowed is None:
        return *top_ref(x, k), None
    values, ids = top_ref(x.masked_fill(~allowed, -torch.inf), k)
    lower = torch.searchsorted(x.sort(-1)[0], values.contiguous())
    return values, ids, x.shape[1] - lower


@jit
def _key(x, ids):
    """int64 whose order is that of x, and among equals the reverse of ids."""
    bits = x.to(tl.int32, bitcast=True)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (ordered.to(tl.int64) << 32) | (0x7FFFFFFF - ids).to(tl.int64)


@jit
def _value(key):
    """(x, id) of a key."""
    ordered = (key >> 32).to(tl.int32)
    bits = ordered ^ ((ordered >> 31) & 0x7FFFFFFF)
    return bits.to(tl.float32, bitcast=True), 0x7FFFFFFF - (key & 0x7FFFFFFF).to(tl.int32)


@jit
def _stretch_kernel(
    logits_ptr,
    temperature_ptr,
    keys_ptr,
    near_ptr,
    sums_ptr,
    V,
    K: tl.constexpr,
    NEAR: tl.constexpr,
    STRETCH: tl.constexpr,
    TEMPERATURE: tl.constexpr,
):
    r, s = tl.program_id(0).to(tl.int64), tl.program_id(1)
    n = tl.arange(0, STRETCH)
    ids = s * STRETCH + n
    x = tl.load(logits_ptr + r * V + ids, ids < V, other=float("-inf")).to(tl.float32)
    if TEMPERATURE:
        x = tl.div_rn(x, tl.load(temperature_ptr + r))
    x += 0.0  # of the two zeros one, whose bits would be ordered
    part = r * tl.num_programs(1) + s
    top = tl.max(x, 0)
    finite = tl.where(top == float("-inf"), 0.0, top)
    tl.store(sums_ptr + part * 2, top)
    tl.store(sums_ptr + part * 2 + 1, tl.sum(tl.exp(x - finite), 0))

    keys = tl.where(ids < V, _key(x, ids), _NOTHING)
    chunks = tl.max(tl.reshape(keys, [NEAR, STRETCH // NEAR]), 1)
    least = tl.min(tl.topk(chunks, K), 0)
    near = keys >= least
    place = tl.cumsum(near.to(tl.int32), 0) - 1
    count = tl.max(place, 0) + 1
    near_ptr += part * NEAR
    c, k = tl.arange(0, NEAR), tl.arange(0, K)
    if count <= NEAR:
        tl.store(near_ptr + place, keys, near)
        # every thread has written before any reads
        tl.debug_barrier()
        found = tl.load(near_ptr + c, c < count, other=_NOTHING)
        tl.store(keys_ptr + part * K + k, tl.topk(found, K))
    else:
        # all of the largest in the same few chunks
        left = keys
        for i in range(K):
            best = tl.max(left, 0)
            tl.store(keys_ptr + part * K + i, best)
            left = tl.where(left == best, _NOTHING, left)


@jit
def _merge_kernel(
    keys_ptr,
    sums_ptr,
    logprobs_ptr,
    ids_ptr,
    k,
    S: tl.constexpr,
    K: tl.constexpr,
    BLOCK_S: tl.constexpr,
    BLOCK: tl.constexpr,
):
    r = tl.program_id(0).to(tl.int64)
    s = tl.arange(0, BLOCK_S)
    tops = tl.load(sums_ptr + (r * S + s) * 2, s < S, other=float("-inf"))
    sums = tl.load(sums_ptr + (r * S + s) * 2 + 1, s < S, other=0.0)
    top = tl.max(tops, 0)
    log_sum = log_tile(tl.sum(sums * tl.exp(tops - top), 0))
    c = tl.arange(0, BLOCK)
    keys = tl.load(keys_ptr + r * S * K + c, c < S * K, other=_NOTHING)
    x, ids = _value(keys)
    # what rounding makes equal is equal
    keys = tl.where(keys == _NOTHING, keys, _key(x - top - log_sum + 0.0, ids))
    logprobs, ids = _value(tl.topk(keys, K))
    n = tl.arange(0, K)
    tl.store(logprobs_ptr + r * k + n, logprobs, n < k)
    tl.store(ids_ptr + r * k + n, ids.to(tl.int64), n < k)


def likeliest(
    logits: Tensor, k: int, allowed: Tensor | None = None, temperature: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Log-probabilities and ids of the k likeliest allowed tokens, both [R, k], and their ranks.

    logits [R, V], k <= V; temperature [R] float32, None for 1; allowed bool [V] or [R, V], None for
    all. Where fewer than k are allowed the rest has -inf. The ranks [R, k] are those among all
    tokens; None when all are allowed: 1 … k.
    """
    if not use_triton(logits) or allowed is not None or k > MAX_K or not len(logits):
        return likeliest_ref(logits, k, allowed, temperature)
    require_contiguous("likeliest", logits=logits, temperature=temperature)
    count, size = logits.shape
    stretches, block = -(-size // STRETCH), max(2, next_power_of_2(k))

    def memory(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=logits.device)

    near = max(64, 4 * block)
    keys = memory(count, stretches, block, dtype=torch.int64)
    sums = memory(count, stretches, 2, dtype=torch.float32)
    _stretch_kernel[(count, stretches)](
        logits,
        temperature,
        keys,
        memory(count, stretches, near, dtype=torch.int64),
        sums,
        size,
        K=block,
        NEAR=near,
        STRETCH=STRETCH,
        TEMPERATURE=temperature is not None,
        num_warps=8,
    )
    logprobs = memory(count, k, dtype=torch.float32)
    ids = memory(count, k, dtype=torch.int64)
    _merge_kernel[(count,)](
        keys,
        sums,
        logprobs,
        ids,
        k,
        S=stretches,
        K=block,
        BLOCK_S=next_power_of_2(stretches),
        BLOCK=next_power_of_2(stretches * block),
        num_warps=4,
    )
    return logprobs, ids, None
