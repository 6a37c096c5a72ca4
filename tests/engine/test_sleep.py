"""An engine that sleeps: what goes, what comes back, and what a caller notices, which is nothing."""

import pytest
import torch
from tiny_models import write_model

from nbllm import LLM, BeamSearchParams, SamplingParams
from nbllm.engine import build
from nbllm.engine.kv_memory import PlainMemory
from nbllm.engine.out_of_memory import explained
from nbllm.errors import ClosedError, OutOfMemoryError, ParamError
from nbllm.prompts import as_prompts

GREEDY = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
LONG = SamplingParams(temperature=0, max_tokens=60, ignore_eos=True)


@pytest.fixture(params=["as on a CPU", "as on a GPU"])
def runner(request, monkeypatch, on_gpu):
    """The runners of both devices."""
    gpu = request.param == "as on a GPU"
    if on_gpu and not gpu:
        pytest.skip("a GPU has the runner of a GPU")
    monkeypatch.setattr(build, "has_kernels", lambda kv: gpu)


def tokens(outputs) -> list[list[int]]:
    return [o.outputs[0].token_ids for o in outputs]


def bytes_of_kv(llm) -> float:
    return next(m.value for m in llm.get_metrics() if m.name == "nbllm:kv_cache_bytes_mapped")


@pytest.mark.parametrize("level", [1, 2])
def test_asleep_and_awake(runner, llama, reference, level):
    prompt = [3] * 150
    with LLM(llama[0]) as llm:
        assert not llm.is_sleeping()
        assert tokens(llm.generate(prompt, GREEDY, use_tqdm=False)) == [reference(prompt, 24)]
        for _ in range(2):
            llm.sleep(level)
            llm.sleep(level)  # twice is no error
            assert llm.is_sleeping()
            assert bytes_of_kv(llm) == 0
            llm.wake_up()
            llm.wake_up()
            assert not llm.is_sleeping()
            [out] = llm.generate(prompt, GREEDY, use_tqdm=False)
            assert (out.outputs[0].token_ids, out.num_cached_tokens) == (reference(prompt, 24), 0)
            assert llm.generate(prompt, GREEDY, use_tqdm=False)[0].num_cached_tokens == 128


def test_it_wakes_when_it_is_asked_for_something(llama, reference):
    with LLM(llama[0]) as llm:
        llm.sleep()
        assert tokens(llm.generate([1, 2], GREEDY, use_tqdm=False)) == [reference([1, 2], 24)]
        assert not llm.is_sleeping()


def test_parts_wake_by_their_tags(llama):
    with LLM(llama[0]) as llm:
        llm.sleep()
        llm.wake_up(tags=["weights"])
        assert llm.is_sleeping()
        assert bytes_of_kv(llm) == 0
        llm.wake_up(tags=["kv_cache"])
        assert not llm.is_sleeping()
        with pytest.raises(ParamError, match="'weights' and 'kv_cache', got 'brain'"):
            llm.wake_up(["brain"])
        for level in (0, 3, True, "deep"):
            with pytest.raises(ParamError, match="level must be 1"):
                llm.sleep(level)
    for method in (llm.sleep, llm.wake_up, llm.is_sleeping):
        with pytest.raises(ClosedError):
            method()


def test_a_stream_goes_on_after_a_nap(runner, llama, reference):
    with LLM(llama[0]) as llm:
        stream = llm.stream([[7] * 70, [9] * 5], LONG)
        for _ in range(9):
            next(stream)
        llm.sleep()
        last = {o.prompt_token_ids[0]: o.outputs[0].token_ids for o in stream}
        assert last == {7: reference([7] * 70, 60), 9: reference([9] * 5, 60)}
        assert llm.info().num_free_pages == llm.info().num_pages


def test_a_search_begins_again_after_a_nap(llama, llm):
    params = BeamSearchParams(beam_width=4, max_tokens=20)
    [want] = llm.beam_search([[7] * 70], params)
    with LLM(llama[0]) as mine:
        engine, inner, steps = mine.engine, mine.engine.waves.step, []

        def step(plan, end):
            inner(plan, end)
            steps.append(len(engine.waves.running))

        engine.waves.step = step
        [job] = mine._searches(as_prompts([[7] * 70]), params)
        engine.add(job.request)
        while sum(steps) < 2:
            engine.step()
        mine.sleep()
        while not job.finished:
            engine.step()
        assert [s.tokens for s in job.found().sequences] == [s.tokens for s in want.sequences]
        assert mine.info().num_free_pages == mine.info().num_pages


def test_closing_while_asleep_or_in_a_stream(llama):
    llm = LLM(llama[0])
    llm.sleep()
    llm.close()
    llm.close()
    llm = LLM(llama[0])
    stream = llm.stream(["a", "b"], LONG)
    next(stream)
    llm.close()
    last = {o.request_id: o.outputs[0].finish_reason for o in stream}
    assert list(last.values()) == ["abort"] * 2
    with pytest.raises(ClosedError):
        llm.generate("a")


def test_a_cpu_keeps_its_weights(llama):
    with LLM(llama[0], device="cpu") as llm:
        before = [p.data_ptr() for p in llm.engine.runner.model.parameters()]
        llm.sleep(2)
        assert [p.data_ptr() for p in llm.engine.runner.model.parameters()] == before
        assert isinstance(llm.engine.scheduler.pages.memory, PlainMemory)


def fail_beyond(llm, most: int) -> list[int]:
    """A device on which steps of more than `most` tokens of prompts lack memory; what was tried."""
    tried, inner = [], llm.engine.runner.run

    def run(plan):
        count = sum(stop - start for _, start, stop in plan.chunks)
        tried.append(count)
        if count > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.25 GiB. GPU 0 …")
        return inner(plan)

    llm.engine.runner.run = run
    return tried


def test_a_step_without_memory_is_tried_with_less(tmp_path, reference):
    write_model("llama", tmp_path, max_position_embeddings=4096)
    long = [[i + 1] * 1500 for i in range(2)]
    with LLM(tmp_path, max_num_batched_tokens=4096) as llm:
        want = tokens(llm.generate(long, GREEDY, use_tqdm=False))
        llm.reset_prefix_cache()
        tried = fail_beyond(llm, 800)
        assert tokens(llm.generate(long, GREEDY, use_tqdm=False)) == want
        assert tried[:3] == [3000, 1500, 750]
        assert max(tried[2:]) <= 750
        llm.reset_prefix_cache()
        tried.clear()
        assert tokens(llm.generate(long[:1], GREEDY, use_tqdm=False)) == want[:1]
        assert tried[0] == 1500  # the next call begins with everything again


def test_a_step_that_nothing_helps_is_one_error(llama, reference):
    with LLM(llama[0]) as llm:
        tried = fail_beyond(llm, 100)
        with pytest.raises(OutOfMemoryError, match=r"a step needs 1.25 GiB more; .*the cache") as e:
            llm.generate([[1] * 200], GREEDY, use_tqdm=False)
        assert "max_num_batched_tokens" in str(e.value)
        assert tried == [200, 200]
        assert llm.engine.num_unfinished == 0
        good = [[2] * 30, [3] * 40]
        assert tokens(llm.generate(good, GREEDY, use_tqdm=False)) == [
            reference(p, 24) for p in good
        ]
        assert llm.info().num_free_pages == llm.info().num_pages


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0"), True),
        (RuntimeError("Triton Error [CUDA]: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (MemoryError("out of memory"), False),
    ],
)
def test_what_counts_as_a_gpu_without_memory(error, ours):
    told = explained(error, "9.0 MiB are free")
    assert isinstance(told, OutOfMemoryError) is ours
    if ours:
        assert "9.0 MiB are free" in str(told)
        assert ("20.00 MiB more" in str(told)) == ("20.00 MiB" in str(error))
    else:
        assert told is error


def test_only_those_that_need_too_much_end(llama, reference):
    with LLM(llama[0]) as llm:
        fail_beyond(llm, 100)
        jobs = [j.requests[0] for j in llm._jobs(as_prompts([[1] * 150, [2] * 60]), GREEDY)]
        for request in jobs:
            llm.engine.add(request)
        while not all(r.finished for r in jobs):
            llm.engine.step()
        assert isinstance(jobs[0].error, OutOfMemoryError)
        assert (jobs[1].error, jobs[1].output_ids) == (None, reference([2] * 60, 24))
