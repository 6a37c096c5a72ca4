"""What a cell shows while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from .. import views
from ..outputs import RequestOutput

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..results.work import Work

PERIOD = 1 / 20
"""Seconds between updates: the page, not the model, is the slow part."""
TEXT_AFTER, PROGRESS_AFTER = 0.2, 2.0
"""Seconds of work before text, or progress, is shown: short work shows its result alone."""
MAX_TEXTS = 8
"""With more completions than this, progress is shown instead of text."""


class Live:
    """One display that changes in place, at most 20 times a second, and goes when the run ends.

    publish: called with the keyword arguments of IPython's `DisplayPublisher.publish`; None shows
    nothing. after: seconds before anything is shown. erase: takes everything away that the cell
    shows; without it an empty output stays where the display was, if there was time for one, and the
    same cell is not the same saved notebook every time. clock: seconds, for tests.
    """

    def __init__(
        self,
        publish: Callable[..., Any] | None,
        *,
        after: float,
        erase: Callable[[], Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._publish, self._clock, self._after = publish, clock, after
        self._erase = erase
        self._id: str | None = None
        self.began = clock()
        self._due = self.began + after

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    @property
    def on(self) -> bool:
        """Whether anything will ever be shown."""
        return self._publish is not None

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return self._clock() - self.began

    def show(self, draw: Callable[[], dict[str, Any]]) -> None:
        """Show what `draw` returns, if it is time to; `draw` is not called otherwise."""
        if not self.on or self._clock() < self._due:
            return
        self._send(draw())
        # counted from the end of drawing, so that a slow page leaves the engine its time
        self._due = self._clock() + PERIOD

    def clear(self) -> None:
        """Take the display away, if there is one."""
        if self._id is None:
            return
        if self._erase is not None:
            self._erase()
        else:
            self._send({"text/plain": "", "text/html": ""})
        self._id = None

    def _send(self, bundle: dict[str, Any]) -> None:
        update = self._id is not None
        self._id = self._id or uuid4().hex
        assert self._publish is not None
        self._publish(data=bundle, metadata={}, transient={"display_id": self._id}, update=update)


class Screen:
    """What one call of a magic has to show things on. alone: it is the whole cell, nothing else shows."""

    def __init__(self, shell: InteractiveShell, *, quiet: bool = False, alone: bool = False):
        self.shell, self.quiet, self.alone = shell, quiet, alone
        self._said: list[str] = []

    def say(self, line: str) -> None:
        """Print a line; it stays when a live display goes."""
        self._said.append(line)
        print(line)

    def say_going_on(self, done: int, total: int) -> None:
        """A run over a frame begins where it was interrupted."""
        if 0 < done < total:
            self.say(f"going on: {done:,} of {total:,} prompts were done; --fresh begins again")

    def live(self, after: float) -> Live:
        """A display that changes in place."""
        # a terminal has none; there the result follows at once
        on = hasattr(self.shell, "kernel") and not self.quiet
        publish = self.shell.display_pub.publish if on else None
        return Live(publish, after=after, erase=self._erase if self.alone else None)

    def _erase(self) -> None:
        self.shell.display_pub.clear_output()
        for line in self._said:
            print(line)


class Bar:
    """What the methods of `LLM` take as `use_tqdm`: counts prompts on a live display.

    total: of all calls together; what each call counts adds up. done: before the first.
    """

    def __init__(self, live: Live, total: int, *, done: int = 0):
        self._live, self._total, self._before, self._done = live, total, done, done

    def __call__(self, **options: Any) -> Bar:
        return self

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        """The display goes when the run ends, and not with one of its calls."""

    def update(self, count: int = 1) -> None:
        """So many more have finished."""
        self._done += count
        self._live.show(self._draw)

    def _draw(self) -> dict[str, Any]:
        seconds = self._live.seconds
        return views.progress(self._done, self._total, 0, seconds, before=self._before)


class Latest:
    """What each request of a run has become so far, None before its first token; and how much it is."""

    def __init__(self, total: int):
        self.outputs: list[RequestOutput | None] = [None] * total
        self.done = self.num_tokens = 0

    def put(self, place: int, output: RequestOutput) -> None:
        """`output` is the latest of its request."""
        before, self.outputs[place] = self.outputs[place], output
        self.done += ended(output) - ended(before)
        self.num_tokens += _size(output) - (_size(before) if before else 0)


def ended(output: RequestOutput | None) -> bool:
    """Whether it came to its end, and was not cut short."""
    return output is not None and output.finished and not output.aborted


def _size(output: RequestOutput) -> int:
    return sum(len(completion.token_ids) for completion in output.outputs)


class Watch:
    """Draws a run: the text while it is made, or how far it is when there are many texts.

    stream: True for text, False for progress, however many there are; None: as many allow.
    """

    def __init__(self, screen: Screen, work: Work, *, stream: bool | None = None):
        self._work = work
        self.texts = work.num_completions <= MAX_TEXTS if stream is None else stream
        self.live = screen.live(TEXT_AFTER if self.texts else PROGRESS_AFTER)
        self._before = 0, 0

    def begin(self, latest: Latest) -> None:
        """What was done before this run is none of its speed."""
        self._before = latest.done, latest.num_tokens

    def show(self, latest: Latest) -> None:
        """Show how far it is, if it is time to."""
        self.live.show(lambda: self._text(latest) if self.texts else self._progress(latest))

    def _text(self, latest: Latest) -> dict[str, Any]:
        begun = [(o, self._work.prompt(k)) for k, o in enumerate(latest.outputs) if o]
        outputs, prompts = [output for output, _ in begun], [prompt for _, prompt in begun]
        data = views.completions(outputs, kind=self._work.kind, prompts=prompts, tokens=False)
        return views.bundle(data)

    def _progress(self, latest: Latest) -> dict[str, Any]:
        done, num_tokens = self._before
        return views.progress(
            latest.done,
            len(latest.outputs),
            latest.num_tokens - num_tokens,
            self.live.seconds,
            before=done,
        )
