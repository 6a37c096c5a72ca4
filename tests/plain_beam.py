"""Beam search written plainly, one candidate after the other, over any function that gives logits.

The oracle of the fast one: lists of token ids, Python floats, no cache.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch


@dataclass(frozen=True)
class Found:
    """A sequence, with what it adds up to."""

    ids: tuple[int, ...]
    cum: float
    reason: str

    def score(self, length_penalty: float) -> float:
        return self.cum / max(len(self.ids), 1) ** length_penalty


def logprobs_of(model, prompt: list[int], temperature: float = 1.0) -> Callable:
    """f(generated ids) -> log-probabilities [V], by a transformers model."""

    @cache
    @torch.no_grad()
    def logprobs(ids: tuple[int, ...]) -> torch.Tensor:
        logits = model(torch.tensor([[*prompt, *ids]])).logits[0, -1].float()
        return (logits / temperature).log_softmax(-1)

    return logprobs


def best_tokens(row: torch.Tensor, count: int, allowed: set[int] | None = None) -> list[tuple]:
    """(token, log-probability) of the likeliest; ties by id."""
    ids = [i for i in range(len(row)) if allowed is None or i in allowed]
    values = row.tolist()
    return [(i, values[i]) for i in sorted(ids, key=lambda i: (-values[i], i))[:count]]


def search(
    logprobs: Callable,
    width: int,
    steps: int,
    eos: set[int],
    *,
    length_penalty: float = 1.0,
    allowed: set[int] | None = None,
    stops: Callable[[tuple[int, ...]], bool] = lambda ids: False,
) -> list[Found]:
    """vLLM's rules; `stops` says whether a sequence has completed a stop string."""
    live, completed = [((), 0.0)], []
    for _ in range(steps):
        offered = []
        for beam, (ids, cum) in enumerate(live):
            for token, logprob in best_tokens(logprobs(ids), 2 * width, allowed):
                new = (*ids, token)
                if token in eos or stops(new):
                    completed.append(Found(new, cum + logprob, "stop"))
                else:
                    offered.append((-(cum + logprob), beam, token, new))
        live = [(ids, -cost) for cost, _, _, ids in sorted(offered)[:width]]
    found = [*completed, *(Found(ids, cum, "length") for ids, cum in live)]
    return sorted(found, key=lambda f: -f.score(length_penalty))[:width]


def diverse(
    logprobs: Callable, width: int, steps: int, eos: set[int], groups: int, penalty: float
) -> list[Found]:
    """Groups one after the other; each pays for the tokens that earlier ones have just taken."""
    size = width // groups
    live, completed = [[((), 0.0)] for _ in range(groups)], []
    for _ in range(steps):
        taken: list[int] = []
        for g in range(groups):
            offered = []
            for beam, (ids, cum) in enumerate(live[g]):
                row = logprobs(ids).double()
                costly = row - penalty * torch.tensor([taken.count(t) for t in range(len(row))])
                for token, value in best_tokens(costly, 2 * size):
                    new, total = (*ids, token), cum + row[token].item()
                    if token in eos:
                        completed.append(Found(new, total, "stop"))
                    else:
                        offered.append((-(cum + value), beam, token, new, total))
            chosen = sorted(offered)[:size]
            live[g] = sorted(((ids, total) for *_, ids, total in chosen), key=lambda b: -b[1])
            taken += [ids[-1] for ids, _ in live[g]]
    found = [*completed, *(Found(ids, cum, "length") for g in live for ids, cum in g)]
    return sorted(found, key=lambda f: -f.score(1.0))[:width]
