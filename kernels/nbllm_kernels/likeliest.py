"""The k likeliest tokens of each row of logits, with their log-probabilities.

log p(i) = x(i) - logsumexp(x)

Tokens that are not allowed are never among them, but they keep their share of the sum: the others'
log-probabilities are those of the raw distribution. Equal logits rank by token id. Bound by reading
the logits.
"""

import torch
from torch import Tensor


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
    logits: Tensor, k: int, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Log-probabilities and ids of the k likeliest allowed tokens, both [R, k], and their ranks.

    logits [R, V]; allowed bool [V] or [R, V], None for all. Where fewer than k are allowed the rest
    has -inf. The ranks [R, k] are those among all tokens; None when all are allowed: 1 … k.
    """
    x = logits.float().log_softmax(-1)
    if allowed is None:
        return *top_ref(x, k), None
    values, ids = top_ref(x.masked_fill(~allowed, -torch.inf), k)
    lower = torch.searchsorted(x.sort(-1)[0], values.contiguous())
    return values, ids, x.shape[1] - lower


likeliest = likeliest_ref
