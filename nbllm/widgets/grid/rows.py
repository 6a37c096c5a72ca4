"""Prompts as the rows of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...errors import ParamError, PromptError
from ...templating import Template

if TYPE_CHECKING:
    import pandas as pd


def rows(prompts: str | Sequence[str] | None, over: pd.DataFrame | None) -> list[str]:
    """One prompt a row; a text is filled in for each row of `over`. Raises `PromptError`;
    `ParamError` for an `over` that is no frame."""
    if over is not None and not hasattr(over, "iloc"):
        raise ParamError(f"over must be a DataFrame, got a {type(over).__name__}")
    if over is not None and isinstance(prompts, str):
        template = Template(prompts)
        return [template.render(_names(row)) for row in over.to_dict("records")]
    if prompts is not None and not hasattr(prompts, "__iter__"):
        raise PromptError(f"prompts must be a text or a list of them, got {prompts!r}")
    texts = [prompts] if isinstance(prompts, str) else [] if prompts is None else list(prompts)
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise PromptError(f"prompts must be texts, got {wrong[0]!r}")
    if over is not None and len(texts) != len(over):
        raise PromptError(
            f"got {len(texts):,} prompts for the {len(over):,} rows of the frame: give one text, which "
            "is filled in for each, or one each"
        )
    return texts


def _names(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}
