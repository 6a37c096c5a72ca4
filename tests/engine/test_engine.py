"""Continuous batching, chunking and preemption never change a greedy token."""

import random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbllm import LLM, SamplingParams

GREEDY = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)


def prompts(count: int, seed: int, longest: int = 90) -> list[list[int]]:
    r = random.Random(seed)
    return [[r.randrange(256) for _ in range(r.randint(1, longest))] for _ in range(count)]


def tokens(outputs) -> list[list[int]]:
    return [o.outputs[0].token_ids for o in outputs]


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 127, 128, 129, 200])
def test_one_prompt_equals_transformers(llm, reference, length):
    prompt = prompts(1, length)[0][:1] * length
    out = llm.generate(prompt, GREEDY, use_tqdm=False)
    assert tokens(out) == [reference(prompt, 24)]


def test_a_batch_equals_transformers(llm, reference):
    many = prompts(12, seed=1)
    out = llm.generate(many, GREEDY, use_tqdm=False)
    assert tokens(out) == [reference(p, 24) for p in many]
    assert [o.prompt_token_ids for o in out] == many


@pytest.mark.parametrize(
    "options",
    [
        {"max_num_seqs": 2},
        {"max_num_batched_tokens": 7, "max_num_seqs": 4},
        {"kv_cache_memory_bytes": 5 * 24576, "max_model_len": 128},
    ],
    ids=["queued", "chunked", "preempted"],
)
def test_limits_change_nothing(llama, reference, options):
    many = prompts(8, seed=2)
    with LLM(llama[0], **options) as llm:
        preempted = count_preemptions(llm)
        out = llm.generate(many, GREEDY, use_tqdm=False)
        assert llm.info().num_free_pages == llm.info().num_pages
    assert tokens(out) == [reference(p, 24) for p in many]
    assert bool(preempted) == ("kv_cache_memory_bytes" in options)


def count_preemptions(llm) -> list:
    seen, inner = [], llm.engine.scheduler.add

    def add(request):
        if request.num_output:
            seen.append(request.id)
        inner(request)

    llm.engine.scheduler.add = add
    return seen


def test_eos_ends_and_is_not_text(llm, reference):
    prompt = prompts(1, seed=3)[0]
    eos = reference(prompt, 6)[5]
    params = SamplingParams(temperature=0, max_tokens=24, stop_token_ids=[eos])
    out = llm.generate(prompt, params, use_tqdm=False)[0].outputs[0]
    want = reference(prompt, 24, eos)
    assert out.token_ids == want
    assert (out.finish_reason, out.stop_reason) == ("stop", eos)
    assert out.text == llm.tokenizer.decode(want[:-1])


def test_generation_ends_at_the_context(llama):
    with LLM(llama[0], max_model_len=70) as llm:
        params = SamplingParams(temperature=0, max_tokens=None, ignore_eos=True)
        out = llm.generate([1] * 60, params, use_tqdm=False)[0].outputs[0]
    assert (len(out.token_ids), out.finish_reason) == (10, "length")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_logprobs_are_those_of_transformers(llama, dtype):
    folder, model = llama
    prompt = prompts(1, seed=4)[0]
    params = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True, logprobs=5)
    with LLM(folder, dtype=dtype) as llm:
        out = llm.generate(prompt, params, use_tqdm=False)[0].outputs[0]
    ids = torch.tensor([prompt + out.token_ids])
    want = model(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    tolerance = 1e-4 if dtype == "float32" else 0.15
    for position, row in zip(out.logprobs, want, strict=True):
        for token, logprob in position.items():
            assert abs(row[token].item() - logprob.logprob) < tolerance
    if dtype == "float32":
        own = want.gather(1, torch.tensor(out.token_ids)[:, None])
        assert abs(own.sum().item() - out.cumulative_logprob) < 1e-3
        assert [next(iter(p)) for p in out.logprobs] == out.token_ids
        assert [next(iter(p.values())).rank for p in out.logprobs] == [1] * 8


# prompts that share nothing, a few tokens, a page, a page and more, or everything
POOL = prompts(4, seed=5)
POOL += [
    [7] * 64 + [1, 2],
    [7] * 64 + [1, 3, 4],
    [7] * 70,
    [7] * 64,
    [7] * 64 + [9] * 30,
    [7] * 64 + [9] * 35 + [8],
]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_random_schedules(llama, reference, data):
    """Arrivals at any step, aborts, short budgets, few pages: the rest is what it is alone."""
    rows = data.draw(st.integers(1, 6), label="max_num_seqs")
    budget = data.draw(st.integers(1, 100), label="max_num_batched_tokens")
    pages = data.draw(st.integers(3, 12), label="pages")
    engine_options = {
        "max_num_seqs": rows,
        "max_num_batched_tokens": budget,
        "kv_cache_memory_bytes": pages * 24576,
        "max_model_len": 128,
        "enable_prefix_caching": data.draw(st.booleans(), label="enable_prefix_caching"),
    }
    many = data.draw(st.lists(st.sampled_from(POOL), min_size=6, max_size=6), label="prompts")
    arrive = [data.draw(st.integers(0, 20)) for _ in many]
    abort = {
        i: data.draw(st.integers(0, 30)) for i in data.draw(st.sets(st.integers(0, 5), max_size=3))
    }
    with LLM(llama[0], **engine_options) as llm:
        from nbllm.prompts import as_prompts

        jobs = llm._jobs(as_prompts(many), GREEDY)
        requests = [job.requests[0] for job in jobs]
        for step in range(2000):
            for i, request in enumerate(requests):
                if arrive[i] == step:
                    llm.engine.add(request)
                if abort.get(i) == step and step >= arrive[i]:
                    llm.engine.abort(request)
            llm.engine.step()
            if step > 31 and all(r.finished for r in requests):
                break
        for i, request in enumerate(requests):
            want = reference(many[i], 24)
            assert request.output_ids == want[: request.num_output]
            assert request.num_output == 24 or i in abort or request.finish_reason == "length"
            assert request.finished
        assert llm.engine.num_unfinished == 0
        assert llm.info().num_free_pages == llm.info().num_pages
        assert len(llm.engine.scheduler.rows.free) == rows
