"""What a `%%chat` does to its conversation: a message, an answer again, a step back."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from IPython.core.error import UsageError

from .. import resident
from ..outputs import RequestOutput
from ..results.conversation import Conversation, Reply
from .variables import variable

ALONE = ("retry", "continue_")
"""Flags that take no message."""


@dataclass(kw_only=True, frozen=True)
class Turn:
    """before: the conversation it starts from. asked: what is sent; None for nothing.

    kept: the conversation as it was, where this one branches off. continued: the last answer goes on.
    """

    name: str
    before: Conversation
    asked: Conversation | None
    kept: Conversation | None = None
    continued: bool = False

    def after(self, output: RequestOutput) -> Conversation | None:
        """The conversation with the answer; None: nothing was said before an interrupt.

        An interrupted answer stays as far as it got; without a word of it there was no turn.
        """
        if not any(c.text or c.finish_reason != "abort" for c in output.outputs):
            return None
        assert self.asked is not None
        return self.asked.continued(output) if self.continued else self.asked.answered(output)

    def reply(self, after: Conversation | None, **made: Any) -> Reply:
        return Reply(conversation=after or self.before, **made)


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
    before = _start(conversations.get(name, Conversation()), args, namespace)
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


def _start(known: Conversation, args: Namespace, namespace: Mapping[str, Any]) -> Conversation:
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
    if isinstance(value, Reply):
        return value.conversation
    if isinstance(value, str):
        return Conversation.from_json(value)
    return value if isinstance(value, Conversation) else Conversation.of(value)


def _need(before: Conversation, what: str) -> None:
    if not before.num_asked:
        raise UsageError(f"there is nothing to {what}: the conversation has not begun")


def free_name(name: str, taken: Mapping[str, Conversation]) -> str:
    """What to call a branch."""
    stem, count = name or "chat", 1
    while f"{stem}-{count}" in taken:
        count += 1
    return f"{stem}-{count}"
