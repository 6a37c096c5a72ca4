"""The prompt of a conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..engine.text import Tokenizer
from ..errors import ParamError, TemplateError
from . import sandbox
from .content import format_of
from .messages import Message, check_tools, plain, prepare

SPECIAL_TOKENS = [f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")]
RESERVED = ("messages", "tools", "add_generation_prompt", "continue_final_message", "chat_template")
"""Arguments of `chat`, so they are not for chat_template_kwargs."""
MARK = "\ue000nbllm continues here\ue000 "
"""Stands at the end of a final message that is to be continued. Templates that trim take its space."""


def render(
    tokenizer: Tokenizer,
    messages: Sequence[Any],
    template: str,
    *,
    content_format: str = "auto",
    add_generation_prompt: bool = True,
    continue_final_message: bool = False,
    tools: Sequence[Any] | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
) -> str:
    """The prompt of a conversation, as `transformers`' `apply_chat_template` writes it.

    Raises `TemplateError` with the template's own message when it refuses, `ParamError` for options
    that exclude each other.
    """
    if add_generation_prompt and continue_final_message:
        raise ParamError(
            "add_generation_prompt and continue_final_message exclude each other: one begins a new "
            "answer, the other continues the last message"
        )
    copies = prepare(messages, format_of(template, content_format))
    final = _mark(copies[-1]) if continue_final_message else ""
    special = {name: t for name in SPECIAL_TOKENS if (t := tokenizer.special_token(name))}
    values = {
        "documents": None,
        **special,
        **_checked(template_kwargs),
        "messages": copies,
        "tools": check_tools(tools),
        "add_generation_prompt": add_generation_prompt,
    }
    text = sandbox.run(template, values)
    return _cut(text, final) if continue_final_message else text


def _checked(template_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    if not isinstance(template_kwargs, Mapping | None):
        raise ParamError(f"chat_template_kwargs must be a dictionary, got {template_kwargs!r}")
    given = plain(template_kwargs or {}, "chat_template_kwargs")
    for name in given:
        if not isinstance(name, str):
            raise ParamError(f"chat_template_kwargs must have names as keys, got {name!r}")
        if name in RESERVED:
            raise ParamError(f"{name} is an argument of its own, not one of chat_template_kwargs")
    return given


def _mark(message: Message) -> str:
    """Put the mark behind the last text of the message; returns that text."""
    content = message.get("content")
    if isinstance(content, list) and content:
        text = content[-1]["text"]
        content[-1]["text"] = text + MARK
    elif isinstance(content, str):
        text = content
        message["content"] = text + MARK
    else:
        raise TemplateError("continue_final_message: the final message has no content to continue")
    return text


def _cut(text: str, final: str) -> str:
    """The text up to the mark; a template that trims content trims the end of this one, too."""
    before, mark, after = text.rpartition(MARK.rstrip())
    if not mark or final.strip() not in before:
        raise TemplateError(
            "continue_final_message: the final message does not appear in the rendered prompt, so "
            "there is nothing to continue"
        )
    return before if after.startswith(" ") else before.rstrip()
