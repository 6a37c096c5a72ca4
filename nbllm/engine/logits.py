"""What is done to logits before a token is drawn, in vLLM's order.

structured-output mask, allowed ids and logit_bias, min_tokens, penalties, bad words, processors

Like the pages, all of it is derived from the requests: a row that was placed anew counts its tokens
afresh, so an interrupt needs no undoing. Rows that ask for nothing cost nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nbllm.errors import ParamError

from .masks import Mask
from .request import Request
from .rows import NO_TOKEN, Rows


class LogitState:
    """The tensors behind biases and penalties, made when a request first asks for them."""

    def __init__(self, rows: Rows, device: torch.device):
        self.rows, self.device = rows, device
        self._counts: TokenCounts | None = None
        self._bias: tuple[bytes, Tensor] = b"", torch.empty(0)

    def apply(
        self, raw: Tensor, index: np.ndarray, requests: list[Request], mask: Mask | None
    ) -> Tensor:
        """The logits [R, V] to draw from, of the rows `index`; `raw` itself stays as it is.

        mask: what the grammars of constrained rows allow; no later rule leaves such a row without a
        token. Raises `ParamError` when nothing is left for another, or a processor gives no logits.
        """
        rows = self.rows
        biased, penalized, scripted = (
            np.flatnonzero(a[index]) for a in (rows.biased, rows.penalized, rows.scripted)
        )
        early = np.flatnonzero(rows.length[index] < rows.min_length[index])
        changed = len(biased) or len(penalized) or len(scripted) or len(early)
        allowed = raw if mask is None else mask.apply(raw)
        if not changed:
            return allowed
        x = allowed.clone()
        if len(biased):
            mine = [requests[i] for i in biased]
            x[self._put(biased)] += self._biases(index[biased], mine, x.shape[1])
        if len(early):
            mask_stops(x, rows, index, early)
        if len(penalized):
            at, mine = self._put(penalized), [requests[i] for i in penalized]
            x[at] = self._penalize(x[at], index[penalized], mine)
        for i in scripted:
            script(x[i], requests[i])
        if mask is not None:
            x = mask.hold(x, allowed)
        check_choice(x)
        return x

    def _biases(self, index: np.ndarray, requests: list[Request], vocab: int) -> Tensor:
        """logit_bias, and -inf for what allowed_token_ids lacks: [n, V], kept while the rows stay."""
        key = self.rows.placement[index].tobytes()
        if self._bias[0] != key:
            self._bias = key, torch.stack([bias_of(r, vocab) for r in requests]).to(self.device)
        return self._bias[1]

    def _penalize(self, x: Tensor, index: np.ndarray, requests: list[Request]) -> Tensor:
        rows = self.rows
        if self._counts is None:
            self._counts = TokenCounts(rows, x.shape[1], self.device)
        self._counts.follow(index, requests)
        which, counts = self._put(index), self._counts
        strengths = (
            self._put(a[index])[:, None] for a in (rows.repetition, rows.frequency, rows.presence)
        )
        return penalize(x, counts.prompt[which], counts.output[which], *strengths)

    def _put(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


class TokenCounts:
    """Which tokens a row's prompt has, and how often its output has each."""

    def __init__(self, rows: Rows, vocab: int, device: torch.device):
        shape = (rows.max_rows, vocab)
        self.prompt = torch.zeros(shape, dtype=torch.bool, device=device)
        self.output = torch.zeros(shape, dtype=torch.int32, device=device)
        self.rows, self.device = rows, device
        # what the counts stand for: which placement of a row, and how many of its tokens
        self._placement = np.zeros(rows.max_rows, np.int64)
        self._length = np.zeros(rows.max_rows, np.int64)

    def follow(self, index: np.ndarray, requests: list[Request]) -> None:
        """Bring the rows `index` up to date with their requests' tokens."""
        rows = self.rows
        known = self._placement[index] == rows.placement[index]
        lag = rows.length[index] - self._length[index]
        self._placement[index] = 0  # until it is done the counts stand for nothing
        for i in np.flatnonzero(~known | (lag > 1)):
            self._recount(int(index[i]), requests[i])
        one = index[known & (lag == 1)]
        where = torch.from_numpy(one), torch.from_numpy(rows.last[one])
        self.output[tuple(t.to(self.device) for t in where)] += 1
        self._length[index], self._placement[index] = rows.length[index], rows.placement[index]

    def _recount(self, row: int, request: Request) -> None:
        tokens = torch.tensor(request.tokens, device=self.device)
        prompt, output = tokens[: request.num_prompt], tokens[request.num_prompt :]
        self.prompt[row] = False
        self.prompt[row, prompt] = True
        self.output[row] = output.bincount(minlength=self.output.shape[1]).int()


def bias_of(request: Request, vocab: int) -> Tensor:
    """What a request adds to its logits: [V] float32."""
    params, bias = request.params, torch.zeros(vocab, dtype=torch.float32)
    if params.allowed_token_ids is not None:
        bias.fill_(-torch.inf)[params.allowed_token_ids] = 0.0
    if params.logit_bias:
        ids = torch.tensor(list(params.logit_bias))
        bias[ids] += torch.tensor(list(params.logit_bias.values()), dtype=torch.float32)
    return bias


def mask_stops(x: Tensor, rows: Rows, index: np.ndarray, early: np.ndarray) -> None:
    """EOS and stop ids cannot be chosen by the rows `early`, which have not reached min_tokens."""
    for i in early:
        ids = rows.stop_ids[:, index[i]]
        x[i, ids[(ids != NO_TOKEN) & (ids < x.shape[1])]] = -torch.inf


def penalize(
    x: Tensor,
    prompt: Tensor,
    counts: Tensor,
    repetition: Tensor,
    frequency: Tensor,
    presence: Tensor,
) -> Tensor:
    """The three penalties on logits [B, V]; prompt and counts [B, V], the others [B, 1].

    Repetition (Keskar et al. 2019) divides positive logits and multiplies negative ones of every
    token of the prompt or the output; the others subtract from those of the output.
    """
    scaled = torch.where(x > 0, x / repetition, x * repetition)
    x = torch.where(prompt | (counts > 0), scaled, x)
    return x - frequency * counts - presence * (counts > 0)


def ends_of_bad_words(request: Request) -> list[int]:
    """The tokens that would complete a bad word now."""

    def begun(before: list[int]) -> bool:
        known = request.num_output >= len(before)
        return known and request.tokens[len(request.tokens) - len(before) :] == before

    return [word[-1] for word in request.bad_words if begun(word[:-1])]


def script(x: Tensor, request: Request) -> None:
    """What only the host can do to one row's logits [V], in place: bad words, then processors."""
    for token in ends_of_bad_words(request):
        x[token] = -torch.inf
    for i, process in enumerate(request.params.logits_processors or ()):
        result = process(request.output_ids, x.clone())
        if not isinstance(result, Tensor) or result.shape != x.shape or bool(result.isnan().any()):
            got = list(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise ParamError(
                f"logits_processors[{i}] must return logits of shape {list(x.shape)} without NaN, got {got}"
            )
        x.copy_(result)


def check_choice(x: Tensor) -> None:
    """Raise `ParamError` when a row has no token left."""
    if bool((x.amax(-1) == -torch.inf).any()):
        raise ParamError(
            "every token is forbidden: allowed_token_ids, bad_words, min_tokens and the "
            "logits_processors leave none"
        )
