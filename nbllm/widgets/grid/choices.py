"""Two columns judged row by row without their names: which is better, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from random import Random
from statistics import NormalDist
from typing import Any

from ...errors import ParamError
from .cells import Cells

SIDES = ("left", "right", "tie")
LEVEL = 0.95


def wilson(wins: int, count: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a share: where it lies with this confidence. (0, 1) of nothing.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    if not count:
        return 0.0, 1.0
    z, share = NormalDist().inv_cdf((1 + level) / 2), wins / count
    middle = share + z * z / (2 * count)
    half = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


@dataclass(kw_only=True, frozen=True)
class Outcome:
    """What came of judging: wins of each column by name, and ties.

    share: of the first column's wins among all wins; ties are left out. low, high: its Wilson
    interval at `LEVEL`. None without a win.
    """

    wins: dict[str, int]
    ties: int
    share: float | None
    low: float
    high: float

    def __str__(self) -> str:
        (a, first), (b, second) = self.wins.items()
        said = f"{a}: {_times(first)}, {b}: {_times(second)}, {self.ties} tied"
        if self.share is None:
            return said
        # of the one that leads: the interval of the other's share is the mirror image
        leads = self.share >= 0.5
        share, low, high = (
            (self.share, self.low, self.high)
            if leads
            else (1 - self.share, 1 - self.high, 1 - self.low)
        )
        return (
            f"{said}. {a if leads else b} is better in {share:.0%} of the rows that have a winner "
            f"({LEVEL:.0%} Wilson interval {low:.0%} to {high:.0%})"
        )

    def data(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"text": str(self), "wins": [[name, wins] for name, wins in self.wins.items()],
                "ties": self.ties, "share": self.share, "low": self.low, "high": self.high}  # fmt: skip


def _times(wins: int) -> str:
    return f"{wins} win{'' if wins == 1 else 's'}"


@dataclass(kw_only=True)
class Duel:
    """Columns a and b, by their places. chosen: row → the place of the better one, None for a tie;
    in the order in which they were judged. left: row → which of them is shown on the left. revealed:
    whether somebody has asked for the outcome.
    """

    a: int
    b: int
    chosen: dict[int, int | None] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)
    revealed: bool = False
    random: Random = field(default_factory=Random)

    def sides(self, row: int) -> tuple[int, int]:
        """What is on the left and on the right: by chance, and from then on the same."""
        left = self.left.setdefault(row, self.random.choice((self.a, self.b)))
        return left, self.b if left == self.a else self.a

    def rows(self, cells: Cells) -> list[int]:
        """The rows that can be judged: both texts are there, and they differ."""
        return [
            i for i in range(len(cells.prompts)) if self.ready(cells, i) and not self.same(cells, i)
        ]

    def ready(self, cells: Cells, row: int) -> bool:
        return cells.table[row][self.a].done and cells.table[row][self.b].done

    def same(self, cells: Cells, row: int) -> bool:
        a, b = (cells.table[row][c].made for c in (self.a, self.b))
        return a is not None and b is not None and a.text == b.text

    def next(self, cells: Cells) -> int | None:
        """The first row that is still to be judged."""
        return next((row for row in self.rows(cells) if row not in self.chosen), None)

    def choose(self, row: int, side: Any) -> None:
        """Judge a row: "left", "right" or "tie". Raises `ParamError`."""
        if side not in SIDES:
            raise ParamError(f"a choice is one of {', '.join(SIDES)}, got {side!r}")
        left, right = self.sides(row)
        self.chosen[row] = {"left": left, "right": right, "tie": None}[side]

    def undo(self) -> None:
        """Take the latest judgement back. Raises `ParamError` without one."""
        if not self.chosen:
            raise ParamError("nothing has been judged yet")
        self.chosen.popitem()

    def said(self, cells: Cells) -> str:
        """The outcome, if that was asked for; else how many rows were judged."""
        names = " and ".join(cells.columns[place].name for place in (self.a, self.b))
        if self.revealed:
            return str(self.outcome(cells))
        return f"{names}: {len(self.chosen)} rows judged blind"

    def outcome(self, cells: Cells) -> Outcome:
        """The counts."""
        judged = list(self.chosen.values())
        first, second = judged.count(self.a), judged.count(self.b)
        low, high = wilson(first, first + second)
        return Outcome(
            wins={cells.columns[self.a].name: first, cells.columns[self.b].name: second},
            ties=judged.count(None),
            share=first / (first + second) if first + second else None,
            low=low,
            high=high,
        )


Duels = dict[tuple[int, int], Duel]
"""By the places of their columns."""
