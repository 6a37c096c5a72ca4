"""Completion of our magics' flags, commands and values, and of names in the `{{ }}` of a prompt cell.

IPython asks through its public hook, the JupyterLab extension through control.py, so that it also works
while a cell runs.
"""

from __future__ import annotations

import re
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import resident
from ..prompts import is_conversation
from ..results.conversation import Conversation, Reply
from .commands import PARSERS
from .prompt_names import CELL_MAGICS, Suggestion, names, word_before
from .sampling_flags import SAMPLING

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext
    from IPython.core.interactiveshell import InteractiveShell

    from .magics import Nbllm

_LINE = re.compile(rf"(?:.*=\s*)?%{{1,2}}({'|'.join(CELL_MAGICS)}|nbllm)\s(.*)")


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
        lines = context.full_text.split("\n")[: context.cursor_line]
        before = "\n".join([*lines, context.text_until_cursor])
        known = candidates(magics, context.text_until_cursor)
        words = [word for word in known if word.startswith(context.token)]
        named = [s.text for s in names(magics, before) if s.text.startswith(context.token)]
        # of a flag nothing else fits, so other matchers are not asked; an expression may be anything
        return {
            "completions": [SimpleCompletion(w, type="nbllm") for w in words or named],
            "suppress": bool(words),
        }

    return match


def suggestions(magics: Nbllm, before: str) -> tuple[int, list[Suggestion]]:
    """What may follow `before`, a cell up to the cursor: where the word to replace begins, and by what."""
    line = before.rpartition("\n")[2]
    if (typed := _LINE.fullmatch(line)) and (known := candidates(magics, line)):
        word, said = line.rpartition(" ")[2], _help(magics, *typed.groups())
        found = [
            Suggestion(text, "flag" if text in said else "value", said.get(text, ""))
            for text in known
        ]
    else:
        found = names(magics, before)
        word = word_before(before) if found else ""
    return len(before) - len(word), [each for each in found if each.text.startswith(word)]


def _help(magics: Nbllm, magic: str, rest: str) -> dict[str, str]:
    """Of every flag of a magic, or of a command of `%nbllm`."""
    parser = _parser(magics, magic, rest)
    actions = parser._actions if parser else []
    return {flag: action.help or "" for action in actions for flag in action.option_strings}


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
    parser = _parser(magics, magic, rest)
    return [name for action in parser._actions for name in action.option_strings] if parser else []


def _parser(magics: Nbllm, magic: str, rest: str) -> ArgumentParser | None:
    return PARSERS.get(rest.split(" ")[0]) if magic == "nbllm" else getattr(magics, magic).parser


def _in_grid(done: list[str]) -> bool:
    """Whether what follows is one more setting of a grid."""
    return "--grid" in done and all("=" in word for word in done[done.index("--grid") + 1 :])


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
    if flag == "--template":
        return _templates()
    if _in_grid(done):
        return [f"{name}=" for name in SAMPLING]
    if flag == "--dtype":
        return ["float32", "bfloat16", "float16"]
    if flag == "--device":
        return ["cpu", "cuda"]
    if flag == "--early-stopping":
        return ["true", "false", "never"]
    fits = _is_explored if (magic, flag) == ("tokenexplorer", "--from") else _VARIABLES.get(flag)
    if fits is not None:
        return [name for name, value in known.items() if name[0] != "_" and fits(value)]
    # the rest is numbers, texts, and files, which IPython completes itself
    return None


def _cached() -> list[str]:
    """Names of models in the local cache, from its folders' names alone."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folders = Path(HF_HUB_CACHE).glob("models--*")
    return sorted(p.name.removeprefix("models--").replace("--", "/") for p in folders)


def _templates() -> list[str]:
    """Those that the current model brings, and files here."""
    from ..chat import templates_of

    own = templates_of(resident.current().tokenizer) if resident.loaded() else {}
    return [*own, *sorted(path.name for path in Path().glob("*.jinja"))]


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict) or hasattr(value, "model_json_schema")


def _is_conversation(value: Any) -> bool:
    return isinstance(value, Conversation | Reply) or is_conversation(value)


def _is_explored(value: Any) -> bool:
    return hasattr(value, "outputs") or hasattr(value, "token_ids") or hasattr(value, "iloc")


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) or type(value).__name__ == "Series"


_VARIABLES: dict[str, Callable[[Any], bool]] = {
    "--over": lambda value: type(value).__name__ == "DataFrame",
    "--json": _is_schema,
    "--choices": _is_list,
    "--prompts": _is_list,
    "--grammar": lambda value: isinstance(value, str),
    "--logits-processors": callable,
    "--from": _is_conversation,
}
"""What kind of variable each flag takes."""
