"""Completion of our magics' flags, commands and model names, through IPython's public hook."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import resident
from ..prompts import is_conversation
from ..results.conversation import Conversation, Reply
from .commands import PARSERS
from .sampling_flags import SAMPLING

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext
    from IPython.core.interactiveshell import InteractiveShell

    from .magics import Nbllm

_LINE = re.compile(
    r"(?:.*=\s*)?%{1,2}(generate|chat|beam|score|choose|compare|playground|chatui|enginestatus|nbllm)\s(.*)"
)


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
    *done, word = rest.split(" ")
    if magic == "nbllm" and not done:
        return list(PARSERS)
    typing_value = done and not word.startswith("-")
    if typing_value and (found := values(magics, magic, done)) is not None:
        return found
    if magic == "nbllm" and done[0] == "config" and "=" not in word:
        return [f"{name}=" for name in magics.class_traits(config=True)]
    if not word.startswith("-"):
        return []
    parser = PARSERS.get(done[0]) if magic == "nbllm" else getattr(magics, magic).parser
    return [name for action in parser._actions for name in action.option_strings] if parser else []


def values(magics: Nbllm, magic: str, done: list[str]) -> list[str] | None:
    """The values of a flag or command that has just been typed; None: it is not known to have any."""
    flag, known = done[-1], magics.shell.user_ns
    if flag in ("--model", "--models") or (
        magic == "nbllm" and done in (["use"], ["unload"], ["sleep"], ["wake"])
    ):
        return list(resident.loaded())
    if magic == "nbllm" and done == ["load"]:
        return ["tiny", *_cached()]
    if flag == "--name" and magic in ("chat", "chatui"):
        return [name for name in magics.conversations if name]
    if flag == "--grid":
        return [f"{name}=" for name in SAMPLING]
    if flag == "--dtype":
        return ["float32", "bfloat16", "float16"]
    if flag == "--device":
        return ["cpu", "cuda"]
    if flag == "--early-stopping":
        return ["true", "false", "never"]
    if (fits := _VARIABLES.get(flag)) is not None:
        return [name for name, value in known.items() if name[0] != "_" and fits(value)]
    # the rest is numbers, texts, and files, which IPython completes itself
    return None


def _cached() -> list[str]:
    """Names of models in the local cache, from its folders' names alone."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folders = Path(HF_HUB_CACHE).glob("models--*")
    return sorted(p.name.removeprefix("models--").replace("--", "/") for p in folders)


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict) or hasattr(value, "model_json_schema")


def _is_conversation(value: Any) -> bool:
    return isinstance(value, Conversation | Reply) or is_conversation(value)


_VARIABLES: dict[str, Callable[[Any], bool]] = {
    "--over": lambda value: type(value).__name__ == "DataFrame",
    "--json": _is_schema,
    "--choices": lambda value: isinstance(value, list | tuple) or type(value).__name__ == "Series",
    "--grammar": lambda value: isinstance(value, str),
    "--logits-processors": callable,
    "--from": _is_conversation,
}
"""What kind of variable each flag takes."""
