"""`Chat`: a conversation by hand, with every answer and question that was tried on the way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from ..results.conversations import Branches, Conversations, free_name
from ..results.turn import Turn
from ..sampling_params import SamplingParams
from .answer import Answer
from .chat_code import chat_code
from .chat_controls import ChatControls
from .chat_view import ChatView, described
from .controls import SamplingControls
from .loop import loop
from .panel import Panel
from .variables import bind

if TYPE_CHECKING:
    import pandas as pd

    from ..llm import LLM

MOST = 200
"""Answers whose settings are remembered; the oldest go first."""
Messages = Iterable[Mapping[str, Any]]


class Chat(Panel):
    """Talk to a model: say something else instead, hear another answer, and switch between what came of it.

    conversation: what to begin with, a `Conversation`, a result of `%%chat` or messages; None: what the
    conversation of that name is. params: default: the model's own, and as many tokens as the context
    leaves. name: the conversation, as `%%chat --name` has it; "" is the usual one. system: its system
    prompt. template: its chat template, a name that the model's tokenizer knows, a file or the text.
    trim: leave out the oldest messages of what does not fit the context. tokens: shade answers token by
    token, rather than show plain text. model: a loaded model's name; None: the current one, or the
    bundled one where none is loaded. conversations: where to find and keep them; None: where `%%chat`
    does.

    `conversation`, `messages` and `df` are the conversation that is shown, `branches` all that it
    branched into, `result` its last answer. `say`, `edit`, `retry`, `continue_`, `undo`, `redo`,
    `switch`, `stop`, `wait`, `begin`, `export` and `code` are the buttons.
    """

    view: ChatView
    name = Unicode(help='the conversation, as %%chat --name has it; "" is the usual one')
    trim = Bool(help="leave out the oldest messages of what does not fit the context")
    tokens = Bool(help="shade answers token by token, rather than show plain text")

    def __init__(
        self,
        conversation: Conversation | Reply | Messages | None = None,
        params: SamplingParams | None = None,
        *,
        name: str = "",
        system: str | None = None,
        template: str | None = None,
        trim: bool = False,
        tokens: bool = True,
        model: str | None = None,
        conversations: Conversations | None = None,
    ):
        self.conversations = _shared() if conversations is None else conversations
        self._answer: Answer | None = None
        self._replies: deque[Reply] = deque(maxlen=MOST)
        self._labels: dict[str, str] = {}
        super().__init__(ChatView(self._actions()), model=model)
        llm = self.loaded()
        try:
            self._build(llm, params)
            self.name, self.trim, self.tokens = name, trim, tokens
            if conversation is not None:
                self._put(_conversation(conversation))
            if system is not None:
                self.system = system
            if template is not None:
                self.template = template
        except BaseException:
            self.close()
            raise
        self.conversations.watch(self._heard)
        self._draw()

    def _build(self, llm: LLM, params: SamplingParams | None) -> None:
        self._context = llm.max_model_len
        self._settings = SamplingControls(
            _one(params or replace(llm.get_default_sampling_params(), max_tokens=None)),
            max_tokens=llm.max_model_len, max_logprobs=llm.intake.max_logprobs, changed=lambda: None,
        )  # fmt: skip
        # a conversation goes on with one answer
        self._settings.controls["n"].widget.layout.display = "none"
        settings, attempt = self._settings, self.attempt
        self._controls = ChatControls(
            [settings.main, settings.more], chats.templates_of(llm.tokenizer), self.runs.lock,
            choose=lambda name: attempt(setattr, self, "name", name),
            begin=lambda name: attempt(self.begin, name),
            system=lambda text: attempt(setattr, self, "system", text),
            template=lambda source: attempt(setattr, self, "template", source),
        )  # fmt: skip
        link((self, "trim"), (self._controls.trim, "value"))
        link((self, "tokens"), (self._controls.tokens, "value"))
        link((self, "tokens"), (self.view, "tokens"))
        self.arrange(*self._controls.boxes)

    @property
    def conversation(self) -> Conversation:
        """What was said, as far as it is shown; an answer under way is no part of it yet."""
        return self.conversations.get(self.name, Conversation())

    @property
    def branches(self) -> list[Conversation]:
        """All that the conversation branched into, each as far as it went, the oldest first."""
        return list(self._tree.all)

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation, as `LLM.chat` takes it."""
        return self.conversation.messages

    @property
    def df(self) -> pd.DataFrame:
        """The conversation, one row per message: role, content, finish_reason, num_tokens,
        cumulative_logprob."""
        return self.conversation.df

    @property
    def result(self) -> Reply | None:
        """The last answer that is shown, as `%%chat` would return it; None for one not made here."""
        said = self.conversation.turns
        return next(
            (r for r in self._replies if said and r.conversation.turns[-1] is said[-1]), None
        )

    @property
    def params(self) -> SamplingParams:
        """What the controls say. Raises `ParamError` for what does not go together."""
        params = self._settings.params
        # all that the context holds is what it leaves
        return replace(params, max_tokens=None) if params.max_tokens == self._context else params

    @params.setter
    def params(self, params: SamplingParams) -> None:
        self._settings.params = _one(params)

    @property
    def system(self) -> str:
        """The system prompt; "" for none. Other messages stay as they are."""
        return self.conversation.system

    @system.setter
    def system(self, text: str) -> None:
        if text != self.system:
            self._put(self.conversation.with_system(text))

    @property
    def template(self) -> str | None:
        """The text of the chat template; None: the model's own. A name or a file may be given.

        Raises `TemplateError`.
        """
        return self.conversation.template

    @template.setter
    def template(self, source: str | None) -> None:
        if source in (self._label(self.template), self.template):
            return
        try:
            text = chats.load_if_path(source, self.llm().tokenizer) if source else None
            if text is not None and source != text:
                self._labels[text] = str(source)
            self._put(replace(self.conversation, template=text))
        finally:
            self._draw()

    def say(self, text: str) -> None:
        """Say something. Returns at once; the answer is shown as it grows.

        Raises `ParamError` for an empty message, and while an answer is under way.
        """
        before = self.conversation
        self._ask(Turn(name=self.name, before=before, asked=before.asked(_words(text))), text)

    def edit(self, turn: int, text: str) -> None:
        """Say this instead of your message number `turn`, from 1; what there was stays a branch."""
        before = self.conversation
        asked = before.fork(turn).asked(_words(text))
        self._ask(Turn(name=self.name, before=before, asked=asked), text)

    def retry(self, turn: int | None = None) -> None:
        """Another answer to your message number `turn`; None: to the last one.

        A seed that is set counts on by one for each answer there, or it would be the same again.
        """
        before = self.conversation
        if not before.num_asked:
            raise ParamError("there is nothing to answer: the conversation has not begun")
        asked = before.unanswered(turn)
        tried = self._tree.columns(before)[len(asked.said) :][:1]
        again = len(tried[0]) if tried else 0
        self._ask(Turn(name=self.name, before=before, asked=asked), again=again)

    def continue_(self) -> None:
        """Go on with the last answer."""
        before = self.conversation
        if not before.num_asked or before.turns[-1].role != "assistant":
            raise ParamError("there is nothing to continue: the last message is no answer")
        self._ask(Turn(name=self.name, before=before, asked=before, continued=True))

    def undo(self) -> None:
        """Take your last message and its answer back; `redo` undoes that."""
        if not self.conversation.num_asked:
            raise ParamError("there is nothing to undo: the conversation has not begun")
        with self._at_rest():
            self._put(self.conversation.undone())

    def redo(self) -> None:
        """Say again what was taken back, as it was answered."""
        if (ahead := self._tree.ahead) is None:
            raise ParamError("there is nothing to redo: nothing was taken back")
        with self._at_rest():
            self._put(ahead)

    def switch(self, place: int, branch: int) -> None:
        """Show another branch: of the messages that were tried in that place number `branch`, from 1.

        place: of the message among those after the system prompt, from 0.
        """
        with self._at_rest():
            self.conversations.switch(self.name, place, branch)
            self._draw()

    def stop(self) -> None:
        """End the answer under way, and keep what there is of it."""
        self.runs.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the answer under way has ended; False if it has not after `timeout` seconds."""
        return self.runs.wait(timeout)

    def begin(self, name: str = "") -> None:
        """Begin another conversation; without a name it gets one."""
        if name and name in self.conversations:
            raise ParamError(f"there is a conversation called {name!r} already: choose it above")
        name = name or free_name("", self.conversations)
        self.conversations[name] = Conversation()
        self._controls.new_name.value = ""
        self.name = name

    def export(self, name: str) -> None:
        """Bind the conversation to a variable, which `%%chat --from` and `Chat` take."""
        said = self.conversation
        bind(name, said, ".conversation")
        count = len(said.turns)
        self.view.note = f"{name} is a Conversation of {count} message{'s' * (count != 1)}"

    def code(self) -> str:
        """The program that makes the answer that is shown last again; of one that was not made here,
        with the settings as they are."""
        if (reply := self.result) is not None:
            work, model = reply.work, self.model
            return chat_code(work.requests[0], work.params_of(0), work.chat, model=model)
        if not self.conversation.num_asked:
            raise ParamError("there is nothing to make again: the conversation has not begun")
        asked = self.conversation.unanswered()
        options = {} if asked.template is None else {"chat_template": asked.template}
        return chat_code(asked.messages, self.params, options, model=self.model)

    def static(self) -> tuple[dict[str, Any], dict[str, Any]]:
        data = views.conversation(self.conversation.turns)
        # what it takes to make the last answer again, if that is known
        metadata = self.result._repr_mimebundle_()[1] if self.result else {}
        return views.bundle(data), metadata

    def close(self) -> None:
        self.conversations.unwatch(self._heard)
        super().close()

    @property
    def _tree(self) -> Branches:
        return self.conversations.branches(self.name)

    def _actions(self) -> dict[str, Callable[..., Any]]:
        """What the page may ask for."""
        named = {
            "say": self._keeping(self.say), "edit": self._keeping(self.edit), "retry": self.retry,
            "continue": self.continue_, "undo": self.undo, "redo": self.redo, "switch": self.switch,
            "stop": self.stop, "export": self.export, "code": self._show_code, "close": self.close,
            "draw": self._draw_answer,
        }  # fmt: skip
        return {name: partial(self.attempt, action) for name, action in named.items()}

    def _keeping(self, action: Callable[..., None]) -> Callable[..., None]:
        """The same, but a text that is refused goes back to where it was typed."""

        def act(*, text: str, **fields: Any) -> None:
            try:
                action(text=text, **fields)
            except Exception:
                self.view.unsend(text)
                raise

        return act

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
        trimmed, params = partial(setattr, self.view, "note") if self.trim else None, self.params
        if params.seed is not None:
            params.seed += again
        answer = Answer(turn=turn, params=params, trimmed=trimmed, wish=wish)

        def begin() -> Any:
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
        turn, output, self._answer = answer.turn, answer.output, None
        if output is not None and (after := turn.after(output)) is not None:
            self._keep(answer, after)
        else:
            self.view.unsend(answer.wish)
            if stopped:
                self.view.note = "stopped before anything was said"
        self._draw()
        if error is not None:
            self.fail(error)

    def _keep(self, answer: Answer, after: Conversation) -> None:
        turn = answer.turn
        now = self.conversations.get(turn.name, turn.before)
        if now.system != turn.before.system:
            # it was changed meanwhile
            after = after.with_system(now.system)
        if now.template != turn.before.template:
            after = replace(after, template=now.template)
        reply = answer.reply(after)
        self._replies.appendleft(reply)
        resident.remember(reply)
        self.conversations.put(turn.name, after, instead_of=turn.before if turn.continued else None)

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
            with view.hold_sync():
                view.messages = described(here.asked if here else tree.shown, tree)
                view.growing, view.running = here is not None, answer is not None
                view.ahead = here is None and tree.ahead is not None
                view.facts, view.code = self._facts(), ""
            label = self._label(self.template)
            self._controls.show(self.conversations, self.name, self.system, label)
            if here is None:
                self.keep()

    def _facts(self) -> str:
        """What is worth knowing of the last answer besides its text."""
        if (made := self.result) is None:
            return ""
        [output] = made.outputs
        rate = f", {made.num_tokens / made.seconds:,.0f} tokens/s" if made.seconds else ""
        size = len(output.prompt_token_ids) + made.num_tokens
        return (
            f"{made.provenance.model['name']} · seed {made.work.params.seed} · {made.seconds:.2f} s{rate}"
            f" · context {size:,} of {self._context:,} tokens"
        )

    def _label(self, template: str | None) -> str:
        """What to call a template."""
        if template is None:
            return ""
        return self._labels.get(template) or f"template {chats.template_hash(template)}"

    def _show_code(self) -> None:
        self.view.code = self.code()


def _shared() -> Conversations:
    """Those of `%%chat`, if the extension is loaded."""
    shell = get_ipython()
    magics = shell.magics_manager.registry.get("Nbllm") if shell is not None else None
    return Conversations() if magics is None else magics.conversations


def _conversation(given: Conversation | Reply | Messages) -> Conversation:
    if isinstance(given, Reply):
        return given.conversation
    return given if isinstance(given, Conversation) else Conversation.of(given)


def _one(params: SamplingParams) -> SamplingParams:
    if params.n != 1:
        raise ParamError(f"a conversation goes on with one answer, got n={params.n}")
    return params


def _words(text: str) -> str:
    if not text.strip():
        raise ParamError("the message is empty")
    return text
