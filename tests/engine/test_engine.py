"""Continuous batching, chunking and preemption never change a greedy token."""

import random

import pytest
import torch

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


def test_the_default_dtype_of_a_process_changes_nothing(llm):
    """`transformers` sets it while it builds a model, in whichever thread that is."""
    params = [
        GREEDY,
        SamplingParams(seed=1, max_tokens=9, top_p=0.9, logit_bias={7: 2.5}),
        SamplingParams(
            seed=2, max_tokens=9, repetition_penalty=1.2, allowed_token_ids=[*range(90)]
        ),
    ]
    many = prompts(3, seed=5)
    want = tokens(llm.generate(many, params, use_tqdm=False))
    llm.reset_prefix_cache()
    torch.set_default_dtype(torch.float64)
    try:
        got = tokens(llm.generate(many, params, use_tqdm=False))
    finally:
        torch.set_default_dtype(torch.float32)
    assert got == want
