"""The sequences of a search: those it returns, and any path through it that somebody picks."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..beams import History, Hypothesis
from ..errors import ParamError
from ..outputs import BeamSearchOutput
from ..views.data import rounded

if TYPE_CHECKING:
    import pandas as pd

Place = tuple[int, int]
"""Of a candidate: its step, from 0, and beam * C + its rank within the beam."""


def place_of(history: History, h: Hypothesis) -> Place:
    """Of a sequence's last candidate."""
    return h.step - 1, h.beam * history.tokens.shape[2] + h.rank if h.step else 0


def ranked(history: History, step: int, rank: int) -> Place:
    """The candidate of a step and a rank, both from 1, as the trace has them. Raises `ParamError`."""
    if not 1 <= step <= history.num_steps:
        raise ParamError(f"step must be 1 … {history.num_steps}, got {step}")
    totals = history.totals[step - 1].ravel()
    count = int((totals > -np.inf).sum())
    if not 1 <= rank <= count:
        raise ParamError(f"rank must be 1 … {count} at step {step}, got {rank}")
    return step - 1, int(np.argsort(-totals, kind="stable")[rank - 1])


def hypothesis(history: History, place: Place) -> Hypothesis:
    """The sequence that ends with a candidate. Raises `ParamError` if there is no such candidate."""
    step, at = place
    width = history.tokens.shape[2] if history.num_steps else 1
    if not (0 <= step < history.num_steps and 0 <= at < history.params.beam_width * width):
        raise ParamError(f"the search has no candidate {at} at step {step + 1}")
    beam, rank = divmod(at, width)
    total = float(history.totals[step, beam, rank])
    if total == -np.inf:
        raise ParamError(f"the search has no candidate {at} at step {step + 1}")
    return Hypothesis(
        step=step + 1,
        beam=beam,
        rank=rank,
        cum_logprob=total,
        score=total / (step + 1) ** history.params.length_penalty,
        live=not history.completed[step, beam, rank],
    )


def state(history: History, place: Place) -> str:
    """As in the trace: "returned", "finished", "live" or "pruned"."""
    step, at = place
    if place in returned(history):
        return "returned"
    if history.completed[step].ravel()[at]:
        return "finished"
    lived = history.kept[step][history.scores[step + 1] > -np.inf]
    return "live" if at in lived else "pruned"


def returned(history: History) -> list[Place]:
    """The last candidates of the sequences that are returned, best first."""
    return [place_of(history, h) for h in history.hypotheses]


def lines(history: History, selected: Sequence[Place]) -> list[dict[str, Any]]:
    """The returned sequences and the other selected paths, as JSON has them. "same": characters that a
    text shares with the best from its beginning on."""
    ends = returned(history)
    best = history.text(history.hypotheses[0]) if ends else ""
    found = [
        _line(history, h, place, rank, best)
        for rank, (h, place) in enumerate(zip(history.hypotheses, ends, strict=True), 1)
    ]
    others = [place for place in selected if place not in ends]
    found += [_line(history, hypothesis(history, p), p, None, best) for p in others]
    return [{**line, "selected": (line["step"], line["place"]) in selected} for line in found]


def _line(
    history: History, h: Hypothesis, place: Place, rank: int | None, best: str
) -> dict[str, Any]:
    text = history.text(h)
    return {
        "rank": rank,
        "step": place[0],
        "place": place[1],
        "text": text,
        "same": _shared(best, text) if rank != 1 else 0,
        "score": rounded(h.score),
        "cumulative_logprob": rounded(h.cum_logprob),
        "num_tokens": h.step,
        "ended": _reason(history, h, place) or state(history, place),
    }


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _reason(history: History, h: Hypothesis, place: Place) -> str | None:
    """The finish_reason; None for what was pruned, or went on."""
    over = place in returned(history) or not h.live
    return history.reason(h)[0] if over else None


def frame(output: BeamSearchOutput, selected: Sequence[Place]) -> pd.DataFrame:
    """One row per selected path, with the columns of a search's frame and its state.

    rank is missing for what is not returned, finish_reason for what did not end.
    """
    import pandas as pd

    from ..frames import to_frame

    history = output.history
    ends, best = returned(history), history.hypotheses[:1]
    picked = [hypothesis(history, place) for place in selected]
    chosen = copy(history)
    # the best comes first, as that from which the others diverge
    chosen.hypotheses = [*best, *picked]
    rows = to_frame(replace(output, history=chosen)).iloc[len(best) :].reset_index(drop=True)
    ranks = [ends.index(place) + 1 if place in ends else None for place in selected]
    reasons = [_reason(history, h, p) for h, p in zip(picked, selected, strict=True)]
    rows["rank"] = pd.array(ranks, dtype="Int64")
    rows["finish_reason"] = pd.Series(reasons, dtype="str")
    rows.loc[(rows["rank"] == 1).fillna(False).astype(bool), "diverges_at"] = pd.NA
    rows["state"] = pd.Series([state(history, place) for place in selected], dtype="str")
    return rows


def no_frame() -> pd.DataFrame:
    """The sequences of no search."""
    import pandas as pd

    from ..frames import BEAM_COLUMNS

    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in BEAM_COLUMNS.items()})
