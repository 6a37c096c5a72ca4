"""`deterministic=True`: a request's tokens and log-probabilities, bit for bit, in any company."""

import pytest
import torch
from random_prompts import prompts, tokens
from tiny_models import write_model

from nbllm import LLM, SamplingParams
from nbllm.engine.uniform_runner import UniformRunner, passes
from nbllm.prompts import as_prompts

EACH = [
    SamplingParams(temperature=0, max_tokens=80, ignore_eos=True),
    SamplingParams(seed=1, max_tokens=60, ignore_eos=True, logprobs=3),
    SamplingParams(seed=2, top_p=0.9, max_tokens=70, ignore_eos=True),
    SamplingParams(seed=3, repetition_penalty=1.2, max_tokens=50, ignore_eos=True),
    SamplingParams(seed=4, temperature=0.7, max_tokens=40, prompt_logprobs=1, ignore_eos=True),
    SamplingParams(seed=5, max_tokens=30, logits_processors=[lambda ids, x: x], ignore_eos=True),
]


def told(outputs) -> list:
    """Everything about outputs, exactly."""
    return [
        (c.token_ids, c.cumulative_logprob, c.logprobs, o.prompt_logprobs)
        for o in outputs
        for c in o.outputs
    ]


def test_passes_hold_every_token_once():
    class Asked:
        tokens = [0] * 1000

    chunks = [(Asked(), 0, 7), (Asked(), 3, 20), (Asked(), 0, 8), (Asked(), 1, 2)]
    found = list(passes(chunks, 8))
    assert [sum(stop - start for _, start, stop in p) for p in found] == [8, 8, 8, 8, 1]
    assert [(a, b) for p in found for r, a, b in p if r is chunks[1][0]] == [
        (3, 4),
        (4, 12),
        (12, 20),
    ]


def test_tokens_are_a_cpus(on_cpu, llama, open_llm):
    many = prompts(12, 200)
    each = [EACH[i % len(EACH)] for i in range(12)]
    want = on_cpu.generate(many, each, use_tqdm=False)
    with open_llm(llama[0], max_num_seqs=5, deterministic=True) as llm:
        assert isinstance(llm.engine.runner, UniformRunner)
        found = llm.generate(many, each, use_tqdm=False)
    assert tokens(found) == tokens(want)
    for mine, other in zip(found, want, strict=True):
        assert (mine.prompt_logprobs is None) == (other.prompt_logprobs is None)
        for a, b in zip(mine.prompt_logprobs or (), other.prompt_logprobs or (), strict=True):
            assert (a is None) == (b is None)
            if a and b:
                assert [x.logprob for x in a.values()] == pytest.approx(
                    [x.logprob for x in b.values()], abs=1e-3
                )


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["llama", "qwen3", "opt"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_same_bits_in_any_company(tmp_path, kind, dtype):
    """Alone, among 2 … 64 others, after a hit of the prefix cache, in chunks, after preemptions."""
    write_model(kind, tmp_path, std=0.08)
    many = prompts(64, 150, seed=5)
    each = [EACH[i % len(EACH)] for i in range(64)]
    few = len(EACH)
    options = {"device": "cuda", "dtype": dtype, "deterministic": True}
    with LLM(tmp_path, **options) as llm:
        alone = [told(llm.generate([p], e, use_tqdm=False)) for p, e in zip(many, each[:few])]  # noqa: B905
        for count in (2, 3, 7, 20, 64):
            # prompts of before are in the prefix cache; then they are not
            for _ in range(2):
                found = told(llm.generate(many[:count], each[:count], use_tqdm=False))
                assert [[f] for f in found[:few]] == alone[: min(few, count)]
                llm.reset_prefix_cache()
        first = told(llm.generate(many[::-1], each[::-1], use_tqdm=False))[::-1]
        assert [[f] for f in first[:few]] == alone
        # what was generated as a prompt, with a part of it cached
        [made] = llm.generate([many[0]], EACH[0], use_tqdm=False)
        longer = many[0] + made.outputs[0].token_ids[:70]
        rest = SamplingParams(temperature=0, max_tokens=10, ignore_eos=True)
        found = tokens(llm.generate([longer], rest, use_tqdm=False))
        assert found == [made.outputs[0].token_ids[70:80]]
    with LLM(tmp_path, **options, max_num_batched_tokens=64, max_num_seqs=40) as llm:
        found = told(llm.generate(many, each, use_tqdm=False))
        assert [[f] for f in found[:few]] == alone
    narrow = {"kv_cache_memory_bytes": 40 * llm_page(tmp_path, dtype), "max_model_len": 256}
    with LLM(tmp_path, **options, **narrow) as llm:
        preempted, withdraw = [], llm.engine.scheduler._withdraw

        def count_withdrawn(request):
            preempted.extend([] if request.finished else [request])
            withdraw(request)

        llm.engine.scheduler._withdraw = count_withdrawn
        found = told(llm.generate(many, each, use_tqdm=False))
        assert [[f] for f in found[:few]] == alone
        assert preempted


def llm_page(folder, dtype) -> int:
    from nbllm.engine.runner import page_bytes
    from nbllm.models.load import DTYPES, read_config

    return page_bytes(read_config(folder, None), DTYPES[dtype])


@pytest.mark.gpu
def test_a_real_shape(tmp_path):
    """Where cuBLAS has many kernels to choose from."""
    from tests.bench.gpu import write_folder

    write_folder("qwen3-0.6b", tmp_path)
    with LLM(
        tmp_path,
        device="cuda",
        load_format="dummy",
        deterministic=True,
        kv_cache_memory_bytes=4 << 30,
    ) as llm:
        p = SamplingParams(temperature=0, max_tokens=90, ignore_eos=True, detokenize=False)
        many = [[7 * i % 10000 for i in range(k, 3 * k + 300)] for k in range(1, 100, 3)]
        alone = [told(llm.generate([q], p, use_tqdm=False))[0] for q in many[:4]]
        llm.reset_prefix_cache()
        assert told(llm.generate(many, p, use_tqdm=False))[:4] == alone
        assert len(as_prompts(many)) == 33
    torch.cuda.empty_cache()
