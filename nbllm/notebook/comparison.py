"""`%compare`: the same prompts under several settings or models, side by side and as one frame."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from .. import views
from ..errors import GenerationInterrupted, ParamError
from ..outputs import RequestOutput
from ..replays import Made, Recording
from ..results.generation import beside
from ..results.provenance import Provenance, plain
from ..results.work import draw_seed
from ..sampling_params import BeamSearchParams, SamplingParams
from .command_line import parse
from .run import droppable_interrupts

if TYPE_CHECKING:
    import pandas as pd

    from ..llm import LLM

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


def settings(
    given: Sequence[str] | None,
    grid: Sequence[dict[str, Any]],
    sampled: SamplingParams,
    make: Mapping[str, Any],
) -> dict[str, Params]:
    """Names and parameters: those of `--setting "NAME FLAGS"`, then those of `--grid`.

    make: "sampling" and "search": (parser, what makes parameters of its arguments). A setting with a
    --width is a search.
    """
    found: dict[str, Params] = {}
    for said in given or ():
        name, *words = shlex.split(said)
        searches = any(
            word.partition("=")[0] in ("-w", "--width", "--beam-width") for word in words
        )
        parser, params = make["search" if searches else "sampling"]
        found[name] = params(_parsed(parser, name, words))
    for setting in grid:
        if setting:
            named = ", ".join(f"{k}={v}" for k, v in setting.items())
            found[named] = replace(sampled, **setting)
    if not found:
        raise UsageError(
            'what is to be compared? --setting "NAME FLAGS", to be repeated, or --grid NAME=V,V'
        )
    return found


def seeded(settings: Mapping[str, Params]) -> dict[str, Params]:
    """Where nothing is said of a seed all share one."""
    seed = draw_seed()
    return {
        name: replace(params, seed=seed)
        if isinstance(params, SamplingParams) and params.seed is None
        else params
        for name, params in settings.items()
    }


def _parsed(parser: ArgumentParser, name: str, words: list[str]) -> Any:
    args = parse(parser, words)
    if args.words:
        raise UsageError(f"--setting {name}: flags only, got {args.words[0]!r}")
    return args


def compared(
    llms: Mapping[str, LLM],
    prompts: Sequence[str],
    settings: Mapping[str, Params],
    *,
    quiet: bool,
    keep: Any,
) -> Any:
    """Run every prompt under every setting on every model; return what `keep` makes of it."""
    from ..compare import compare

    first = next(iter(llms.values()))
    told = {"settings": {name: plain(p, defaults=False) for name, p in settings.items()}}
    provenance = Provenance.of(first.info(), told, kind="compare")
    models: dict[str, list[RequestOutput]] = {}
    frames: dict[str, pd.DataFrame] = {}
    bar = len(prompts) > 1 and not quiet
    interrupted, began = False, monotonic()
    with droppable_interrupts() as drop_interrupts:
        for name, llm in llms.items():

            def generate(prompts: list[Any], params: list[Any], llm=llm, name=name) -> list[Any]:
                nonlocal interrupted
                try:
                    models[name] = llm.generate(prompts, params, use_tqdm=bar)
                except GenerationInterrupted as interrupt:
                    # from here on nothing takes long
                    drop_interrupts()
                    models[name], interrupted = interrupt.outputs, True
                return models[name]

            def score(prompts: list[Any], texts: list[Any], llm=llm) -> list[Any]:
                return llm.score(prompts, texts, use_tqdm=False) if prompts else []

            frames[name] = compare(generate, score, list(prompts), settings)
            if interrupted:
                break
        drop_interrupts()
        result = keep(
            interrupted,
            models=models,
            frames=frames,
            prompts=list(prompts),
            settings=dict(settings),
            provenance=provenance,
            seconds=monotonic() - began,
        )
    if interrupted:
        raise GenerationInterrupted(result.outputs)
    return result
