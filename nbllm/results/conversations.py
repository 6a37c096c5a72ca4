"""Conversations by name, and how each of them branches: what `%%chat` and the Chat widget share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, MutableMapping
from itertools import count
from threading import Lock

from ..errors import ParamError
from .conversation import Conversation, Message

Watcher = Callable[[str], None]


class Branches:
    """Conversations that begin alike. shown: the one that goes on. all: those that go furthest, none
    of which begins another, in the order in which they branched off.

    A message is the same in two of them if it is the same object, so an answer that says the same
    words again is another one. The system prompt is no part of this: each conversation has its own.
    """

    def __init__(self):
        self.shown = self._furthest = Conversation()
        self.all: list[Conversation] = []

    def put(self, conversation: Conversation, instead_of: Conversation | None = None) -> None:
        """Show it. It takes the place of the one that it goes on, or that it is `instead_of`."""
        self.shown = conversation
        for i, known in enumerate(self.all):
            if _begins(known, conversation) or (instead_of and _same(known, instead_of)):
                self.all[i] = self._furthest = conversation
                return
        # else it is a step back
        if not any(_begins(conversation, known) for known in self.all):
            self.all.append(conversation)
            self._furthest = conversation

    def columns(self, conversation: Conversation) -> list[list[Message]]:
        """For each of its messages after the system prompt: that one and the others in its place."""
        alive, columns = self.all, []
        for place, message in enumerate(conversation.said):
            there = {id(b.said[place]): b.said[place] for b in alive if len(b.said) > place}
            columns.append(list({**there, id(message): message}.values()))
            alive = [b for b in alive if len(b.said) > place and b.said[place] is message]
        return columns

    def switch(self, place: int, branch: int) -> None:
        """Show the latest one with that message in that place, from 0; branch: which, from 1.

        Raises `ParamError`.
        """
        columns = self.columns(self.shown)
        if not 0 <= place < len(columns) or not 1 <= branch <= len(columns[place]):
            raise ParamError(f"there is no branch {branch} of message {place}")
        wanted = (*self.shown.said[:place], columns[place][branch - 1])
        with_it = [b for b in self.all if _alike(b.said[: place + 1], wanted)]
        self.shown = self._furthest = with_it[-1]

    @property
    def ahead(self) -> Conversation | None:
        """The one that is shown with the next message of the user, and its answer, as they were
        before a step back; None where nothing goes on from it."""
        further = [b for b in self.all if _begins(self.shown, b) and not _same(self.shown, b)]
        if not further:
            return None
        goal = next((b for b in further if b is self._furthest), further[-1])
        after = self.shown.num_asked + 2
        return goal.fork(after) if goal.num_asked >= after else goal


class Conversations(MutableMapping[str, Conversation]):
    """name → the conversation that goes on; "" is the usual one. What branches off is kept.

    Those who `watch` are called with the name whenever one has changed, in the thread that did it.
    """

    def __init__(self):
        self._branches: dict[str, Branches] = {}
        self._watchers: list[Watcher] = []
        self._lock = Lock()

    def __getitem__(self, name: str) -> Conversation:
        return self._branches[name].shown

    def __setitem__(self, name: str, conversation: Conversation) -> None:
        self.put(name, conversation)

    def __delitem__(self, name: str) -> None:
        del self._branches[name]
        self._tell(name)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._branches))

    def __len__(self) -> int:
        return len(self._branches)

    def branches(self, name: str) -> Branches:
        """How a conversation branches; none of a name that is not there."""
        return self._branches.get(name) or Branches()

    def put(
        self, name: str, conversation: Conversation, *, instead_of: Conversation | None = None
    ) -> None:
        """This is the conversation from now on.

        instead_of: the one it is a longer form of, such as one whose last answer went on: that is
        no branch of its own any more.
        """
        # cells and widgets are in different threads
        with self._lock:
            self._branches.setdefault(name, Branches()).put(conversation, instead_of)
        self._tell(name)

    def switch(self, name: str, place: int, branch: int) -> None:
        """Go on with another branch: see `Branches.switch`."""
        with self._lock:
            self.branches(name).switch(place, branch)
        self._tell(name)

    def watch(self, call: Watcher) -> None:
        """Call this when a conversation has changed or is gone."""
        self._watchers.append(call)

    def unwatch(self, call: Watcher) -> None:
        """Undo `watch`, if there was one."""
        if call in self._watchers:
            self._watchers.remove(call)

    def _tell(self, name: str) -> None:
        for call in list(self._watchers):
            call(name)


def free_name(name: str, taken: Collection[str]) -> str:
    """What to call a conversation beside the one of this name."""
    stem = name or "chat"
    return next(new for i in count(1) if (new := f"{stem}-{i}") not in taken)


def _alike(first: tuple[Message, ...], second: tuple[Message, ...]) -> bool:
    return len(first) == len(second) and all(a is b for a, b in zip(first, second, strict=True))


def _begins(first: Conversation, second: Conversation) -> bool:
    return _alike(first.said, second.said[: len(first.said)])


def _same(first: Conversation, second: Conversation) -> bool:
    return _alike(first.said, second.said)
