"""Waiting for tokens: whoever waits steps the engine, for everybody."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from tqdm import tqdm

from nbllm.errors import GenerationInterrupted
from nbllm.outputs import RequestOutput

from .engine import Engine
from .job import Job
from .request import Request

Output = TypeVar("Output", covariant=True)
NEVER = float("inf")
BEAT = 0.25
"""Seconds after which a feed reports what has not finished."""
LOOK = 64
"""Steps after which a feed looks at all its jobs, even if the engine has counted no end."""

Progress = bool | Callable[..., Any]
"""Whether to show a bar of tqdm; or what makes one, called with total and unit, as tqdm is."""


class Work(Protocol[Output]):
    """What can be waited for: the completions of a prompt, or a beam search."""

    @property
    def finished(self) -> bool: ...
    @property
    def requests(self) -> list[Request]: ...
    def check(self) -> Any: ...
    def mark(self) -> None: ...
    def moved(self) -> bool: ...
    def output(self) -> Output: ...


class Streamed(Work[Output], Protocol[Output]):
    """What can be reported while it runs."""

    @property
    def news(self) -> bool: ...
    @property
    def over(self) -> bool: ...
    def report(self) -> Output | None: ...


def finish(
    engine: Engine, jobs: Sequence[Work[Output]], use_tqdm: Progress, at_once: int | None = None
) -> list[Output]:
    """Run the jobs to their end, `at_once` at a time; their outputs, in order."""
    make = use_tqdm if callable(use_tqdm) else partial(_Bar, delay=2, leave=False)
    bar = make(total=len(jobs), unit="prompt") if use_tqdm else None
    size = at_once or max(len(jobs), 1)
    shown, outputs = nullcontext() if bar is None else bar, []
    with shown, Owned(engine, jobs), Owned(engine, jobs) as owned:
        for begin in range(0, len(jobs), size):
            part = _Part(jobs[begin : begin + size])
            owned.start(part.jobs)
            while (last := part.last) is not None:
                last.mark()
                engine.step(unless=last.moved, due=NEVER)
                if (count := part.collect()) and bar is not None:
                    bar.update(count)
            outputs += part.outputs
        return outputs  # inside, as all of it: an interrupt loses nothing


async def afinish(engine: Engine, jobs: Sequence[Work[Output]]) -> list[Output]:
    """As `finish`; after every step the event loop has its turn."""
    with Owned(engine, jobs), Owned(engine, jobs) as owned:
        part = _Part(jobs)
        owned.start()
        await asyncio.sleep(0)  # tasks that begin together get into the same first step
        while (last := part.last) is not None:
            engine.step(unless=last.moved)
            last.mark()
            part.collect()
            await asyncio.sleep(0)
        return part.outputs


def stream(
    engine: Engine, jobs: list[Job], interval: float = 0.0
) -> Generator[RequestOutput, None, None]:
    """Yield what each job has become, whenever one has advanced, or ended, or every `interval` seconds."""
    with Owned(engine, jobs), Owned(engine, jobs) as owned:
        owned.start()
        for outputs in _steps(engine, jobs, interval):
            yield from outputs


def feed(
    engine: Engine, jobs: Iterator[Job], at_once: int, interval: float = 0.0
) -> Generator[RequestOutput, None, None]:
    """Yield every job's output when it has finished; a job is made when there is room for it.

    Only the jobs in flight exist, so memory is bounded however many there are; and only when a
    request has ended are they looked at, so many of them cost a step nothing. So that a caller has its
    turn before the first has finished, the oldest is reported every `interval` seconds, by default
    every `BEAT`, if it is cumulative.
    """
    pending: list[Job] = []
    beat = interval or BEAT
    due = time.monotonic() + beat
    with Owned(engine, pending), Owned(engine, pending) as owned:
        while True:
            new = list(islice(jobs, at_once - len(pending)))
            # in place: what is in flight is what an interrupt reports
            pending += new
            owned.start(new)
            if not pending:
                return
            _steps_until_an_end(engine, due)
            done = [job for job in pending if job.finished]
            for job in done:
                yield job.check().output()
            gone = set(map(id, done))
            pending[:] = [job for job in pending if id(job) not in gone]
            if pending and time.monotonic() >= due:
                if pending[0].cumulative:
                    yield pending[0].output()
                due = time.monotonic() + beat


def _steps_until_an_end(engine: Engine, due: float) -> None:
    """Step until a request has ended, it is `due`, or it is time to look at all of them."""
    ended = engine.stats.num_ended
    for _ in range(LOOK):
        engine.step(unless=lambda: engine.stats.num_ended != ended, due=due)
        if engine.stats.num_ended != ended or time.monotonic() >= due:
            return


async def astream(engine: Engine, jobs: Sequence[Streamed[Output]]) -> AsyncGenerator[Output, None]:
    """As `stream`; after every step the event loop has its turn."""
    with Owned(engine, jobs), Owned(engine, jobs) as owned:
        owned.start()
        await asyncio.sleep(0)
        for outputs in _steps(engine, jobs):
            for output in outputs:
                yield output
            await asyncio.sleep(0)


async def afeed(
    engine: Engine, jobs: Iterator[Job], at_once: int
) -> AsyncGenerator[RequestOutput, None]:
    """As `astream`, of jobs that are made when there is room for them: `at_once` are in flight."""
    pending: list[Job] = []
    with Owned(engine, pending), Owned(engine, pending) as owned:
        while True:
            new = list(islice(jobs, at_once - len(pending)))
            pending += new
            owned.start(new)
            await asyncio.sleep(0)
            if not pending:
                return
            for output in _step(engine, pending):
                yield output
            pending[:] = [job for job in pending if not job.over]


def _steps(
    engine: Engine, jobs: Sequence[Streamed[Output]], interval: float = 0.0
) -> Generator[list[Output], None, None]:
    """Step until the jobs are over; yields, after every step, what there is to report.

    With an interval a step costs no report of its own: only now and then, and when a request has ended.
    """
    pending = jobs
    while pending:
        if interval:
            _steps_until_an_end(engine, time.monotonic() + interval)
            yield _reports(pending)
        else:
            yield _step(engine, pending)
        pending = [job for job in pending if not job.over]


def _step(engine: Engine, pending: Sequence[Streamed[Output]]) -> list[Output]:
    """A step, unless there is something to report already; what there is."""
    engine.step(unless=lambda: any(job.news for job in pending))
    return _reports(pending)


def _reports(pending: Sequence[Streamed[Output]]) -> list[Output]:
    return [output for job in pending if (output := job.check().report()) is not None]


class _Part(Generic[Output]):
    """Jobs that run together, and their outputs: each is made while the device works on the others."""

    def __init__(self, jobs: Sequence[Work[Output]]):
        self.jobs, self._left = jobs, len(jobs)  # outputs of the jobs beyond are all there
        self._outputs: dict[int, Output] = {}
        self._ended: deque[int] = deque()  # jobs of which a request has ended
        for i, job in enumerate(jobs):
            for request in job.requests:
                request.when_ended = partial(self._ended.append, i)

    @property
    def last(self) -> Work[Output] | None:
        """The last job whose output is not there; None: all are."""
        return self.jobs[self._left - 1] if self._left else None

    @property
    def outputs(self) -> list[Output]:
        """In the order of the jobs, once all are there."""
        return [self._outputs[i] for i in range(len(self.jobs))]

    def collect(self) -> int:
        """Make the outputs of those that have ended; how many. Raises their errors."""
        before = len(self._outputs)
        while self._ended:
            self._make(self._ended.popleft())
        # ends that nobody was told of are found when all jobs beyond are done
        while self._left and self._make(self._left - 1):
            self._left -= 1
        return len(self._outputs) - before

    def _make(self, i: int) -> bool:
        """Whether the output of job i is there, after making it if it can be."""
        job = self.jobs[i]
        if i not in self._outputs and job.finished:
            self._outputs[i] = job.check().output()
        return i in self._outputs


class _Bar(tqdm):
    """A progress bar without tqdm's monitor, a thread that would outlive the call."""

    monitor_interval = 0


class Owned:
    """While inside, the jobs run; on the way out, however it is left, none stays in the engine.

    An interrupt becomes `GenerationInterrupted` with everything that was made. Nothing of the
    interrupted frames is kept: they hold the model's tensors. Two, one in the other, because a second
    interrupt likes to come where Python looks for one: as the first `__exit__` is entered.
    """

    def __init__(self, engine: Engine, jobs: Sequence[Work]):
        self.engine, self.jobs = engine, jobs

    def __enter__(self) -> Owned:
        return self

    def start(self, jobs: Sequence[Work] | None = None) -> None:
        """Add the requests; inside the `with`, so that an interrupt half-way withdraws them."""
        for job in self.jobs if jobs is None else jobs:
            for request in job.requests:
                self.engine.add(request)

    def __exit__(self, kind, error, traceback) -> None:
        if kind is GenerationInterrupted:
            return  # the inner one has done it all
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        clean = kind is None
        while not clean:
            # another Ctrl-C during the clean-up must not leave it half done
            try:
                self._withdraw()
                clean = True
            except KeyboardInterrupt:
                interrupted = True
        if interrupted:
            if error is not None:
                error.__traceback__ = error.__context__ = None
            raise GenerationInterrupted([job.output() for job in self.jobs]) from None

    def _withdraw(self) -> None:
        for job in self.jobs:
            for request in job.requests:
                if not request.finished:
                    self.engine.abort(request)
        self.engine.settle()
