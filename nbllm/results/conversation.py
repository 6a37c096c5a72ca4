"""A conversation is a value: a turn makes a new one, so a turn that fails leaves the old one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .. import views
from ..errors import ParamError
from ..outputs import CompletionOutput, RequestOutput
from .generation import Generation

if TYPE_CHECKING:
    import pandas as pd


@dataclass(kw_only=True, frozen=True, slots=True)
class Message:
    """One message. completion: what the model made; None for what a person wrote."""

    role: str
    content: str
    completion: CompletionOutput | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Conversation:
    """Messages so far, oldest first. template: of its prompts, where it is not the model's own."""

    turns: tuple[Message, ...] = ()
    template: str | None = None

    @classmethod
    def of(cls, given: Conversation | Reply | Iterable[Mapping[str, Any]]) -> Conversation:
        """Itself, that of a result, or of messages with a role and a content that is text.

        Raises `ParamError` for others.
        """
        if isinstance(given, Reply):
            return given.conversation
        if isinstance(given, Conversation):
            return given
        try:
            said = [(m["role"], _text(m["content"])) for m in given]
        except (TypeError, KeyError):
            raise ParamError(
                "a conversation is a list of messages with 'role' and 'content'"
            ) from None
        return cls(tuple(Message(role=str(role), content=content) for role, content in said))

    @classmethod
    def from_json(cls, text: str) -> Conversation:
        """Of what `to_json` wrote. Raises `ParamError` for other text."""
        try:
            record = json.loads(text)
            messages, template = record["messages"], record.get("chat_template")
        except (ValueError, KeyError, TypeError):
            raise ParamError(
                "a conversation as text is what its to_json() wrote: JSON with 'messages', "
                f"got {text[:40]!r}"
            ) from None
        return replace(cls.of(messages), template=template)

    def to_json(self) -> str:
        """As text: {"messages": [{"role", "content"}, …]}, and the template if it has its own."""
        record: dict[str, Any] = {"messages": self.messages}
        if self.template is not None:
            record["chat_template"] = self.template
        return json.dumps(record, ensure_ascii=False, indent=1)

    def fork(self, turn: int | None = None) -> Conversation:
        """The conversation before the user's message number `turn`, from 1; all of it for None.

        It goes on by itself with `%%chat --from VARIABLE`.
        """
        return self if turn is None else self._with(self.turns[: self._begin(turn)])

    def with_system(self, text: str) -> Conversation:
        """With `text` as its system message, instead of the one it may have; "": without any."""
        rest = [turn for turn in self.turns if turn.role != "system"]
        own = [Message(role="system", content=text)] if text else []
        return self._with((*own, *rest))

    def asked(self, text: str) -> Conversation:
        """With one more message of the user."""
        return self._with((*self.turns, Message(role="user", content=text)))

    def undone(self) -> Conversation:
        """Without the user's last message and all that follows it."""
        return self.fork(self.num_asked)

    def unanswered(self, turn: int | None = None) -> Conversation:
        """Up to the user's message number `turn`, from 1; to the last one for None."""
        return self._with(self.turns[: self._begin(turn or self.num_asked) + 1])

    def answered(self, output: RequestOutput) -> Conversation:
        """With the model's answer, which may be partial: then its finish_reason is "abort".

        Reasoning is not part of what was said: templates leave it out of earlier turns.
        """
        completion = output.outputs[0]
        said = completion.text if completion.message is None else completion.content or ""
        answer = Message(role="assistant", content=said, completion=completion)
        return self._with((*self.turns, answer))

    def continued(self, output: RequestOutput) -> Conversation:
        """With the last answer longer by what the model has added."""
        last, new = self.turns[-1], output.outputs[0]
        said = new.text if new.message is None else new.content or ""
        made = new if last.completion is None else _joined(last.completion, new)
        longer = replace(last, content=last.content + said, completion=made)
        return self._with((*self.turns[:-1], longer))

    @property
    def system(self) -> str:
        """The system prompt it begins with; "" without one."""
        return self.turns[0].content if self.turns and self.turns[0].role == "system" else ""

    @property
    def said(self) -> tuple[Message, ...]:
        """The messages after the system prompt."""
        return self.turns[1:] if self.turns and self.turns[0].role == "system" else self.turns

    @property
    def num_asked(self) -> int:
        """Messages of the user."""
        return sum(turn.role == "user" for turn in self.turns)

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

    def __repr__(self) -> str:
        return f"<Conversation: {len(self.turns)} messages>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return views.bundle(views.conversation(self.turns))

    def _with(self, turns: tuple[Message, ...]) -> Conversation:
        return replace(self, turns=turns)

    def _begin(self, turn: int) -> int:
        """Where the user's message number `turn` stands."""
        places = [i for i, each in enumerate(self.turns) if each.role == "user"]
        if not 1 <= turn <= len(places):
            raise ParamError(
                f"the conversation has {len(places)} messages of yours, there is no number {turn}"
            )
        return places[turn - 1]


def _text(content: Any) -> str:
    """A message's content, be it text or a list of text parts."""
    # not above: the templates' module needs torch, which is imported with the first model
    from ..chat.content import as_format

    return as_format(content, "string", "a message")


def _joined(first: CompletionOutput, second: CompletionOutput) -> CompletionOutput:
    """Two parts of one answer; reasoning that the first began stays its own."""
    both = first.logprobs is not None and second.logprobs is not None
    return replace(
        second,
        text=first.text + second.text,
        token_ids=[*first.token_ids, *second.token_ids],
        cumulative_logprob=first.cumulative_logprob + second.cumulative_logprob,
        logprobs=[*(first.logprobs or ()), *(second.logprobs or ())] if both else None,
        reader=first.reader,
    )


@dataclass(kw_only=True, eq=False, repr=False)
class Reply(Generation):
    """What `%%chat` made: the last answer is shown, `.messages` and `.df` hold the conversation."""

    conversation: Conversation

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation up to this answer."""
        return self.conversation.messages

    def fork(self, turn: int | None = None) -> Conversation:
        """The conversation before the user's message number `turn`; all of it for None."""
        return self.conversation.fork(turn)

    def to_json(self) -> str:
        """The conversation up to this answer, as text."""
        return self.conversation.to_json()

    @cached_property
    def df(self) -> pd.DataFrame:
        """The conversation up to this answer, one row per message."""
        frame = self.conversation.df
        frame.attrs["nbllm"] = self.provenance.attrs()
        return frame
