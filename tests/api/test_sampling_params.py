"""Every field's default, range and refusal, on construction and on assignment."""

import dataclasses
import math

import numpy as np
import pytest

from nbllm import SamplingParams, StructuredOutputsParams
from nbllm.errors import ParamError
from nbllm.sampling_params import RequestOutputKind

DEFAULTS = {
    "n": 1,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "seed": None,
    "stop": [],
    "stop_token_ids": [],
    "ignore_eos": False,
    "max_tokens": 16,
    "min_tokens": 0,
    "logprobs": None,
    "prompt_logprobs": None,
    "detokenize": True,
    "skip_special_tokens": True,
    "spaces_between_special_tokens": True,
    "include_stop_str_in_output": False,
    "output_kind": RequestOutputKind.CUMULATIVE,
    "bad_words": [],
    "logit_bias": None,
    "allowed_token_ids": None,
    "structured_outputs": None,
    "logits_processors": None,
    "truncate_prompt_tokens": None,
}
ACCEPTED = [
    ("n", 3, 3),
    ("presence_penalty", -2, -2.0),
    ("frequency_penalty", 2, 2.0),
    ("repetition_penalty", 0.5, 0.5),
    ("temperature", 0, 0.0),
    ("temperature", 2, 2.0),
    ("temperature", np.float32(0.5), 0.5),
    ("top_p", 1e-9, 1e-9),
    ("top_k", -1, -1),
    ("top_k", np.int64(5), 5),
    ("min_p", 1, 1.0),
    ("seed", -1, None),
    ("seed", 2**70, 2**70),
    ("stop", "a", ["a"]),
    ("stop", ("a", "b"), ["a", "b"]),
    ("stop_token_ids", (1, 2), [1, 2]),
    ("max_tokens", None, None),
    ("logprobs", -1, -1),
    ("prompt_logprobs", 0, 0),
    ("logit_bias", {"7": 1, 8: -100}, {7: 1.0, 8: -100.0}),
    ("allowed_token_ids", [0], [0]),
    ("bad_words", "x", ["x"]),
    ("truncate_prompt_tokens", 1, 1),
]
REFUSED = [
    ("n", 0),
    ("n", 1.5),
    ("n", True),
    ("presence_penalty", 2.01),
    ("frequency_penalty", -2.01),
    ("repetition_penalty", 0),
    ("repetition_penalty", 1e308),
    ("temperature", -0.1),
    ("temperature", 2.1),
    ("temperature", math.nan),
    ("temperature", math.inf),
    ("temperature", "hot"),
    ("temperature", None),
    ("top_p", 0),
    ("top_p", 1.01),
    ("top_k", -2),
    ("top_k", 1.0),
    ("min_p", -0.01),
    ("min_p", 1.01),
    ("seed", "a"),
    ("stop", ""),
    ("stop", ["a", ""]),
    ("stop", 3),
    ("stop_token_ids", [-1]),
    ("stop_token_ids", ["a"]),
    ("ignore_eos", 1),
    ("max_tokens", 0),
    ("min_tokens", -1),
    ("min_tokens", 17),
    ("logprobs", -2),
    ("prompt_logprobs", 1.0),
    ("detokenize", None),
    ("output_kind", "delta"),
    ("bad_words", [""]),
    ("logit_bias", {1: 101}),
    ("logit_bias", {"x": 1}),
    ("logit_bias", [1]),
    ("allowed_token_ids", []),
    ("structured_outputs", {"json": "{}"}),
    ("logits_processors", [3]),
    ("truncate_prompt_tokens", 0),
]


def test_defaults():
    params = SamplingParams()
    assert {f.name: getattr(params, f.name) for f in dataclasses.fields(params)} == DEFAULTS


@pytest.mark.parametrize(("name", "given", "kept"), ACCEPTED)
def test_accepted(name, given, kept):
    assert getattr(SamplingParams(**{name: given}), name) == kept
    params = SamplingParams()
    setattr(params, name, given)
    assert getattr(params, name) == kept


@pytest.mark.parametrize(("name", "given"), REFUSED)
def test_refused(name, given):
    with pytest.raises(ParamError) as error:
        SamplingParams(**{name: given})
    assert isinstance(error.value, ValueError)
    assert name in str(error.value)
    assert "\n" not in str(error.value)
    params = SamplingParams()
    with pytest.raises(ParamError):
        setattr(params, name, given)
    assert params == SamplingParams()


def test_rules_between_fields():
    with pytest.raises(ParamError, match="n must be 1 when temperature is 0"):
        SamplingParams(n=2, temperature=0)
    with pytest.raises(ParamError, match="stop strings need detokenize"):
        SamplingParams(stop="a", detokenize=False)
    params = SamplingParams(n=2)
    with pytest.raises(ParamError, match="got n=2"):
        params.temperature = 0
    assert params.temperature == 1.0


def test_unknown_names():
    with pytest.raises(ParamError, match="did you mean 'temperature'"):
        SamplingParams().temprature = 1
    with pytest.raises(TypeError):
        SamplingParams(temprature=1)
    with pytest.raises(TypeError):
        SamplingParams(2)


def test_clone_shares_nothing_mutable():
    def processor(token_ids, logits):
        return logits

    params = SamplingParams(stop=["a"], logit_bias={1: 2}, logits_processors=[processor])
    twin = params.clone()
    assert twin == params
    twin.stop.append("b")
    twin.logit_bias[3] = 4
    assert params.stop == ["a"]
    assert params.logit_bias == {1: 2.0}
    assert twin.logits_processors == [processor]
    twin.max_tokens = 99
    assert params.max_tokens == 16


def test_structured_outputs_take_one_kind():
    assert StructuredOutputsParams(regex="a+").regex == "a+"
    for kinds in ({}, {"regex": "a", "choice": ["b"]}):
        with pytest.raises(ParamError, match="exactly one"):
            StructuredOutputsParams(**kinds)
