"""From prompts to a beam search that is kept, however far it came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from ..errors import GenerationInterrupted
from ..results.provenance import Provenance
from ..results.search import Found
from ..sampling_params import BeamSearchParams
from .command_line import Call, one_name
from .live import PROGRESS_AFTER, Bar
from .prompts import prompts as prompts_of

if TYPE_CHECKING:
    from ..llm import LLM
    from .interrupts import Stop
    from .live import Screen
    from .runs import Runs


def beam(runs: Runs, call: Call) -> Found | None:
    """`%%beam`: search for the likeliest continuations of each prompt."""
    texts, over = prompts_of(call)
    trace = one_name([call.args.trace] if call.args.trace else [])
    if trace and trace == call.out:
        raise UsageError(f"two variables for the frame and its trace, got {trace} for both")
    llm = runs.llm(call.args.model)
    params = runs.search_params(call.args, call.namespace)
    keep = partial(_kept, runs, trace, call.out, partial(Found, over=over))
    result = search(runs.screen, llm, params, prompts=texts, stop=runs.stop, keep=keep)
    # a table of sequences says little about a search, so one is shown even if it has a name
    return None if call.out and (call.args.quiet or over is not None) else result


def _kept(runs: Runs, trace: str | None, *args: Any, **made: Any) -> Found:
    result = runs.keep(*args, **made)
    if trace:
        runs.shell.user_ns[trace] = result.trace
    return result


def search(
    screen: Screen,
    llm: LLM,
    params: BeamSearchParams,
    *,
    prompts: Sequence[str],
    stop: Stop,
    keep: Callable[..., Any],
) -> Any:
    """Search for the continuations of `prompts`, and return what `keep` makes of it.

    stop, keep: as in `run`; after an interrupt keep gets the best so far, and
    `GenerationInterrupted` is raised.
    """
    provenance = Provenance.of(llm.info(), params, kind="beam", seed_step=0)
    outputs, live = list[Any](), screen.live(PROGRESS_AFTER)

    def work() -> bool:
        try:
            outputs.extend(llm.beam_search(prompts, params, use_tqdm=Bar(live, len(prompts))))
        except GenerationInterrupted as interrupt:
            outputs.extend(interrupt.outputs)
            return True
        return False

    with stop.run() as interrupts, live:
        ended_early = interrupts.ended(work)
        if ended_early and not outputs:
            raise KeyboardInterrupt
        fails = ended_early and not interrupts.stopped
        seconds = live.seconds
        live.clear()
        result = keep(
            fails, outputs=outputs, prompts=prompts, provenance=provenance, seconds=seconds
        )
    if fails:
        raise GenerationInterrupted(outputs)
    if ended_early:
        screen.say("stopped: these are the best so far")
    return result
