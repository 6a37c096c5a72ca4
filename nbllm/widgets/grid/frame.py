"""A grid as DataFrames: its cells, and what was judged blind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from ...compare import column as values
from ...compare import differing
from ...results.generation import beside
from .cells import Cell, Cells
from .choices import Duel

KINDS = {
    "num_tokens": "Int64",
    "cumulative_logprob": "float64",
    "mean_logprob": "float64",
    "rating": "Int64",
}
CHOICE_COLUMNS = ("row", "prompt", "a", "b", "left", "choice", "winner")


def frame(cells: Cells, model: str | None) -> pd.DataFrame:
    """One row per cell, row by row. model: of the columns that have none of their own."""
    frame = pd.DataFrame([_record(cells, cell, model) for cell in cells], columns=_names(cells))
    frame = frame.astype({name: kind for name, kind in KINDS.items() if name in frame})
    settings = {column.name: column.params for column in cells.columns}
    for name, said in (differing(settings) if settings else {}).items():
        frame[name] = values([said[setting] for setting in frame["setting"]])
    if cells.over is None:
        return frame
    return beside(cells.over, frame, [len(cells.columns)] * len(cells.prompts))


def choices(cells: Cells, duels: Iterable[Duel]) -> pd.DataFrame:
    """One row per judgement: row, prompt, the columns a and b, which was on the left, the choice
    ("left", "right" or "tie") and the winner (missing for a tie)."""
    names = [column.name for column in cells.columns]
    rows = [
        (
            row, cells.prompts[row], names[duel.a], names[duel.b], names[duel.left[row]],
            "tie" if won is None else "left" if won == duel.left[row] else "right",
            None if won is None else names[won],
        )
        for duel in duels
        for row, won in duel.chosen.items()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(CHOICE_COLUMNS)).astype({"row": "int64"})


def _names(cells: Cells) -> list[str]:
    several = any(column.model for column in cells.columns)
    failed = any(cell.error for cell in cells)
    return [
        "row", "prompt", "setting", *["model"] * several, "text", "finish_reason", "num_tokens",
        "cumulative_logprob", "mean_logprob", *["error"] * failed, "rating", "note",
    ]  # fmt: skip


def _record(cells: Cells, cell: Cell, model: str | None) -> dict[str, Any]:
    column, made = cells.columns[cell.column], cell.made
    record = {
        "row": cell.row,
        "prompt": cells.prompts[cell.row],
        "setting": column.name,
        "model": column.model or model,
        "error": cell.error or None,
        "mean_logprob": cell.mean_logprob,
        "rating": cell.rating,
        "note": cell.note,
    }
    if made is not None:
        record |= {
            "text": made.text,
            "finish_reason": made.finish_reason,
            "num_tokens": len(made.token_ids),
            "cumulative_logprob": made.cumulative_logprob,
        }
    return record
