"""A view of completions that grow token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from traitlets import Bool, Dict

from .. import views
from ..outputs import RequestOutput
from .view import Actions, View


class CompletionsView(View):
    """running: whether a run is under way. result: {"run": its number, "completions": as
    `views.completions` describes those of one prompt}; js/completions.js draws it.

    While a run is under way only new tokens are sent: {"kind": "more", "run", "parts": [{"output",
    "start", "tokens"}]}. A page that lacks some, since it was opened later, says {"action": "draw"}.
    """

    running = Bool().tag(sync=True)
    result = Dict().tag(sync=True)

    def __init__(self, actions: Actions, **traits: Any):
        super().__init__({"draw": self.draw, **actions}, **traits)
        self._run = 0
        self._output: RequestOutput | None = None
        self._told: dict[int, int] = {}

    def begin(self) -> None:
        """A run is under way; what is shown stays until its first token."""
        self._run, self._output, self._told = self._run + 1, None, {}
        self.running = True

    def grow(self, output: RequestOutput) -> None:
        """Show what the run has become."""
        self._output = output
        if sum(len(c.token_ids) for c in output.outputs) > views.MAX_TOKENS:
            # so many are not shown one by one; the end of the run shows the text
            return
        parts = [part for c in output.outputs if (part := self._new(c.index, c.logprobs or ()))]
        if parts:
            self.send({"kind": "more", "run": self._run, "parts": parts})

    def finish(self, output: RequestOutput | None) -> None:
        """The run has ended with this; None: nothing came of it."""
        self.running = False
        if output is not None:
            self._output = output
            self.draw()

    def show(self, output: RequestOutput) -> None:
        """Show what was made before."""
        self._run += 1
        self.finish(output)

    def draw(self) -> None:
        """Say everything there is to say about the latest run."""
        if self._output is not None:
            [described] = views.completions([self._output])["outputs"]
            self._told = {c.index: len(c.token_ids) for c in self._output.outputs}
            self.result = {"run": self._run, "completions": described["completions"]}

    def _new(self, index: int, positions: Sequence[Any]) -> dict[str, Any] | None:
        known = self._told.get(index, 0)
        if len(positions) <= known:
            return None
        self._told[index] = len(positions)
        tokens = [views.token(position) for position in positions[known:]]
        return {"output": index, "start": known, "tokens": tokens}
