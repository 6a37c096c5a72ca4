"""Pairs of columns that are judged blind, and the one that is being judged."""

from __future__ import annotations

from typing import Any

from ...errors import ParamError
from .cells import Cells
from .choices import Duel, Duels, Outcome


class Judging:
    """duels: every pair that was judged, by the places of its columns. duel: the one at hand."""

    def __init__(self, cells: Cells):
        self.cells = cells
        self.duels: Duels = {}
        self.duel: Duel | None = None

    def begin(self, a: Any, b: Any) -> None:
        """Judge these columns, or go on with it. Raises `ParamError`."""
        first, second = sorted((self.cells.column(a), self.cells.column(b)))
        if first == second:
            raise ParamError("two columns are compared, and these are one")
        self.duel = self.duels.setdefault((first, second), Duel(a=first, b=second))

    def choose(self, choice: Any, row: int | None) -> None:
        """Judge the row at hand. row: only if it is still this one. Raises `ParamError`."""
        duel = self._at_hand()
        shown = duel.next(self.cells)
        if shown is None:
            raise ParamError("every row that is ready has been judged")
        if row is None or row == shown:
            duel.choose(shown, choice)

    def undo(self) -> None:
        """Take the latest judgement back. Raises `ParamError`."""
        self._at_hand().undo()

    def reveal(self) -> Outcome:
        """Who wins. Raises `ParamError`."""
        duel = self._at_hand()
        duel.revealed = True
        return duel.outcome(self.cells)

    def data(self, outcome: Outcome | None = None) -> dict[str, Any]:
        """What a page shows of the pair at hand, without a name; nothing without one.

        {"row": the one to judge or None, "prompt", "left", "right": its texts, "judged", "of", "same",
        "waiting": counts of rows, "outcome": None unless it is given}.
        """
        if self.duel is None:
            return {}
        cells, duel = self.cells, self.duel
        ready = [i for i in range(len(cells.prompts)) if duel.ready(cells, i)]
        same = sum(duel.same(cells, i) for i in ready)
        return {
            **self._texts(duel),
            "judged": len(duel.chosen),
            "of": len(ready) - same,
            "same": same,
            "waiting": len(cells.prompts) - len(ready),
            "outcome": None if outcome is None else outcome.data(),
        }

    def _texts(self, duel: Duel) -> dict[str, Any]:
        if (row := duel.next(self.cells)) is None:
            return {"row": None}
        left, right = (self.cells.table[row][side].made for side in duel.sides(row))
        assert left is not None and right is not None  # noqa: PT018
        return {
            "row": row, "prompt": self.cells.prompts[row], "left": left.text, "right": right.text,
        }  # fmt: skip

    def _at_hand(self) -> Duel:
        if self.duel is None:
            raise ParamError("which columns? blind(a, b) begins")
        return self.duel
