"""From prompts to a result that is kept, whatever happens on the way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from time import time
from typing import TYPE_CHECKING, Any

from ..errors import GenerationInterrupted, NbllmError
from ..outputs import RequestMetrics, RequestOutput
from ..sampling_params import RequestOutputKind, SamplingParams
from .live import Watch
from .provenance import Provenance, per_prompt, seeded

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..llm import LLM

Stream = Generator[RequestOutput, None, None]
Latest = list[RequestOutput | None]


def run(
    shell: InteractiveShell,
    llm: LLM,
    params: SamplingParams,
    *,
    kind: str,
    prompts: Sequence[str],
    requests: Sequence[Any],
    quiet: bool,
    keep: Callable[..., Any],
) -> Any:
    """Send `requests`, show what they become, and return what `keep` makes of it.

    prompts: what to show for each request. keep: called once, with whether the run was interrupted,
    and with outputs, prompts, provenance and seconds. After an interrupt the outputs are partial,
    a second interrupt is dropped until they are kept, and `GenerationInterrupted` is raised.
    """
    params, seed_step = seeded(params)
    provenance = Provenance.of(llm.info(), params, kind=kind, seed_step=seed_step)
    watch = Watch(shell, kind=kind, prompts=prompts, n=params.n, quiet=quiet)
    if not watch.live.on:
        params = replace(params, output_kind=RequestOutputKind.FINAL_ONLY)
    each = per_prompt(params, seed_step, len(requests))
    stream = llm.stream(requests, each) if requests else _nothing()
    with droppable_interrupts() as drop_interrupts, watch.live:
        outputs, interrupted = follow(stream, len(requests), watch.show)
        drop_interrupts()
        seconds = watch.live.seconds
        result = keep(
            interrupted, outputs=outputs, prompts=prompts, provenance=provenance, seconds=seconds
        )
    if interrupted:
        raise GenerationInterrupted(outputs)
    return result


def follow(
    stream: Stream, total: int, show: Callable[[Latest], None]
) -> tuple[list[RequestOutput], bool]:
    """Wait for `stream`: one output per prompt in input order, and whether it was interrupted.

    show: called with what each prompt has become so far, None before its first token.
    """
    latest: Latest = [None] * total
    with closing(stream):
        try:
            for output in stream:
                latest[int(output.request_id.rpartition("-")[2])] = output
                show(latest)
        except GenerationInterrupted as interrupt:
            return interrupt.outputs, True
        except KeyboardInterrupt:
            # it came between two steps, in our code: the engine ends the run as if it had come there
            return _ended(stream, latest), True
    return [output for output in latest if output], False


def _ended(stream: Stream, latest: Latest) -> list[RequestOutput]:
    try:
        stream.throw(KeyboardInterrupt())
    except GenerationInterrupted as interrupt:
        return interrupt.outputs
    except KeyboardInterrupt:
        # the stream was over, or a second interrupt stopped its clean-up
        pass
    return [_aborted(output) if output else _blank(i) for i, output in enumerate(latest)]


def _blank(index: int) -> RequestOutput:
    """Of a prompt that had not begun; the outputs keep one entry per prompt."""
    metrics = RequestMetrics(
        arrival_time=time(), first_token_time=None, finished_time=None, tokens_per_second=None
    )
    return RequestOutput(
        request_id=f"-{index}",
        prompt=None,
        prompt_token_ids=[],
        outputs=[],
        finished=True,
        metrics=metrics,
    )


def _aborted(output: RequestOutput) -> RequestOutput:
    if output.finished:
        return output
    completions = [replace(c, finish_reason=c.finish_reason or "abort") for c in output.outputs]
    return replace(output, outputs=completions, finished=True)


def _nothing() -> Stream:
    """The stream of a frame without rows."""
    yield from ()


@contextmanager
def droppable_interrupts() -> Iterator[Callable[[], None]]:
    """Yields a function; from its call to the end of the block interrupts are dropped.

    Keeping a result takes milliseconds, and must not be cut short. Only the main thread gets signals.
    """
    before = signal.getsignal(signal.SIGINT)
    ours = threading.current_thread() is threading.main_thread() and before is not None

    def drop() -> None:
        if ours:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    try:
        yield drop
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)


def without_frames(call: Callable[..., Any], *args: Any) -> Any:
    """`call(*args)`, with expected errors cut off from the frames that they came through.

    The kernel keeps the last traceback, and its frames would keep their tensors on the GPU.
    """
    try:
        return call(*args)
    except (NbllmError, GenerationInterrupted) as error:
        failure: BaseException = error.with_traceback(None)
    except KeyboardInterrupt:
        failure = GenerationInterrupted([], "interrupted before anything was generated")
    failure.__context__ = failure.__cause__ = None
    raise failure
