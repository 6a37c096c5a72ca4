"""`POST /tokenize` and `/detokenize`, as vLLM has them."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from ...errors import ParamError, PromptError
from ...llm import LLM
from .body import read
from .conversations import Conversation, offered, template_of
from .generation import Desk
from .schemas import DetokenizeRequest, TokenizeRequest


class Tokenizing:
    """Both endpoints."""

    def __init__(self, desk: Desk):
        self._desk = desk

    async def tokenize(self, request: Request) -> JSONResponse:
        """Text or a conversation to token ids."""
        asked = await read(request, TokenizeRequest, self._desk.limits.max_body_bytes)
        llm = self._desk.models.find(asked.model).llm
        return JSONResponse(await self._desk.aside(self._tokens, asked, llm))

    async def detokenize(self, request: Request) -> JSONResponse:
        """Token ids to text."""
        asked = await read(request, DetokenizeRequest, self._desk.limits.max_body_bytes)
        llm = self._desk.models.find(asked.model).llm
        return JSONResponse(await self._desk.aside(self._text, asked, llm))

    def _tokens(self, asked: TokenizeRequest, llm: LLM) -> dict[str, Any]:
        if (asked.prompt is None) == (asked.messages is None):
            raise ParamError("give either prompt or messages")
        ids = self._ids(asked, llm)
        found: dict[str, Any] = {
            "count": len(ids),
            "max_model_len": llm.max_model_len,
            "tokens": ids,
        }
        if asked.return_token_strs:
            found["token_strs"] = [llm.tokenizer.backend.id_to_token(i) for i in ids]
        return found

    def _ids(self, asked: TokenizeRequest, llm: LLM) -> list[int]:
        if asked.prompt is not None:
            special = asked.add_special_tokens is not False
            return llm.tokenizer.encode(asked.prompt, add_special_tokens=special)
        continued = bool(asked.continue_final_message)
        begun = asked.add_generation_prompt
        tools = offered(asked.tools, None)
        conversation = Conversation(
            messages=asked.messages or [],
            tools=tools,
            template=template_of(
                asked.chat_template, llm, tools=bool(tools), trusted=self._desk.trust_templates
            ),
            add_generation_prompt=not continued if begun is None else begun,
            continue_final_message=continued,
            add_special_tokens=bool(asked.add_special_tokens),
            template_kwargs=asked.chat_template_kwargs or {},
        )
        return conversation.rendered(llm)[0].token_ids or []

    def _text(self, asked: DetokenizeRequest, llm: LLM) -> dict[str, str]:
        size = llm.config.vocab_size
        if wrong := [i for i in asked.tokens if not 0 <= i < size]:
            raise PromptError(f"token id {wrong[0]} is outside the vocabulary of {size} ids")
        return {"prompt": llm.tokenizer.decode(asked.tokens, skip_special_tokens=False)}
