"""What a beam explorer shows below its controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from traitlets import Bool, Dict, Float, Int, List, Unicode

from ..beams import History
from .beam_asked import Searched
from .beam_record import ARRAYS, Record, header
from .beam_sequences import Place, lines
from .modules import css, esm
from .view import Actions, View


class BeamExplorerView(View):
    """running: whether a search is under way. search: the record of the search that is shown, as
    beam_record.py describes it, with the bytes of `ARRAYS` and its number as "run"; js/beam_record.js
    reads it. penalty: the length penalty of its scores. lines: its sequences, as `beam_sequences.lines`
    has them. step: the step that is shown, from 1; 0: the prompt alone. facts: a line about it.

    While a search is under way only new steps are sent: {"kind": "more", "run", …} with the arrays as
    buffers. A page that lacks some, since it was opened later, says {"action": "draw"}.
    """

    _esm = esm("beam_explorer")
    _css = css("frame", "beam_explorer")
    running = Bool().tag(sync=True)
    search = Dict().tag(sync=True)
    penalty = Float(1.0).tag(sync=True)
    lines = List().tag(sync=True)
    step = Int().tag(sync=True)
    facts = Unicode().tag(sync=True)

    def __init__(self, actions: Actions, **traits: Any):
        super().__init__({"draw": self.draw, **actions}, **traits)
        self._run, self._told, self._record = 0, 0, Record()
        self._history: History | None = None
        self._drawn: History | None = None
        self._follows = True

    def begin(self) -> None:
        """A search is under way; what is shown stays until its first step."""
        self._run, self._told, self._record = self._run + 1, 0, Record()
        self._history = self._drawn = None
        self.running = self._follows = True

    def grow(self, history: History) -> None:
        """Show what the search has become."""
        self._history = history
        if history.num_steps > self._told:
            said, arrays = self._record.steps(history, self._told)
            self._told = history.num_steps
            self.send({"kind": "more", "run": self._run, **header(history), **said}, arrays)
            self.show_lines(history, ())

    def show(self, history: History, selected: Sequence[Place]) -> None:
        """Show a search that has ended."""
        self._history = history
        if self._drawn is None or not same_tree(self._drawn, history):
            self._run += not self.running
            self.draw()
            if self._follows or not self.running:
                self.step = history.num_steps
            self.step = min(self.step, history.num_steps)
        self.running = False
        self.show_lines(history, selected)

    @property
    def num_steps(self) -> int:
        """Of what is shown."""
        return self._history.num_steps if self._history else self.search.get("steps", 0)

    def go(self, step: int) -> None:
        """Show a step. Of a search that goes on the newest is shown, unless an earlier one was asked for."""
        self.step, self._follows = step, step == self.num_steps

    def show_lines(self, history: History, selected: Sequence[Place]) -> None:
        """Say how its sequences rank, and which are selected."""
        self.penalty = history.params.length_penalty
        self.lines = lines(history, selected)

    def draw(self) -> None:
        """Say everything there is to say about the search."""
        if (history := self._history) is not None:
            self._record, self._drawn = Record(), history
            said, arrays = self._record.steps(history, 0)
            self._told = history.num_steps
            data = dict(zip(ARRAYS, arrays, strict=True))
            self.search = {"run": self._run, **header(history), **said, **data}


def same_tree(one: History, other: History) -> bool:
    """Whether only scores can differ."""
    return (
        one.params.beam_width == other.params.beam_width
        and one.num_steps == other.num_steps
        and one.prompt_ids == other.prompt_ids
        and bool(one.num_steps)
        and np.array_equal(one.tokens, other.tokens)
        and np.array_equal(one.logprobs, other.logprobs)
        and np.array_equal(one.kept, other.kept)
    )


def facts(searched: Searched) -> str:
    """What is worth knowing of a search besides its sequences."""
    history = searched.output.history
    count = int((history.totals > -np.inf).sum()) if history.num_steps else 0
    said = [
        f"{history.params.beam_width:,} beams",
        f"{history.num_steps:,} steps" + (", interrupted" if searched.output.aborted else ""),
        f"{count:,} candidates",
    ]
    if (made := searched.provenance) is not None:
        said = [made.model["name"], *said, f"{searched.seconds:.2f} s"]
    return " · ".join(said)
