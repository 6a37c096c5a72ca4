"""What is under a `Chat`: a conversation by name, the answer that grows in it, and their drawing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython
from traitlets import Bool, Unicode, link, observe

from .. import chat as chats
from .. import resident, views
from ..errors import ParamError
from ..outputs import RequestOutput
from ..results.conversation import Conversation, Reply
from ..results.conversations import Branches, Conversations
from ..results.generation import cut_short
from ..results.turn import Turn
from ..sampling_params import SamplingParams
from .answer import Answer
from .chat_controls import USUAL, ChatControls
from .chat_view import ChatView, described, facts
from .controls import SamplingControls
from .loop import loop
from .panel import Panel
from .view import Actions

if TYPE_CHECKING:
    from ..llm import LLM
    from .runs import Stream

MOST = 200
"""Answers whose settings are remembered; the oldest go first."""


class ChatPanel(Panel):
    """actions: what the page may ask for. typed: what `ChatControls` calls, by its names for it."""

    view: ChatView
    name = Unicode(help='the conversation, as %%chat --name has it; "" is the usual one')
    trim = Bool(help="leave out the oldest messages of what does not fit the context")
    tokens = Bool(help="shade answers token by token, rather than show plain text")

    def __init__(
        self,
        actions: Actions,
        typed: Mapping[str, Callable[[str], Any]],
        params: SamplingParams | None,
        *,
        model: str | None,
        conversations: Conversations | None,
    ):
        self.conversations = _shared() if conversations is None else conversations
        self._answer: Answer | None = None
        self._replies: deque[Reply] = deque(maxlen=MOST)
        # a template's text → what somebody called it
        self._labels: dict[str, str] = {}
        super().__init__(ChatView({"draw": self._draw_answer, **actions}), model=model)
        llm = self.loaded()
        try:
            self._build(llm, typed, params)
        except BaseException:
            self.close()
            raise
        self.conversations.watch(self._heard)

    def _build(
        self, llm: LLM, typed: Mapping[str, Callable[[str], Any]], params: SamplingParams | None
    ) -> None:
        self._context = llm.max_model_len
        self._settings = settings = SamplingControls(
            _one(params or replace(llm.get_default_sampling_params(), max_tokens=None)),
            max_tokens=llm.max_model_len, max_logprobs=llm.intake.max_logprobs, changed=lambda: None,
        )  # fmt: skip
        # a conversation goes on with one answer
        settings.controls["n"].widget.layout.display = "none"
        templates = chats.templates_of(llm.tokenizer)
        boxes = [settings.main, settings.more]
        self._controls = ChatControls(boxes, templates, self.runs.lock, **typed)
        link((self, "trim"), (self._controls.trim, "value"))
        link((self, "tokens"), (self._controls.tokens, "value"))
        link((self, "tokens"), (self.view, "tokens"))
        self.arrange(*self._controls.boxes)

    @property
    def conversation(self) -> Conversation:
        """What was said, as far as it is shown; an answer under way is no part of it yet."""
        return self.conversations.get(self.name, Conversation())

    @property
    def result(self) -> Reply | None:
        """The last answer that is shown, as `%%chat` would return it; None for one not made here."""
        if not (said := self.conversation.turns):
            return None
        return next((r for r in self._replies if r.conversation.turns[-1] is said[-1]), None)

    @property
    def params(self) -> SamplingParams:
        """What the controls say. Raises `ParamError` for what does not go together."""
        params = self._settings.params
        # all that the context holds is what it leaves
        return replace(params, max_tokens=None) if params.max_tokens == self._context else params

    @params.setter
    def params(self, params: SamplingParams) -> None:
        self._settings.params = _one(params)

    def static(self) -> tuple[dict[str, Any], dict[str, Any]]:
        data = views.conversation(self.conversation.turns)
        # what it takes to make the last answer again, if that is known
        metadata = self.result._repr_mimebundle_()[1] if self.result else {}
        return views.bundle(data), metadata

    def close(self) -> None:
        with self.runs.lock:
            answer, self._answer = self._answer, None
            self.runs.drop()
            if answer is not None:
                self._keep(answer)
        self.conversations.unwatch(self._heard)
        super().close()

    @property
    def _tree(self) -> Branches:
        return self.conversations.branches(self.name)

    @contextmanager
    def _at_rest(self) -> Iterator[None]:
        """Raises `ParamError` while an answer is under way; none can begin in here."""
        with self.runs.lock:
            if self.runs.running:
                raise ParamError("an answer is under way: stop it first, or wait for it")
            yield

    def _put(self, conversation: Conversation) -> None:
        self.conversations[self.name] = conversation
        self._draw()

    def _ask(self, turn: Turn, wish: str = "", *, again: int = 0) -> None:
        """Begin an answer. wish: what the user typed. again: how many there are to the same question."""
        trimmed, params = partial(setattr, self.view, "note") if self.trim else None, self.params
        if params.seed is not None:
            params.seed += again
        answer = Answer(turn=turn, params=params, trimmed=trimmed, wish=wish)

        def begin() -> Stream:
            llm = self.llm()
            self._context = llm.max_model_len
            return answer.stream(llm)

        def show(outputs: list[RequestOutput]) -> None:
            [answer.output] = outputs
            self._grow(answer)

        with self._at_rest():
            self._answer, self.view.error, self.view.note = answer, "", ""
            self.view.begin()
            self.runs.start(begin, show=show, end=partial(self._ended, answer))
            self._draw()
            self._grow(answer)

    def _grow(self, answer: Answer) -> None:
        if answer.turn.name == self.name and (message := answer.message) is not None:
            self.view.grow(message)

    def _draw_answer(self) -> None:
        with self.runs.lock:
            self.view.draw()

    def _ended(self, answer: Answer, error: Exception | None, stopped: bool) -> None:
        self._answer = None
        if not self._keep(answer):
            self.view.unsend(answer.wish)
            if stopped:
                self.view.note = "stopped before anything was said"
        self._draw()
        if error is not None:
            self.fail(error)

    def _keep(self, answer: Answer) -> bool:
        """Make it a part of the conversation; False if there is nothing of it."""
        turn = answer.turn
        if answer.output is None or (after := turn.after(cut_short(answer.output))) is None:
            return False
        now = self.conversations.get(turn.name, turn.before)
        if now.system != turn.before.system:
            # it was changed meanwhile
            after = after.with_system(now.system)
        if now.template != turn.before.template:
            after = replace(after, template=now.template)
        reply = answer.reply(after)
        self._replies.appendleft(reply)
        resident.remember(reply)
        instead_of = turn.before if turn.continued else None
        self.conversations.put(turn.name, after, instead_of=instead_of)
        return True

    def _heard(self, name: str) -> None:
        # not here: a cell, or another widget under its lock, is in the middle of something
        loop().call_soon_threadsafe(self._draw)

    @observe("name")
    def _name_changed(self, _: Any) -> None:
        if hasattr(self, "_controls"):
            self._draw()

    def _draw(self) -> None:
        """Show the conversation of that name, and the answer that grows in it."""
        with self.runs.lock:
            tree, answer, view = self._tree, self._answer, self.view
            here = answer if answer is not None and answer.turn.name == self.name else None
            messages = described(here.asked if here else tree.shown, tree)
            if messages != view.messages:
                view.code = ""
            with view.hold_sync():
                view.messages = messages
                view.growing, view.running = here is not None, answer is not None
                view.ahead = here is None and tree.ahead is not None
                view.facts = self._facts(elsewhere=answer if here is None else None)
            said = self.conversation
            label = self._label(said.template)
            self._controls.show(self.conversations, self.name, said.system, label)
            if here is None:
                self.keep()

    def _facts(self, elsewhere: Answer | None) -> str:
        if elsewhere is not None:
            return f"an answer is under way in the conversation {elsewhere.turn.name or USUAL!r}"
        return facts(self.result, self._context) if self.result else ""

    def _label(self, template: str | None) -> str:
        """What to call a template."""
        if template is None:
            return ""
        return self._labels.get(template) or f"template {chats.template_hash(template)}"


def _shared() -> Conversations:
    """Those of `%%chat`, if the extension is loaded."""
    shell = get_ipython()
    magics = shell.magics_manager.registry.get("Nbllm") if shell is not None else None
    return Conversations() if magics is None else magics.conversations


def _one(params: SamplingParams) -> SamplingParams:
    if params.n != 1:
        raise ParamError(f"a conversation goes on with one answer, got n={params.n}")
    return params
