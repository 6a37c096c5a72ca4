"""The prompts of a call: the cell or the line, once or once per row, templates filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from ..errors import did_you_mean
from .command_line import Call
from .templates import Template

if TYPE_CHECKING:
    import pandas as pd


def prompts(call: Call) -> tuple[list[str], pd.DataFrame | None]:
    """What to send, and the frame of `--over` if there is one: then a prompt per row."""
    if not call.prompt:
        raise UsageError("the prompt is empty")
    over = _frame(call.args.over, call.namespace) if call.args.over else None
    return filled_in(call, [{}] if over is None else over.to_dict("records")), over


def filled_in(call: Call, rows: list[dict[Any, Any]], text: str | None = None) -> list[str]:
    """The call's prompt, or another text, for each row."""
    text = call.prompt if text is None else text
    if call.args.raw:
        return [text for _ in rows]
    template = Template(text)
    return [template.render(call.namespace.new_child(row)) for row in rows]


def explored(call: Call) -> Any:
    """What `--from VARIABLE` names, of a DataFrame its `--row`."""
    args, name = call.args, call.args.from_
    if not name or call.prompt or args.score:
        wrong = "--row goes with --from" if not name else "--from VARIABLE goes without a prompt"
        raise UsageError(f"{wrong}: the variable has the text that is explored")
    if name not in call.namespace:
        near = did_you_mean(name, list(call.namespace))
        raise UsageError(f"--from {name}: there is no such variable{near}")
    value = call.namespace[name]
    if args.row is None:
        return value
    if not hasattr(value, "iloc"):
        kind = type(value).__name__
        raise UsageError(f"--row: {name} is a {kind}, a DataFrame is needed")
    try:
        return value.iloc[args.row]
    except IndexError:
        size = len(value)
        raise UsageError(f"--row {args.row}: {name} has {size:,} rows, from 0") from None


def _frame(name: str, namespace: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    if name not in namespace:
        raise UsageError(
            f"--over {name}: there is no such variable{did_you_mean(name, list(namespace))}"
        )
    if not isinstance(frame := namespace[name], pd.DataFrame):
        raise UsageError(f"--over {name}: that is a {type(frame).__name__}, a DataFrame is needed")
    return frame
