"""A conversation is a value: a turn makes a new one, so a turn that fails leaves the old one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..outputs import CompletionOutput, RequestOutput
from .results import Generation

if TYPE_CHECKING:
    import pandas as pd


@dataclass(kw_only=True, frozen=True, slots=True)
class Message:
    """One message. completion: what the model made; None for what a person wrote."""

    role: str
    content: str
    completion: CompletionOutput | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages so far, oldest first."""

    turns: tuple[Message, ...] = ()

    def with_system(self, text: str) -> Conversation:
        """With `text` as its system message, instead of the one it may have."""
        rest = [turn for turn in self.turns if turn.role != "system"]
        return Conversation((Message(role="system", content=text), *rest))

    def asked(self, text: str) -> Conversation:
        """With one more message of the user."""
        return Conversation((*self.turns, Message(role="user", content=text)))

    def answered(self, output: RequestOutput) -> Conversation:
        """With the model's answer, which may be partial: then its finish_reason is "abort".

        Reasoning is not part of what was said: templates leave it out of earlier turns.
        """
        completion = output.outputs[0]
        said = completion.text if completion.message is None else completion.content or ""
        answer = Message(role="assistant", content=said, completion=completion)
        return Conversation((*self.turns, answer))

    @property
    def messages(self) -> list[dict[str, str]]:
        """As `LLM.chat` takes them."""
        return [{"role": turn.role, "content": turn.content} for turn in self.turns]

    @property
    def df(self) -> pd.DataFrame:
        """One row per message: role, content, and what is known about a generated one.

        A column "reasoning" comes before the content where an answer has some.
        """
        import pandas as pd

        made = [turn.completion for turn in self.turns]
        columns = {
            "role": [turn.role for turn in self.turns],
            "content": [turn.content for turn in self.turns],
            "finish_reason": [c.finish_reason if c else None for c in made],
            "num_tokens": pd.array([len(c.token_ids) if c else None for c in made], dtype="Int64"),
            "cumulative_logprob": [c.cumulative_logprob if c else float("nan") for c in made],
        }
        reasoning = [c.reasoning if c else None for c in made]
        if any(reasoning):
            columns = {"role": columns["role"], "reasoning": reasoning, **columns}
        return pd.DataFrame(columns)


@dataclass(kw_only=True, eq=False, repr=False)
class Reply(Generation):
    """What `%%chat` made: the last answer is shown, `.messages` and `.df` hold the conversation."""

    conversation: Conversation

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation up to this answer."""
        return self.conversation.messages

    @cached_property
    def df(self) -> pd.DataFrame:
        """The conversation up to this answer, one row per message."""
        frame = self.conversation.df
        frame.attrs["nbllm"] = self.provenance.attrs()
        return frame
