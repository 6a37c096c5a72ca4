"""`%compare`: the same prompts under several settings or models, side by side and as one frame."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import nan
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from IPython.core.error import UsageError

from .. import views
from ..errors import GenerationInterrupted, ParamError
from ..outputs import RequestOutput
from ..replays import Made, Recording
from ..results.generation import beside
from ..results.generation import words as in_words
from ..results.provenance import Provenance, plain
from ..results.work import MAX_TOKENS, draw_seed
from ..sampling_params import BeamSearchParams, SamplingParams
from .command_line import Call, parse, words
from .flags import given, layered
from .grid import settings as grid
from .live import PROGRESS_AFTER, Bar
from .prompts import prompts as prompts_of
from .sampling_flags import SAMPLING
from .search_flags import SEARCH
from .structured import structured

if TYPE_CHECKING:
    import pandas as pd

    from ..llm import LLM
    from .interrupts import Stop
    from .live import Screen
    from .runs import Runs

Params = SamplingParams | BeamSearchParams


@dataclass(kw_only=True, eq=False, repr=False)
class Comparison:
    """What `%compare` made. outputs: of each model, one per prompt and setting, in that order.

    models: name → outputs. settings: name → parameters. df has a column "model" for several models.
    """

    models: dict[str, list[RequestOutput]]
    frames: dict[str, pd.DataFrame]
    prompts: list[str]
    settings: dict[str, Params]
    provenance: Provenance
    seconds: float
    over: pd.DataFrame | None = None

    @cached_property
    def df(self) -> pd.DataFrame:
        """What `LLM.compare` gives, one model after the other."""
        import pandas as pd

        parts = []
        for name, frame in self.frames.items():
            outputs, size = self.models[name], len(self.settings)
            part = frame
            if len(self.frames) > 1:
                part = frame.copy()
                part.insert(1, "model", name)
            if self.over is not None:
                counts = [len(output.outputs) for output in outputs]
                rows = [sum(counts[i : i + size]) for i in range(0, len(counts), size)]
                part = beside(self.over, part, rows)
            parts.append(part)
        whole = pd.concat(parts, ignore_index=self.over is None) if len(parts) > 1 else parts[0]
        whole.attrs["nbllm"] = self.provenance.attrs()
        return whole

    @property
    def outputs(self) -> list[RequestOutput]:
        """Of all models."""
        return [output for outputs in self.models.values() for output in outputs]

    @property
    def text(self) -> str:
        """Every text, with an empty line between them."""
        return "\n\n".join(c.text for output in self.outputs for c in output.outputs)

    def recording(self) -> Recording:
        """What `nbllm.replay` needs. Raises `ParamError` for several models."""
        if len(self.models) > 1:
            raise ParamError(
                "a comparison of several models cannot be replayed; compare one at a time"
            )
        return Recording(
            kind="compare",
            model=self.provenance.model,
            requests=[prompt for prompt in self.prompts for _ in self.settings],
            params=[params.clone() for _ in self.prompts for params in self.settings.values()],
            expected=[[Made.of(c) for c in output.outputs] for output in self.outputs],
        )

    def __repr__(self) -> str:
        return f"<Comparison: {len(self.prompts)} prompts, {len(self.settings)} settings>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        data = views.comparison(self.models, self.prompts, list(self.settings))
        count = sum(len(c.token_ids) for output in self.outputs for c in output.outputs)
        return views.bundle(data), {"nbllm": self.provenance.metadata(self.seconds, count)}


def compare(runs: Runs, call: Call) -> Comparison | None:
    """`%%compare`: each prompt under every setting, on every model."""
    texts, over = prompts_of(call)
    names = call.args.models.split(",") if call.args.models else [call.args.model]
    found = [(name, runs.llm(name)) for name in names]
    llms = {name or llm.name: llm for name, llm in found}
    base = runs.params(found[0][1], call, MAX_TOKENS)
    chosen = _seeded(settings(runs, call, base))
    keep = partial(runs.keep, call.out, partial(Comparison, over=over))
    result = compared(runs.screen, llms, texts, chosen, stop=runs.stop, keep=keep)
    return None if call.out else result


def settings(runs: Runs, call: Call, base: SamplingParams) -> dict[str, Params]:
    """Names and parameters: those of `--setting "NAME FLAGS"`, then those of `--grid`.

    "default" is `base`, where models are compared and nothing else.
    """
    found = dict(_setting(runs, call, base, said) for said in call.args.setting or ())
    for setting in grid(call.args.grid):
        if setting:
            found[in_words(setting)] = replace(base, **setting)
    if not found and call.args.models:
        found["default"] = base
    if not found:
        raise UsageError(
            'what is to be compared? --setting "NAME FLAGS", to be repeated, or --grid NAME=V,V'
        )
    return found


def _seeded(settings: Mapping[str, Params]) -> dict[str, Params]:
    """Where nothing is said of a seed all share one."""
    seed = draw_seed()
    return {
        name: replace(params, seed=seed)
        if isinstance(params, SamplingParams) and params.seed is None
        else params
        for name, params in settings.items()
    }


def _setting(runs: Runs, call: Call, base: SamplingParams, said: str) -> tuple[str, Params]:
    """`NAME FLAGS`. One with a --width is a search."""
    name, *argv = words(said) or [""]
    if not name or name.startswith("-"):
        raise UsageError(f"--setting {said!r} needs a name first: --setting 'greedy -t 0'")
    searches = any(word.partition("=")[0] in _WIDTH for word in argv)
    magic = cast(Any, runs.magics.beam if searches else runs.magics.generate)
    flags = parse(magic.parser, argv)
    _refuse_others(magic.parser, name, flags)
    if not searches:
        # what the comparison's own flags say holds for every setting
        return name, layered(base, given(flags, SAMPLING), structured(flags, call.namespace))
    shared = {field: value for field, value in given(call.args, SAMPLING).items() if field in _BOTH}
    own = runs.search_params(flags, call.namespace)
    told = {n: v for n, v in given(flags, SEARCH).items() if v is not None}
    shape = structured(call.args, call.namespace)
    return name, layered(own, shared, shape, told, structured(flags, call.namespace))


_WIDTH = ("-w", "--width", "--beam-width")
_BOTH = set(SAMPLING) & set(SEARCH) - {"temperature"}
"""Of the comparison's own flags, those that hold for searches too: one scores by T, it does not draw."""
_PARAMETERS = {
    *SAMPLING, *SEARCH, "json", "json_object", "regex", "grammar", "whitespace_pattern", "choice",
    "choices", "logits_processors",
}  # fmt: skip


def _refuse_others(parser: ArgumentParser, name: str, flags: Any) -> None:
    """A setting says how to decode, not over what, or where to."""
    if flags.words:
        raise UsageError(f"--setting {name}: flags only, got {flags.words[0]!r}")
    for dest, value in vars(flags).items():
        if dest not in {*_PARAMETERS, "words"} and value != parser.get_default(dest):
            flag = dest.replace("_", "-")
            raise UsageError(f"--setting {name}: --{flag} is for the whole comparison")


def compared(
    screen: Screen,
    llms: Mapping[str, LLM],
    prompts: Sequence[str],
    settings: Mapping[str, Params],
    *,
    stop: Stop,
    keep: Callable[..., Any],
) -> Any:
    """Run every prompt under every setting on every model; return what `keep` makes of it."""
    first = next(iter(llms.values()))
    told = {"settings": {name: plain(p, defaults=False) for name, p in settings.items()}}
    provenance = Provenance.of(first.info(), told, kind="compare")
    models: dict[str, list[RequestOutput]] = {}
    frames: dict[str, pd.DataFrame] = {}
    live = screen.live(PROGRESS_AFTER)
    bar = Bar(live, len(llms) * len(prompts) * len(settings))

    def work() -> bool:
        for name, llm in llms.items():
            if _generate(llm, name, models, prompts, settings, bar):
                return True
            frames[name] = _frame(
                models[name], prompts, settings, partial(llm.score, use_tqdm=False)
            )
        return False

    with stop.run() as interrupts, live:
        ended_early = interrupts.ended(work)
        if not models:
            raise KeyboardInterrupt
        fails = ended_early and not interrupts.stopped
        for name in models:
            if name not in frames:
                frames[name] = _frame(models[name], prompts, settings, _unknown)
        seconds = live.seconds
        live.clear()
        result = keep(
            fails, models=models, frames=frames, prompts=list(prompts), settings=dict(settings),
            provenance=provenance, seconds=seconds,
        )  # fmt: skip
    if fails:
        raise GenerationInterrupted(result.outputs)
    if ended_early:
        screen.say("stopped: the comparison is partial")
    return result


def _generate(
    llm: LLM, name: str, models: dict[str, list[RequestOutput]], prompts: Sequence[str],
    settings: Mapping[str, Params], bar: Bar,
) -> bool:  # fmt: skip
    """Put the outputs of one model into `models`; whether it was interrupted."""
    requests = [prompt for prompt in prompts for _ in settings]
    try:
        models[name] = llm.generate(requests, [*settings.values()] * len(prompts), use_tqdm=bar)
    except GenerationInterrupted as interrupt:
        models[name] = interrupt.outputs
        return True
    return False


def _frame(
    outputs: list[RequestOutput], prompts: Sequence[str], settings: Mapping[str, Params], score: Any
) -> pd.DataFrame:
    from ..compare import compare

    return compare(lambda *_: outputs, score, list(prompts), settings)


def _unknown(prompts: list[Any], texts: list[Any]) -> list[Any]:
    """Scores that an interrupt did not leave the time for."""
    return [SimpleNamespace(cumulative_logprob=nan) for _ in texts]
