"""The k likeliest tokens of each row of logits, with their log-probabilities.

log p(i) = x(i) - logsumexp(x),   x = logits / temperature

Tokens that are not allowed are never among them, but they keep their share of the sum: the others'
log-probabilities are those of the raw distribution. Equal log-probabilities rank by token id.

Bound by reading the logits: one kernel leaves the maximum of each chunk of a row, and sums. The k
largest elements lie in the k chunks with the largest maxima, since every one of these has an element
before all of another chunk. So a second kernel, one program a row, takes the largest of the maxima,
then of the elements of those chunks. `top_logprobs.py` orders by logits, and wants a token's rank among
them; the same kernels do that.
"""

# in a kernel, types are Triton's business
# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false, reportIndexIssue=false

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
def _scaled(logits_ptr, at, mask, temperature):
    x = tl.load(logits_ptr + at, mask, other=float("-inf")).to(tl.float32)
    if temperature != 1.0:  # a division takes as long as all the rest
        x = tl.div_rn(x, temperature)
    # makes one zero of the two, whose bits would be ordered
    return x + 0.0


@jit
def _maxima_kernel(
    logits_ptr,
    temperature_ptr,
    tokens_ptr,
    maxima_ptr,
    sums_ptr,
    ranks_ptr,
    V,
    CHUNKS,
    CHUNK: tl.constexpr,
    STRETCH: tl.constexpr,
    TEMPERATURE: tl.constexpr,
    RANKED: tl.constexpr,
):
    r, s = tl.program_id(0).to(tl.int64), tl.program_id(1)
    temperature = 1.0
    if TEMPERATURE:
        temperature = tl.load(temperature_ptr + r)
    ids = s * STRETCH + tl.arange(0, STRETCH)
    x = _scaled(logits_ptr, r * V + ids, ids < V, temperature)
    maxima = tl.max(tl.reshape(x, [STRETCH // CHUNK, CHUNK]), 1)
    chunk = s * (STRETCH // CHUNK) + tl.arange(0, STRETCH // CHUNK)
    tl.store(maxima_ptr + r * CHUNKS + chunk, maxima, chunk < CHUNKS)
    top = tl.max(maxima, 0)
    finite = tl.where(top == float("-inf"), 0.0, top)
    sums_at = sums_ptr + (r * tl.num_programs(1) + s) * 2
    tl.store(sums_at, top)
    tl.store(sums_at + 1, tl.sum(tl.exp(x - finite), 0))
    if RANKED:
        own = _scaled(logits_ptr, r * V + tl.load(tokens_ptr + r), True, temperature)
        rank = tl.sum(((x >= own) & (ids < V)).to(tl.int32), 0)
        tl.store(ranks_ptr + r * tl.num_programs(1) + s, rank)


@jit
def _choose_kernel(
    logits_ptr,
    temperature_ptr,
    maxima_ptr,
    sums_ptr,
    ranks_ptr,
    logprobs_ptr,
    ids_ptr,
    rank_ptr,
    V,
    CHUNKS,
    S,
    k,
    K: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_S: tl.constexpr,
    TEMPERATURE: tl.constexpr,
    RANKED: tl.constexpr,
):
    r = tl.program_id(0).to(tl.int64)
    temperature = 1.0
    if TEMPERATURE:
        temperature = tl.load(temperature_ptr + r)
    s = tl.arange(0, BLOCK_S)
    tops = tl.load(sums_ptr + (r * S + s) * 2, s < S, other=float("-inf"))
    sums = tl.load(sums_ptr + (r * S + s) * 2 + 1, s < S, other=0.0)
    top = tl.max(tops, 0)
    log_sum = log_tile(tl.sum(sums * tl.exp(tops - top), 0))

    c = tl.arange(0, BLOCK_C)
    maxima = tl.load(maxima_ptr + r * CHUNKS + c, c < CHUNKS, other=0.0)
    best = tl.topk(tl.where(c < CHUNKS, _key(maxima, c), _NOTHING), K)
    _maximum, chunk = _value(best)
    ids = chunk[:, None] * CHUNK + tl.arange(0, CHUNK)[None, :]
    real = (best != _NOTHING)[:, None] & (ids < V)
    x = _scaled(logits_ptr, r * V + ids, real, temperature)
    if not RANKED:  # what rounding makes equal is equal
        x = x - top - log_sum + 0.0
    keys = tl.where(real, _key(x, ids), _NOTHING)
    values, ids = _value(tl.topk(tl.reshape(keys, [K * CHUNK]), K))
    if RANKED:
        values = values - top - log_sum
        ranks = tl.load(ranks_ptr + r * S + s, s < S, other=0)
        tl.store(rank_ptr + r, tl.sum(ranks, 0).to(tl.int64))
    n = tl.arange(0, K)
    tl.store(logprobs_ptr + r * k + n, values, n < k)
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
    logprobs, ids, _ = chosen(logits, k, temperature)
    return logprobs, ids, None


def chosen(
    logits: Tensor, k: int, temperature: Tensor | None = None, tokens: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The launches: of `likeliest`, or with tokens [R] int64 of `top_logprobs`; k <= MAX_K."""
    count, size = logits.shape
    block = max(2, next_power_of_2(k))
    # about as many maxima are sorted as elements
    chunk = next_power_of_2(max(16, min(256, int((size / block) ** 0.5))))
    stretches, chunks = -(-size // STRETCH), -(-size // chunk)

    def memory(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=logits.device)

    maxima, sums = memory(count, chunks), memory(count, stretches, 2)
    ranks, rank = None, None
    if tokens is not None:
        ranks = memory(count, stretches, dtype=torch.int32)
        rank = memory(count, dtype=torch.int64)
    _maxima_kernel[(count, stretches)](
        logits,
        temperature,
        tokens,
        maxima,
        sums,
        ranks,
        size,
        chunks,
        CHUNK=chunk,
        STRETCH=STRETCH,
        TEMPERATURE=temperature is not None,
        RANKED=tokens is not None,
        num_warps=4,
    )
    logprobs, ids = memory(count, k), memory(count, k, dtype=torch.int64)
    _choose_kernel[(count,)](
        logits,
        temperature,
        maxima,
        sums,
        ranks,
        logprobs,
        ids,
        rank,
        size,
        chunks,
        stretches,
        k,
        K=block,
        CHUNK=chunk,
        BLOCK_C=max(block, next_power_of_2(chunks)),
        BLOCK_S=next_power_of_2(stretches),
        TEMPERATURE=temperature is not None,
        RANKED=tokens is not None,
        num_warps=8,
    )
    return logprobs, ids, rank
