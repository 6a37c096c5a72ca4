"""What flags name: a variable of the notebook, or a Python expression over its variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from IPython.core.error import UsageError

from ..errors import did_you_mean


def variable(flag: str, text: str, namespace: Mapping[str, Any]) -> Any:
    """What `text` means in the notebook: `reviews`, or `reviews.head(3)`. Raises `UsageError`."""
    if text.isidentifier():
        if text not in namespace:
            raise UsageError(f"{flag} {text}: there is no such variable{near(text, namespace)}")
        return namespace[text]
    try:
        # one dictionary: a comprehension sees no locals
        return eval(text, dict(namespace))
    except SyntaxError as error:
        reason = f"that is no variable and no expression ({error.msg})"
    except Exception as error:
        # the expression is the user's: a missing column, a call that fails
        reason = f"{type(error).__name__}: {error}"
    raise UsageError(f"{flag} {text}: {reason}")


def near(name: str, namespace: Mapping[str, Any]) -> str:
    """`"; did you mean 'x'?"`, of the user's own names."""
    return did_you_mean(name, [known for known in namespace if not known.startswith("_")])
