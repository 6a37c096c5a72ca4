"""What captured steps do between logits and tokens: a CPU's tokens, and only Python's rows on the host."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from random_prompts import prompts, tokens

from nbllm import SamplingParams, StructuredOutputsParams
from nbllm.engine.columns import Column
from nbllm.engine.needs import HOST, wants_of
from nbllm.prompts import as_prompts

BASE = {"max_tokens": 14, "ignore_eos": True}
FIELDS = {
    "plain": {"temperature": 0},
    "penalties": {"repetition_penalty": 1.5, "frequency_penalty": 0.4, "presence_penalty": -0.6},
    "top": {"top_p": 0.8, "logprobs": 5},
    "bias": {"logit_bias": {i: (-1) ** i * 5.0 for i in range(40)}, "logprobs": 0},
    "allowed": {"allowed_token_ids": list(range(0, 200, 3)), "bad_words": ["a", "b"]},
    "words": {"allowed_token_ids": [64, 65, 66, 67, 68, 220], "bad_words": ["a", "bc", "cad"]},
    "early": {"min_tokens": 9, "stop_token_ids": [3, 4, 5], "ignore_eos": False},
    "all": {
        "repetition_penalty": 0.8,
        "logit_bias": {7: 4.0},
        "allowed_token_ids": list(range(100)),
        "min_tokens": 3,
        "logprobs": 20,
        "top_k": 30,
    },
}
EACH = [SamplingParams(**{**BASE, "seed": i, **f}) for i, f in enumerate(FIELDS.values())]
SCRIPTED = SamplingParams(**BASE, seed=50, logprobs=3, logits_processors=[lambda ids, x: x.roll(1)])
NO_GRAMMAR = pytest.mark.skipif(not find_spec("llguidance"), reason="needs llguidance")


def host_rows(llm, monkeypatch) -> list[int]:
    """How many rows each step leaves to the sampler of all devices."""
    seen, inner = [], llm.engine.runner.sampler.sample

    def sample(logits, index, requests, mask=None):
        seen.append(len(index))
        return inner(logits, index, requests, mask)

    monkeypatch.setattr(llm.engine.runner.sampler, "sample", sample)
    return seen


def check(found, want) -> None:
    """Equal tokens, and log-probabilities up to rounding."""
    assert tokens(found) == tokens(want)
    for mine, other in zip(found, want, strict=True):
        a, b = mine.outputs[0], other.outputs[0]
        assert a.cumulative_logprob == pytest.approx(b.cumulative_logprob, abs=2e-3)
        assert (a.logprobs is None) == (b.logprobs is None)
        for one, two in zip(a.logprobs or (), b.logprobs or (), strict=True):
            assert {t: v.rank for t, v in one.items()} == {t: v.rank for t, v in two.items()}
            assert [v.logprob for v in one.values()] == pytest.approx(
                [v.logprob for v in two.values()], abs=2e-4
            )


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_needs_no_host(on_cpu, llama, open_llm, monkeypatch, field):
    each = [SamplingParams(**{**BASE, "seed": i, **FIELDS[field]}) for i in range(5)]
    want = on_cpu.generate(prompts(5), each, use_tqdm=False)
    with open_llm(llama[0], max_num_seqs=4) as llm:
        seen = host_rows(llm, monkeypatch)
        check(llm.generate(prompts(5), each, use_tqdm=False), want)
        assert not seen


def test_rows_of_all_kinds_after_each_other(on_cpu, llama, open_llm, monkeypatch):
    """Lines of tables belong to a request, not to its row."""
    each, many = EACH * 6, prompts(len(EACH) * 6)
    want = on_cpu.generate(many, each, use_tqdm=False)
    with open_llm(llama[0], max_num_seqs=5, max_num_batched_tokens=120) as llm:
        seen = host_rows(llm, monkeypatch)
        check(llm.generate(many, each, use_tqdm=False), want)
        assert not seen


def test_python_gets_its_own_rows_alone(on_cpu, llama, open_llm, monkeypatch):
    each = [*EACH, SCRIPTED, SCRIPTED]
    many = prompts(len(each))
    want = on_cpu.generate(many, each, use_tqdm=False)
    with open_llm(llama[0]) as llm:
        seen = host_rows(llm, monkeypatch)
        check(llm.generate(many, each, use_tqdm=False), want)
        assert set(seen) == {2}


@NO_GRAMMAR
def test_grammars_stay_in_captured_steps(on_cpu, llama, open_llm, monkeypatch):
    def guided(**more) -> SamplingParams:
        wanted = StructuredOutputsParams(regex="[a-e]{6,20}")
        return SamplingParams(**{**BASE, "structured_outputs": wanted, **more})

    each = [
        *EACH,
        guided(seed=1, ignore_eos=False),
        guided(temperature=0, repetition_penalty=1.6, logprobs=2),
        guided(seed=3, allowed_token_ids=[64, 65, 66, 67, 68, 256], min_tokens=12, bad_words=["c"]),
        guided(seed=4, min_tokens=14, ignore_eos=False, max_tokens=30),
    ]
    many = prompts(len(each))
    want = on_cpu.generate(many, each, use_tqdm=False)
    with open_llm(llama[0], max_num_seqs=7) as llm:
        seen, begun = host_rows(llm, monkeypatch), []
        inner = llm.engine.runner._guide

        def guide(plan):
            begun.append(llm.engine.runner._begun is not None)
            return inner(plan)

        monkeypatch.setattr(llm.engine.runner, "_guide", guide)
        check(llm.generate(many, each, use_tqdm=False), want)
        assert not seen
        assert sum(begun) > len(begun) / 2  # the layers ran while the host looked at tokens


def test_who_needs_the_host(llm):
    def wants(**fields) -> bool:
        [job] = llm._jobs(as_prompts(["a"]), SamplingParams(**{"max_tokens": 40, **fields}))
        return wants_of(job.requests[0]) == HOST

    assert not any(wants(**f) for f in FIELDS.values())
    assert wants(logits_processors=[lambda ids, x: x])
    assert wants(bad_words=["abcdefghi"])
    assert wants(min_tokens=2, stop_token_ids=list(range(40)))
    assert wants(allowed_token_ids=[3], min_tokens=1, stop_token_ids=[3])


def test_steps_are_looked_at_together(on_cpu, llama, open_llm, monkeypatch):
    """Several tokens a look for many rows; each ends where it should, and an abort is heard."""
    r = np.random.default_rng(0)
    each = [
        SamplingParams(seed=i, max_tokens=int(r.integers(1, 40)), stop_token_ids=[7, 9, 80, 90])
        for i in range(60)
    ]
    many = prompts(60, 20)
    want = on_cpu.generate(many, each, use_tqdm=False)
    with open_llm(llama[0], max_num_seqs=64) as llm:
        assert tokens(llm.generate(many, each, use_tqdm=False)) == tokens(want)
        assert [o.outputs[0].finish_reason for o in want] == [
            o.outputs[0].finish_reason for o in llm.generate(many, each, use_tqdm=False)
        ]
        endless = SamplingParams(temperature=0, max_tokens=200, ignore_eos=True)
        requests = [j.requests[0] for j in llm._jobs(as_prompts(many), [endless] * 60)]
        for request in requests:
            llm.engine.add(request)
        for _ in range(3):
            llm.engine.step()
        before = requests[1].num_output
        llm.engine.step()
        assert requests[1].num_output == before + 4
        read = Column.read

        def aborted(column, at, top):
            llm.engine.abort(requests[0])
            return read(column, at, top)

        monkeypatch.setattr(Column, "read", aborted)
        llm.engine.step()
        assert requests[1].num_output == before + 5
        for request in requests:
            llm.engine.abort(request)
        llm.engine.settle()
        assert all(q.finish_reason == "abort" for q in requests)
        assert llm.info().num_free_pages == llm.info().num_pages


def test_what_nobody_wrote_is_never_read(on_cpu, llama, open_llm):
    """Unused pages and buffers full of NaN change nothing; the null page alone is padding's."""
    want = on_cpu.generate(prompts(len(EACH)), EACH, use_tqdm=False)
    with open_llm(llama[0], max_num_seqs=5) as llm:
        runner = llm.engine.runner
        with torch.inference_mode():
            runner.kv[1:] = torch.nan
            runner._keep(torch.full((8, 48), torch.nan, device=runner.device), runner._idle[:8])
            runner.draws.ring.memory.fill_(-1)
        for _ in range(2):
            check(llm.generate(prompts(len(EACH)), EACH, use_tqdm=False), want)
        assert not runner.kv[0].isnan().any()
