"""`LLM.generate` and `LLM.stream`: prompts, stops, text, output kinds, frames."""

import pandas as pd
import pytest

import nbllm
from nbllm import SamplingParams
from nbllm.sampling_params import RequestOutputKind

GREEDY = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)


def one(llm, prompt, params):
    return llm.generate(prompt, params, use_tqdm=False)[0].outputs[0]


def test_forms_of_prompts(llm):
    ids = llm.tokenizer.encode("ab")
    assert ids[0] == 256
    forms = ["ab", {"prompt": "ab"}, ids, {"prompt_token_ids": ids}, tuple(ids)]
    want = one(llm, "ab", GREEDY).token_ids
    assert [one(llm, form, GREEDY).token_ids for form in forms] == [want] * 5
    many = llm.generate([*forms[:4], forms[4]], GREEDY, use_tqdm=False)
    assert [o.outputs[0].token_ids for o in many] == [want] * 5
    series = llm.generate(pd.Series(["ab", "ab"]), GREEDY, use_tqdm=False)
    assert [o.outputs[0].token_ids for o in series] == [want] * 2
    assert llm.generate([], GREEDY) == []
    assert llm.generate((p for p in ["ab"]), GREEDY, use_tqdm=False)[0].prompt == "ab"


def test_parameters_one_each_and_never_mutated(llm):
    short = SamplingParams(temperature=0, max_tokens=2, ignore_eos=True)
    before = short.clone()
    out = llm.generate(["a", "b"], [short, GREEDY], use_tqdm=False)
    assert [len(o.outputs[0].token_ids) for o in out] == [2, 12]
    assert short == before


def test_lower_priority_goes_first(llama):
    with nbllm.LLM(llama[0], max_num_seqs=1) as llm:
        out = llm.generate(list("abc"), GREEDY, priority=[2, 0, 1], use_tqdm=False)
    begun = [o.metrics.first_token_time for o in out]
    assert begun[1] < begun[2] < begun[0]


def text_of(llm, prompt="hello", count=40) -> str:
    params = SamplingParams(temperature=0, max_tokens=count, ignore_eos=True)
    return one(llm, prompt, params).text


@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize(("begin", "length"), [(0, 1), (3, 1), (4, 3), (10, 6)])
def test_stop_strings(ascii_llm, begin, length, include):
    text = text_of(ascii_llm, "the text")
    stop = text[begin : begin + length]
    at = text.find(stop)
    params = SamplingParams(
        temperature=0,
        max_tokens=40,
        ignore_eos=True,
        stop=["never there", stop],
        include_stop_str_in_output=include,
    )
    out = one(ascii_llm, "the text", params)
    assert (out.finish_reason, out.stop_reason) == ("stop", stop)
    assert out.text == text[: at + (len(stop) if include else 0)]
    assert stop in ascii_llm.tokenizer.decode(out.token_ids)
    assert stop not in ascii_llm.tokenizer.decode(out.token_ids[:-1])


def test_the_earliest_stop_wins_then_the_order_of_the_list(ascii_llm):
    text = text_of(ascii_llm)
    late, early = text[6:8], text[2:4]
    for stops in ([late, early], [early, late]):
        params = SamplingParams(temperature=0, max_tokens=40, ignore_eos=True, stop=stops)
        assert one(ascii_llm, "hello", params).stop_reason == early
    both = [text[2:4], text[2:3]]
    params = SamplingParams(temperature=0, max_tokens=40, ignore_eos=True, stop=both)
    assert one(ascii_llm, "hello", params).stop_reason == text[2:3]  # completed a token earlier


def test_min_tokens_masks_stops(llm, reference):
    ids = llm.tokenizer.encode("hello")
    free = reference(ids, 20)
    params = SamplingParams(
        temperature=0, max_tokens=20, min_tokens=8, ignore_eos=True, stop_token_ids=[free[3]]
    )
    out = one(llm, "hello", params)
    assert free[3] not in out.token_ids[:8]
    assert out.token_ids[:3] == free[:3]
    text = text_of(llm)
    waiting = SamplingParams(
        temperature=0, max_tokens=20, min_tokens=10, ignore_eos=True, stop=[text[1]]
    )
    assert len(one(llm, "hello", waiting).token_ids) >= 10


def test_text_may_be_left_out(llm):
    params = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True, detokenize=False)
    out = one(llm, "hello", params)
    assert (out.text, len(out.token_ids)) == ("", 4)


@pytest.mark.parametrize("kind", list(RequestOutputKind))
def test_stream_kinds(llm, kind):
    params = SamplingParams(
        temperature=0.9, seed=3, n=2, max_tokens=15, ignore_eos=True, output_kind=kind, logprobs=1
    )
    parts = list(llm.stream(["hello", "you"], params))
    whole = llm.generate(["hello", "you"], params, use_tqdm=False)
    for want in whole:
        mine = [p for p in parts if p.prompt == want.prompt]
        assert [p.finished for p in mine] == [False] * (len(mine) - 1) + [True]
        for i, completion in enumerate(want.outputs):
            seen = [p.outputs[i] for p in mine]
            if kind is RequestOutputKind.DELTA:
                assert "".join(c.text for c in seen) == completion.text
                assert [t for c in seen for t in c.token_ids] == completion.token_ids
                assert [x for c in seen for x in c.logprobs] == completion.logprobs
            else:
                assert seen[-1].text == completion.text
                assert all(completion.text.startswith(c.text.rstrip("\ufffd")) for c in seen)
        assert len(mine) == (1 if kind is RequestOutputKind.FINAL_ONLY else 15)


def test_a_stream_never_shows_a_part_of_a_stop_string(ascii_llm):
    text = text_of(ascii_llm)
    stop = text[10:14]
    at = text.find(stop)
    params = SamplingParams(temperature=0, max_tokens=40, ignore_eos=True, stop=stop)
    for output in ascii_llm.stream("hello", params):
        assert text[:at].startswith(output.outputs[0].text)


def test_stream_checks_before_the_first_next(llm):
    with pytest.raises(nbllm.errors.PromptError):
        llm.stream("")


def test_frames(llm):
    params = SamplingParams(n=2, max_tokens=3, seed=1, ignore_eos=True)
    outputs = llm.generate(["a", "b"], params, use_tqdm=False)
    frame = nbllm.to_frame(outputs)
    assert list(frame.columns) == [
        "prompt",
        "output",
        "text",
        "finish_reason",
        "num_tokens",
        "cumulative_logprob",
        "mean_logprob",
    ]
    assert frame.prompt.tolist() == ["a", "a", "b", "b"]
    assert frame.output.tolist() == [0, 1, 0, 1]
    assert frame.num_tokens.tolist() == [3] * 4
    assert frame.cumulative_logprob.iloc[3] == outputs[1].outputs[1].cumulative_logprob
    pd.testing.assert_frame_equal(outputs[1].to_frame(), frame[2:].reset_index(drop=True))
    empty = nbllm.to_frame([])
    assert (list(empty.columns), list(empty.dtypes)) == (list(frame.columns), list(frame.dtypes))


def test_metrics_are_in_order(llm):
    before = llm.generate("hello", GREEDY, use_tqdm=False)[0].metrics
    assert before.arrival_time <= before.first_token_time <= before.finished_time
    assert before.tokens_per_second > 0


def test_defaults_come_from_the_model(llama, tmp_path):
    import json
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(llama[0], folder)
    given = {"temperature": 0.3, "top_k": 7, "max_new_tokens": 5, "eos_token_id": [65, 66]}
    (folder / "generation_config.json").write_text(json.dumps(given))
    with nbllm.LLM(folder, override_generation_config={"top_k": 3}) as llm:
        params = llm.get_default_sampling_params()
        assert (params.temperature, params.top_k, params.max_tokens) == (0.3, 3, 5)
        params.max_tokens = 100
        assert llm.get_default_sampling_params().max_tokens == 5
        assert {65, 66} <= llm.intake.eos_ids
    with nbllm.LLM(folder, generation_config="vllm") as llm:
        assert llm.get_default_sampling_params() == SamplingParams()
