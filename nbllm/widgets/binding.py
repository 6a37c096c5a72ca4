"""A widget's frame, as a variable of the notebook."""

from __future__ import annotations

from keyword import iskeyword
from typing import TYPE_CHECKING

from IPython.core.getipython import get_ipython

from ..errors import ParamError

if TYPE_CHECKING:
    import pandas as pd


def bind(name: str, frame: pd.DataFrame) -> str:
    """Make `name` that frame; what to say about it. Raises `ParamError` where it cannot be bound."""
    if not name.isidentifier() or iskeyword(name):
        raise ParamError(f"{name!r} is not a variable name")
    if (shell := get_ipython()) is None:
        raise ParamError("there is no notebook to bind a variable in: use .df")
    shell.user_ns[name] = frame
    return f"{name} is a DataFrame of {len(frame):,} row{'s' * (len(frame) != 1)}"
