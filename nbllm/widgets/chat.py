"""`Chat`: a conversation by hand, with every answer and question that was tried on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import chat as chats
from ..errors import ParamError
from ..results.conversation import Conversation, Reply
from ..results.conversations import Conversations, free_name
from ..results.turn import Turn
from ..sampling_params import SamplingParams
from .binding import bind
from .chat_code import chat_code
from .chat_panel import ChatPanel

if TYPE_CHECKING:
    import pandas as pd


class Chat(ChatPanel):
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

    def __init__(
        self,
        conversation: Conversation | Reply | Iterable[Mapping[str, Any]] | None = None,
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
        super().__init__(
            self._actions(), self._typed(), params, model=model, conversations=conversations
        )
        try:
            self.name, self.trim, self.tokens = name, trim, tokens
            if conversation is not None:
                self._put(Conversation.of(conversation))
            if system is not None:
                self.system = system
            if template is not None:
                self.template = template
        except BaseException:
            self.close()
            raise
        self._draw()

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
        name = name.strip()
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

    def _actions(self) -> dict[str, Callable[..., Any]]:
        """What the page may ask for."""
        named = {
            "say": self._keeping(self.say), "edit": self._keeping(self.edit), "retry": self.retry,
            "continue": self.continue_, "undo": self.undo, "redo": self.redo, "switch": self.switch,
            "stop": self.stop, "export": self.export, "code": self._show_code, "close": self.close,
        }  # fmt: skip
        return {name: partial(self.attempt, action) for name, action in named.items()}

    def _typed(self) -> dict[str, Callable[[str], Any]]:
        """What the controls call."""
        named = {"choose": "name", "system": "system", "template": "template"}
        return {
            "begin": partial(self.attempt, self.begin),
            **{wish: partial(self.attempt, setattr, self, each) for wish, each in named.items()},
        }

    def _keeping(self, action: Callable[..., None]) -> Callable[..., None]:
        """The same, but a text that is refused goes back to where it was typed."""

        def act(*, text: str, **fields: Any) -> None:
            try:
                action(text=text, **fields)
            except Exception:
                self.view.unsend(text)
                raise

        return act

    def _show_code(self) -> None:
        self.view.code = self.code()


def _words(text: str) -> str:
    if not text.strip():
        raise ParamError("the message is empty")
    return text
