"""One step of beam search, after the model: which candidates complete, and which live on.

Pure functions over all searches of a wave. Shapes: G searches, W beams each, C candidates a beam,
V vocabulary. A candidate's place in its search is beam * C + its rank among the beam's own. A score
of -inf is no beam, or no candidate. Sorts are stable, and a beam's candidates of equal
log-probability come by token id, so ties go to the lower beam, then to the lower id.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nbllm.sampling_params import GREEDY_BELOW, BeamSearchParams
from nbllm_kernels.likeliest import likeliest


@dataclass(slots=True, kw_only=True, frozen=True)
class Rules:
    """What the searches of a wave have in common."""

    params: BeamSearchParams
    ends: Tensor  # [V] bool: EOS and stop ids
    allowed: Tensor | None  # [V] bool
    num_ranked: int  # candidates of a search that Hugging Face's rules look at

    @classmethod
    def of(cls, params: BeamSearchParams, eos_ids: frozenset[int], vocab: int, device) -> Rules:
        ids = {*eos_ids, *params.stop_ids}
        return cls(
            params=params,
            ends=_table(ids, vocab, device),
            allowed=None
            if params.allowed_token_ids is None
            else _table(set(params.allowed_token_ids), vocab, device),
            num_ranked=max(2, 1 + len(ids)) * params.beam_width,
        )

    @property
    def width(self) -> int:
        return self.params.beam_width

    @property
    def num_candidates(self) -> int:
        """Candidates of each beam: enough for a full beam even where every EOS is among them."""
        default = self.params.early_stopping is None
        return min(2 * self.width if default else self.num_ranked, len(self.ends))

    @property
    def temperature(self) -> float:
        """What the logits are divided by; 0 stands for 1."""
        return self.params.temperature if self.params.temperature >= GREEDY_BELOW else 1.0

    @property
    def dtype(self) -> torch.dtype:
        """Of cumulative log-probabilities: Hugging Face adds them up in float32."""
        return torch.float64 if self.params.early_stopping is None else torch.float32


def _table(ids: set[int], vocab: int, device) -> Tensor:
    table = torch.zeros(vocab, dtype=torch.bool)
    table[[i for i in ids if i < vocab]] = True
    return table.to(device)


@dataclass(slots=True, kw_only=True)
class Candidates:
    """The likeliest continuations of every beam, best first."""

    tokens: Tensor  # [G, W, C]
    logprobs: Tensor  # [G, W, C] float32
    ranks: Tensor | None  # [G, W, C] among all tokens; None: 1 … C
    totals: Tensor  # [G, W, C] the beam's score and its own log-probability
    ends: Tensor  # [G, W, C] whether the token completes the sequence


@dataclass(slots=True, kw_only=True)
class Choice:
    """What became of the candidates."""

    completed: Tensor  # [G, W, C] bool: these count as finished sequences
    kept: Tensor  # [G, W] the places of those that live on, best first
    scores: Tensor  # [G, W] their cumulative log-probabilities
    finished: Tensor  # [G, W] scores of the best finished sequences (Hugging Face's rules), or -inf
    done: Tensor  # [G] bool: the search has ended


def candidates(logits: Tensor, scores: Tensor, rules: Rules, allowed: Tensor | None) -> Candidates:
    """logits [G * W, V], scores [G, W]; allowed bool [G * W, V] on top of the rules', or None."""
    if rules.temperature != 1.0:
        logits = logits / rules.temperature
    if rules.allowed is not None:
        allowed = rules.allowed if allowed is None else allowed & rules.allowed
    logprobs, tokens, ranks = likeliest(logits, rules.num_candidates, allowed)
    shape = (*scores.shape, -1)
    logprobs, tokens = logprobs.view(shape), tokens.view(shape)
    return Candidates(
        tokens=tokens,
        logprobs=logprobs,
        ranks=None if ranks is None else ranks.view(shape),
        totals=scores[:, :, None] + logprobs,
        ends=rules.ends[tokens],
    )


def choose(
    c: Candidates, rules: Rules, step: int, limits: Tensor, finished: Tensor
) -> tuple[Candidates, Choice]:
    """The choice of step `step` (from 1); limits [G] is each search's last. Candidates may shrink."""
    last = limits <= step
    if rules.params.early_stopping is not None:
        return c, _choose_hf(c, rules, step, last, limits, finished)
    if rules.params.num_beam_groups > 1:
        c, kept = _keep_diverse(c, rules)
    else:
        kept = _best(c.totals.masked_fill(c.ends, -torch.inf), rules.width)
    completed = c.ends & (c.totals > -torch.inf)
    scores = c.totals.masked_fill(c.ends, -torch.inf).flatten(1).gather(1, kept)
    done = last | (scores == -torch.inf).all(1)
    return c, Choice(completed=completed, kept=kept, scores=scores, finished=finished, done=done)


def _best(totals: Tensor, count: int) -> Tensor:
    """Places [G, count] of the largest totals [G, W, C]."""
    return totals.flatten(1).sort(dim=-1, descending=True, stable=True)[1][:, :count]


def _keep_diverse(c: Candidates, rules: Rules) -> tuple[Candidates, Tensor]:
    """Group after group; a token costs the penalty for every earlier group's beam that has it.

    A group of w beams considers the 2 w best of each after the penalty. Its beams are then put in
    the order of their scores.
    """
    params, size = rules.params, rules.width // rules.params.num_beam_groups
    count = c.totals.new_zeros(len(c.tokens), len(rules.ends))
    totals, kept = c.totals.clone(), []
    for begin in range(0, rules.width, size):
        mine = slice(begin, begin + size)
        tokens = c.tokens[:, mine]
        cost = params.diversity_penalty * count.gather(1, tokens.flatten(1)).view(tokens.shape)
        value = c.totals[:, mine] - cost
        rank = value.sort(dim=-1, descending=True, stable=True)[1].argsort(-1)
        totals[:, mine] = totals[:, mine].masked_fill(rank >= 2 * size, -torch.inf)
        out = (rank >= 2 * size) | c.ends[:, mine]
        chosen = _best(value.masked_fill(out, -torch.inf), size)
        score = totals[:, mine].masked_fill(out, -torch.inf).flatten(1).gather(1, chosen)
        chosen = chosen.gather(1, score.sort(dim=-1, descending=True, stable=True)[1])
        lives = score.sort(-1, descending=True)[0] > -torch.inf
        count.scatter_add_(1, tokens.flatten(1).gather(1, chosen), lives.to(count.dtype))
        kept.append(chosen + begin * tokens.shape[2])
    logprobs = c.logprobs.masked_fill(totals == -torch.inf, -torch.inf)
    return replace(c, totals=totals, logprobs=logprobs), torch.cat(kept, 1)


def _choose_hf(
    c: Candidates, rules: Rules, step: int, last: Tensor, limits: Tensor, finished: Tensor
) -> Choice:
    """Hugging Face's rules: the best candidates of the search first, then who of them has ended."""
    width, penalty = rules.width, rules.params.length_penalty
    flat, ends = c.totals.flatten(1), c.ends.flatten(1)
    order = _best(c.totals, rules.num_ranked)
    totals = flat.gather(1, order)
    ended = (ends.gather(1, order) | last[:, None]) & (totals > -torch.inf)
    # only those inside the beam width count; the others are there to fill the beams
    counts = ended[:, :width]
    completed = torch.zeros_like(ends).scatter_(1, order[:, :width], counts).view(c.ends.shape)
    new = (totals[:, :width] / step**penalty).masked_fill(~counts, -torch.inf)
    finished = torch.cat((finished, new), 1).sort(dim=-1, descending=True, stable=True)[0][
        :, :width
    ]
    running = totals.masked_fill(ended, -torch.inf)
    scores, at = (x[:, :width] for x in running.sort(dim=-1, descending=True, stable=True))
    return Choice(
        completed=completed,
        kept=order.gather(1, at),
        scores=scores,
        finished=finished,
        done=last | _hopeless(rules, step, scores, finished, limits),
    )


def _hopeless(rules: Rules, step: int, scores: Tensor, finished: Tensor, limits: Tensor) -> Tensor:
    """Whether a search has all its finished sequences, and no live beam is expected to do better."""
    full = (finished > -torch.inf).all(1)
    # a single beam is greedy search, which ends at the first EOS
    if rules.params.early_stopping is True or rules.width == 1:
        return full
    penalty = rules.params.length_penalty
    if rules.params.early_stopping == "never" and penalty > 0:
        best = scores[:, 0] / (limits.double() ** penalty).to(scores.dtype)
    else:
        best = scores[:, 0] / step**penalty
    return (full & ~(best > finished[:, -1])) | (scores == -torch.inf).all(1)
