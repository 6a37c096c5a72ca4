"""What a `%%chat` does to its conversation: a message, an answer again, a step back."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from IPython.core.error import UsageError

from .. import resident
from ..results.conversation import Conversation
from ..results.turn import Turn
from .variables import variable

ALONE = ("retry", "continue_")
"""Flags that take no message."""


def turn(
    conversations: Mapping[str, Conversation],
    args: Namespace,
    text: str,
    namespace: Mapping[str, Any],
) -> Turn:
    """What the flags ask for. Raises `UsageError` for flags that do not go together."""
    given = [f for f in ("undo", "retry", "edit", "continue_") if getattr(args, f)]
    if len(given) > 1:
        said = " and ".join(f"--{f.strip('_')}" for f in given)
        raise UsageError(f"{said} do not go together")
    if text and given and given[0] in ALONE:
        raise UsageError(f"--{given[0].strip('_')} takes no message: leave the rest empty")
    name = args.name or ""
    before = start(conversations.get(name, Conversation()), args, namespace)
    if args.retry:
        _need(before, "answer again")
        return Turn(name=name, before=before, asked=before.unanswered(), kept=before)
    if args.continue_:
        _need(before, "continue")
        if before.turns[-1].role != "assistant":
            raise UsageError("--continue: the last message is no answer")
        return Turn(name=name, before=before, asked=before, continued=True)
    if args.edit:
        if not text:
            raise UsageError(f"--edit {args.edit}: what shall the message be instead?")
        return Turn(name=name, before=before, asked=before.fork(args.edit).asked(text), kept=before)
    if args.undo:
        _need(before, "undo")
        before = before.undone()
    return Turn(name=name, before=before, asked=before.asked(text) if text else None)


def start(known: Conversation, args: Namespace, namespace: Mapping[str, Any]) -> Conversation:
    """What --reset, --from, --system and --template make of a conversation."""
    before = Conversation() if args.reset else known
    if args.from_:
        before = _from(args.from_, namespace)
    if args.system:
        before = before.with_system(args.system)
    if args.template:
        before = replace(before, template=_template(args.template, args.model))
    return before


def _template(text: str, model: str | None) -> str | None:
    """The text of a template: of a file, of one that the model brings, or itself."""
    from ..chat import load_chat_template, load_if_path

    if resident.loaded():
        return load_if_path(text, resident.current(model).tokenizer)
    return load_chat_template(text)


def _from(name: str, namespace: Mapping[str, Any]) -> Conversation:
    value = variable("--from", name, namespace)
    return Conversation.from_json(value) if isinstance(value, str) else Conversation.of(value)


def _need(before: Conversation, what: str) -> None:
    if not before.num_asked:
        raise UsageError(f"there is nothing to {what}: the conversation has not begun")
