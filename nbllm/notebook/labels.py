"""`%%score` and `%%choose`: log-probabilities of texts over a frame, without sampling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any

from .. import views
from ..errors import GenerationInterrupted
from ..outputs import ChoiceOutput, ScoreOutput
from ..replays import Made, Recording
from ..results.generation import beside
from ..results.provenance import Provenance
from .live import PROGRESS_AFTER

if TYPE_CHECKING:
    import pandas as pd

    from ..llm import LLM
    from .interrupts import Stop
    from .live import Screen

AT_ONCE = 256
"""Prompts that are scored together; an interrupt keeps the parts before."""


@dataclass(kw_only=True, eq=False, repr=False)
class Labels:
    """What `%%score` or `%%choose` found.

    outputs: one `ScoreOutput` or `ChoiceOutput` per prompt; fewer after an interrupt. over: the frame
    of `--over`. best: one row per prompt, its likeliest choice. seconds: how long it took.
    """

    outputs: list[Any]
    prompts: list[str]
    provenance: Provenance
    seconds: float
    over: pd.DataFrame | None = None
    best: bool = False

    @cached_property
    def df(self) -> pd.DataFrame:
        """One row per prompt, or per choice, after the columns of the `--over` frame's row."""
        import pandas as pd

        from ..frames import CHOICE_COLUMNS, SCORE_COLUMNS, to_frame

        columns = SCORE_COLUMNS if self.provenance.kind == "score" else CHOICE_COLUMNS
        empty = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
        frame = to_frame(self.outputs) if self.outputs else empty
        counts = [len(getattr(output, "choices", [0])) for output in self.outputs]
        if self.best and self.outputs:
            begins = [sum(counts[:i]) for i in range(len(counts))]
            places = [
                b + o.choices.index(o.best) for b, o in zip(begins, self.outputs, strict=True)
            ]
            frame, counts = frame.iloc[places].reset_index(drop=True), [1] * len(counts)
        if self.over is not None:
            frame = beside(self.over, frame, counts)
        frame.attrs["nbllm"] = {**self.provenance.attrs(), "num_choices": max(counts, default=1)}
        return frame

    @property
    def text(self) -> str:
        """The likeliest choice of each prompt, a line each; nothing for scores."""
        return "\n".join(o.best for o in self.outputs if isinstance(o, ChoiceOutput))

    def recording(self) -> Recording:
        """What `nbllm.replay` needs."""
        kind = self.provenance.kind
        told = [(o.prompt, o.choices if kind == "choose" else o.continuation) for o in self.outputs]
        logprobs = [
            o.logprobs if isinstance(o, ChoiceOutput) else [o.cumulative_logprob]
            for o in self.outputs
        ]
        return Recording(
            kind=kind,
            model=self.provenance.model,
            requests=told,
            params=[self.provenance.values.get("normalize", False)] * len(told),
            expected=[[Made(logprob=p) for p in each] for each in logprobs],
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self.outputs)} prompts>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        data = views.labels(self.outputs, kind=self.provenance.kind, prompts=self.prompts)
        metadata = self.provenance.metadata(self.seconds, 0)
        return views.bundle(data), {"nbllm": metadata}


def label(
    screen: Screen,
    llm: LLM,
    *,
    kind: str,
    prompts: Sequence[str],
    values: dict[str, Any],
    ask: Callable[[int, int], list[ScoreOutput] | list[ChoiceOutput]],
    stop: Stop,
    keep: Callable[..., Any],
) -> Any:
    """Ask for all prompts, a part at a time, and return what `keep` makes of it.

    ask: called with the begin and the end of a part. values: what the record says of how. stop, keep: as
    in `run`; after an interrupt `keep` gets the parts before, and `GenerationInterrupted` is raised.
    """
    provenance = Provenance.of(llm.info(), values, kind=kind)
    live, outputs, interrupted = screen.live(PROGRESS_AFTER), list[Any](), False
    began = monotonic()
    with stop.run() as interrupts, live:
        try:
            while len(outputs) < len(prompts):
                outputs += ask(len(outputs), min(len(outputs) + AT_ONCE, len(prompts)))
                live.show(lambda: views.progress(len(outputs), len(prompts), 0, live.seconds))  # noqa: B023
        except KeyboardInterrupt:
            interrupted = True
        interrupts.drop()
        live.clear()
        fails = interrupted and not interrupts.stopped
        result = keep(
            fails,
            outputs=outputs,
            prompts=list(prompts),
            provenance=provenance,
            seconds=monotonic() - began,
        )
    message = f"{len(outputs):,} of {len(prompts):,} prompts were done"
    if fails:
        raise GenerationInterrupted([], f"interrupted: {message}")
    if interrupted:
        screen.say(f"stopped: {message}")
    return result
