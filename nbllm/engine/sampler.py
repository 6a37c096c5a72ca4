"""From logits to tokens: filters, noise, and the log-probabilities of what was chosen.

The noise is a function of (seed, position, token id), see `nbllm_kernels.gumbel`, and filtering
never reorders ids, so what a request samples does not depend on the batch it is in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from nbllm_kernels.gumbel import gumbel

from .logits import LogitState
from .masks import Mask
from .request import Request, TopLogprobs
from .rows import Rows

CANDIDATES = 256
"""Tokens sorted first for top-k, top-p and min-p; the whole vocabulary only if they do not suffice."""


@dataclass(slots=True, kw_only=True)
class Samples:
    """A token a step for each of R requests, and the scores of prompt tokens that were asked for.

    Steps are one, or several if nothing came between; tokens behind a request's end do not count.
    """

    tokens: np.ndarray  # [S, R] int64
    logprobs: np.ndarray  # [S, R] float32
    tops: dict[int, list[TopLogprobs]]  # for those of the R that asked, one a step
    scores: list[Scores] = field(default_factory=list)

    @classmethod
    def none(cls, scores: Iterable[Scores] = ()) -> Samples:
        """Of no request."""
        nothing = np.zeros((1, 0))
        return cls(
            tokens=nothing.astype(np.int64),
            logprobs=nothing.astype(np.float32),
            tops={},
            scores=list(scores),
        )


@dataclass(slots=True, kw_only=True)
class Scores:
    """Log-probabilities of the prompt tokens of `request` from `first` on."""

    request: Request
    first: int
    logprobs: list[float]
    tops: list[TopLogprobs]


class Sampler:
    """Draws the tokens of a step.

    processed: report the log-probabilities after everything that was done to the logits, instead of
    the raw ones.
    """

    def __init__(self, rows: Rows, device: torch.device, *, processed: bool = False):
        self.rows, self.state, self.processed = rows, LogitState(rows, device), processed

    def sample(
        self,
        logits: Tensor,
        index: np.ndarray,
        requests: list[Request],
        mask: Mask | None = None,
    ) -> Samples:
        """Sample the rows `index` from logits [R, V]; `requests` are the same rows' requests.

        mask: what the grammars of constrained rows allow.
        """
        raw = logits.float()
        final = self.state.apply(raw, index, requests, mask)
        chosen = choose(final, self.rows, index)
        shown = processed(final, self.rows, index) if self.processed else raw
        logprobs = shown.log_softmax(-1)
        own = logprobs.gather(1, chosen[:, None])[:, 0]
        asked = {i: a for i, r in enumerate(requests) if (a := asked_of(r)) is not None}
        tops = top_logprobs(logprobs, chosen, asked) if asked else {}
        return Samples(
            tokens=chosen.cpu().numpy()[None],
            logprobs=own.cpu().numpy()[None],
            tops={i: [top] for i, top in tops.items()},
        )


def asked_of(request: Request) -> int | np.ndarray | None:
    """Which log-probabilities a request wants beside the chosen token's: k likeliest, or these ids."""
    return request.params.logprobs if request.wanted_ids is None else request.wanted_ids


def score(logits: Tensor, targets: Tensor, count: int) -> tuple[list[float], list[TopLogprobs]]:
    """The log-probabilities of `targets` [N] under logits [N, V], with the `count` likeliest."""
    logprobs = logits.float().log_softmax(-1)
    own = logprobs.gather(1, targets[:, None])[:, 0]
    tops = top_logprobs(logprobs, targets, dict.fromkeys(range(len(targets)), count))
    return own.tolist(), list(tops.values())


def choose(logits: Tensor, rows: Rows, index: np.ndarray) -> Tensor:
    """Token ids [R]: the likeliest where the temperature is 0, else a draw."""
    if logits.device.type == "cpu":  # numpy's is several times as fast
        tokens = torch.from_numpy(logits.numpy().argmax(-1))
    else:
        tokens = logits.argmax(-1)
    warm = rows.temperature[index] > 0
    if not warm.any():
        return tokens
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


def processed(logits: Tensor, rows: Rows, index: np.ndarray) -> Tensor:
    """Logits [R, V] after temperature and filters, -inf for what they drop; greedy rows as they are."""
    shown = logits.clone()
    for i in np.flatnonzero(rows.temperature[index] > 0):
        mine = index[i : i + 1]
        x = logits[i : i + 1] / float(rows.temperature[mine[0]])
        k, p, m = (_tensor(a[mine], x) for a in (rows.top_k, rows.top_p, rows.min_p))
        values, ids, _ = candidates(x, k, p, m, x.shape[1])
        shown[i, ids[0]] = values[0]
    return shown


def top_logprobs(
    logprobs: Tensor, chosen: Tensor, asked: dict[int, int | np.ndarray]
) -> dict[int, TopLogprobs]:
    """The chosen token's rank and the likeliest tokens of the rows that asked.

    asked: {row: k}, −1 for the whole vocabulary, or {row: the ids that are wanted}.
    """
    at = torch.tensor(list(asked), device=logprobs.device)
    x, vocab = logprobs[at], logprobs.shape[1]
    ranks = (x >= x.gather(1, chosen[at][:, None])).sum(-1).tolist()
    counts = [k if isinstance(k, np.ndarray) or 0 <= k < vocab else vocab for k in asked.values()]
    values, ids = x.topk(max((k for k in counts if not isinstance(k, np.ndarray)), default=0))
    values, ids = values.cpu().numpy(), ids.cpu().numpy()
    found = {}
    for j, (i, k) in enumerate(zip(asked, counts, strict=True)):
        if isinstance(k, np.ndarray):
            own = x[j, torch.from_numpy(k).to(x.device)].cpu().numpy()
            found[i] = TopLogprobs(rank=ranks[j], token_ids=k, logprobs=own)
        else:
            found[i] = TopLogprobs(rank=ranks[j], token_ids=ids[j, :k], logprobs=values[j, :k])
    return found


def _tensor(array: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(array).to(like.device)
