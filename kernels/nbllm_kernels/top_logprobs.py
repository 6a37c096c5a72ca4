"""The likeliest tokens with their log-probabilities, and a token's rank, in one pass over the logits.

logprob = logit - log(sum(exp(logits)));   rank = how many logits are at least the token's

Bound by reading the logits: one program finds the k largest of each stretch of a row, a second
kernel merges them. Equal logits are ordered by id. For larger k, `torch.topk`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._triton import jit, next_power_of_2, require_contiguous, tl, use_triton
from .gumbel import log_tile

STRETCH = 4096
"""Logits that one program reads."""
MAX_K = 32
"""From here on a sort of some kind is faster."""


def top_logprobs_ref(logits: Tensor, k: int, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As `top_logprobs`."""
    x = logits.float()
    values, ids = x.sort(dim=-1, descending=True, stable=True)
    rank = (x >= x.gather(1, tokens[:, None])).sum(-1)
    return values[:, :k] - x.logsumexp(-1, keepdim=True), ids[:, :k], rank


@jit
def _largest(x, ids, k: tl.constexpr, BLOCK_K: tl.constexpr):
    """The k largest of a tile, in order: values and ids [BLOCK_K]. Tiles are in the order of ids."""
    n = tl.arange(0, BLOCK_K)
    values = tl.full([BLOCK_K], float("-inf"), tl.float32)
    chosen = tl.full([BLOCK_K], -1, tl.int32)
    left = ids >= 0
    for i in range(k):
        open_x = tl.where(left, x, float("-inf"))
        best = tl.max(open_x, 0)
        # among equals the lowest id; -inf too is a logit
        token = tl.min(tl.where(left & (x == best), ids, 0x7FFFFFFF), 0)
        values = tl.where(n == i, best, values)
        chosen = tl.where(n == i, token, chosen)
        left = left & (ids != token)
    return values, chosen


@jit
def _stretch_kernel(
    logits_ptr,
    tokens_ptr,
    values_ptr,
    ids_ptr,
    sums_ptr,
    ranks_ptr,
    V,
    K: tl.constexpr,
    BLOCK_K: tl.constexpr,
    STRETCH: tl.constexpr,
):
    r, s = tl.program_id(0).to(tl.int64), tl.program_id(1)
    ids = s * STRETCH + tl.arange(0, STRETCH)
    x = tl.load(logits_ptr + r * V + ids, ids < V, other=float("-inf")).to(tl.float32)
    own = tl.load(logits_ptr + r * V + tl.load(tokens_ptr + r)).to(tl.float32)
    part = r * tl.num_programs(1) + s
    top = tl.max(x, 0)
    finite = tl.where(top == float("-inf"), 0.0, top)
    tl.store(sums_ptr + part * 2, top)
    tl.store(sums_ptr + part * 2 + 1, tl.sum(tl.exp(x - finite), 0))
    tl.store(ranks_ptr + part, tl.sum(((x >= own) & (ids < V)).to(tl.int32), 0))
    values, chosen = _largest(x, tl.where(ids < V, ids, -1), K, BLOCK_K)
    n = tl.arange(0, BLOCK_K)
    tl.store(values_ptr + part * K + n, values, n < K)
    tl.store(ids_ptr + part * K + n, chosen, n < K)


@jit
def _merge_kernel(
    values_ptr,
    ids_ptr,
    sums_ptr,
    ranks_ptr,
    logprobs_ptr,
    top_ids_ptr,
    rank_ptr,
    S: tl.constexpr,
    K: tl.constexpr,
    BLOCK_S: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK: tl.constexpr,
):
    r = tl.program_id(0).to(tl.int64)
    s = tl.arange(0, BLOCK_S)
    tops = tl.load(sums_ptr + (r * S + s) * 2, s < S, other=float("-inf"))
    sums = tl.load(sums_ptr + (r * S + s) * 2 + 1, s < S, other=0.0)
    top = tl.max(tops, 0)
    log_sum = top + log_tile(tl.sum(sums * tl.exp(tops - top), 0))
    tl.store(rank_ptr + r, tl.sum(tl.load(ranks_ptr + r * S + s, s < S, other=0), 0).to(tl.int64))
    c = tl.arange(0, BLOCK)
    x = tl.load(values_ptr + r * S * K + c, c < S * K, other=float("-inf"))
    ids = tl.load(ids_ptr + r * S * K + c, c < S * K, other=-1)
    # what a short stretch did not fill has no id
    values, chosen = _largest(x, tl.where(ids == 0x7FFFFFFF, -1, ids), K, BLOCK_K)
    n = tl.arange(0, BLOCK_K)
    tl.store(logprobs_ptr + r * K + n, values - log_sum, n < K)
    tl.store(top_ids_ptr + r * K + n, chosen.to(tl.int64), n < K)


def top_logprobs(logits: Tensor, k: int, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(log-probabilities [R, k], ids [R, k], ranks of `tokens` [R]); logits [R, V], 1 <= k <= V."""
    count, size = logits.shape
    if not 1 <= k <= size:
        raise ValueError(f"top_logprobs: k is {k}; it must be from 1 to {size}, the vocabulary")
    if not use_triton(logits):
        return top_logprobs_ref(logits, k, tokens)
    require_contiguous("top_logprobs", logits=logits, tokens=tokens)
    if k > MAX_K or not count:
        values, ids = logits.float().topk(k)
        rank = (logits >= logits.gather(1, tokens[:, None])).sum(-1)
        return values - logits.float().logsumexp(-1, keepdim=True), ids, rank
    stretches = -(-size // STRETCH)

    def memory(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=logits.device)

    values = memory(count, stretches, k, dtype=torch.float32)
    chosen = memory(count, stretches, k, dtype=torch.int32)
    sums = memory(count, stretches, 2, dtype=torch.float32)
    ranks = memory(count, stretches, dtype=torch.int32)
    block_k = next_power_of_2(k)
    _stretch_kernel[(count, stretches)](
        logits,
        tokens,
        values,
        chosen,
        sums,
        ranks,
        size,
        K=k,
        BLOCK_K=block_k,
        STRETCH=STRETCH,
        num_warps=8,
    )
    logprobs = memory(count, k, dtype=torch.float32)
    ids, rank = memory(count, k, dtype=torch.int64), memory(count, dtype=torch.int64)
    _merge_kernel[(count,)](
        values,
        chosen,
        sums,
        ranks,
        logprobs,
        ids,
        rank,
        S=stretches,
        K=k,
        BLOCK_S=next_power_of_2(stretches),
        BLOCK_K=block_k,
        BLOCK=next_power_of_2(stretches * k),
        num_warps=4,
    )
    return logprobs, ids, rank
