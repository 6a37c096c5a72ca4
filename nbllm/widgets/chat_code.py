"""The program that makes the answer of a chat again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from ..errors import ParamError
from ..sampling_params import SamplingParams, StructuredOutputsParams

CODE = """\
import nbllm
from nbllm import {names}

messages = [
{messages}
]
params = SamplingParams({params})
[answer] = nbllm.current({model}).chat(messages, params{options}, use_tqdm=False)
answer.outputs[0].text"""


def chat_code(
    messages: Sequence[Mapping[str, str]],
    params: SamplingParams,
    options: Mapping[str, Any],
    *,
    model: str | None = None,
) -> str:
    """Python for a cell. options: of `LLM.stream`.

    Raises `ParamError` for `logits_processors`, which are functions.
    """
    if params.logits_processors:
        raise ParamError("logits_processors are functions, which have no text: pass them yourself")
    known = {
        f.name: value for f in fields(params) if (value := getattr(params, f.name)) != f.default
    }
    known = {name: v for name, v in known.items() if v != [] and name != "output_kind"}
    wanted = known.get("structured_outputs")
    if wanted is not None and hasattr(wanted.json, "model_json_schema"):
        known["structured_outputs"] = replace(wanted, json=wanted.json.model_json_schema())
    if options.get("continue_final_message"):
        options = {**options, "add_generation_prompt": False}
    return CODE.format(
        names=", ".join(
            ["SamplingParams", *([StructuredOutputsParams.__name__] if wanted is not None else [])]
        ),
        messages="\n".join(f"    {dict(message)!r}," for message in messages),
        params=_arguments(known),
        model=repr(model) if model else "",
        options="".join(f", {name}={value!r}" for name, value in options.items()),
    )


def _arguments(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
