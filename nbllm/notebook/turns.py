"""What a `%%chat` does to its conversation: a message, an answer again, a step back."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from IPython.core.error import UsageError

from ..errors import did_you_mean
from ..results.conversation import Conversation
from ..results.turn import Turn

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
        from ..entrypoints.chat_utils import load_chat_template

        before = replace(before, template=load_chat_template(args.template))
    return before


def _from(name: str, namespace: Mapping[str, Any]) -> Conversation:
    if name not in namespace:
        near = did_you_mean(name, list(namespace))
        raise UsageError(f"--from {name}: there is no such variable{near}")
    return Conversation.of(namespace[name])


def _need(before: Conversation, what: str) -> None:
    if not before.num_asked:
        raise UsageError(f"there is nothing to {what}: the conversation has not begun")
