"""The likeliest tokens with their log-probabilities, and a token's rank.

logprob = logit - log(sum(exp(logits)));   rank = how many logits are at least the token's

Bound by reading the logits: the kernels are those of `likeliest.py`. Equal logits are ordered by id.
"""

from __future__ import annotations

from torch import Tensor

from ._triton import require_contiguous, use_triton
from .likeliest import chosen

MAX_K = 32
"""What a captured step keeps at most; more are sorted by torch."""


def top_logprobs_ref(logits: Tensor, k: int, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As `top_logprobs`."""
    x = logits.float()
    values, ids = x.sort(dim=-1, descending=True, stable=True)
    rank = (x >= x.gather(1, tokens[:, None])).sum(-1)
    return values[:, :k] - x.logsumexp(-1, keepdim=True), ids[:, :k], rank


def top_logprobs(logits: Tensor, k: int, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(log-probabilities [R, k], ids [R, k], ranks of `tokens` [R]); logits [R, V], 1 <= k <= V."""
    count, size = logits.shape
    if not 1 <= k <= size:
        raise ValueError(f"top_logprobs: k is {k}; it must be from 1 to {size}, the vocabulary")
    if not use_triton(logits) or k > MAX_K or not count:
        return top_logprobs_ref(logits, k, tokens)
    require_contiguous("top_logprobs", logits=logits, tokens=tokens)
    logprobs, ids, rank = chosen(logits, k, tokens=tokens)
    assert rank is not None
    return logprobs, ids, rank
