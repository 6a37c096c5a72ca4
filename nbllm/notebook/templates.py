"""`{{ name }}` in prompts and flag values. Mistakes are `UsageError`s that say how to send braces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from IPython.core.error import UsageError

from .. import templating
from ..errors import PromptError
from ..templating import OPENING

__all__ = ["OPENING", "Template"]


class Template(templating.Template):
    """As `templating.Template`, for what a user types after a magic."""

    def __init__(self, text: str):
        with _usage():
            super().__init__(text)

    def render(self, namespace: Mapping[str, Any]) -> str:
        """The text, with names meaning what they mean in `namespace`."""
        with _usage():
            return super().render(namespace)


@contextmanager
def _usage() -> Iterator[None]:
    try:
        yield
    except PromptError as error:
        raise UsageError(f"{error} (--raw sends braces as they are)") from None
