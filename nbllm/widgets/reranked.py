"""What a beam search with other parameters would have found, as far as the record of one says it."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from ..beams import History, Step
from ..outputs import BeamSearchOutput
from ..sampling_params import BeamSearchParams

RERANKED = ("beam_width", "max_tokens", "length_penalty", "num_return_sequences")
"""Parameters that may differ."""


def reranked(output: BeamSearchOutput, params: BeamSearchParams) -> BeamSearchOutput | None:
    """The same search under `params`; None where it has to be searched again.

    In vLLM's search the length penalty orders what was found and decides nothing else, and the first n
    steps are those of a search for n tokens. A narrower search is in the record as long as whatever it
    keeps was kept by the wider one, too, which is not certain. Hugging Face's rules judge
    by the penalty when to end, except with early_stopping=True.
    """
    history = output.history
    if not _comparable(history, params):
        return None
    count = min(params.max_tokens, history.num_steps)
    if params.beam_width < history.params.beam_width:
        steps = _narrowed(history, params.beam_width, count)
    else:
        steps = _steps(history, count)
    if steps is None:
        return None
    over = bool(steps) and not (steps[-1].scores > -np.inf).any()
    aborted = output.aborted and len(steps) < params.max_tokens and not over
    return replace(
        output, history=history.under(params, steps, aborted=aborted), finished=not aborted
    )


def _comparable(history: History, params: BeamSearchParams) -> bool:
    before = history.params
    same = {f.name for f in fields(params) if getattr(params, f.name) == getattr(before, f.name)}
    if {f.name for f in fields(params)} - same - set(RERANKED):
        return False
    if params.early_stopping is not None:
        needed = {"beam_width", "max_tokens"}
        return (needed if params.early_stopping is True else needed | {"length_penalty"}) <= same
    if params.num_beam_groups > 1 and "beam_width" not in same:
        return False
    died_out = history.num_steps > 0 and not (history.scores[-1] > -np.inf).any()
    return params.beam_width <= before.beam_width and (
        params.max_tokens <= before.max_tokens or died_out
    )


def _steps(history: History, count: int) -> list[Step]:
    every = slice(None)
    return [
        _step(history, s, every, every, history.kept[s], history.scores[s + 1])
        for s in range(count)
    ]


def _step(history: History, s: int, beams, ranks, kept: np.ndarray, scores: np.ndarray) -> Step:
    """Step `s` with these beams and these of their candidates alone."""
    among_all = None if history.ranks is None else history.ranks[s, beams][None, :, ranks]
    return Step(
        groups=np.array([0]),
        tokens=history.tokens[s, beams][None, :, ranks],
        logprobs=history.logprobs[s, beams][None, :, ranks],
        ranks=among_all,
        completed=history.completed[s, beams][None, :, ranks],
        kept=kept[None],
        scores=scores[None],
    )


def _narrowed(history: History, width: int, count: int) -> list[Step] | None:
    """The steps of a search with fewer beams; None where it keeps what was pruned."""
    wide = history.tokens.shape[2] if history.num_steps else 0
    ranks = slice(0, min(2 * width, wide))
    beams, before = np.zeros(width, int), np.full(width, -np.inf)
    before[0] = 0.0
    steps: list[Step] = []
    for s in range(count):
        totals = before[:, None] + history.logprobs[s, beams, ranks]
        alive = np.where(history.completed[s, beams, ranks], -np.inf, totals).ravel()
        kept = np.argsort(-alive, kind="stable")[:width]
        steps.append(_without_dead(_step(history, s, beams, ranks, kept, alive[kept]), before))
        before = alive[kept]
        if s + 1 == count or not (before > -np.inf).any():
            break
        beam, rank = np.divmod(kept, totals.shape[1])
        found = _beams_at(history, s, beams[beam] * wide + rank)
        if (found[before > -np.inf] < 0).any():
            return None
        beams = np.maximum(found, 0)
    return steps


def _without_dead(step: Step, before: np.ndarray) -> Step:
    """What stands in the place of a beam that there is not offers nothing."""
    dead = (before == -np.inf)[None, :, None]
    return replace(
        step,
        logprobs=np.where(dead, np.float32(-np.inf), step.logprobs),
        completed=step.completed & ~dead,
    )


def _beams_at(history: History, s: int, places: np.ndarray) -> np.ndarray:
    """Which beam each candidate became after step `s`; -1: none."""
    lived = np.where(history.scores[s + 1] > -np.inf, history.kept[s], -1)
    same = places[:, None] == lived[None]
    return np.where(same.any(1), same.argmax(1), -1)
