"""Completion of our magics' flags, commands and model names, through IPython's public hook."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import resident
from .commands import PARSERS

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext
    from IPython.core.interactiveshell import InteractiveShell

    from .magics import Nbllm

_LINE = re.compile(r"(?:.*=\s*)?%{1,2}(generate|chat|beam|score|choose|compare|nbllm)\s(.*)")


def add(shell: InteractiveShell, magics: Nbllm) -> None:
    """Complete in `shell`; versions of IPython without the hook do without."""
    matchers = getattr(shell.Completer, "custom_matchers", None)
    if matchers is not None and (matcher := _matcher(magics)):
        magics.matcher = matcher
        matchers.append(matcher)


def remove(shell: InteractiveShell, magics: Nbllm) -> None:
    """Undo `add`."""
    if magics.matcher is not None:
        shell.Completer.custom_matchers.remove(magics.matcher)


def _matcher(magics: Nbllm) -> Callable[[CompletionContext], Any] | None:
    try:
        from IPython.core.completer import SimpleCompletion, context_matcher
    except ImportError:
        return None

    @context_matcher(identifier="nbllm")
    def match(context: CompletionContext) -> dict[str, Any]:
        known = candidates(magics, context.text_until_cursor)
        words = [word for word in known if word.startswith(context.token)]
        # nothing else fits in such a place, so other matchers are not asked
        return {
            "completions": [SimpleCompletion(w, type="nbllm") for w in words],
            "suppress": bool(words),
        }

    return match


def candidates(magics: Nbllm, before: str) -> list[str]:
    """What may follow `before`, a line up to the cursor; its last word may be half typed."""
    if (line := _LINE.fullmatch(before)) is None:
        return []
    magic, rest = line.groups()
    done = rest.split(" ")[:-1]
    if magic == "nbllm" and not done:
        return list(PARSERS)
    if done and (done[-1] == "--model" or (magic == "nbllm" and done == ["unload"])):
        return list(resident.loaded())
    if done and done[-1] == "--over":
        return [
            name
            for name, value in magics.shell.user_ns.items()
            if type(value).__name__ == "DataFrame"
        ]
    if not rest.rpartition(" ")[2].startswith("-"):
        return []
    parser = PARSERS.get(done[0]) if magic == "nbllm" else getattr(magics, magic).parser
    return [name for action in parser._actions for name in action.option_strings] if parser else []
