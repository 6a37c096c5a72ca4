"""From prompts to a result that is kept, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from time import time
from typing import TYPE_CHECKING, Any

from ..errors import GenerationInterrupted, how_far
from ..outputs import CompletionOutput, ModelInfo, RequestMetrics, RequestOutput
from ..results.generation import cut_short
from ..results.provenance import Provenance
from ..sampling_params import RequestOutputKind
from .live import PERIOD, Latest, Watch, ended
from .resume import key

if TYPE_CHECKING:
    from ..llm import LLM
    from ..results.work import Work
    from .interrupts import Stop
    from .live import Screen
    from .resume import Finished

Stream = Generator[RequestOutput, None, None]

AHEAD = 1024
"""Prompts of a long run that are in the engine at a time: more than any batch holds."""
FEW = 64
"""Of so many prompts every token is looked at; of more, those that have finished."""


def run(
    screen: Screen,
    llm: LLM,
    work: Work,
    *,
    info: ModelInfo,
    stop: Stop,
    keep: Callable[..., Any],
    stream: bool | None = None,
    finished: Finished | None = None,
) -> Any:
    """Send `work`, show what it becomes, and return what `keep` makes of it.

    info: of the model now. finished: what is done already, and where to put what gets done. keep:
    called once, with whether the cell is about to fail, and with outputs, work, provenance and seconds.
    After an interrupt the outputs are partial, a second interrupt is dropped until they are kept, and
    `GenerationInterrupted` is raised; after a `stop` the same, but nothing is raised.
    """
    work.check()
    work.seed(finished.seed if finished else None)
    provenance = Provenance.of(
        info, work.params, kind=work.kind, seed_step=work.seed_step,
        settings=work.settings, chat=work.chat,
    )  # fmt: skip
    watch, latest = Watch(screen, work, stream=stream), Latest(len(work))
    if finished is not None:
        _go_on(screen, work, latest, finished)
    watch.begin(latest)
    with stop.run() as interrupts, watch.live:
        ended_early = interrupts.ended(
            lambda: _follow(llm, work, latest, watch, finished, interrupts.drop)
        )
        outputs = [
            cut_short(output) if output else _blank(work.prompt(place), work.params_of(place).n)
            for place, output in enumerate(latest.outputs)
        ]
        if ended_early and finished is not None:
            _complete(finished, work, latest)
        seconds = watch.live.seconds
        # before anything is shown that stays
        watch.live.clear()
        fails = ended_early and not interrupts.stopped
        result = keep(fails, outputs=outputs, work=work, provenance=provenance, seconds=seconds)
    message = _message(latest, resumable=finished is not None)
    if fails:
        raise GenerationInterrupted(outputs, f"interrupted: {message}")
    if ended_early:
        screen.say(f"stopped: {message}")
    return result


def _go_on(screen: Screen, work: Work, latest: Latest, finished: Finished) -> None:
    """Begin where an interrupted run of the same work ended."""
    for place, output in finished.find(len(work), partial(key, work)).items():
        latest.put(place, output)
    screen.say_going_on(latest.done, len(work))
    finished.begin(work.params.seed)


def _complete(finished: Finished, work: Work, latest: Latest) -> None:
    """An interrupt may have come between an output and its line."""
    for place, output in enumerate(latest.outputs):
        if place not in finished.rows and output is not None and ended(output):
            finished.add(place, key(work, place), output)


def _follow(
    llm: LLM, work: Work, latest: Latest, watch: Watch, finished: Finished | None, drop: Any
) -> bool:
    """Do what is not done yet; whether it was interrupted."""
    places = [place for place, output in enumerate(latest.outputs) if output is None]

    def put(place: int, output: RequestOutput) -> None:
        # an interrupt may report again what has ended
        if not ended(latest.outputs[place]):
            latest.put(place, output)
            if finished is not None and ended(output):
                finished.add(place, key(work, place), output)

    source = _stream(llm, work, places, live=watch.live.on, texts=watch.texts)
    return follow(source, places, put, lambda: watch.show(latest), drop)


def _stream(llm: LLM, work: Work, places: Sequence[int], *, live: bool, texts: bool) -> Stream:
    """The outputs of the requests at these places; those on the way only where they are shown."""
    requests = [work.request(place) for place in places]
    each = [
        work.params_of(place, None if live else RequestOutputKind.FINAL_ONLY) for place in places
    ]
    if not requests:
        return _nothing()
    # nobody sees more than is drawn
    how: dict[str, Any] = {"interval": PERIOD}
    if len(places) > FEW and not (live and texts):
        how = {"concurrency_limit": AHEAD}
    return llm.stream(requests, each, **work.chat, **how)


def _message(latest: Latest, *, resumable: bool) -> str:
    done, total = latest.done, len(latest.outputs)
    rest = "; run the cell again to do the rest" if resumable and done < total else ""
    return how_far(done, total) + rest


def follow(
    stream: Stream,
    places: Sequence[int],
    put: Callable[[int, RequestOutput], None],
    show: Callable[[], None],
    drop: Callable[[], None] = lambda: None,
) -> bool:
    """Wait for `stream`, whose i-th prompt belongs to the i-th of `places`; whether it was interrupted.

    put: called with a place and its latest output; show: called after it; drop: before an interrupt is
    dealt with, so that a second one changes nothing.
    """

    def take(output: RequestOutput) -> None:
        put(places[int(output.request_id.rpartition("-")[2])], output)

    unfinished: dict[str, RequestOutput] = {}
    with closing(stream):
        try:
            for output in stream:
                unfinished[output.request_id] = output
                take(output)
                if output.finished:
                    del unfinished[output.request_id]
                show()
        except GenerationInterrupted as interrupt:
            drop()
            partial = interrupt.outputs
        except KeyboardInterrupt:
            drop()
            # it came between two steps, in our code: the engine ends the run as if it had come there
            partial = _ended(stream, unfinished)
        else:
            return False
    for output in partial:
        take(output)
    return True


def _ended(stream: Stream, unfinished: dict[str, RequestOutput]) -> list[RequestOutput]:
    try:
        stream.throw(KeyboardInterrupt())
    except GenerationInterrupted as interrupt:
        return interrupt.outputs
    except KeyboardInterrupt:
        # the stream was over, or a second interrupt stopped its clean-up
        pass
    return [cut_short(output) for output in unfinished.values()]


def _blank(prompt: str, n: int) -> RequestOutput:
    """Of a prompt that had not begun; the outputs keep one entry per prompt."""
    metrics = RequestMetrics(
        arrival_time=time(), first_token_time=None, finished_time=None, tokens_per_second=None
    )
    empty = [
        CompletionOutput(
            index=i, text="", token_ids=[], cumulative_logprob=0.0, finish_reason="abort"
        )
        for i in range(n)
    ]
    return RequestOutput(
        request_id="-",
        prompt=prompt,
        prompt_token_ids=[],
        outputs=empty,
        finished=True,
        metrics=metrics,
    )


def _nothing() -> Stream:
    """The stream of a frame without rows."""
    yield from ()
