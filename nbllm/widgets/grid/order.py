"""Which rows are shown, and in what order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ...errors import ParamError, did_you_mean
from .cells import Cell, Cells

MEASURES: dict[str, Callable[[Cell], float | None]] = {
    "rating": lambda cell: cell.rating,
    "tokens": lambda cell: len(cell.made.token_ids) if cell.made else None,
    "logprob": lambda cell: cell.mean_logprob,
}
"""What cells can be sorted by; a row by the mean of its cells, or by one of them."""
BY = ("row", "prompt", "text", *MEASURES)
SHOW: dict[str, Callable[[Cell], bool]] = {
    "all": lambda cell: True,
    "rated": lambda cell: cell.rating is not None,
    "unrated": lambda cell: cell.rating is None,
    "noted": lambda cell: bool(cell.note),
    "missing": lambda cell: not cell.done,
    "failed": lambda cell: cell.state == "error",
}
"""A row is shown if one of its cells is such a cell."""


@dataclass(kw_only=True, frozen=True)
class Order:
    """by: one of `BY`. column: the place of the one that counts, None for all. descending: the
    greatest first; what is missing comes last either way. text: a part of the prompt or of a cell's
    text, in whatever case. show: one of `SHOW`.
    """

    by: str = "row"
    column: int | None = None
    descending: bool = False
    text: str = ""
    show: str = "all"

    def __post_init__(self):
        for name, known in {"by": BY, "show": tuple(SHOW)}.items():
            if (value := getattr(self, name)) not in known:
                raise ParamError(
                    f"{name} must be one of {', '.join(known)}, got {value!r}"
                    f"{did_you_mean(str(value), known)}"
                )

    def rows(self, cells: Cells) -> list[int]:
        """The places of the rows that are shown."""
        shown = [i for i in range(len(cells.prompts)) if self._shows(cells, i)]
        found = {i: self._value(cells, i) for i in shown}
        present = sorted(
            (i for i in shown if found[i] is not None),
            key=lambda i: found[i],
            reverse=self.descending,
        )
        return present + [i for i in shown if found[i] is None]

    def _counting(self, cells: Cells, row: int) -> list[Cell]:
        line = cells.table[row]
        return line if self.column is None else line[self.column : self.column + 1]

    def _value(self, cells: Cells, row: int) -> Any:
        counting = self._counting(cells, row)
        if self.by == "row":
            return row
        if self.by == "prompt":
            return cells.prompts[row].casefold()
        if self.by == "text":
            return next((c.made.text.casefold() for c in counting if c.made), None)
        values = [v for c in counting if (v := MEASURES[self.by](c)) is not None]
        return fmean(values) if values else None

    def _shows(self, cells: Cells, row: int) -> bool:
        counting = self._counting(cells, row)
        # a grid without columns has rows all the same
        if counting and not any(map(SHOW[self.show], counting)):
            return False
        wanted = self.text.casefold()
        texts = [cells.prompts[row], *(c.made.text for c in counting if c.made)]
        return any(wanted in text.casefold() for text in texts)
