"""A thread that steps for others: it runs what it is given, gives back what is taken, and outlives errors."""

import threading
import time

import pytest

from nbllm import LLM, SamplingParams
from nbllm.engine.pump import Pump
from nbllm.errors import OutOfMemoryError
from nbllm.prompts import as_prompts

ENDLESS = SamplingParams(temperature=0, max_tokens=200, ignore_eos=True)


class Told:
    """What a pump tells after steps; waits for the moment that something is true."""

    def __init__(self):
        self._changed, self.count = threading.Condition(), 0

    def __call__(self):
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def wait(self, what):
        with self._changed:
            return self._changed.wait_for(what, timeout=30)


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def pump(llm, told):
    pump = Pump(llm.engine, told)
    yield pump
    pump.close()
    assert llm.engine.num_unfinished == 0
    assert llm.info().num_free_pages == llm.info().num_pages


def job(llm, prompt=(1, 2, 3), count=8):
    params = SamplingParams(temperature=0, max_tokens=count, ignore_eos=True)
    return llm.prepare(as_prompts(list(prompt)), params)[0]


def test_runs_jobs_to_their_end(llm, reference, pump, told):
    jobs = [job(llm, [i + 1] * 4) for i in range(5)]
    for each in jobs:
        pump.add(each)
    assert told.wait(lambda: all(j.finished for j in jobs))
    for i, each in enumerate(jobs):
        assert each.output().outputs[0].token_ids == reference([i + 1] * 4, 8)
        pump.drop(each)


def test_rests_without_jobs(llm, pump, told):
    """Also while somebody else's requests run: these have their own waiter."""
    others = job(llm, count=50)
    llm.engine.add(others.requests[0])
    time.sleep(0.05)
    assert told.count == 0
    assert not others.requests[0].num_output
    llm.engine.abort(others.requests[0])
    llm.engine.settle()


def test_drop_aborts(llm, pump, told):
    [endless] = llm.prepare(as_prompts([[1, 2]]), ENDLESS)
    pump.add(endless)
    assert told.wait(lambda: endless.requests[0].num_output > 2)
    pump.drop(endless)
    assert told.wait(lambda: endless.finished)
    assert endless.requests[0].finish_reason == "abort"
    pump.drop(endless)  # twice is no error


def test_drop_of_what_never_ran(llm, pump, told):
    """Its pages are none, but the engine has to forget it."""
    each = job(llm)
    with llm.engine._turns:  # the pump has to wait
        pump.add(each)
        pump.drop(each)
    assert told.wait(lambda: each.finished)


def test_hears_of_steps_that_others_made(llm, pump, told):
    """A cell may make the step that ends a job; whoever waits for the job hears of it all the same."""
    for _ in range(20):
        mine = job(llm, count=4)
        pump.add(mine)
        llm.generate([[9, 8]], SamplingParams(temperature=0, max_tokens=6), use_tqdm=False)
        assert told.wait(lambda mine=mine: mine.finished)
        before = told.count
        pump.drop(mine)
        assert before


def test_a_step_that_fails_as_a_whole(llm, pump, told, monkeypatch):
    """Everybody who waits hears why, and the thread goes on."""
    step, error = llm.engine.step, OutOfMemoryError("no memory to wake up in")

    def fail(unless=None):
        raise error

    monkeypatch.setattr(llm.engine, "step", fail)
    lost = [job(llm), job(llm)]
    for each in lost:
        pump.add(each)
    assert told.wait(lambda: all(j.finished for j in lost))
    for each in lost:
        with pytest.raises(OutOfMemoryError, match="no memory to wake up in"):
            each.check()
        pump.drop(each)
    monkeypatch.setattr(llm.engine, "step", step)
    fine = job(llm)
    pump.add(fine)
    assert told.wait(lambda: fine.finished)
    assert fine.check().requests[0].num_output == 8
    pump.drop(fine)


def test_close_in_the_middle(llama):
    with LLM(llama[0]) as llm:
        told = Told()
        pump = Pump(llm.engine, told)
        [endless] = llm.prepare(as_prompts([[1, 2]]), ENDLESS)
        pump.add(endless)
        assert told.wait(lambda: endless.requests[0].num_output > 2)
        pump.close()
        assert endless.requests[0].finish_reason == "abort"
        assert not llm.engine.busy
        assert not pump._thread.is_alive()
        late = job(llm)
        pump.add(late)
        assert late.requests[0].finish_reason == "abort"


def test_an_llm_that_is_closed(llama):
    """Its jobs end, those that come too late as well."""
    llm, told = LLM(llama[0]), Told()
    pump = Pump(llm.engine, told)
    [endless, late] = llm.prepare(as_prompts([[1, 2], [3]]), ENDLESS)
    pump.add(endless)
    assert told.wait(lambda: endless.requests[0].num_output > 2)
    llm.close()
    assert told.wait(lambda: endless.finished)
    pump.add(late)
    assert told.wait(lambda: late.finished)
    pump.drop(endless)
    pump.drop(late)
    pump.close()


def test_interrupts_of_a_cell_beside_it(llm, reference, pump, told, monkeypatch):
    """A cell that is interrupted inside a step leaves the pump's jobs whole."""
    mine = job(llm, [7] * 5, count=60)
    pump.add(mine)
    collect, calls = llm.engine._collect, iter(range(10**6))

    def interrupted(plan, samples):
        if threading.current_thread() is threading.main_thread() and next(calls) % 3 == 1:
            raise KeyboardInterrupt
        return collect(plan, samples)

    monkeypatch.setattr(llm.engine, "_collect", interrupted)
    for _ in range(10):
        try:
            llm.generate([[5, 5]], SamplingParams(temperature=0, max_tokens=9), use_tqdm=False)
        except KeyboardInterrupt:
            continue
    assert told.wait(lambda: mine.finished)
    assert mine.output().outputs[0].token_ids == reference([7] * 5, 60)
    pump.drop(mine)
