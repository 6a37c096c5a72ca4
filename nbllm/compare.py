"""Decoding settings side by side, as one tidy DataFrame. pandas only."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any

import pandas as pd

from .errors import ParamError
from .frames import COLUMNS
from .outputs import CompletionOutput, RequestOutput, ScoreOutput
from .prompts import Prompt, as_prompts
from .sampling_params import GREEDY_BELOW, BeamSearchParams, SamplingParams

Params = SamplingParams | BeamSearchParams
Generate = Callable[[list[Any], list[Any]], list[RequestOutput]]
Score = Callable[[list[list[int]], list[list[int]]], list[ScoreOutput]]

MEASURES = ("distinct_1", "distinct_2")
NO_SETTING = ("output_kind", "logits_processors")
"""Fields that do not make a column."""


def compare(
    generate: Generate, score: Score, prompts: Any, settings: Mapping[str, Params]
) -> pd.DataFrame:
    """What `LLM.compare` documents.

    generate: prompts and parameters, one each, to their outputs; score: prompts and continuations,
    one each, to their scores.
    """
    settings = _checked(settings)
    each = [_plain(prompt) for prompt in as_prompts(prompts)]
    outputs = generate([p for p in each for _ in settings], [*settings.values()] * len(each))
    names = [name for _ in each for name in settings]
    raw = _raw_logprobs(score, outputs, [settings[name] for name in names])
    rows = [
        (o.prompt, name, c.index, c.text, c.finish_reason, len(c.token_ids), total, *_measures(c, total))
        for o, name, totals in zip(outputs, names, raw, strict=True)
        for c, total in zip(o.outputs, totals, strict=True)
    ]  # fmt: skip
    first, *others = COLUMNS
    frame = pd.DataFrame(rows, columns=[first, "setting", *others, *MEASURES])
    if not rows:
        kinds = {**COLUMNS, "setting": "str", **dict.fromkeys(MEASURES, "float64")}
        frame = frame.astype(kinds)
    for field, values in differing(settings).items():
        frame[field] = column([values[name] for name in frame["setting"]])
    return frame


def distinct(token_ids: Sequence[int], n: int) -> float:
    """The share of distinct n-grams among a text's n-grams; NaN for a text without any."""
    grams = list(zip(*(token_ids[i:] for i in range(n)), strict=False))
    return len(set(grams)) / len(grams) if grams else float("nan")


def _checked(settings: Any) -> dict[str, Params]:
    if not isinstance(settings, Mapping):
        raise ParamError(
            f"settings must map names to parameters, got a {type(settings).__name__}; "
            'for example {"greedy": SamplingParams(temperature=0)}'
        )
    if not settings:
        raise ParamError('settings are empty; give {"greedy": SamplingParams(temperature=0), …}')
    for name, params in settings.items():
        if not isinstance(name, str):
            raise ParamError(f"a setting's name must be a string, got {name!r}")
        if not isinstance(params, SamplingParams | BeamSearchParams):
            raise ParamError(
                f"settings[{name!r}] must be SamplingParams or BeamSearchParams, "
                f"got a {type(params).__name__}"
            )
    return dict(settings)


def _plain(prompt: Prompt) -> dict[str, Any]:
    return {"prompt": prompt.text, "prompt_token_ids": prompt.token_ids}


def _measures(completion: CompletionOutput, total: float) -> tuple[float, float, float]:
    ids = completion.token_ids
    mean = total / len(ids) if ids else float("nan")
    return mean, distinct(ids, 1), distinct(ids, 2)


def _raw_logprobs(
    score: Score, outputs: list[RequestOutput], params: list[Params]
) -> list[list[float]]:
    """Of each completion its log-probability under the model itself.

    Completions come with it, except those of a search by logits / T.
    """
    totals = [[c.cumulative_logprob for c in o.outputs] for o in outputs]
    tempered = [i for i, p in enumerate(params) if _tempered(p)]
    places = [(i, j) for i in tempered for j in range(len(totals[i]))]
    given = [outputs[i].prompt_token_ids for i, _ in places]
    texts = [outputs[i].outputs[j].token_ids for i, j in places]
    for (i, j), scored in zip(places, score(given, texts), strict=True):
        totals[i][j] = scored.cumulative_logprob
    return totals


def _tempered(params: Params) -> bool:
    searched = isinstance(params, BeamSearchParams)
    return searched and params.temperature >= GREEDY_BELOW and params.temperature != 1.0


def differing(settings: Mapping[str, Params]) -> dict[str, dict[str, Any]]:
    """Field → setting → value, of the fields that tell the settings apart; None: it has no such field.

    A field of one kind of parameters only tells them apart where it is not at its default.
    """
    known = {f.name: f for p in settings.values() for f in fields(p) if f.name not in NO_SETTING}
    values = {f: {name: getattr(p, f, None) for name, p in settings.items()} for f in known}
    return {f: v for f, v in values.items() if _tells_apart(f, settings)}


def _tells_apart(field: str, settings: Mapping[str, Params]) -> bool:
    having = [p for p in settings.values() if hasattr(p, field)]
    if len(having) < len(settings):
        return any(not _at_default(p, field) for p in having)
    return any(getattr(p, field) != getattr(having[0], field) for p in having)


def _at_default(params: Params, field: str) -> bool:
    fresh: Field[Any] = next(f for f in fields(params) if f.name == field)
    if fresh.default is MISSING or fresh.default is None:
        return not getattr(params, field)
    return getattr(params, field) == fresh.default


def column(values: list[Hashable]) -> Any:
    """Values of a setting as a column: with missing values, and still integers as integers."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int}:
        return pd.array(values, dtype="Int64")
    if kinds == {bool}:
        return pd.array(values, dtype="boolean")
    if kinds and kinds <= {int, float}:
        return pd.array([float("nan") if v is None else v for v in values], dtype="float64")
    return pd.Series(values, dtype="object").array
