"""One response, whole or as a stream of server-sent events."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from starlette.types import Send

from .errors import refusal
from .schemas import StreamOptions
from .sequences import Piece, Reader
from .waiters import DisconnectedError, Run

EVENTS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
DONE = b"data: [DONE]\n\n"


class Choices(ABC):
    """Writes completions as the choices of one response."""

    def __init__(self, readers: Sequence[Reader]):
        self.readers = readers

    @abstractmethod
    def whole(self, piece: Piece, reader: Reader) -> dict[str, Any]:
        """A completion of which `piece` has everything."""

    @abstractmethod
    def chunk(self, piece: Piece, reader: Reader) -> dict[str, Any] | None:
        """What is new of one; None: nothing to show yet."""

    def beside(self) -> dict[str, Any]:
        """Fields of the response beside its choices."""
        return {}

    def usage(self) -> dict[str, Any]:
        """Tokens read and generated, as of the latest look."""
        prompt = sum(r.num_prompt for r in self.readers)
        generated = sum(r.num_generated for r in self.readers)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": generated,
            "total_tokens": prompt + generated,
            "prompt_tokens_details": {"cached_tokens": sum(r.num_cached for r in self.readers)},
        }


class Answer:
    """The response to one request. head: id, object, created, model …, in front of its choices."""

    def __init__(self, head: dict[str, Any], choices: Choices):
        self._head, self._choices = head, choices

    def whole(self) -> bytes:
        """Everything, as JSON, once it is there."""
        choices = self._choices
        made = [choices.whole(piece, r) for r in choices.readers for piece in r.read()]
        return _json({**self._head, "choices": made, "usage": choices.usage(), **choices.beside()})

    async def stream(self, run: Run, send: Send, options: StreamOptions) -> None:
        """What is new after each step, as events; errors before the first token are raised."""
        await run.wait(self._news)
        await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
        events = Events(self._head, self._choices, options)
        try:
            while not run.finished:
                if body := events.new():
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                await run.wait(self._news)
            run.check()
            body = events.new() + events.end()
        except DisconnectedError:
            raise
        except Exception as error:
            body = _event(refusal(error).body())
        await send({"type": "http.response.body", "body": body + DONE})

    def _news(self) -> bool:
        return any(reader.news for reader in self._choices.readers)


class Events:
    """Chunks as bytes. What all chunks of a stream have in common is written once."""

    def __init__(self, head: dict[str, Any], choices: Choices, options: StreamOptions):
        self._choices, self._options = choices, options
        self._head = b"data: " + _json(head)[:-1] + b',"choices":['
        self._tail = b'],"usage":null}\n\n' if options.include_usage else b"]}\n\n"

    def new(self) -> bytes:
        """A chunk for each completion that has news."""
        choices, parts = self._choices, []
        for reader in choices.readers:
            if reader.news:
                made = (choices.chunk(piece, reader) for piece in reader.read())
                parts += [_json(choice) for choice in made if choice is not None]
        tail = self._tail
        if self._options.continuous_usage_stats and parts:
            tail = b'],"usage":' + _json(choices.usage()) + b"}\n\n"
        return b"".join(self._head + part + tail for part in parts)

    def end(self) -> bytes:
        """The chunk of the usage, where one was asked for."""
        if not self._options.include_usage:
            return b""
        return self._head + b'],"usage":' + _json(self._choices.usage()) + b"}\n\n"


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + _json(value) + b"\n\n"


def _json(value: dict[str, Any]) -> bytes:
    text = _encode(value)
    # what Python takes for the end of a line and JSON does not: some clients split events there
    return (text if text.isascii() else text.translate(_LINE_ENDS)).encode()


_LINE_ENDS = {ord(c): f"\\u{ord(c):04x}" for c in "\x85\u2028\u2029"}
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
