"""Threads, tasks and aborts at once: everybody gets their own tokens, and soon."""

import asyncio
import threading
import time
from itertools import count, pairwise

import pytest

from nbllm import LLM, SamplingParams
from nbllm.prompts import as_prompts
from nbllm.sampling_params import RequestOutputKind

GREEDY = SamplingParams(temperature=0, max_tokens=30, ignore_eos=True)


def ids(output) -> list[int]:
    return output.outputs[0].token_ids


def watch_progress(llm, monkeypatch) -> dict[str, list[int]]:
    """The steps in which each request advanced, by its id."""
    seen: dict[str, list[int]] = {}
    number, inner = count(), llm.engine._collect

    def collect(plan, samples):
        now = next(number)
        for request in llm.engine.live.values():
            seen.setdefault(request.id, [now])
        for request in plan.requests:
            seen[request.id].append(now)
        return inner(plan, samples)

    monkeypatch.setattr(llm.engine, "_collect", collect)
    return seen


def test_two_threads_twenty_tasks_and_an_aborter(llm, reference, monkeypatch):
    """Every request advances within ten steps, every waiter hears soon, an abort takes one step."""
    done: dict[str, list[int]] = {}
    waits: list[float] = []
    late_aborts: list[int] = []
    deadline = time.monotonic() + 60
    progress = watch_progress(llm, monkeypatch)

    def thread(name: str) -> None:
        for i in range(6):
            times = [time.monotonic()]
            for output in llm.stream([ord(name), i + 1] * 5, GREEDY):
                times.append(time.monotonic())
                done[f"{name}{i}"] = ids(output)
            waits.extend(b - a for a, b in pairwise(times))

    async def task(i: int) -> None:
        times = [time.monotonic()]
        async for output in llm.astream([i + 1] * 9, GREEDY):
            times.append(time.monotonic())
            done[f"task{i}"] = ids(output)
        waits.extend(b - a for a, b in pairwise(times))

    async def tasks() -> None:
        await asyncio.gather(*(task(i) for i in range(20)))

    def aborter() -> None:
        for i in range(20):
            job = llm._jobs(as_prompts([200 + i % 10] * 4), GREEDY)[0]
            [request] = job.requests
            llm.engine.add(request)
            while request.num_output < 2 and time.monotonic() < deadline:
                llm.engine.step()
            llm.engine.abort(request)
            llm.engine.step()
            late_aborts.append(not request.finished)

    workers = [threading.Thread(target=thread, args=(n,)) for n in "ab"]
    workers += [
        threading.Thread(target=aborter),
        threading.Thread(target=lambda: asyncio.run(tasks())),
    ]
    for w in workers:
        w.start()
    for w in workers:
        w.join(60)
    assert not [w for w in workers if w.is_alive()]
    for name in "ab":
        for i in range(6):
            assert done[f"{name}{i}"] == reference([ord(name), i + 1] * 5, 30)
    for i in range(20):
        assert done[f"task{i}"] == reference([i + 1] * 9, 30)
    assert late_aborts == [0] * 20
    assert len(progress) == 2 * 6 + 20 + 20
    assert max(b - a for seen in progress.values() for a, b in pairwise(seen)) <= 10
    assert max(waits) < 5.0  # milliseconds on a free core
    assert llm.engine.num_unfinished == 0
    assert llm.info().num_free_pages == llm.info().num_pages


def test_async_namesakes(llm):
    chat = [{"role": "user", "content": "hi"}]

    async def all_of_them():
        together = asyncio.gather(llm.agenerate(["a", "b"], GREEDY), llm.achat(chat, GREEDY))
        streamed = [o async for o in llm.astream("a", GREEDY)]
        return *await together, streamed

    generated, chatted, streamed = asyncio.run(all_of_them())
    assert list(map(ids, generated)) == list(map(ids, llm.generate(["a", "b"], GREEDY)))
    assert ids(chatted[0]) == ids(llm.chat(chat, GREEDY)[0])
    assert ids(streamed[-1]) == ids(generated[0])
    assert 15 <= len(streamed) <= 30  # steps of the others may have come between


def test_a_cancelled_task_leaves_nothing(llm):
    long = SamplingParams(max_tokens=200, ignore_eos=True, output_kind=RequestOutputKind.FINAL_ONLY)

    async def cancelled():
        task = asyncio.create_task(llm.agenerate("a", long))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert llm.engine.num_unfinished == 0
    assert llm.info().num_free_pages == llm.info().num_pages


def test_an_error_ends_only_the_request_concerned(llm, reference, monkeypatch):
    inner = llm.engine.runner.run

    def run(plan):
        if any(r.tokens[0] == 66 for r in plan.requests):
            raise ZeroDivisionError("token 66")
        return inner(plan)

    monkeypatch.setattr(llm.engine.runner, "run", run)
    good = llm._jobs(as_prompts([[1] * 5, [2] * 70]), GREEDY)
    for job in good:
        llm.engine.add(job.requests[0])
    llm.engine.step()
    with pytest.raises(ZeroDivisionError, match="token 66"):
        llm.generate([[66, 67]], GREEDY, use_tqdm=False)
    while not all(job.finished for job in good):
        llm.engine.step()
    assert [j.requests[0].output_ids for j in good] == [
        reference([1] * 5, 30),
        reference([2] * 70, 30),
    ]
    assert llm.engine.num_unfinished == 0


def test_metrics(llama):
    with LLM(llama[0]) as llm:
        llm.generate([[3] * 100, [4] * 10], GREEDY, use_tqdm=False)
        llm.generate([[3] * 100], GREEDY, use_tqdm=False)
        stream = llm.stream([[5] * 65], GREEDY)
        next(stream)
        metrics = {m.name.removeprefix("nbllm:"): m for m in llm.get_metrics()}
        stream.close()
    values = {name: m.value for name, m in metrics.items() if hasattr(m, "value")}
    assert values["prefix_cache_queries"] == 275
    assert values["prefix_cache_hits"] == 64
    assert values["generation_tokens"] == 91
    assert values["requests_ended"] == 3
    assert (values["num_requests_running"], values["num_requests_waiting"]) == (1, 0)
    assert values["kv_cache_pages_used"] == 2
    assert values["tokens_per_second"] > 0
    for name in ("time_to_first_token_seconds", "e2e_request_latency_seconds"):
        assert metrics[name].count == 3
        assert metrics[name].buckets["+Inf"] == 3
        assert metrics[name].sum > 0
