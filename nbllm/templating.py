"""What a user types for a text: `{{ name }}` in prompts, escapes on one line.

For `{{ }}` it is Jinja2, with nothing else of Jinja active.

Prompts are full of braces, dollars and percent signs: LaTeX, JSON, shell. So block and comment
delimiters are strings that cannot occur, newlines stay as they are, and a text without `{{` is not
touched at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from .errors import PromptError, did_you_mean

OPENING, CLOSING = "{{", "}}"


class Template:
    """A text whose `{{ expressions }}` are filled in, as often as there are rows.

    names: the variables they use, in the order in which they occur. Expressions run in Jinja's
    immutable sandbox. Mistakes raise `PromptError`, one line.
    """

    def __init__(self, text: str):
        self.text, self._compiled = text, None
        self.names: tuple[str, ...] = ()
        if OPENING not in text:
            return
        from jinja2 import TemplateSyntaxError, meta, nodes

        try:
            tree = _environment().parse(text)
            unknown = meta.find_undeclared_variables(tree)
            self.names = tuple(
                dict.fromkeys(n.name for n in tree.find_all(nodes.Name) if n.name in unknown)
            )
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
            return self._compiled.render({n: namespace[n] for n in self.names if n in namespace})
        except UndefinedError as error:
            missing = min((n for n in self.names if n not in namespace), default="")
            known = [name for name in namespace if not name.startswith("_")]
            raise _mistake(f"{error.message}{did_you_mean(missing, known)}") from None
        except Exception as error:
            # the expression is the user's: a division by zero, a missing key, a method that raises
            raise _mistake(f"{type(error).__name__}: {error}") from None


def filters() -> Mapping[str, Callable]:
    """What may follow a `|`."""
    return _environment().filters


def escaped(text: str) -> str:
    r"""`text` on one line: \n, \t and \\ are a newline, a tab and a backslash."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def unescaped(text: str) -> str:
    """What `escaped` was given; what `--stop` means."""
    return text.replace("\\\\", "\0").replace("\\n", "\n").replace("\\t", "\t").replace("\0", "\\")


def _mistake(reason: str) -> PromptError:
    return PromptError(f"{{{{ }}}}: {reason}")


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
