"""From prompts to a beam search that is kept, however far it came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from .. import views
from ..errors import GenerationInterrupted
from ..outputs import BeamSearchOutput
from ..replays import Made, Recording
from ..results.generation import beside
from ..results.provenance import Provenance
from ..sampling_params import BeamSearchParams
from .command_line import Call, one_name
from .live import PROGRESS_AFTER, Bar
from .prompts import prompts as prompts_of

if TYPE_CHECKING:
    import pandas as pd

    from ..llm import LLM
    from .interrupts import Stop
    from .live import Screen
    from .runs import Runs


@dataclass(kw_only=True, eq=False, repr=False)
class Found:
    """What `%%beam` found.

    outputs: one `BeamSearchOutput` per prompt. prompts: what the user wrote, templates filled in.
    over: the frame of `--over`. seconds: how long it took.
    """

    outputs: list[BeamSearchOutput]
    prompts: list[str]
    provenance: Provenance
    seconds: float
    over: pd.DataFrame | None = None

    @cached_property
    def df(self) -> pd.DataFrame:
        """One row per sequence, best first, after the columns of the `--over` frame's row."""
        import pandas as pd

        from ..frames import BEAM_COLUMNS, to_frame

        frame = to_frame(self.outputs)
        if not self.outputs:
            empty = {name: pd.Series(dtype=kind) for name, kind in BEAM_COLUMNS.items()}
            frame = pd.DataFrame(empty)
        if self.over is not None:
            frame = beside(self.over, frame, [len(output.sequences) for output in self.outputs])
        frame.attrs["nbllm"] = self.provenance.attrs()
        return frame

    @cached_property
    def trace(self) -> pd.DataFrame:
        """Every candidate of every step; with `--over` after the columns of the frame's row."""
        import pandas as pd

        from ..frames import TRACE_COLUMNS

        parts = [output.trace_frame() for output in self.outputs]
        empty = [pd.DataFrame(columns=TRACE_COLUMNS)] * (not parts)
        frame = pd.concat(parts or empty, ignore_index=True)
        if self.over is not None:
            frame = beside(self.over, frame, [len(part) for part in parts])
        frame.attrs["nbllm"] = self.provenance.attrs()
        return frame

    @property
    def text(self) -> str:
        """The text of the best sequence; of several prompts, with an empty line between them."""
        return "\n\n".join(o.sequences[0].generated_text for o in self.outputs if o.sequences)

    @property
    def num_tokens(self) -> int:
        """Generated tokens, of all sequences."""
        return sum(len(s.generated_token_ids) for o in self.outputs for s in o.sequences)

    def recording(self) -> Recording:
        """What `nbllm.replay` needs."""
        params = self.provenance.params
        assert isinstance(params, BeamSearchParams)
        return Recording(
            kind="beam",
            model=self.provenance.model,
            requests=list(self.prompts),
            params=[params.clone() for _ in self.prompts],
            expected=[[Made.of(s) for s in output.sequences] for output in self.outputs],
        )

    def __repr__(self) -> str:
        count = sum(len(output.sequences) for output in self.outputs)
        return f"<{type(self).__name__}: {count} sequences, {self.num_tokens} tokens>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        data = views.beams(self.outputs, prompts=self.prompts)
        return views.bundle(data), {
            "nbllm": self.provenance.metadata(self.seconds, self.num_tokens)
        }


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
