"""From the fields of a request to nbllm's parameters. What contradicts itself is refused, never ignored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...errors import ParamError
from ...llm import LLM
from ...prompts import Prompt
from ...sampling_params import BeamSearchParams, SamplingParams, StructuredOutputsParams
from .schemas import (
    ChatCompletionRequest,
    GenerationRequest,
    JsonObjectFormat,
    JsonSchemaFormat,
    StreamOptions,
)

Params = SamplingParams | BeamSearchParams

SAME = (
    "n", "temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty",
    "repetition_penalty", "seed", "stop", "stop_token_ids", "include_stop_str_in_output",
    "ignore_eos", "min_tokens", "logit_bias", "allowed_token_ids", "bad_words", "prompt_logprobs",
    "skip_special_tokens", "spaces_between_special_tokens",
)  # fmt: skip
"""Fields that `SamplingParams` has under the same name."""
SEARCHED = (
    "temperature", "length_penalty", "stop", "stop_token_ids", "include_stop_str_in_output",
    "ignore_eos", "allowed_token_ids", "skip_special_tokens",
)  # fmt: skip
"""Those of `BeamSearchParams`."""
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "top_p": (1,),
    "top_k": (0, -1),
    "min_p": (0,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "min_tokens": (0,),
    "logit_bias": ({},),
    "bad_words": ([],),
    "prompt_logprobs": (),
    "spaces_between_special_tokens": (True,),
}
"""The other fields, which a search does not have, with the values that ask it for nothing."""


def sampling_params(
    asked: GenerationRequest,
    defaults: SamplingParams,
    *,
    max_tokens: int | None,
    logprobs: int | None,
    structured: StructuredOutputsParams | None,
) -> SamplingParams:
    """The model's `defaults`, and over them what was asked for. max_tokens None: fill the context."""
    if asked.length_penalty not in (None, 1.0):
        raise ParamError("length_penalty is for beam search: set use_beam_search")
    given = {name: value for name in SAME if (value := getattr(asked, name)) is not None}
    if asked.stream and asked.prompt_logprobs is not None:
        raise ParamError("prompt_logprobs are not streamed: leave out stream")
    return replace(
        defaults,
        **given,
        max_tokens=max_tokens,
        logprobs=logprobs,
        structured_outputs=structured,
    )


def search_params(
    asked: GenerationRequest, *, max_tokens: int, structured: StructuredOutputsParams | None
) -> BeamSearchParams:
    """As vLLM has it: n beams, all of them returned, scored by the model's own probabilities.

    Nothing is drawn, so any seed is as good as another.
    """
    for name, fine in NEUTRAL.items():
        if (value := getattr(asked, name)) is not None and value not in fine:
            raise ParamError(f"{name} is for sampling: leave it out with use_beam_search")
    given = {name: value for name in SEARCHED if (value := getattr(asked, name)) is not None}
    width = asked.n or 1
    return BeamSearchParams(
        beam_width=width, max_tokens=max_tokens, structured_outputs=structured, **given
    )


def stream_options(asked: GenerationRequest) -> StreamOptions | None:
    """How to stream; None: not at all."""
    if asked.stream_options is not None and not asked.stream:
        raise ParamError("stream_options need stream=true")
    return (asked.stream_options or StreamOptions()) if asked.stream else None


def structured_outputs(asked: GenerationRequest) -> StructuredOutputsParams | None:
    """What the output has to look like, by whichever of the fields says so; one may."""
    found = [*filter(None, (_of_format(asked), _of_structured(asked), _of_guided(asked)))]
    if len(found) > 1:
        raise ParamError("give one of response_format, structured_outputs and the guided_ fields")
    return StructuredOutputsParams(**found[0]) if found else None


def _of_format(asked: GenerationRequest) -> dict[str, Any]:
    match asked.response_format:
        case JsonObjectFormat():
            return {"json_object": True}
        case JsonSchemaFormat(json_schema=wanted):
            schema = wanted.schema_
            return {"json_object": True} if schema is None else {"json": schema}
        case _:
            return {}


def _of_structured(asked: GenerationRequest) -> dict[str, Any]:
    if (wanted := asked.structured_outputs) is None:
        return {}
    fields = ("regex", "choice", "grammar", "json_object", "whitespace_pattern")
    given = {"json": wanted.json_, **{name: getattr(wanted, name) for name in fields}}
    return {name: value for name, value in given.items() if value is not None} or {"json": None}


def _of_guided(asked: GenerationRequest) -> dict[str, Any]:
    fields = ("json", "regex", "choice", "grammar", "whitespace_pattern")
    given = {name: getattr(asked, f"guided_{name}") for name in fields}
    return {name: value for name, value in given.items() if value is not None}


def truncated(prompt: Prompt, asked: GenerationRequest, llm: LLM, max_tokens: int) -> Prompt:
    """The prompt, or as many tokens of its end as were asked for; −1: as many as leave room."""
    if (keep := asked.truncate_prompt_tokens) is None:
        return prompt
    if keep == 0:
        raise ParamError("truncate_prompt_tokens must be at least 1, or −1 for what fits, got 0")
    if keep == -1:
        keep = max(llm.max_model_len - max_tokens, 1)
    ids = prompt.ids(llm.tokenizer.encode)
    return prompt if len(ids) <= keep else Prompt(token_ids=ids[-keep:])


def chat_logprobs(asked: ChatCompletionRequest) -> int | None:
    """How many of the likeliest tokens to report; None: no log-probabilities."""
    if asked.top_logprobs and not asked.logprobs:
        raise ParamError("top_logprobs needs logprobs=true")
    return (asked.top_logprobs or 0) if asked.logprobs else None


def max_tokens_of(asked: ChatCompletionRequest) -> int | None:
    """The newer of the two names wins where both are given and agree; else it is a mistake."""
    old, new = asked.max_tokens, asked.max_completion_tokens
    if old is not None and new is not None and old != new:
        raise ParamError(f"max_completion_tokens={new} and max_tokens={old} contradict each other")
    return old if new is None else new
