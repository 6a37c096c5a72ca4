"""From logits to tokens: filters, noise, and the log-probabilities of what was chosen.

The noise is a function of (seed, position, token id), see `nbllm_kernels.gumbel`, and filtering
never reorders ids, so what a request samples does not depend on the batch it is in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nbllm_kernels.gumbel import gumbel

from .masks import Mask
from .request import Request, TopLogprobs
from .rows import NO_TOKEN, Rows

CANDIDATES = 256
"""Tokens sorted first for top-k, top-p and min-p; the whole vocabulary only if they do not suffice."""


@dataclass(slots=True, kw_only=True)
class Samples:
    """One token for each of R requests. Log-probabilities are of the raw logits."""

    tokens: np.ndarray  # [R] int64
    logprobs: np.ndarray  # [R] float32
    tops: dict[int, TopLogprobs]  # for those of the R that asked


def sample(
    logits: Tensor,
    rows: Rows,
    index: np.ndarray,
    requests: list[Request],
    mask: Mask | None = None,
) -> Samples:
    """Sample the rows `index` from logits [R, V]; `requests` are the same rows' requests.

    mask: what the grammars of constrained rows allow; it goes first, and no later rule leaves such
    a row without a token.
    """
    raw = logits.float()
    allowed = raw if mask is None else mask.apply(raw)
    left = mask_early_stops(allowed, rows, index)
    if mask is not None and left is not allowed:
        left = mask.spare(left, allowed)
    chosen = choose(left, rows, index)
    total = raw.logsumexp(-1)
    logprobs = raw.gather(1, chosen[:, None])[:, 0] - total
    asked = {i: k for i, r in enumerate(requests) if (k := r.params.logprobs) is not None}
    tops = top_logprobs(raw, total, chosen, asked) if asked else {}
    return Samples(tokens=chosen.cpu().numpy(), logprobs=logprobs.cpu().numpy(), tops=tops)


def mask_early_stops(logits: Tensor, rows: Rows, index: np.ndarray) -> Tensor:
    """EOS and stop ids cannot be chosen before min_tokens."""
    early = np.flatnonzero(rows.length[index] < rows.min_length[index])
    if not len(early):
        return logits
    logits = logits.clone()
    for i in early:
        ids = rows.stop_ids[:, index[i]]
        logits[i, ids[(ids != NO_TOKEN) & (ids < logits.shape[1])]] = -torch.inf
    return logits


def choose(logits: Tensor, rows: Rows, index: np.ndarray) -> Tensor:
    """Token ids [R]: the likeliest where the temperature is 0, else a draw."""
    tokens = logits.argmax(-1)
    warm = rows.temperature[index] > 0
    filtered = (rows.top_k[index] > 0) | (rows.top_p[index] < 1) | (rows.min_p[index] > 0)
    for which, draw in ((warm & ~filtered, _draw), (warm & filtered, _draw_filtered)):
        if which.any():
            at = torch.from_numpy(np.flatnonzero(which)).to(logits.device)
            mine = index[which]
            x = logits[at] / _tensor(rows.temperature[mine], logits)[:, None]
            tokens[at] = draw(x, rows, mine)
    return tokens


def _draw(x: Tensor, rows: Rows, index: np.ndarray, ids: Tensor | None = None) -> Tensor:
    """Gumbel-max over the logits [B, N] of the tokens `ids` (default: all, in order)."""
    if ids is None:
        ids = torch.arange(x.shape[1], device=x.device)
    noise = gumbel(_tensor(rows.seed[index], x), _tensor(rows.length[index], x), ids)
    best = (x + noise).argmax(-1)
    return best if ids.ndim == 1 else ids.gather(1, best[:, None])[:, 0]


def _draw_filtered(x: Tensor, rows: Rows, index: np.ndarray) -> Tensor:
    k, p, m = (_tensor(a[index], x) for a in (rows.top_k, rows.top_p, rows.min_p))
    values, ids, complete = candidates(x, k, p, m, min(CANDIDATES, x.shape[1]))
    tokens = _draw(values, rows, index, ids)
    rest = (~complete).nonzero()[:, 0]
    if len(rest):
        values, ids, _ = candidates(x[rest], k[rest], p[rest], m[rest], x.shape[1])
        tokens[rest] = _draw(values, rows, index[rest.cpu().numpy()], ids)
    return tokens


def candidates(x: Tensor, top_k: Tensor, top_p: Tensor, min_p: Tensor, width: int):
    """The `width` likeliest tokens [B, width] after min_p, top_k and top_p, in that order.

    Returns (logits, -inf for dropped ones; token ids; whether no kept token lies outside).
    """
    values, ids = x.topk(width)
    values = values.masked_fill(values < values[:, :1] + min_p.log()[:, None], -torch.inf)
    rank = torch.arange(width, device=x.device)
    beyond = (top_k > 0)[:, None] & (rank >= top_k[:, None])
    values = values.masked_fill(beyond, -torch.inf)
    whole = ((top_k > 0) & (top_k <= width)) | (values[:, -1] == -torch.inf)
    whole |= torch.tensor(width == x.shape[1], device=x.device)
    # top_p shares the probability of what the other two kept
    total = torch.where(whole, values.logsumexp(-1), x.logsumexp(-1))
    p = (values - total[:, None]).exp()
    before = p.cumsum(-1) - p
    values = values.masked_fill(before >= top_p[:, None], -torch.inf)
    reached = (top_k == 0) & (min_p == 0) & (before[:, -1] >= top_p)
    return values, ids, whole | reached


def top_logprobs(
    raw: Tensor, total: Tensor, chosen: Tensor, asked: dict[int, int]
) -> dict[int, TopLogprobs]:
    """The likeliest tokens of the rows that asked ({row: k}, −1: all), and the chosen one's rank."""
    at = torch.tensor(list(asked), device=raw.device)
    x, own = raw[at], raw[at].gather(1, chosen[at][:, None])
    ranks = (x >= own).sum(-1).tolist()
    counts = [k if 0 <= k < raw.shape[1] else raw.shape[1] for k in asked.values()]
    values, ids = x.topk(max(counts))
    values, ids = (values - total[at][:, None]).cpu().numpy(), ids.cpu().numpy()
    return {
        i: TopLogprobs(rank=ranks[j], token_ids=ids[j, :k], logprobs=values[j, :k])
        for j, (i, k) in enumerate(zip(asked, counts, strict=True))
    }


def _tensor(array: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(array).to(like.device)
