"""What a prompt grid shows: the page has every cell, and draws those in sight."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from traitlets import Bool, Dict, List, Unicode

from ..views.data import rounded
from .grid.cells import Cell, Cells
from .modules import css, esm
from .view import Actions, View

AT_ONCE = 200
"""Cells in one message."""
MOST, MOST_GROWING = 20_000, 2_000
"""Characters of a cell that are shown, and while it grows; `.df` has them all."""
PAGES = 8
"""Pages whose place in the grid is known; the one that moved last is kept longest."""


class PromptGridView(View):
    """running: whether a run is under way. progress: {"done", "failed", "total"}, in cells. prompts: one
    a row. columns: {"name", "settings", "mean", "rated"}, with the mean of its ratings and how many there
    are. rows: places of the rows that are shown, in order. order: how that came about, as `grid.order`
    has it. fixed: whether rows cannot be added. file: where it was saved last. duel: while two columns
    are judged blind, what `grid.judging` says; empty otherwise.

    Cells are sent as they change: {"kind": "cells", "cells": [{"row", "column", "state", "text", "tokens",
    "logprob", "rating", "note", "error"}]}; of those that grow only the ones in sight, which a page tells
    with {"action": "look", "page", "rows"}. A page that opens says {"action": "draw"}.
    """

    _esm = esm("prompt_grid")
    _css = css("frame", "tokens", "prompt_grid")
    running = Bool().tag(sync=True)
    progress = Dict().tag(sync=True)
    prompts = List().tag(sync=True)
    columns = List().tag(sync=True)
    rows = List().tag(sync=True)
    order = Dict().tag(sync=True)
    fixed = Bool().tag(sync=True)
    file = Unicode().tag(sync=True)
    duel = Dict().tag(sync=True)

    def __init__(self, actions: Actions, **traits: Any):
        super().__init__(actions, **traits)
        self._pages: dict[str, frozenset[int]] = {}

    def look(self, page: str, rows: Iterable[int]) -> None:
        """These rows are in sight on that page."""
        self._pages.pop(page, None)
        self._pages[str(page)] = frozenset(rows)
        for old in list(self._pages)[:-PAGES]:
            del self._pages[old]

    def tell(self, cells: Iterable[Cell]) -> None:
        """Send what has become of them; of those that grow only what is in sight."""
        seen = frozenset[int]().union(*self._pages.values())
        told = [_data(cell) for cell in cells if cell.state != "running" or cell.row in seen]
        for begin in range(0, len(told), AT_ONCE):
            self.send({"kind": "cells", "cells": told[begin : begin + AT_ONCE]})

    def count(self, cells: Cells) -> None:
        """Say how far it is."""
        states = [cell.state for cell in cells]
        counts = {"done": states.count("done"), "failed": states.count("error")}
        self.progress = {**counts, "total": len(states)}

    def describe(self, cells: Cells) -> None:
        """Say what rows and columns there are."""
        self.prompts = [prompt[:MOST] for prompt in cells.prompts]
        self.fixed = cells.over is not None
        self.columns = [
            {"name": column.name, "settings": column.settings, **_ratings(cells, j)}
            for j, column in enumerate(cells.columns)
        ]


def _ratings(cells: Cells, column: int) -> dict[str, Any]:
    found = [r for row in cells.table if (r := row[column].rating) is not None]
    return {"mean": sum(found) / len(found) if found else None, "rated": len(found)}


def _data(cell: Cell) -> dict[str, Any]:
    made = cell.made
    mean = cell.mean_logprob
    return {
        "row": cell.row,
        "column": cell.column,
        "state": cell.state,
        "text": made.text[: MOST_GROWING if cell.state == "running" else MOST] if made else "",
        "reason": made.finish_reason if made else None,
        "tokens": len(made.token_ids) if made else 0,
        "logprob": None if mean is None else rounded(mean),
        "rating": cell.rating,
        "note": cell.note,
        "error": cell.error,
    }
