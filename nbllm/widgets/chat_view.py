"""What a Chat shows below its controls: who said what, and the field to say more."""

from __future__ import annotations

from typing import Any

from traitlets import Bool, List, Unicode

from .. import views
from ..results.conversation import Conversation, Message, Reply
from ..results.conversations import Branches
from ..views.messages import MAX_MESSAGES, message
from .modules import css, esm
from .view import Actions, View


class ChatView(View):
    """messages: those that are shown, as `described` has them. growing: whether an answer grows below
    them. running: whether one is under way at all. ahead: whether there is something to take back
    that was undone. tokens: whether answers are shown token by token. facts: a line about the last
    answer. code: the program that was asked for.

    A growing answer is sent as messages {"kind": "more", "run", "start", "tokens", "content",
    "reasoning"}: all its text, and the tokens from number `start` on; None where there are none to
    show. A page that lacks some says {"action": "draw"}. What could not be sent comes back as
    {"kind": "unsent", "text"}.
    """

    _esm = esm("chat")
    _css = css("frame", "tokens", "chat")
    messages = List().tag(sync=True)
    growing = Bool().tag(sync=True)
    running = Bool().tag(sync=True)
    ahead = Bool().tag(sync=True)
    tokens = Bool(True).tag(sync=True)
    facts = Unicode().tag(sync=True)
    code = Unicode().tag(sync=True)

    def __init__(self, actions: Actions, **traits: Any):
        super().__init__(actions, **traits)
        self._run, self._told = 0, 0
        self._answer: Message | None = None

    def begin(self) -> None:
        """Another answer begins to grow."""
        self._run, self._told, self._answer = self._run + 1, 0, None

    def grow(self, answer: Message) -> None:
        """Show what the answer has become."""
        self._answer = answer
        made = answer.completion
        reasoning = made.reasoning if made else None
        positions = (made.logprobs if made and not reasoning else None) or ()
        # so many are not shown one by one
        shown = 0 < len(positions) <= views.MAX_TOKENS
        tokens = [views.token(p) for p in positions[self._told :]] if shown else None
        self.send(
            {
                "kind": "more", "run": self._run, "start": self._told, "tokens": tokens,
                "content": answer.content, "reasoning": reasoning,
            }
        )  # fmt: skip
        self._told = len(positions) if shown else 0

    def draw(self) -> None:
        """Say everything that there is to say about the growing answer."""
        self._told = 0
        if self.growing and self._answer is not None:
            self.grow(self._answer)

    def unsend(self, text: str) -> None:
        """Give back what somebody typed: it was not said."""
        if text:
            self.send({"kind": "unsent", "text": text})


def described(conversation: Conversation, branches: Branches) -> list[dict[str, Any]]:
    """The latest 100 messages after the system prompt: each as a conversation's view has it, with its
    place, the number of the user's message that it is or answers, and which of how many branches it
    is in its place. Tokens of the latest come first where there are too many.
    """
    said, columns = conversation.said, branches.columns(conversation)
    turn, room, messages = conversation.num_asked, views.MAX_TOKENS, []
    for place in reversed(range(max(0, len(said) - MAX_MESSAGES), len(said))):
        each = said[place]
        room -= len((each.completion and each.completion.logprobs) or ())
        which = [id(other) for other in columns[place]].index(id(each)) + 1
        messages.append(
            {
                **message(each, with_tokens=room >= 0),
                "place": place, "turn": turn, "branch": which, "branches": len(columns[place]),
            }
        )  # fmt: skip
        turn -= each.role == "user"
    return messages[::-1]


def facts(made: Reply, context: int) -> str:
    """What is worth knowing of an answer besides its text. context: tokens that the model takes."""
    [output] = made.outputs
    rate = f", {made.num_tokens / made.seconds:,.0f} tokens/s" if made.seconds else ""
    size = len(output.prompt_token_ids) + made.num_tokens
    return (
        f"{made.provenance.model['name']} · seed {made.work.params.seed} · {made.seconds:.2f} s{rate}"
        f" · context {size:,} of {context:,} tokens"
    )
