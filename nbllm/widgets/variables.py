"""Variables of the notebook that a widget is in."""

from __future__ import annotations

from keyword import iskeyword
from typing import Any

from IPython.core.getipython import get_ipython

from ..errors import ParamError


def bind(name: str, value: Any, attribute: str) -> None:
    """Make `value` a variable. attribute: of the widget, which is named where there is no notebook.

    Raises `ParamError`.
    """
    if not name.isidentifier() or iskeyword(name):
        raise ParamError(f"{name!r} is not a variable name")
    if (shell := get_ipython()) is None:
        raise ParamError(f"there is no notebook to bind a variable in: use {attribute}")
    shell.user_ns[name] = value
