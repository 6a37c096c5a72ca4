"""Settings and models as the columns of a grid."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ...errors import ParamError, did_you_mean
from ...results.generation import words
from ...results.provenance import plain
from ...results.work import draw_seed
from ...sampling_params import BeamSearchParams, SamplingParams
from ...templating import unescaped

Params = SamplingParams | BeamSearchParams
Base = Callable[[], SamplingParams]
EXAMPLE = '{"greedy": SamplingParams(temperature=0), "wild": {"temperature": 1.3}}'


@dataclass(kw_only=True, frozen=True)
class Column:
    """One setting of one model. model: a loaded model's name; None: the grid's own.

    drawn: None for a seed that somebody asked for; else how far it is from the one that was drawn,
    which itself tells no settings apart.
    """

    name: str
    params: Params
    model: str | None = None
    drawn: int | None = None

    @property
    def said(self) -> dict[str, Any]:
        """The parameters that are not at their defaults, as JSON has them, without a drawn seed."""
        values = plain(self.params, defaults=False)
        return {n: v for n, v in values.items() if n != "seed" or self.drawn is None}

    @property
    def key(self) -> str:
        """Equal for columns that ask for the same."""
        return json.dumps([self.model, self.said, self.drawn], sort_keys=True)

    @property
    def settings(self) -> str:
        """For people."""
        return words({"model": self.model, **self.said} if self.model else self.said)


def columns(settings: Any, models: Sequence[str] | None, base: Base) -> list[Column]:
    """A column for each model and setting; all seeds that nobody asked for are the same.

    settings: None, parameters, a dictionary of fields that override `base()`, a list of these, or a
    dictionary of them by name; or columns. Raises `ParamError`.
    """
    if isinstance(settings, Sequence) and settings and isinstance(settings[0], Column):
        return list(settings)
    named, seed = _named(settings, base), draw_seed()
    if not named:
        raise ParamError(f"settings are empty; give {EXAMPLE}")
    found = []
    for model in models or [None]:
        for name, params in named.items():
            label = name if model is None else model if len(named) == 1 else f"{model}: {name}"
            found += _each(Column(name=label, params=params, model=model), seed)
    if doubled := [c.name for i, c in enumerate(found) if c.name in {f.name for f in found[:i]}]:
        raise ParamError(f"two columns are called {doubled[0]!r}: give them names, as {EXAMPLE}")
    return found


def column(text: str, base: Base) -> list[Column]:
    """The columns of `name: temperature=0.7 top_k=5`, as a person types it; the name may be left out."""
    head, colon, tail = text.partition(":")
    name, said = (head.strip(), tail) if colon and "=" not in head else ("", text)
    try:
        parts = shlex.split(said)
    except ValueError as error:
        raise ParamError(f"{error}: {text!r}") from None
    values = dict(_value(word.rstrip(",")) for word in parts)
    return columns({name: values} if name else values or None, None, base)


def _named(settings: Any, base: Base) -> dict[str, Params]:
    if settings is None:
        return {"default": base()}
    if isinstance(settings, Params):
        return {"default": settings}
    if isinstance(settings, Mapping):
        if _is_one(settings):
            return {_spelled(settings): _params(settings, base)}
        return {_name(name): _params(value, base) for name, value in settings.items()}
    if isinstance(settings, Sequence) and not isinstance(settings, str):
        parts = [{_spelled(each): _params(each, base)} for each in settings]
        if len(named := {name: p for part in parts for name, p in part.items()}) == len(parts):
            return named
        raise ParamError(f"two settings are the same: give them names, as {EXAMPLE}")
    raise ParamError(
        f"settings must be parameters, or a dictionary by name, got a {type(settings).__name__}; "
        f"for example {EXAMPLE}"
    )


def _is_one(settings: Mapping[Any, Any]) -> bool:
    """Whether it is one setting, fields and their values, and not several by name."""
    if any(isinstance(value, Params) for value in settings.values()):
        return False
    known = {f.name for kind in (SamplingParams, BeamSearchParams) for f in fields(kind)}
    return not any(isinstance(value, Mapping) for value in settings.values()) or known >= {
        *settings
    }


def _spelled(setting: Any) -> str:
    """The name of one that was given none."""
    said = plain(setting, defaults=False) if isinstance(setting, Params) else setting
    return words(dict(said)) or "default" if isinstance(said, Mapping) else ""


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise ParamError(f"a setting's name must be a string, got {name!r}")
    return name


def _params(setting: Any, base: Base) -> Params:
    if isinstance(setting, Params):
        return setting
    if not isinstance(setting, Mapping):
        raise ParamError(
            f"a setting must be SamplingParams, BeamSearchParams or a dictionary of their fields, "
            f"got a {type(setting).__name__}"
        )
    kind = BeamSearchParams if "beam_width" in setting else SamplingParams
    known = [field.name for field in fields(kind)]
    if unknown := [name for name in setting if name not in known]:
        raise ParamError(f"there is no setting {unknown[0]!r}{did_you_mean(unknown[0], known)}")
    if kind is BeamSearchParams:
        return BeamSearchParams(**{"max_tokens": base().max_tokens, **setting})
    return replace(base(), **setting)


def _each(column: Column, seed: int) -> Iterator[Column]:
    """With a seed; of several completions one each, which sample as they would have together."""
    params = column.params
    if isinstance(params, BeamSearchParams):
        yield column
        return
    first = seed if params.seed is None else params.seed
    for i in range(params.n):
        name = column.name if params.n == 1 else f"{column.name} [{i}]"
        one = replace(params.clone(), n=1, seed=first + i)
        yield replace(column, name=name, params=one, drawn=i if params.seed is None else None)


def _value(word: str) -> tuple[str, Any]:
    name, equals, text = word.partition("=")
    if not equals:
        raise ParamError(
            f"a setting is NAME=VALUE, to be repeated: temperature=0.7 top_k=5, got {word!r}"
        )
    name = name.replace("-", "_")
    try:
        return name, json.loads(text)
    except ValueError:
        # a text, such as a stop string
        return name, {"None": None, "True": True, "False": False}.get(text, unescaped(text))
