"""Answers back to messages: reasoning, content and tool calls in what a model wrote.

What the template says to the model decides how its answers are read (`style_of`):

    mentions <think>                 a <think>…</think> block that begins the answer, or that the
                                     prompt has opened, is the reasoning
    mentions <tool_call>             "hermes" (also Qwen): <tool_call>{"name", "arguments"}</tool_call>
                                     anywhere in the answer
    mentions <|python_tag|>, or      "llama3": {"name", "parameters"}, several separated by ; or
    <|start_header_id|> and          white space; they are the whole answer, or all that follows
    "parameters"                     <|python_tag|>

Calls are read only if tools were given. What a model wrote is untrusted and often not quite right:
whatever is no proper call stays in the content, as it was written.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .content import as_format
from .messages import Message

Call = tuple[str, str]
"""A function's name, and its arguments as JSON text."""

MAX_CALLS = 128
"""Blocks that are looked at in one answer: each may cost a pass over the text."""
MAX_DEPTH = 64
"""Deeper arguments are no proper call; Python's own JSON gives up only at its stack's end."""
OPEN_THINK, CLOSE_THINK = "<think>", "</think>"
OPEN_CALL, CLOSE_CALL = "<tool_call>", "</tool_call>"
PYTHON_TAG = "<|python_tag|>"
ARGUMENTS = ("arguments", "parameters")

# a closing tag in `backticks` is spoken about, not meant
_CLOSING = re.compile(r"(?<!`)</think>|</think>(?!`)")
_SPACE = re.compile(r"\s*")
_BETWEEN = re.compile(r"[\s;]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How to read an answer. thinking: its first words are reasoning, since the prompt opened it."""

    calls: Literal["hermes", "llama3"] | None = None
    reasons: bool = False
    thinking: bool = False


def style_of(template: str, prompt: str, *, tools: bool, final: Message | None = None) -> Style:
    """How answers to `prompt`, which `template` rendered, are to be read.

    final: the message that the answer continues, if it does; only what is new belongs to the answer.
    """
    reasons = OPEN_THINK in template or CLOSE_THINK in template
    if final is None:
        thinking = prompt.rstrip().endswith(OPEN_THINK)
    else:
        begun = as_format(final.get("content") or "", "string", "the final message")
        thinking = begun.rfind(OPEN_THINK) > begun.rfind(CLOSE_THINK)
    return Style(
        calls=_calls_of(template) if tools else None,
        reasons=reasons,
        thinking=reasons and thinking,
    )


def parse(text: str, style: Style, *, id: str = "", partial: bool = False) -> Message:
    """The message of an answer: role, content, reasoning and OpenAI's tool_calls.

    id: of the request; with the call's place and text it gives each call its id. partial: there is
    more to come; what may turn out to be a tag or a call is then held back, so that content and
    reasoning only ever grow.
    """
    reasoning, rest = _reasoning(text, style, partial)
    read = {"hermes": _hermes, "llama3": _llama3, None: _plain}[style.calls]
    content, calls = read(rest, partial)
    return {
        "role": "assistant",
        "content": content or (None if calls or reasoning else ""),
        "reasoning": reasoning or None,
        "tool_calls": [_tool_call(id, i, *call) for i, call in enumerate(calls)],
    }


def _calls_of(template: str) -> Literal["hermes", "llama3"] | None:
    if OPEN_CALL in template:
        return "hermes"
    headers = "<|start_header_id|>" in template and '"parameters"' in template
    return "llama3" if headers or PYTHON_TAG in template else None


def _reasoning(text: str, style: Style, partial: bool) -> tuple[str, str]:
    """Reasoning and the rest. A block that is never closed is reasoning to the end."""
    if not style.reasons:
        return "", text
    begin = text.lstrip()
    if partial and OPEN_THINK.startswith(begin):
        return "", ""
    if begin.startswith(OPEN_THINK):
        body = begin[len(OPEN_THINK) :]
    elif style.thinking:
        body = text
    else:
        return "", text
    if (end := _CLOSING.search(body)) is None:
        return (_without_start_of(CLOSE_THINK, body) if partial else body).strip("\n"), ""
    return body[: end.start()].strip("\n"), body[end.end() :].lstrip("\n")


def _plain(text: str, partial: bool) -> tuple[str, list[Call]]:
    return text, []


def _hermes(text: str, partial: bool) -> tuple[str, list[Call]]:
    """The text around the calls, and the calls."""
    around, calls = [], []
    done = at = 0
    for _ in range(MAX_CALLS):
        if (begin := text.find(OPEN_CALL, at)) < 0:
            break
        at = begin + len(OPEN_CALL)
        if found := _tagged(text, at, partial):
            call, at = found
            around.append(text[done:begin])
            calls.append(call)
            done = at
        elif partial:
            return _joined([*around, text[done:begin].rstrip()]), calls
    rest = text[done:]
    if partial:
        rest = _without_start_of(OPEN_CALL, rest).rstrip()
    return _joined([*around, rest]), calls


def _tagged(text: str, at: int, partial: bool) -> tuple[Call, int] | None:
    """The call whose opening tag ends `at`, and where its closing tag ends.

    The closing tag may be missing at the end of the text: some stop there.
    """
    if (found := _call_at(text, _after(_SPACE, text, at))) is None:
        return None
    call, end = found
    end = _after(_SPACE, text, end)
    if text.startswith(CLOSE_CALL, end):
        return call, end + len(CLOSE_CALL)
    return (call, end) if end == len(text) and not partial else None


def _joined(pieces: list[str]) -> str:
    """The text around calls; the white space beside a call belongs to the call."""
    last = len(pieces) - 1
    pieces = [p if i == 0 else p.lstrip() for i, p in enumerate(pieces)]
    pieces = [p if i == last else p.rstrip() for i, p in enumerate(pieces)]
    return "\n".join(p for p in pieces if p)


def _llama3(text: str, partial: bool) -> tuple[str, list[Call]]:
    """The text before the calls, and the calls."""
    before, tag, body = text.partition(PYTHON_TAG)
    if not tag:
        before, body = "", text
    if partial:
        # whether these are calls is known at the end alone
        held = tag or not text.strip() or text.lstrip().startswith("{")
        return (before if held else _without_start_of(PYTHON_TAG, text)).rstrip(), []
    calls = _sequence(body)
    return (before.rstrip(), calls) if calls else (text, [])


def _sequence(text: str) -> list[Call]:
    """The calls that `text` consists of; none if there is anything else."""
    calls, at = [], _after(_SPACE, text, 0)
    while at < len(text):
        if len(calls) == MAX_CALLS or (found := _call_at(text, at)) is None:
            return []
        calls.append(found[0])
        at = _after(_BETWEEN, text, found[1])
    return calls


def _call_at(text: str, at: int) -> tuple[Call, int] | None:
    """The call that begins `at`, and where it ends."""
    if not text.startswith("{", at):
        return None
    try:
        value, end = _DECODER.raw_decode(text, at)
        call = _call(value)
    except (ValueError, RecursionError):
        return None
    return (call, end) if call else None


def _call(value: Mapping[str, Any]) -> Call | None:
    """A name and arguments; anything more would be lost, so it makes no call."""
    given = {key: item for key, item in value.items() if (key, item) != ("type", "function")}
    name = given.pop("name", None)
    key, arguments = next(iter(given.items()), ("", None))
    if not isinstance(name, str) or not name or len(given) != 1 or key not in ARGUMENTS:
        return None
    if not isinstance(arguments, dict) or not _shallow(arguments):
        return None
    return _encodable(name), _encodable(json.dumps(arguments, ensure_ascii=False, allow_nan=False))


def _encodable(text: str) -> str:
    text.encode()  # half a surrogate pair is no text: UnicodeEncodeError is a ValueError
    return text


def _shallow(value: Any, room: int = MAX_DEPTH) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return room > 0 and all(_shallow(v, room - 1) for v in inner)


def _tool_call(request: str, place: int, name: str, arguments: str) -> dict[str, Any]:
    # nine letters and digits, which is what the strictest templates accept
    id = hashlib.sha256("\0".join((request, str(place), name, arguments)).encode()).hexdigest()[:9]
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _without_start_of(tag: str, text: str) -> str:
    """`text` without an end that may become `tag`."""
    sizes = range(min(len(tag) - 1, len(text)), 0, -1)
    return text[: len(text) - next((n for n in sizes if text.endswith(tag[:n])), 0)]


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# models put real line breaks into strings; strict=False takes them
_DECODER = json.JSONDecoder(strict=False, parse_constant=_no_constant)
