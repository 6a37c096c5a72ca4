"""One turn of a conversation: what is sent, and what the conversation is after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..outputs import RequestOutput
from ..sampling_params import SamplingParams
from . import trim
from .conversation import Conversation, Reply
from .work import Work

if TYPE_CHECKING:
    from ..llm import LLM


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

    def work(
        self, llm: LLM, params: SamplingParams, *, trimmed: Callable[[str], None] | None = None
    ) -> Work:
        """What to send. trimmed: leave out the oldest turns if all do not fit, and say so to this.

        Raises `PromptError` if the last message alone does not fit.
        """
        assert self.asked is not None
        options: dict[str, Any] = {}
        if self.asked.template is not None:
            options["chat_template"] = self.asked.template
        if self.continued:
            options["continue_final_message"] = True
        messages = self.asked.messages
        if trimmed is not None:
            [messages] = trim.conversations(
                llm, [messages], params.max_tokens, options, trim=True, say=trimmed
            )
        text = self.asked.turns[-1].content
        return Work(kind="chat", prompts=[text], requests=[messages], params=params, chat=options)

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
