"""What one turn of a Chat sends, and what has come of it so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from ..errors import PromptError
from ..outputs import RequestOutput
from ..results.conversation import Conversation, Message, Reply
from ..results.provenance import Provenance
from ..results.turn import Turn
from ..results.work import Work
from ..sampling_params import RequestOutputKind, SamplingParams

if TYPE_CHECKING:
    from ..llm import LLM
    from .runs import Stream


@dataclass(kw_only=True, eq=False)
class Answer:
    """trimmed: gets a line about what was left out; None: nothing is. wish: what the user typed."""

    turn: Turn
    params: SamplingParams
    trimmed: Callable[[str], None] | None
    wish: str
    output: RequestOutput | None = None
    work: Work = field(init=False)
    provenance: Provenance = field(init=False)
    began: float = field(init=False)

    def stream(self, llm: LLM) -> Stream:
        """Begin. Raises what `LLM.astream` raises; of what is too long it says what helps."""
        self.work = self.turn.work(llm, self.params, trimmed=self.trimmed)
        self.work.seed()
        self.provenance = Provenance.of(
            llm.info(), self.work.params, kind=self.work.kind, chat=self.work.chat
        )
        self.began = monotonic()
        try:
            params = self.work.params_of(0, RequestOutputKind.CUMULATIVE)
            return llm.astream(self.work.requests, params, **self.work.chat)
        except PromptError as error:
            raise self._explained(llm, error) from None

    @property
    def asked(self) -> Conversation:
        """What was said before the answer; of one that goes on, before its first half."""
        assert self.turn.asked is not None
        asked = self.turn.asked
        return asked.unanswered() if self.turn.continued else asked

    @property
    def message(self) -> Message | None:
        """The answer so far; None before its first token."""
        asked, output = self.turn.asked, self.output
        assert asked is not None
        if output is None:
            return asked.turns[-1] if self.turn.continued else None
        after = asked.continued(output) if self.turn.continued else asked.answered(output)
        return after.turns[-1]

    def reply(self, after: Conversation) -> Reply:
        """The result, as `%%chat` would return it."""
        assert self.output is not None
        return self.turn.reply(
            after,
            outputs=[self.output],
            work=self.work,
            provenance=self.provenance,
            seconds=monotonic() - self.began,
        )

    def _explained(self, llm: LLM, error: PromptError) -> PromptError:
        [messages] = self.work.requests
        [prompt] = llm.preprocess_chat(
            messages, add_generation_prompt=not self.turn.continued, **self.work.chat
        )
        size = len(prompt["prompt_token_ids"])
        if size < llm.max_model_len or self.asked.num_asked < 2:
            return error
        return PromptError(
            f"the conversation has {size:,} tokens, which leaves no room for an answer in the model's "
            f"context of {llm.max_model_len:,}: switch on trim, which leaves out the oldest messages, "
            "take some back, or begin a new one"
        )
