"""The prompts of a call: the cell or the line, once or once per row, templates filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from .command_line import Call
from .templates import Template
from .variables import variable

if TYPE_CHECKING:
    import pandas as pd


def prompts(call: Call) -> tuple[list[str], pd.DataFrame | None]:
    """What to send, and the frame of `--over` if there is one: then a prompt per row."""
    if not call.prompt:
        raise UsageError("the prompt is empty")
    over = _frame(call.args.over, call.namespace) if call.args.over else None
    return filled_in(call, rows(over)), over


def rows(over: pd.DataFrame | None) -> list[dict[Any, Any]]:
    """What `{{ }}` may name besides variables, for each prompt."""
    return [{}] if over is None else over.to_dict("records")


def filled_in(call: Call, rows: list[dict[Any, Any]], text: str | None = None) -> list[str]:
    """The call's prompt, or another text, for each row."""
    text = call.prompt if text is None else text
    if call.args.raw:
        return [text for _ in rows]
    template = Template(text)
    return [template.render(call.namespace.new_child(row)) for row in rows]


def _frame(text: str, namespace: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    frame = variable("--over", text, namespace)
    if not isinstance(frame, pd.DataFrame):
        kind = type(frame).__name__
        raise UsageError(f"--over {text}: that is a {kind}, a DataFrame is needed")
    return frame
