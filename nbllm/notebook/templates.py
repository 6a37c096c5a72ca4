"""`{{ name }}` in prompts and flag values: Jinja2, with nothing else of Jinja active.

Prompts are full of braces, dollars and percent signs: LaTeX, JSON, shell. So block and comment
delimiters are strings that cannot occur, newlines stay as they are, and a text without `{{` is not
touched at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from IPython.core.error import UsageError

from .variables import near

OPENING = "{{"


class Template:
    """A text whose `{{ expressions }}` are filled in, as often as there are rows.

    Expressions run in Jinja's immutable sandbox. Mistakes raise `UsageError`: one line, which says
    how to send braces as they are.
    """

    def __init__(self, text: str):
        self.text, self._compiled, self._names = text, None, frozenset()
        if OPENING not in text:
            return
        from jinja2 import TemplateSyntaxError, meta

        try:
            tree = _environment().parse(text)
            self._names = frozenset(meta.find_undeclared_variables(tree))
            self._compiled = _environment().from_string(tree)
        except TemplateSyntaxError as error:
            raise _mistake(str(error.message)) from None

    def render(self, namespace: Mapping[str, Any]) -> str:
        """The text, with names meaning what they mean in `namespace`."""
        if self._compiled is None:
            return self.text
        from jinja2 import UndefinedError

        try:
            # only the names in use: a namespace can hold thousands
            return self._compiled.render({n: namespace[n] for n in self._names if n in namespace})
        except UndefinedError as error:
            missing = min((n for n in self._names if n not in namespace), default="")
            raise _mistake(f"{error.message}{near(missing, namespace)}") from None
        except Exception as error:
            # the expression is the user's: a division by zero, a missing key, a method that raises
            raise _mistake(f"{type(error).__name__}: {error}") from None


def _mistake(reason: str) -> UsageError:
    return UsageError(f"{{{{ }}}}: {reason} (--raw sends braces as they are)")


@cache
def _environment():
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # NUL cannot occur in a cell
    environment = ImmutableSandboxedEnvironment(
        block_start_string="\0{%",
        block_end_string="%}\0",
        comment_start_string="\0{#",
        comment_end_string="#}\0",
        keep_trailing_newline=True,
        autoescape=False,
        undefined=StrictUndefined,
    )
    environment.globals.clear()
    # Jinja's own tojson escapes for HTML, which a model would have to read
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment
