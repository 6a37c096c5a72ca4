"""`%%score` and `%%choose`: log-probabilities of texts over a frame, without sampling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from .. import views
from ..errors import GenerationInterrupted
from ..outputs import ChoiceOutput, ModelInfo, ScoreOutput
from ..replays import Made, Recording
from ..results.generation import beside
from ..results.provenance import Provenance
from .command_line import Call
from .live import PROGRESS_AFTER, Bar
from .prompts import filled_in, rows
from .prompts import prompts as prompts_of
from .resume import digest, of_model
from .structured import choices

if TYPE_CHECKING:
    import pandas as pd

    from ..llm import LLM
    from .interrupts import Stop
    from .live import Screen
    from .resume import Finished
    from .runs import Runs

AT_ONCE = 256
"""Prompts that are scored together; an interrupt keeps the parts before."""


@dataclass(kw_only=True, eq=False, repr=False)
class Labels:
    """What `%%score` or `%%choose` found.

    outputs: one `ScoreOutput` or `ChoiceOutput` per prompt; fewer after an interrupt. places: which
    prompts of the run these are. over: the frame of `--over`. best: one row per prompt, its likeliest
    choice. seconds: how long it took.
    """

    outputs: list[Any]
    prompts: list[str]
    places: list[int]
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
            frame = beside(self.over.iloc[self.places], frame, counts)
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


def score(runs: Runs, call: Call) -> Labels | None:
    """`%%score`: how likely each text is, or its continuation."""
    texts, over = prompts_of(call)
    after = call.args.continuation
    rest = None if after is None else filled_in(call, rows(over), after)
    llm = runs.llm(call.args.model)

    def ask(places: Sequence[int]) -> list[ScoreOutput]:
        told = None if rest is None else [rest[i] for i in places]
        return llm.score([texts[i] for i in places], told, use_tqdm=False)

    job = Job(kind="score", prompts=texts, told=rest, values={}, ask=ask)
    return _run(runs, call, llm, job, partial(Labels, over=over))


def choose(runs: Runs, call: Call) -> Labels | None:
    """`%%choose`: how likely each choice is behind each prompt."""
    texts, over = prompts_of(call)
    options = choices(call.args, call.namespace)
    if not options:
        raise UsageError("choose among what? --choice TEXT, to be repeated, or --choices NAME")
    each = _choices_each(call, options, over)
    llm, normalize = runs.llm(call.args.model), bool(call.args.normalize)

    def ask(places: Sequence[int]) -> list[ChoiceOutput]:
        asked = [texts[i] for i in places], [each[i] for i in places]
        return llm.choose(*asked, normalize=normalize, use_tqdm=False)

    how = {"normalize": normalize}
    job = Job(kind="choose", prompts=texts, told=each, values=how, ask=ask)
    return _run(runs, call, llm, job, partial(Labels, over=over, best=call.args.best))


def _choices_each(call: Call, options: list[str], over: Any) -> list[list[str]]:
    """`{{ }}` in a choice is filled in for each row; a list's texts are literal."""
    if call.args.choices:
        return [options] * len(rows(over))
    columns = [filled_in(call, rows(over), option) for option in options]
    return [list(each) for each in zip(*columns, strict=True)]


@dataclass(kw_only=True, frozen=True)
class Job:
    """Prompts to label. told: continuations or choices, one each; None: the prompts are scored.

    values: what the record says of how. ask: the outputs of the prompts at these places.
    """

    kind: str
    prompts: Sequence[str]
    told: Sequence[Any] | None
    values: dict[str, Any]
    ask: Callable[[Sequence[int]], Sequence[ScoreOutput | ChoiceOutput]]

    def key(self, place: int) -> str:
        """Of what is asked."""
        return digest([self.prompts[place], self.told and self.told[place]])


def _run(runs: Runs, call: Call, llm: LLM, job: Job, make: Any) -> Labels | None:
    info, keep = llm.info(), partial(runs.keep, call.out, make)
    known = partial(of_model, job.kind, info, job.values)
    with runs.finished(call.args, known, resumable=bool(call.args.over)) as finished:
        result = label(runs.screen, info, job, stop=runs.stop, keep=keep, finished=finished)
    return None if call.out else result


def label(
    screen: Screen,
    info: ModelInfo,
    job: Job,
    *,
    stop: Stop,
    keep: Callable[..., Any],
    finished: Finished | None,
) -> Any:
    """Ask for what is not done yet, a part at a time, and return what `keep` makes of all.

    finished, stop, keep: as in `run`; after an interrupt keep gets what is done, and
    `GenerationInterrupted` is raised.
    """
    provenance = Provenance.of(info, job.values, kind=job.kind)
    total, live = len(job.prompts), screen.live(PROGRESS_AFTER)
    done: dict[int, Any] = finished.find(total, job.key) if finished else {}
    screen.say_going_on(len(done), total)
    if finished is not None:
        finished.begin()
    bar = Bar(live, total, done=len(done))
    left = [place for place in range(total) if place not in done]

    def work() -> None:
        for begin in range(0, len(left), AT_ONCE):
            places = left[begin : begin + AT_ONCE]
            done.update(zip(places, job.ask(places), strict=True))
            if finished is not None:
                for place in places:
                    finished.add(place, job.key(place), done[place])
            bar.update(len(places))

    with stop.run() as interrupts, live:
        ended_early = interrupts.ended(work)
        fails = ended_early and not interrupts.stopped
        seconds = live.seconds
        live.clear()
        places = sorted(done)
        result = keep(
            fails, outputs=[done[i] for i in places], prompts=[job.prompts[i] for i in places],
            places=places, provenance=provenance, seconds=seconds,
        )  # fmt: skip
    rest = "; run the cell again to do the rest" if finished is not None else ""
    message = f"{len(done):,} of {total:,} prompts were done{rest}"
    if fails:
        raise GenerationInterrupted([], f"interrupted: {message}")
    if ended_early:
        screen.say(f"stopped: {message}")
    return result
