"""Rows × columns, and what is known of each cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import ParamError, did_you_mean
from ...outputs import CompletionOutput
from .columns import Column

if TYPE_CHECKING:
    import pandas as pd

RATINGS = range(1, 6)


@dataclass(kw_only=True, slots=True)
class Cell:
    """One prompt under one setting, by their places.

    made: what came of it; of a search the best sequence. model: the fingerprint of what made it.
    error: why nothing could. rating: 1 to 5, None for none.
    """

    row: int
    column: int
    made: CompletionOutput | None = None
    model: str | None = None
    error: str = ""
    rating: int | None = None
    note: str = ""

    @property
    def id(self) -> str:
        return f"{self.row}-{self.column}"

    @property
    def state(self) -> str:
        """ "", "running", "abort", "done" or "error"."""
        if self.error:
            return "error"
        if self.made is None:
            return ""
        reason = self.made.finish_reason
        return "running" if reason is None else "abort" if reason == "abort" else "done"

    @property
    def done(self) -> bool:
        return self.state == "done"

    @property
    def mean_logprob(self) -> float | None:
        """Per token; None where there is none."""
        made = self.made
        return made.cumulative_logprob / len(made.token_ids) if made and made.token_ids else None


@dataclass(kw_only=True)
class Cells:
    """prompts: one a row. over: the frame whose rows they are, if any. table: the cells of each row."""

    prompts: list[str]
    columns: list[Column]
    over: pd.DataFrame | None = None
    table: list[list[Cell]] = field(default_factory=list)

    def __post_init__(self):
        self.table = [
            [Cell(row=i, column=j) for j in range(len(self.columns))]
            for i in range(len(self.prompts))
        ]

    def __iter__(self) -> Iterator[Cell]:
        return (cell for row in self.table for cell in row)

    def __len__(self) -> int:
        return len(self.prompts) * len(self.columns)

    def add_row(self, prompt: str) -> None:
        """One more prompt. Raises `ParamError` where rows are those of a frame."""
        if self.over is not None:
            raise ParamError("the rows are those of a frame: make a grid of a longer one")
        row = len(self.prompts)
        self.prompts.append(prompt)
        self.table.append([Cell(row=row, column=j) for j in range(len(self.columns))])

    def add_columns(self, new: list[Column]) -> None:
        """More settings. Raises `ParamError` for a name that there is."""
        for column in new:
            if column.name in (c.name for c in self.columns):
                raise ParamError(f"there is a column {column.name!r} already: give it a name")
        for i, row in enumerate(self.table):
            begin = len(self.columns)
            row += [Cell(row=i, column=begin + j) for j in range(len(new))]
        self.columns += new

    def column(self, which: Any) -> int:
        """The place of a column, of its name or its place. Raises `ParamError`."""
        names = [column.name for column in self.columns]
        if isinstance(which, str):
            if which not in names:
                near = did_you_mean(which, names) or f": there are {', '.join(names) or 'none'}"
                raise ParamError(f"there is no column {which!r}{near}")
            return names.index(which)
        return _place(which, len(names), "column")

    def cell(self, row: Any, column: Any) -> Cell:
        """By places; the column also by name. Raises `ParamError`."""
        return self.table[_place(row, len(self.prompts), "row")][self.column(column)]


def _place(place: Any, count: int, what: str) -> int:
    if isinstance(place, bool) or not hasattr(place, "__index__"):
        raise ParamError(f"a {what} is its number from 0, got {place!r}")
    if not 0 <= place.__index__() < count:
        raise ParamError(f"there is no {what} {place}: the grid has {count}, from 0")
    return place.__index__()


def checked_rating(rating: Any) -> int | None:
    """1 to 5, or None; 0 is None. Raises `ParamError`."""
    if rating is None or (rating in (0, *RATINGS) and not isinstance(rating, bool)):
        return int(rating) if rating else None
    raise ParamError(f"a rating is 1 to 5, 0 for none, got {rating!r}")
