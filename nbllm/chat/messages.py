"""What a template is given: checked copies of the messages and tools, in the shapes it expects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ParamError, TemplateError
from .content import as_format

Message = dict[str, Any]
REASONING = ("reasoning_content", "thinking", "reasoning")
"""Names under which a message's reasoning comes; templates read the first, some the second."""


def prepare(messages: Sequence[Any], content_format: str) -> list[Message]:
    """Copies of the messages as templates expect them.

    Values that are None, and an empty list of tool calls, are left out, since templates ask whether
    a key is there. A tool call's arguments are a dictionary, where OpenAI has JSON text.
    Raises `TemplateError` for what is no conversation.
    """
    if isinstance(messages, str) or not isinstance(messages, Sequence):
        raise TemplateError(f"a conversation is a list of messages, got {messages!r}")
    if not messages:
        raise TemplateError("a conversation needs at least one message")
    return [_prepared(_checked(m, i), content_format, i) for i, m in enumerate(messages)]


def check_tools(tools: Any) -> list[dict[str, Any]] | None:
    """Copies of OpenAI's tool dictionaries. Raises `ParamError` for anything else."""
    if tools is None:
        return None
    if isinstance(tools, Mapping | str) or not isinstance(tools, Sequence):
        raise ParamError(f"tools must be a list of OpenAI tool dictionaries, got {tools!r}")
    for tool in tools:
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise ParamError(
                'a tool must be {"type": "function", "function": {"name": …, "description": …, '
                f'"parameters": …}}}}, got {tool!r}'
            )
    return plain(tools, "a tool")


def plain(value: Any, where: str) -> Any:
    """A copy made of JSON's types alone: an object's methods are nothing for a template."""
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            # the value of an enum or another subclass, whatever it says of itself
            return {str: str.__str__, int: int.__int__, float: float.__float__}[kind](value)
    if isinstance(value, Mapping):
        return {plain(key, where): plain(item, where) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, where) for item in value]
    raise TemplateError(
        f"templates take text, numbers, lists and dictionaries, got {type(value).__name__} in {where}"
    )


def _checked(message: Any, i: int) -> Mapping[str, Any]:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise TemplateError(f"message {i} needs a 'role' and a 'content', got {message!r}")
    if "content" not in message and not message.get("tool_calls"):
        raise TemplateError(f"message {i} ({message['role']}) has no 'content'")
    return message


def _prepared(message: Mapping[str, Any], content_format: str, i: int) -> Message:
    where = f"message {i} ({message['role']})"
    copy = {k: plain(v, where) for k, v in message.items() if v is not None}
    if not copy.get("tool_calls"):
        copy.pop("tool_calls", None)
    else:
        copy["tool_calls"] = [_with_arguments(call, where) for call in copy["tool_calls"]]
    if "content" in copy:
        copy["content"] = as_format(copy["content"], content_format, where)
    if (said := next((copy[name] for name in REASONING if name in copy), None)) is not None:
        copy = {"thinking": said, **copy, "reasoning_content": said}
    return copy


def _with_arguments(call: Any, where: str) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise TemplateError(
            'a tool call must be {"id": …, "type": "function", "function": {"name": …, '
            f'"arguments": …}}}}, got {call!r} in {where}'
        )
    given = function.get("arguments")
    try:
        arguments = json.loads(given or "{}") if isinstance(given, str | None) else given
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise TemplateError(
            f"the arguments of {function['name']!r} must be a JSON object, got {given!r} in {where}"
        )
    return {**call, "function": {**function, "arguments": arguments}}
