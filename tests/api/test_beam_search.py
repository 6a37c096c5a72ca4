"""`LLM.beam_search` and `generate` with `BeamSearchParams`: what goes in, what comes out."""

import asyncio
import contextlib
import gc
import re
import threading
import weakref
from itertools import pairwise

import pandas as pd
import pytest

import nbllm
from nbllm import LLM, BeamSearchOutput, BeamSearchParams, SamplingParams, StructuredOutputsParams
from nbllm.errors import OutOfMemoryError, ParamError, PromptError
from nbllm.sampling_params import BeamSearchParams as SameParams

PARAMS = BeamSearchParams(beam_width=3, max_tokens=6)
TRACE = [
    "step",
    "rank",
    "parent",
    "token_id",
    "token",
    "logprob",
    "cumulative_logprob",
    "score",
    "state",
]


def free_pages(llm) -> int:
    return llm.info().num_pages - llm.info().num_free_pages


def test_defaults_and_copies():
    assert SameParams is BeamSearchParams
    params = BeamSearchParams(beam_width=5, max_tokens=50)
    assert (params.temperature, params.length_penalty, params.early_stopping) == (0.0, 1.0, None)
    assert (params.num_return_sequences, params.num_returned) == (None, 5)
    assert (params.num_beam_groups, params.diversity_penalty) == (1, 0.0)
    assert not params.ignore_eos
    assert params.skip_special_tokens
    twin = params.clone()
    twin.beam_width = 7
    assert params.beam_width == 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"beam_width": None}, "BeamSearchParams needs beam_width"),
        ({"max_tokens": None}, "BeamSearchParams needs max_tokens"),
        ({"beam_width": 0}, "beam_width must be ≥ 1, got 0"),
        ({"beam_width": True}, "beam_width must be an integer"),
        ({"max_tokens": 0}, "max_tokens must be ≥ 1, got 0"),
        ({"temperature": 3}, r"temperature must lie in \[0, 2\]"),
        ({"length_penalty": float("nan")}, "length_penalty must be a finite number"),
        ({"length_penalty": 11}, "length_penalty must lie in"),
        ({"early_stopping": "always"}, "None, True, False or 'never', got 'always'"),
        ({"num_return_sequences": 6}, "at most beam_width=5, got 6"),
        ({"num_return_sequences": 0}, "num_return_sequences must be ≥ 1"),
        ({"num_beam_groups": 2}, "must divide beam_width=5, got 2"),
        ({"num_beam_groups": 5, "early_stopping": True}, "needs early_stopping=None"),
        ({"diversity_penalty": 1.0}, "needs num_beam_groups of at least 2"),
        ({"diversity_penalty": -1.0, "num_beam_groups": 5}, "diversity_penalty must lie in ≥ 0"),
        ({"allowed_token_ids": []}, "must not be empty"),
        ({"stop": [""]}, "none empty"),
    ],
    ids=str,
)
def test_bad_parameters_on_construction_and_assignment(changes, words):
    with pytest.raises(ParamError, match=words) as caught:
        BeamSearchParams(**{"beam_width": 5, "max_tokens": 5, **changes})
    assert "\n" not in str(caught.value)
    params, (name, value) = BeamSearchParams(beam_width=5, max_tokens=5), list(changes.items())[-1]
    before = getattr(params, name)
    if len(changes) == 1:
        with pytest.raises(ParamError, match=words):
            setattr(params, name, value)
        assert getattr(params, name) == before


def test_missing_and_unknown_fields():
    with pytest.raises(ParamError, match="needs max_tokens"):
        BeamSearchParams(beam_width=5)
    with pytest.raises(ParamError, match="needs beam_width"):
        BeamSearchParams(max_tokens=5)
    with pytest.raises(TypeError, match="beam_size"):
        BeamSearchParams(beam_size=5, max_tokens=5)
    with pytest.raises(ParamError, match="did you mean 'beam_width'"):
        BeamSearchParams(beam_width=1, max_tokens=1).beam_with = 5


@pytest.mark.parametrize(
    ("prompt", "params", "error", "words"),
    [
        ([[]], PARAMS, PromptError, "empty"),
        ("", PARAMS, PromptError, "empty"),
        ([300], PARAMS, PromptError, "outside the vocabulary of 261"),
        ("x" * 300, PARAMS, PromptError, "301 tokens.*256"),
        ("a", SamplingParams(), ParamError, "beam_search takes BeamSearchParams"),
        ("a", {"beam_width": 3}, ParamError, "must be SamplingParams"),
        (["a", "b"], [PARAMS], ParamError, "got 1 sampling parameters for 2 prompts"),
        ("a", BeamSearchParams(beam_width=262, max_tokens=1), ParamError, "261 ids, got 262"),
        (
            "a",
            BeamSearchParams(beam_width=2, max_tokens=1, stop_token_ids=[261]),
            ParamError,
            "stop_token_ids: 261",
        ),
        (
            "a",
            BeamSearchParams(beam_width=2, max_tokens=1, allowed_token_ids=[999]),
            ParamError,
            "allowed_token_ids: 999",
        ),
        (
            "a",
            BeamSearchParams(
                beam_width=2, max_tokens=1, structured_outputs=StructuredOutputsParams(regex="(")
            ),
            ParamError,
            "structured_outputs.regex",
        ),
    ],
    ids=lambda x: str(x)[:30],
)
def test_what_cannot_be_searched(llm, prompt, params, error, words):
    with pytest.raises(error, match=words) as caught:
        llm.beam_search(prompt, params)
    assert "\n" not in str(caught.value)
    assert llm.engine.num_unfinished == 0


def test_what_cannot_be_streamed(llm):
    with pytest.raises(ParamError, match="cannot be streamed; use generate or beam_search"):
        llm.stream("a", PARAMS)
    with pytest.raises(ParamError, match="concurrency_limit must be an integer ≥ 1, got 0"):
        llm.beam_search("a", PARAMS, concurrency_limit=0)


def test_a_search_that_does_not_fit(llama):
    with LLM(llama[0], kv_cache_memory_bytes=2_000_000) as llm:
        pages = llm.info().num_pages
        wide = BeamSearchParams(beam_width=200, max_tokens=200, ignore_eos=True)
        with pytest.raises(OutOfMemoryError, match=r"beam_width=200 for 200 tokens.*MiB") as caught:
            llm.beam_search([1, 2, 3], wide)
        needed = int(str(caught.value).split("kv_cache_memory_bytes=")[1].split(")")[0])
        # what fits alone comes in as many waves as it takes
        fitting = BeamSearchParams(beam_width=8, max_tokens=8 * (pages - 1), ignore_eos=True)
        fitting.max_tokens = min(fitting.max_tokens, 64)
        prompts = [[i + 1] * 3 for i in range(4)]
        together = llm.beam_search(prompts, fitting)
        for prompt, output in zip(prompts, together, strict=True):
            [alone] = llm.beam_search([prompt], fitting)
            assert ids(alone) == ids(output)
        assert llm.info().num_free_pages == pages
    with LLM(llama[0], kv_cache_memory_bytes=needed + 200_000) as llm:
        assert len(llm.beam_search([1, 2, 3], wide)[0].sequences) == 200


def ids(output) -> list[list[int]]:
    return [s.generated_token_ids for s in output.sequences]


def test_waves_share_little_memory_with_others(llama):
    """Pages for two searches at a time, five searches, and others that decode meanwhile."""
    params = BeamSearchParams(beam_width=8, max_tokens=16, ignore_eos=True)  # 2 pages and 1
    long = SamplingParams(temperature=0, max_tokens=100, ignore_eos=True)
    prompts = [[i + 1] * 20 for i in range(5)]
    with LLM(llama[0], max_model_len=128) as llm:
        want = [ids(o) for o in llm.beam_search(prompts, params)]
        greedy = [o.outputs[0].token_ids for o in llm.generate(prompts, long, use_tqdm=False)]
    small = 8 * 2 * 2 * 2 * 64 * 12 * 4
    with LLM(llama[0], max_model_len=128, kv_cache_memory_bytes=small) as llm:
        assert llm.info().num_pages == 8
        results = {}
        threads = [
            threading.Thread(target=lambda: results.update(a=llm.beam_search(prompts, params))),
            threading.Thread(target=lambda: results.update(b=llm.beam_search(prompts, params))),
            threading.Thread(
                target=lambda: results.update(c=llm.generate(prompts, long, use_tqdm=False))
            ),
        ]
        for t in threads:
            t.start()
        for t in threads:
            t.join(120)
        assert [ids(o) for o in results["a"]] == want
        assert [ids(o) for o in results["b"]] == want
        assert [o.outputs[0].token_ids for o in results["c"]] == greedy
        assert llm.info().num_free_pages == llm.info().num_pages
        assert not llm.engine.waves.running


def test_batches_limits_and_single_prompts_agree(llm):
    prompts = ["a", "b" * 70, [5] * 64, {"prompt": "c"}, {"prompt_token_ids": [1, 2]}]
    want = [ids(o) for o in llm.beam_search(prompts, PARAMS)]
    assert [ids(llm.beam_search([p], PARAMS)[0]) for p in prompts] == want
    assert [ids(o) for o in llm.beam_search(prompts, PARAMS, concurrency_limit=2)] == want
    assert [ids(o) for o in llm.beam_search(iter(prompts), [PARAMS] * 5)] == want
    assert llm.beam_search([], PARAMS) == []
    mixed = [PARAMS, BeamSearchParams(beam_width=2, max_tokens=3)]
    first, second = llm.beam_search(prompts[:2], mixed)
    assert ids(first) == want[0]
    assert len(second.sequences) == 2
    assert free_pages(llm) == 0


def test_a_wave_is_no_wider_than_a_step(llama, monkeypatch, on_gpu):
    prompts = [[i + 1] * 3 for i in range(5)]
    with LLM(llama[0]) as llm:
        want = [ids(o) for o in llm.beam_search(prompts, PARAMS)]
    with LLM(llama[0], max_num_seqs=8) as llm:
        model, sizes = llm.engine.runner.model, []
        forward = model.forward
        monkeypatch.setattr(model, "forward", lambda b: sizes.append(len(b.ids)) or forward(b))
        assert [ids(o) for o in llm.beam_search(prompts, PARAMS)] == want
        # after the prompts: two searches of three beams; a GPU's steps were captured before
        assert on_gpu or max(sizes[1:]) == 6
        assert ids(llm.beam_search([3], BeamSearchParams(beam_width=20, max_tokens=4))[0])


def test_the_context_ends_a_search(llm):
    prompt = [7] * 250
    long = BeamSearchParams(beam_width=2, max_tokens=50, ignore_eos=True)
    [output] = llm.beam_search([prompt], long)
    assert [len(s.tokens) for s in output.sequences] == [256, 256]
    assert {s.finish_reason for s in output.sequences} == {"length"}


def test_generate_gives_completions(llm):
    [found] = llm.beam_search(["hello"], PARAMS)
    sampled = SamplingParams(temperature=0, max_tokens=4)
    [output, greedy] = llm.generate(["hello", "hello"], [PARAMS, sampled], use_tqdm=False)
    assert output.prompt == "hello"
    assert output.finished
    assert [c.index for c in output.outputs] == [0, 1, 2]
    for completion, sequence in zip(output.outputs, found.sequences, strict=True):
        assert completion.text == sequence.generated_text
        assert completion.token_ids == sequence.generated_token_ids
        assert completion.cumulative_logprob == sequence.cum_logprob
        assert completion.finish_reason == sequence.finish_reason
    assert len(greedy.outputs[0].token_ids) <= 4


def test_num_return_sequences(llm):
    params = BeamSearchParams(beam_width=4, max_tokens=6, num_return_sequences=2)
    whole = BeamSearchParams(beam_width=4, max_tokens=6)
    assert ids(llm.beam_search("a", params)[0]) == ids(llm.beam_search("a", whole)[0])[:2]


def test_an_output_is_rebuilt_from_its_trace(llm):
    params = BeamSearchParams(beam_width=4, max_tokens=7, length_penalty=0.5)
    for output in llm.beam_search(["abc", [9] * 70], params):
        check_trace(output, width=4, penalty=0.5)


@pytest.mark.parametrize("early_stopping", [True, False, "never"])
def test_the_trace_of_hugging_faces_search(llm, monkeypatch, early_stopping):
    free = BeamSearchParams(beam_width=3, max_tokens=8, ignore_eos=True)
    eos = {s[3] for s in ids(llm.beam_search("abc", free)[0])}
    monkeypatch.setattr(llm.intake, "model_eos_ids", frozenset(eos))
    params = BeamSearchParams(beam_width=3, max_tokens=8, early_stopping=early_stopping)
    [output] = llm.beam_search("abc", params)
    assert any(s.finish_reason == "stop" for s in output.sequences)
    check_trace(output, width=3, penalty=1.0)


def check_trace(output: BeamSearchOutput, width: int, penalty: float) -> None:
    """Every step follows from the one before, and holds every sequence that was returned."""
    trace = output.trace_frame()
    assert trace.columns.tolist() == TRACE
    beams, paths = {0: (0.0, ())}, {}
    for step, rows in trace.groupby("step"):
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
        assert rows.cumulative_logprob.is_monotonic_decreasing
        assert set(rows.parent) == set(beams)
        live = {}
        for row in rows.itertuples():
            before, said = beams[row.parent]
            assert row.cumulative_logprob == pytest.approx(before + row.logprob, abs=1e-5)
            assert row.score == pytest.approx(row.cumulative_logprob / step**penalty)
            path = (*said, row.token_id)
            last_live = row.state == "returned" and step == trace.step.max()
            if row.state == "live" or last_live:
                live[len(live)] = (row.cumulative_logprob, path)
            if row.state in ("returned", "finished"):
                paths[path] = row
        assert len(live) <= width or step == trace.step.max()
        beams = live
    returned = {path for path, row in paths.items() if row.state == "returned"}
    assert returned == {tuple(s.generated_token_ids) for s in output.sequences}
    for s in output.sequences:
        row = paths[tuple(s.generated_token_ids)]
        assert s.cum_logprob == pytest.approx(row.cumulative_logprob)
        assert s.score == pytest.approx(row.score)


def test_logprobs(llm):
    [output] = llm.beam_search("abc", PARAMS)
    for s in output.sequences:
        assert len(s.logprobs) == len(s.generated_token_ids)
        for token, own, position in zip(
            s.generated_token_ids, s.token_logprobs, s.logprobs, strict=True
        ):
            assert next(iter(position)) == token
            assert position[token].logprob == own
            ranked = sorted(position.values(), key=lambda p: p.rank)
            assert [p.rank for p in ranked] == list(range(1, 7))
            assert all(a.logprob >= b.logprob for a, b in pairwise(ranked))
            spelled = llm.tokenizer.decode([token], skip_special_tokens=False)
            assert position[token].decoded_token == spelled
        assert sum(s.token_logprobs) == pytest.approx(s.cum_logprob, abs=1e-5)


def test_frames(llm):
    outputs = llm.beam_search(["abc", [1, 2]], PARAMS)
    frame = nbllm.to_frame(outputs)
    assert frame.columns.tolist() == [
        "prompt",
        "rank",
        "text",
        "score",
        "cumulative_logprob",
        "num_tokens",
        "finish_reason",
        "token_logprobs",
        "diverges_at",
    ]
    assert frame["rank"].tolist() == [1, 2, 3] * 2
    assert frame.prompt.tolist()[:3] == ["abc"] * 3
    assert frame.prompt.isna().tolist() == [False] * 3 + [True] * 3
    assert frame.score.tolist() == [s.score for o in outputs for s in o.sequences]
    for output, rows in zip(outputs, (frame[:3], frame[3:]), strict=True):
        best = output.sequences[0].generated_token_ids
        assert rows.diverges_at.isna().tolist() == [True, False, False]
        for s, at in list(zip(output.sequences, rows.diverges_at, strict=True))[1:]:
            assert s.generated_token_ids[:at] == best[:at]
            assert s.generated_token_ids[at : at + 1] != best[at : at + 1]
    sampled = llm.generate("abc", SamplingParams(temperature=0, max_tokens=2), use_tqdm=False)
    both = nbllm.to_frame([*outputs, *sampled])
    assert len(both) == 7
    assert isinstance(outputs[0].to_frame(), pd.DataFrame)


def test_results_outlive_the_model(llama):
    with LLM(llama[0]) as llm:
        output = llm.beam_search("abc", PARAMS)[0]
        kv = weakref.ref(llm.engine.runner.kv)
    gc.collect()
    assert kv() is None
    assert len(output.sequences) == 3
    assert output.sequences[0].text.startswith("abc")
    assert output.sequences[0].logprobs
    assert len(output.trace_frame()) > 20
    assert "BeamSearchOutput(prompt='abc'" in repr(output)
    assert output.metrics.finished_time >= output.metrics.first_token_time


def test_beside_a_generation_in_another_thread(llm, reference):
    want = [ids(o) for o in llm.beam_search(["abc", "d"], PARAMS)]
    greedy = SamplingParams(temperature=0, max_tokens=40, ignore_eos=True)
    made: list[list[int]] = []

    def generate():
        for i in range(6):
            out = llm.generate([i + 1] * 9, greedy, use_tqdm=False)
            made.append(out[0].outputs[0].token_ids)

    thread = threading.Thread(target=generate)
    thread.start()
    found = [[ids(o) for o in llm.beam_search(["abc", "d"], PARAMS)] for _ in range(20)]
    thread.join(60)
    assert found == [want] * 20
    assert made == [reference([i + 1] * 9, 40) for i in range(6)]
    assert free_pages(llm) == 0


def test_the_prompt_is_cached_and_found_again(llama):
    with LLM(llama[0]) as llm:
        [first] = llm.beam_search([[3] * 130], PARAMS)
        [second] = llm.beam_search([[3] * 130], PARAMS)
        assert (first.num_cached_tokens, second.num_cached_tokens) == (0, 128)
        assert ids(first) == ids(second)
        values = {m.name: m.value for m in llm.get_metrics() if hasattr(m, "value")}
        assert values["nbllm:generation_tokens"] == 2 * 3 * 6
        assert values["nbllm:kv_cache_pages_used"] == 0


def test_the_seed_documents_calls(llama):
    with LLM(model=str(llama[0])) as llm:
        params = BeamSearchParams(beam_width=5, max_tokens=50)
        for output in llm.generate("Hello, my name is", params):
            assert output.prompt == "Hello, my name is"
            assert isinstance(output.outputs[0].text, str)
        for output in llm.beam_search([{"prompt": "Hello, my name is "}], params):
            assert output.sequences[0].text.startswith("Hello, my name is ")


@pytest.mark.parametrize("early_stopping", [None, True])
@pytest.mark.parametrize(
    ("regex", "count"), [("(yes|no)( (yes|no)){2}", 8), ("[a-c]{2,4}", 117), ("abc", 1)]
)
def test_structured_outputs(ascii_llm, regex, count, early_stopping):
    """Every sequence fits, none twice; with room for all of them, all are found."""
    params = BeamSearchParams(
        beam_width=min(count, 24),
        max_tokens=16,
        early_stopping=early_stopping,
        structured_outputs=StructuredOutputsParams(regex=regex),
    )
    outputs = ascii_llm.beam_search(["a", "bcd"], params)
    for output in outputs:
        ended = [s.generated_text for s in output.sequences if s.finish_reason == "stop"]
        assert ended
        assert all(re.fullmatch(regex, text) for text in ended)
        assert len(set(ended)) == len(ended)
        if count <= 8 and early_stopping is None:
            assert len(ended) == count
    assert ascii_llm.info().num_free_pages == ascii_llm.info().num_pages


def test_astream_beams(llm):
    """What was found so far, again and again; the last is what `beam_search` returns."""
    params = BeamSearchParams(beam_width=3, max_tokens=6, ignore_eos=True)

    async def steps():
        return [output async for output in llm.astream_beams(["abc", "d"], params)]

    outputs = asyncio.run(steps())
    for expected in llm.beam_search(["abc", "d"], params):
        mine = [o for o in outputs if o.prompt == expected.prompt]
        counts = [o.history.num_steps for o in mine]
        # a GPU does a few steps at a time
        assert counts == sorted(set(counts))
        assert counts[-1] == 6
        assert len(counts) > 1
        assert [o.finished for o in mine] == [False] * (len(mine) - 1) + [True]
        assert [s.tokens for s in mine[-1].sequences] == [s.tokens for s in expected.sequences]
        assert {s.finish_reason for s in mine[0].sequences} == {"abort"}
        for one in mine:
            trace = one.trace_frame()
            assert trace.token_id.equals(expected.trace_frame().token_id[: len(trace)])


def test_a_stream_of_beams_that_is_left(llm):
    params = BeamSearchParams(beam_width=3, max_tokens=200, ignore_eos=True)

    async def two_steps():
        async with contextlib.aclosing(llm.astream_beams("abc", params)) as stream:
            async for output in stream:
                if output.history.num_steps == 2:
                    break
        return output

    assert asyncio.run(two_steps()).aborted
    assert llm.requests() == []
    with pytest.raises(ParamError, match="beam_search takes BeamSearchParams"):
        llm.astream_beams("abc", SamplingParams())
