"""Answers as messages: content, reasoning and tool calls, whole or as deltas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ... import chat as chats
from ...engine.text import Tokenizer
from .answers import Choices
from .logprobs import Spelling, prompt_logprobs
from .schemas import ChatCompletionRequest, NamedTool
from .sequences import Piece, Reader


@dataclass(slots=True)
class Said:
    """How much of one answer was told."""

    text: str = ""
    content: int = 0
    reasoning: int = 0
    calls: int = 0
    told: bool = False


class ChatChoices(Choices):
    """Messages: content, reasoning and tool calls, taken apart as they grow."""

    def __init__(
        self,
        asked: ChatCompletionRequest,
        tokenizer: Tokenizer,
        readers: Sequence[Reader],
        style: chats.Style,
    ):
        super().__init__(readers)
        self._asked, self._style = asked, style
        self._spelling = Spelling(
            tokenizer,
            as_ids=bool(asked.return_tokens_as_token_ids),
            special=asked.skip_special_tokens is False,
        )
        self._said: dict[int, Said] = {}
        self._plain = style.calls is None and not style.reasons

    def whole(self, piece: Piece, reader: Reader) -> dict[str, Any]:
        message = self._shown(chats.parse(piece.text, self._style, id=self._id(piece)))
        calls = message["tool_calls"]
        if self._echoed:
            message["content"] = self._echoed + (message["content"] or "")
        if not calls:
            del message["tool_calls"]
        return self._choice(piece, {"message": {**message, "refusal": None}}, bool(calls))

    def chunk(self, piece: Piece, reader: Reader) -> dict[str, Any] | None:
        said = self._said.setdefault(piece.index, Said())
        delta = self._delta(said, piece)
        if not said.told:
            delta = {"role": "assistant", "content": "", **delta}
            if self._echoed:
                delta["content"] = self._echoed + (delta["content"] or "")
        elif not (delta or piece.finish_reason or piece.logprobs or self._asked.return_token_ids):
            return None
        said.told = True
        return self._choice(piece, {"delta": delta}, said.calls > 0)

    def beside(self) -> dict[str, Any]:
        [reader], found = self.readers, {}
        if self._asked.prompt_logprobs is not None and reader.prompt_logprobs is not None:
            found["prompt_logprobs"] = prompt_logprobs(reader.prompt_logprobs)
        if self._asked.return_token_ids:
            found["prompt_token_ids"] = reader.prompt_token_ids
        return found

    def _delta(self, said: Said, piece: Piece) -> dict[str, Any]:
        """What is new of a message."""
        if self._plain:
            return {"content": piece.text} if piece.text else {}
        said.text += piece.text
        growing = piece.finish_reason is None
        message = self._shown(
            chats.parse(said.text, self._style, id=self._id(piece), partial=growing)
        )
        content, reasoning = message["content"] or "", message.get("reasoning") or ""
        calls = message["tool_calls"][said.calls :]
        new = {
            "content": content[said.content :],
            "reasoning": reasoning[said.reasoning :],
            "tool_calls": [{"index": said.calls + i, **call} for i, call in enumerate(calls)],
        }
        said.content, said.reasoning = len(content), len(reasoning)
        said.calls += len(calls)
        return {name: value for name, value in new.items() if value}

    def _shown(self, message: dict[str, Any]) -> dict[str, Any]:
        """What the request wants to see of a message."""
        if self._asked.include_reasoning is False or not message["reasoning"]:
            message = {name: value for name, value in message.items() if name != "reasoning"}
        if self._asked.parallel_tool_calls is False:
            message = {**message, "tool_calls": message["tool_calls"][:1]}
        return message

    def _choice(self, piece: Piece, said: dict[str, Any], called: bool) -> dict[str, Any]:
        top, scores, reason = self._asked.top_logprobs or 0, piece.logprobs, piece.finish_reason
        # of a function that was named, OpenAI says that the answer has come to its end
        if reason == "stop" and called and not isinstance(self._asked.tool_choice, NamedTool):
            reason = "tool_calls"
        choice = {
            "index": piece.index,
            **said,
            "logprobs": None if scores is None else self._spelling.chat(scores, top),
            "finish_reason": reason,
            "stop_reason": piece.stop_reason,
        }
        return {**choice, "token_ids": piece.token_ids} if self._asked.return_token_ids else choice

    def _id(self, piece: Piece) -> str:
        """Of an answer; its calls' ids are made of it."""
        return f"{self.readers[0].job.id}-{piece.index}"

    @property
    def _echoed(self) -> str:
        last = self._asked.messages[-1]
        content = last.get("content") if self._asked.echo else None
        return content if last.get("role") == "assistant" and isinstance(content, str) else ""
