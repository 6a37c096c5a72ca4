"""Beam search in captured steps against the CPU's: the same sequences, whatever else happens.

Everywhere over references, on a GPU with its kernels.
"""

import random

import numpy as np
import pytest
import torch
from interrupting import InterruptAtLine

from nbllm import LLM, BeamSearchParams, SamplingParams
from nbllm.engine import build
from nbllm.engine.beam import Wave
from nbllm.engine.cuda_beams import RECORDS, CapturedWave
from nbllm.prompts import as_prompts

GPU = pytest.param("cuda", marks=pytest.mark.gpu)
GREEDY = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)


@pytest.fixture(scope="module")
def on_cpu(llama):
    """The oracle, which has no captured steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "has_kernels", lambda kv: False)
        llm = LLM(llama[0], device="cpu")
    with llm:
        yield llm


@pytest.fixture(params=["cpu", GPU])
def llm(request, llama, monkeypatch):
    """An `LLM` with the runner of a GPU."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    with monkeypatch.context() as patch:
        if request.param == "cpu":
            patch.setattr(build, "has_kernels", lambda kv: True)
        llm = LLM(llama[0], device=request.param)
    with llm:
        yield llm


def prompts(count: int, longest: int = 90, seed: int = 0) -> list[list[int]]:
    r = random.Random(seed)
    return [[r.randrange(256) for _ in range(r.randint(1, longest))] for _ in range(count)]


def tokens(outputs) -> list[list[list[int]]]:
    return [[s.generated_token_ids for s in o.sequences] for o in outputs]


def same(found, want) -> None:
    assert tokens(found) == tokens(want)
    for mine, other in zip(found, want, strict=True):
        for a, b in zip(mine.sequences, other.sequences, strict=True):
            assert a.cum_logprob == pytest.approx(b.cum_logprob, abs=1e-3)
            assert (a.finish_reason, a.stop_reason) == (b.finish_reason, b.stop_reason)


def begin(llm, many, params) -> list:
    """Searches that have been added."""
    jobs = llm._searches(as_prompts(many), params)
    for job in jobs:
        llm.engine.add(job.request)
    return jobs


def run(llm, jobs) -> list:
    while not all(job.finished for job in jobs):
        llm.engine.step()
    return [job.output() for job in jobs]


def free(llm) -> bool:
    return llm.info().num_free_pages == llm.info().num_pages


CASES = {
    "one": (1, BeamSearchParams(beam_width=1, max_tokens=9)),
    "steps": (3, BeamSearchParams(beam_width=4, max_tokens=RECORDS + 9, ignore_eos=True)),
    "one step": (2, BeamSearchParams(beam_width=5, max_tokens=1)),
    "temperature": (3, BeamSearchParams(beam_width=3, max_tokens=12, temperature=1.7)),
    "length": (2, BeamSearchParams(beam_width=6, max_tokens=20, length_penalty=-1.0)),
    "stop ids": (
        5,
        BeamSearchParams(beam_width=8, max_tokens=14, stop_token_ids=list(range(0, 256, 3))),
    ),
    "wide": (2, BeamSearchParams(beam_width=40, max_tokens=6)),
    "all stop": (2, BeamSearchParams(beam_width=4, max_tokens=9, stop_token_ids=list(range(261)))),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_cpu_finds(on_cpu, llm, name):
    count, params = CASES[name]
    many = prompts(count, seed=len(name))
    want = on_cpu.beam_search(many, params)
    jobs = begin(llm, many, params)
    same(run(llm, jobs), want)
    wave = jobs[0].search.wave
    assert isinstance(wave, CapturedWave)
    assert wave.words is None  # nothing of the device is kept
    for job, other in zip(jobs, want, strict=True):
        mine, theirs = (o.trace_frame().groupby("step").state for o in (job.output(), other))
        assert mine.value_counts().to_dict() == theirs.value_counts().to_dict()
    assert free(llm)


def test_searches_of_different_lengths(on_cpu, llm):
    """Near the model's context a search has fewer steps than the others of its wave."""
    params = BeamSearchParams(beam_width=3, max_tokens=60, ignore_eos=True)
    length = llm.max_model_len
    many = [[5] * (length - 7), [9, 8], [6] * (length - 40)]
    want = on_cpu.beam_search(many, params)
    assert {len(o.sequences[0].generated_token_ids) for o in want} == {7, 40, 60}
    same(llm.beam_search(many, params), want)


def test_a_captured_step_serves_other_searches(on_cpu, llm):
    """Nothing about a length, a limit, or a parameter but the width may be part of it."""
    first = BeamSearchParams(beam_width=4, max_tokens=3)
    llm.beam_search(prompts(3), first)
    captured = set(llm.engine.runner.graphs._made)
    for params in (
        BeamSearchParams(beam_width=4, max_tokens=150, ignore_eos=True),
        BeamSearchParams(beam_width=4, max_tokens=9, temperature=0.6, stop_token_ids=[7, 9]),
    ):
        many = prompts(4, longest=200, seed=5)
        want = on_cpu.beam_search(many, params)
        same(llm.beam_search(many, params), want)
    assert {k for k in llm.engine.runner.graphs._made if k[0] == "beams"} <= captured


def test_waves_of_a_shape_take_turns(on_cpu, llm):
    short = BeamSearchParams(beam_width=4, max_tokens=30, ignore_eos=True)
    other = BeamSearchParams(beam_width=4, max_tokens=45, temperature=1.3)
    wants = [on_cpu.beam_search(prompts(2, seed=i), p) for i, p in enumerate((short, other))]
    jobs = [begin(llm, prompts(2, seed=i), p) for i, p in enumerate((short, other))]
    for _ in range(4):
        llm.engine.step()
    assert len(llm.engine.waves.running) == 2
    for mine, want in zip(jobs, wants, strict=True):
        same(run(llm, mine), want)
    assert free(llm)


def test_others_advance_beside_a_search(on_cpu, llm):
    params = BeamSearchParams(beam_width=3, max_tokens=40, ignore_eos=True)
    want = on_cpu.beam_search(prompts(2), params)
    beside = on_cpu.generate([[1, 2, 3]], GREEDY, use_tqdm=False)[0].outputs[0].token_ids
    jobs = begin(llm, prompts(2), params)
    [plain] = llm._jobs(as_prompts([[1, 2, 3]]), GREEDY)
    llm.engine.add(plain.requests[0])
    seen = []
    while not plain.finished:
        llm.engine.step()
        seen.append((plain.requests[0].num_output, jobs[0].num_steps))
    # each goes a step further with every step of the engine
    assert max(np.diff([n for n, _ in seen])) == 1
    assert max(np.diff([n for _, n in seen])) == 1
    assert seen[-1][1] >= 9
    assert plain.output().outputs[0].token_ids == beside
    same(run(llm, jobs), want)


def test_it_is_seen_to_grow(llm):
    """Who waits hears of some steps at a time, of the first one at once."""
    jobs = begin(llm, prompts(2), BeamSearchParams(beam_width=3, max_tokens=60, ignore_eos=True))
    seen = []
    while not jobs[0].finished:
        llm.engine.step()
        history = jobs[0].found().history
        assert history.num_steps == jobs[0].num_steps
        seen.append(history.num_steps)
    grown = [n for n in np.diff([0, *seen]).tolist() if n]
    assert grown[0] == 1
    assert max(grown) <= 8
    assert sum(grown) == 60
    assert jobs[0].request.first_token_time < jobs[0].request.finish_time


def test_an_abort_leaves_the_others_of_the_wave(llm):
    params = BeamSearchParams(beam_width=3, max_tokens=50, ignore_eos=True)
    many = prompts(3, seed=2)
    want = tokens(llm.beam_search(many, params))
    jobs = begin(llm, many, params)
    while jobs[0].num_steps < 9:
        llm.engine.step()
    llm.engine.abort(jobs[1].request)
    llm.engine.settle()
    done = jobs[0].num_steps
    # its pages go to somebody else at once
    other = begin(llm, [[200] * 100], params)
    outputs = run(llm, [*jobs, *other])
    assert tokens([outputs[0], outputs[2]]) == [want[0], want[2]]
    assert {s.finish_reason for s in outputs[1].sequences} == {"abort"}
    assert {len(s.generated_token_ids) for s in outputs[1].sequences} == {done}
    assert tokens([outputs[3]]) == tokens(llm.beam_search([[200] * 100], params))
    assert free(llm)


def test_an_interrupt_at_many_lines_costs_no_step(on_cpu, llm):
    params = BeamSearchParams(beam_width=3, max_tokens=40, ignore_eos=True)
    other = BeamSearchParams(beam_width=3, max_tokens=15, temperature=1.5)
    many = [[7] * 70, [9] * 30, [4]]
    want = tokens(on_cpu.beam_search(many, params))
    wants = tokens(on_cpu.beam_search(many[:1], other))
    beside = on_cpu.generate([[1, 2]], GREEDY, use_tqdm=False)[0].outputs[0].token_ids
    with InterruptAtLine(-1) as count:
        run(llm, [*begin(llm, many, params), *begin(llm, many[:1], other)])
    total, r = -1 - count.left, random.Random(0)
    assert total > 1000
    for at in (r.randrange(1, total) for _ in range(60)):
        llm.reset_prefix_cache()
        if at % 4 == 0:  # so that a capture is interrupted too
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            llm.engine.runner.graphs.close()
        jobs, second = begin(llm, many, params), begin(llm, many[:1], other)
        [plain] = llm._jobs(as_prompts([[1, 2]]), GREEDY)
        llm.engine.add(plain.requests[0])
        try:
            with InterruptAtLine(at):
                run(llm, [*jobs, *second])
        except KeyboardInterrupt:
            pass
        assert tokens(run(llm, jobs)) == want, f"line {at}"
        assert tokens(run(llm, second)) == wants, f"line {at}"
        while not plain.finished:
            llm.engine.step()
        llm.engine.settle()
        assert plain.output().outputs[0].token_ids == beside
        assert free(llm), f"line {at}"
        assert llm.engine.num_unfinished == 0
        llm.engine.step()
        assert not llm.engine.waves.running


def test_an_error_ends_the_search_and_leaves_nothing(on_cpu, llm, monkeypatch):
    params = BeamSearchParams(beam_width=3, max_tokens=20, ignore_eos=True)
    with monkeypatch.context() as patch:
        patch.setattr(CapturedWave, "_found", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            llm.beam_search(prompts(2), params)
    assert llm.engine.num_unfinished == 0
    assert free(llm)
    same(llm.beam_search(prompts(2), params), on_cpu.beam_search(prompts(2), params))


@pytest.mark.parametrize(
    "params",
    [
        BeamSearchParams(beam_width=3, max_tokens=6, early_stopping=True),
        BeamSearchParams(beam_width=4, max_tokens=6, num_beam_groups=2, diversity_penalty=1.0),
        BeamSearchParams(beam_width=3, max_tokens=6, allowed_token_ids=list(range(9, 99))),
        BeamSearchParams(beam_width=3, max_tokens=6, stop="ab"),
        BeamSearchParams(beam_width=70, max_tokens=4),
    ],
    ids=["hf", "groups", "allowed", "stop", "70 beams"],
)
def test_what_needs_the_host_is_stepped_by_it(on_cpu, llm, params):
    many = prompts(2, seed=7)
    jobs = begin(llm, many, params)
    same(run(llm, jobs), on_cpu.beam_search(many, params))
    assert isinstance(jobs[0].search.wave, Wave)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["llama", "qwen3", "opt"])
def test_half_precision_scores_what_it_finds(tmp_path, kind):
    """The log-probabilities of what beams find are those of a float32 model, nearly."""
    from tiny_models import write_model

    write_model(kind, tmp_path, std=0.08)
    params = BeamSearchParams(beam_width=6, max_tokens=60, ignore_eos=True)
    asked = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0)
    with LLM(tmp_path, device="cuda", dtype="bfloat16") as llm, LLM(tmp_path, device="cpu") as cpu:
        for output in llm.beam_search(prompts(3, seed=4), params):
            for s in output.sequences[::2]:
                [whole] = cpu.generate([s.tokens], asked, use_tqdm=False)
                assert whole.prompt_logprobs is not None
                said = zip(whole.prompt_logprobs[-60:], s.tokens[-60:], strict=True)
                total = sum(p[t].logprob for p, t in said if p)
                assert s.cum_logprob == pytest.approx(total, abs=0.06 * 60**0.5)
