"""`POST /v1/chat/completions`: conversations answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ... import chat as chats
from ...chat import tools as tooling
from ...engine.beam_job import BeamJob
from ...engine.job import Job
from ...errors import ParamError
from ...sampling_params import StructuredOutputsParams
from .answers import Choices
from .conversations import Conversation, offered, template_of, variables
from .errors import ApiError
from .generation import Generation
from .messages import ChatChoices
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
from .sequences import readers


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
        jobs = served.prepare([prompt], params, asked.priority)
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
