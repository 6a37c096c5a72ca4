"""The searches that a beam explorer has made, which answer what they can."""

from __future__ import annotations

from typing import Any

from ..sampling_params import BeamSearchParams
from .beam_asked import Searched
from .reranked import reranked

MOST = 8
"""Searches that are kept, the latest."""


class Records:
    """The latest searches, newest first."""

    def __init__(self):
        self._made: list[Searched] = []

    def __bool__(self) -> bool:
        return bool(self._made)

    def add(self, made: Searched) -> None:
        """Keep a search."""
        self._made = [made, *self._made][:MOST]

    def forget(self) -> None:
        """They were another model's."""
        self._made = []

    def __contains__(self, searched: Searched) -> bool:
        """Whether it was made, not re-ranked."""
        return any(made is searched for made in self._made)

    def find(self, prompt: str, params: BeamSearchParams) -> Searched | None:
        """What these parameters find, if a record says it."""
        mine = [made for made in self._made if made.prompt == prompt]
        for made in mine:
            if made.params == params:
                return made
        for made in mine:
            if (output := reranked(made.output, params)) is not None:
                return made.under(output)
        return None

    def sent(self, prompt: str) -> Any:
        """What to send for a prompt: its ids, where it came as such."""
        for made in self._made:
            if made.prompt == prompt and made.output.prompt is None:
                return made.output.prompt_token_ids
        return prompt
