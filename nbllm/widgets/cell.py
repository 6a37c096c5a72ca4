"""The cell that does what a widget has just done."""

from __future__ import annotations

import json
import shlex
from dataclasses import fields, replace
from typing import Any

from IPython.core.getipython import get_ipython

from ..errors import ParamError
from ..sampling_params import SamplingParams, StructuredOutputsParams
from ..templating import OPENING, escaped

ALWAYS = ("temperature", "max_tokens")
"""What a reader wants to know, whatever the defaults are."""


def generate_cell(
    prompt: str, params: SamplingParams, defaults: SamplingParams, *, model: str | None = None
) -> str:
    """`%%generate` with the flags that make `params` of `defaults`, and the prompt as it is sent.

    Raises `ParamError` for functions, which have no flag.
    """
    flags = ["%%generate", *(["--model", shlex.quote(model)] if model else [])]
    for field in fields(params):
        value = getattr(params, field.name)
        if field.name in ALWAYS or value != getattr(defaults, field.name):
            flags += _flags(field.name, value)
    line = " ".join(flags)
    if "\n" in line:
        raise ParamError(
            "a flag's text has several lines: a cell takes the name of a variable for it"
        )
    if OPENING in line + prompt:
        line += " --raw"
    # one newline at the end of a cell is IPython's
    return f"{line}\n{prompt}\n" if prompt.endswith("\n") else f"{line}\n{prompt}"


def configured(params: SamplingParams) -> SamplingParams:
    """`params` under what `%config Nbllm` says, as the magics see it."""
    shell = get_ipython()
    magics = shell.magics_manager.registry.get("Nbllm") if shell is not None else None
    if magics is None:
        return params
    said = {f.name: getattr(magics, f.name) for f in fields(params) if magics.has_trait(f.name)}
    return replace(params, **{name: value for name, value in said.items() if value is not None})


def _flags(name: str, value: Any) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if name in ("output_kind", "logits_processors"):
        if name == "logits_processors" and value:
            raise ParamError("logits_processors are functions: a cell takes the name of a variable")
        return []
    if isinstance(value, StructuredOutputsParams):
        return _structured(value)
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag.removeprefix('--')}"]
    if name == "seed" and value is None:
        # one that %config gives is not wanted
        return ["--seed=-1"]
    if value is None or value == []:
        return []
    if name == "stop":
        return [part for text in value for part in (flag, shlex.quote(escaped(text)))]
    if name == "bad_words":
        return [part for text in value for part in (flag, shlex.quote(text))]
    if isinstance(value, dict):
        return [flag, ",".join(f"{token}={bias:g}" for token, bias in value.items())]
    return [flag, ",".join(map(str, value)) if isinstance(value, list) else f"{value}"]


def _structured(wanted: StructuredOutputsParams) -> list[str]:
    given = {f.name: v for f in fields(wanted) if (v := getattr(wanted, f.name)) is not None}
    flags = []
    for name, value in given.items():
        flag = f"--{name.replace('_', '-')}"
        if hasattr(value, "model_json_schema"):
            value = value.model_json_schema()
        if name == "choice":
            flags += [part for text in value for part in (flag, shlex.quote(text))]
        elif value is True:
            flags.append(flag)
        elif value is not False:
            flags += [flag, shlex.quote(value if isinstance(value, str) else json.dumps(value))]
    return flags
