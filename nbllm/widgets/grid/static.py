"""What is left of a grid: a comparison, with what people said of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...views import bundle
from ...views.data import rounded
from ...views.tables import MAX_ROWS
from .cells import Cell, Cells
from .choices import Duel


def static(cells: Cells, rows: Sequence[int], duels: Iterable[Duel]) -> dict[str, Any]:
    """The mime bundle of these rows, in this order."""
    shown = [
        {"prompt": cells.prompts[row], "cells": [_said(cell) for cell in cells.table[row]]}
        for row in rows[:MAX_ROWS]
    ]
    names = [column.name for column in cells.columns]
    data: dict[str, Any] = {"version": 1, "kind": "compare", "columns": names, "rows": shown}
    if omitted := len(cells.prompts) - len(shown):
        data["omitted"] = omitted
    if caption := "\n".join(duel.said(cells) for duel in duels if duel.chosen):
        data["caption"] = caption
    return bundle(data)


def stars(rating: int | None) -> str:
    """★★★☆☆"""
    return "" if rating is None else "★" * rating + "☆" * (5 - rating)


def _said(cell: Cell) -> list[dict[str, Any]]:
    remark = " · ".join(filter(None, (cell.error, stars(cell.rating), cell.note)))
    if (made := cell.made) is None and not remark:
        return []
    entry = {
        "text": made.text if made else "",
        "finish_reason": made.finish_reason or "abort" if made else None,
        "num_tokens": len(made.token_ids) if made else 0,
        "cumulative_logprob": rounded(made.cumulative_logprob) if made else None,
    }
    return [{**entry, "remark": remark} if remark else entry]
