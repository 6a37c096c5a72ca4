"""`POST /v1/chat/completions`: conversations answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ... import chat as chats
from ...chat import tools as tooling
from ...engine.beam_job import BeamJob
from ...engine.job import Job
from ...engine.text import Tokenizer
from ...errors import ParamError
from ...sampling_params import StructuredOutputsParams
from .answers import Choices
from .conversations import Conversation, offered, template_of, variables
from .errors import ApiError
from .generation import Generation
from .logprobs import Spelling, prompt_logprobs
from .models import Served
from .params import (
    Params,
    chat_logprobs,
    max_tokens_of,
    sampling_params,
    search_params,
    structured_outputs,
    truncated,
)
from .schemas import ChatCompletionRequest, NamedTool
from .sequences import Piece, Reader, readers


class ChatCompletions(Generation):
    """See `ChatCompletionRequest`."""

    schema = ChatCompletionRequest
    kind, chunk_kind = "chat.completion", "chat.completion.chunk"
    prefix = "chatcmpl"

    def num_prompts(self, asked: ChatCompletionRequest) -> int:
        return 1

    def prepare(
        self, asked: ChatCompletionRequest, served: Served
    ) -> tuple[Sequence[Job | BeamJob], Choices]:
        llm = served.llm
        conversation = self._conversation(asked, served)
        prompt, style = conversation.rendered(llm)
        if conversation.tools and style.calls is None:
            style = _forced(asked, style)
        structured = self._structured(asked, style, conversation.tools)
        params = self._params(asked, served, structured)
        prompt = truncated(prompt, asked, llm, params.max_tokens or 1)
        jobs = self.jobs(served, [prompt], params, asked.priority)
        found = readers(jobs, asked.n or 1, chat_logprobs(asked) is not None)
        return jobs, ChatChoices(asked, llm.tokenizer, found, style)

    def _conversation(self, asked: ChatCompletionRequest, served: Served) -> Conversation:
        tools = offered(asked.tools, asked.tool_choice)
        trusted = self.desk.trust_templates
        template = template_of(asked.chat_template, served.llm, tools=bool(tools), trusted=trusted)
        more = variables(
            template, documents=asked.documents, reasoning_effort=asked.reasoning_effort
        )
        continued = bool(asked.continue_final_message)
        begun = (
            not continued if asked.add_generation_prompt is None else asked.add_generation_prompt
        )
        return Conversation(
            messages=asked.messages,
            tools=tools,
            template=template,
            add_generation_prompt=begun,
            continue_final_message=continued,
            add_special_tokens=bool(asked.add_special_tokens),
            template_kwargs={**(asked.chat_template_kwargs or {}), **more},
        )

    def _structured(
        self, asked: ChatCompletionRequest, style: chats.Style, tools: list[dict[str, Any]]
    ) -> StructuredOutputsParams | None:
        wanted = structured_outputs(asked)
        forced = asked.tool_choice == "required" or isinstance(asked.tool_choice, NamedTool)
        if not tools or not forced:
            calls = tooling.calls_as_declared(tools, style)
        else:
            single = asked.parallel_tool_calls is False or isinstance(asked.tool_choice, NamedTool)
            calls = tooling.calls_only(tools, style, single=single)
        if wanted and calls:
            raise ParamError("response_format does not go with calls that are required or strict")
        return tooling.behind_reasoning(wanted, style) if wanted else calls

    def _params(
        self,
        asked: ChatCompletionRequest,
        served: Served,
        structured: StructuredOutputsParams | None,
    ) -> Params:
        most = max_tokens_of(asked)
        if not asked.use_beam_search:
            return sampling_params(
                asked,
                served.llm.get_default_sampling_params(),
                max_tokens=most,
                logprobs=chat_logprobs(asked),
                structured=structured,
            )
        if most is None:
            raise ApiError(400, "use_beam_search needs max_tokens", param="max_tokens")
        return search_params(asked, max_tokens=most, structured=structured)


def _forced(asked: ChatCompletionRequest, style: chats.Style) -> chats.Style:
    """The template shows tools in a form whose calls nbllm cannot read: only a forced one will do."""
    if asked.tool_choice in (None, "auto"):
        raise ApiError(
            400,
            "nbllm cannot read the form of calls that this model's template asks for; "
            'tool_choice="required", or a function\'s name, makes it call in another form',
            param="tool_choice",
        )
    return replace(style, calls="hermes")


@dataclass(slots=True)
class Said:
    """How much of one answer was told."""

    text: str = ""
    content: int = 0
    reasoning: int = 0
    calls: int = 0
    told: bool = field(default=False)


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
        read = partial(chats.parse, piece.text, self._style, id=self._id(piece))
        message = self._shown(read())
        calls = message["tool_calls"]
        if self._echoed:
            message["content"] = self._echoed + (message["content"] or "")
        if not calls:
            del message["tool_calls"]
        return self._choice(piece, reader, {"message": {**message, "refusal": None}}, bool(calls))

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
        return self._choice(piece, reader, {"delta": delta}, said.calls > 0)

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

    def _choice(
        self, piece: Piece, reader: Reader, said: dict[str, Any], called: bool
    ) -> dict[str, Any]:
        top, reason = self._asked.top_logprobs or 0, piece.finish_reason
        scores = piece.logprobs
        # of a function that was named, OpenAI says that the answer has come to its end
        if reason and called and not isinstance(self._asked.tool_choice, NamedTool):
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
