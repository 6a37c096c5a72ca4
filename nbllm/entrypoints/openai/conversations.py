"""From messages to a prompt: the template, the tools, and how the answer is to be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ... import chat as chats
from ...chat import tools as tooling
from ...errors import ParamError
from ...llm import LLM
from ...prompts import Prompt
from .errors import ApiError
from .schemas import NamedTool, Tool

UNTRUSTED = (
    "this server takes no chat template from a request, but names of the tokenizer's own; "
    "--trust-request-chat-template allows any"
)


@dataclass(slots=True, kw_only=True)
class Conversation:
    """What of a request makes its prompt. tools: those the model may call."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    template: str
    add_generation_prompt: bool
    continue_final_message: bool
    add_special_tokens: bool
    template_kwargs: dict[str, Any]

    def rendered(self, llm: LLM) -> tuple[Prompt, chats.Style]:
        """The prompt, and the style of its answer."""
        messages: Sequence[Any] = self.messages
        shown = not self.tools or "tools" in tooling.names_in(self.template)
        if not shown:
            messages = tooling.described(messages, self.tools)
        text = chats.render(
            llm.tokenizer,
            messages,
            self.template,
            add_generation_prompt=self.add_generation_prompt,
            continue_final_message=self.continue_final_message,
            tools=self.tools if self.tools and shown else None,
            template_kwargs=self.template_kwargs,
        )
        final = self.messages[-1] if self.continue_final_message else None
        style = chats.style_of(self.template, text, tools=bool(self.tools), final=final)
        if not shown:
            style = replace(style, calls="hermes")
        ids = llm.tokenizer.encode(text, add_special_tokens=self.add_special_tokens)
        return Prompt(text=text, token_ids=ids), style


def template_of(asked: str | None, llm: LLM, *, tools: bool, trusted: bool) -> str:
    """The template to use. What a request gives is a name or the text itself, never a file."""
    if asked is None:
        return llm.find_chat_template(tools=tools)
    known = chats.templates_of(llm.tokenizer)
    if asked in known:
        return known[asked]
    if not trusted:
        raise ApiError(400, UNTRUSTED, param="chat_template")
    return asked


def offered(tools: Sequence[Tool] | None, choice: Any) -> list[dict[str, Any]]:
    """The tools that the model is shown: all, none, or the one that it has to call."""
    if choice == "none" or (choice is None and not tools):
        return []
    if not tools:
        raise ApiError(400, "tool_choice needs tools", param="tool_choice")
    given = [tool.model_dump(exclude_none=True) for tool in tools]
    if isinstance(choice, NamedTool):
        name = choice.function.name
        given = [tool for tool in given if tool["function"]["name"] == name]
        if not given:
            names = ", ".join(repr(tool.function.name) for tool in tools)
            raise ApiError(400, f"there is no tool {name!r}, but {names}", param="tool_choice")
    return given


def variables(template: str, **given: Any) -> dict[str, Any]:
    """Values that a template must have a use for; None: not given."""
    found = {name: value for name, value in given.items() if value is not None}
    for name in found:
        if name not in tooling.names_in(template):
            raise ParamError(f"the model's chat template has no use for {name}: leave it out")
    return found
