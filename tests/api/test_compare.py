"""`LLM.compare`: every number again, from the texts alone."""

import math

import pandas as pd
import pytest
import torch

from nbllm import BeamSearchParams, SamplingParams
from nbllm.compare import distinct
from nbllm.errors import ParamError, PromptError

PROMPTS = ["once upon", "a b a b"]
SETTINGS = {
    "greedy": SamplingParams(temperature=0, max_tokens=9),
    "sampled": SamplingParams(n=3, seed=5, temperature=0.8, top_p=0.9, max_tokens=9),
    "beam": BeamSearchParams(beam_width=4, max_tokens=9, num_return_sequences=2),
    "warm beam": BeamSearchParams(beam_width=3, max_tokens=9, temperature=1.7),
}
FIXED = ["prompt", "setting", "output", "text", "finish_reason", "num_tokens"]
FIXED += ["cumulative_logprob", "mean_logprob", "distinct_1", "distinct_2"]


@pytest.fixture(scope="module")
def frame(llm):
    return llm.compare(PROMPTS, SETTINGS, use_tqdm=False)


@pytest.fixture(scope="module")
def alone(llm):
    """(prompt, setting, output) → (prompt's ids, completion), each setting run on its own."""
    found = {}
    for prompt in PROMPTS:
        for name, params in SETTINGS.items():
            [output] = llm.generate(prompt, params, use_tqdm=False)
            for c in output.outputs:
                found[prompt, name, c.index] = output.prompt_token_ids, c
    return found


def test_rows_are_in_order_and_are_what_each_setting_gives_alone(frame, alone):
    assert list(frame.index) == list(range(len(frame)))
    rows = list(zip(frame.prompt, frame.setting, frame.output, strict=True))
    assert rows == list(alone)
    for row, (_, c) in zip(frame.itertuples(), alone.values(), strict=True):
        assert (row.text, row.finish_reason) == (c.text, c.finish_reason)
        assert row.num_tokens == len(c.token_ids)


def test_every_log_probability_is_the_models(frame, alone, llama):
    _, model = llama
    for row, (prompt, c) in zip(frame.itertuples(), alone.values(), strict=True):
        ids = torch.tensor([[*prompt, *c.token_ids]])
        with torch.no_grad():
            logprobs = model(ids).logits[0].float().log_softmax(-1)
        total = sum(
            float(logprobs[len(prompt) - 1 + k, token]) for k, token in enumerate(c.token_ids)
        )
        assert row.cumulative_logprob == pytest.approx(total, abs=2e-4)
        assert row.mean_logprob == pytest.approx(total / len(c.token_ids), abs=2e-4)
    # the search by logits / 1.7 had other ones
    warm = [c.cumulative_logprob for key, (_, c) in alone.items() if key[1] == "warm beam"]
    assert (frame.cumulative_logprob[frame.setting == "warm beam"] - warm).abs().min() > 0.1


def test_distinct(frame, alone):
    for row, (_, c) in zip(frame.itertuples(), alone.values(), strict=True):
        ids = c.token_ids
        pairs = [(ids[k], ids[k + 1]) for k in range(len(ids) - 1)]
        assert row.distinct_1 == len(set(ids)) / len(ids)
        assert row.distinct_2 == len(set(pairs)) / len(pairs)
    assert distinct([1, 2, 1, 2, 1], 2) == 2 / 4
    assert distinct([7, 7, 7], 1) == 1 / 3
    assert math.isnan(distinct([], 1))
    assert math.isnan(distinct([1], 2))


def test_columns_are_the_parameters_that_differ(frame, llm):
    assert list(frame.columns[:10]) == FIXED
    # top_p, n, seed and width are not at their defaults; max_tokens is the same everywhere
    assert set(frame.columns[10:]) == {
        "n", "seed", "temperature", "top_p", "beam_width", "num_return_sequences",
    }  # fmt: skip
    assert frame.drop_duplicates("setting").beam_width.tolist() == [pd.NA, pd.NA, 4, 3]
    assert frame.beam_width.dtype == "Int64"
    assert frame.drop_duplicates("setting").temperature.tolist() == [0.0, 0.8, 0.0, 1.7]
    two = {"a": SamplingParams(temperature=0), "b": SamplingParams(temperature=0, max_tokens=3)}
    assert list(llm.compare("x", two, use_tqdm=False).columns) == [*FIXED, "max_tokens"]
    stops = {"a": SamplingParams(seed=1, stop="x"), "b": SamplingParams(seed=1, ignore_eos=True)}
    told = llm.compare("x", stops, use_tqdm=False)
    assert told.stop.tolist() == [["x"], []]
    assert told.ignore_eos.tolist() == [False, True]
    assert list(llm.compare("x", {"a": two["a"]}, use_tqdm=False).columns) == FIXED


def test_prompts_of_every_form(llm):
    only = {"greedy": SamplingParams(temperature=0, max_tokens=3)}
    ids = llm.tokenizer.encode("ab")
    frame = llm.compare(["ab", {"prompt": "ab"}, ids, pd.Series(ids)], only, use_tqdm=False)
    assert frame.text.nunique() == 1
    assert frame.prompt.tolist()[:2] == ["ab", "ab"]
    assert frame.prompt.isna().tolist() == [False, False, True, True]
    none = llm.compare([], only, use_tqdm=False)
    assert list(none.columns) == FIXED
    assert none.dtypes.equals(llm.compare("ab", only, use_tqdm=False).dtypes)


def test_sampling_settings_share_a_batch(llm, monkeypatch):
    sizes, step = [], llm.engine.step

    def spy(*args, **options):
        step(*args, **options)
        sizes.append(len(llm.engine.scheduler.running))

    monkeypatch.setattr(llm.engine, "step", spy)
    each = {"max_tokens": 5, "n": 2, "ignore_eos": True}
    settings = {str(t): SamplingParams(temperature=t, **each) for t in (0.5, 1.0, 1.5)}
    llm.compare(["ab", "cd"], settings, use_tqdm=False)
    assert max(sizes) == 12


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "settings are empty"),
        (SamplingParams(), "must map names to parameters, got a SamplingParams"),
        ([SamplingParams()], "got a list"),
        ({"a": {"n": 2}}, r"settings\['a'\] must be SamplingParams or BeamSearchParams, got a dict"),
        ({1: SamplingParams()}, "name must be a string, got 1"),
    ],
    ids=str,
)  # fmt: skip
def test_mistakes_are_one_line(llm, settings, words):
    with pytest.raises(ParamError, match=words) as caught:
        llm.compare("x", settings)
    assert "\n" not in str(caught.value)


def test_a_prompt_that_does_not_do(llm):
    with pytest.raises(PromptError, match="empty"):
        llm.compare(["x", ""], SETTINGS)
