"""A widget's frame, as a variable of the notebook."""

from __future__ import annotations

from keyword import iskeyword
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython

from ..errors import ParamError

if TYPE_CHECKING:
    import pandas as pd


def bind_frame(name: str, frame: pd.DataFrame) -> str:
    """Make `name` that frame; what to say about it. Raises `ParamError` where it cannot be bound."""
    bind(name, frame, ".df")
    return f"{name} is a DataFrame of {len(frame):,} row{'s' * (len(frame) != 1)}"


def bind(name: str, value: Any, attribute: str) -> None:
    """Make `value` a variable. attribute: of the widget, which is named where there is no notebook.

    Raises `ParamError`.
    """
    if not name.isidentifier() or iskeyword(name):
        raise ParamError(f"{name!r} is not a variable name")
    if (shell := get_ipython()) is None:
        raise ParamError(f"there is no notebook to bind a variable in: use {attribute}")
    shell.user_ns[name] = value
