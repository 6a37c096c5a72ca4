"""Runs in the background: replaced, stopped and dropped at any moment, and fair to each other."""

import asyncio
import threading
import time
from functools import partial
from itertools import pairwise

import pytest
from until import until

from nbllm import LLM, SamplingParams
from nbllm.errors import PromptError
from nbllm.widgets import runs as runs_module
from nbllm.widgets.loop import loop
from nbllm.widgets.runs import PERIOD, Runs

LONG = SamplingParams(max_tokens=200, ignore_eos=True, logprobs=1)
SHORT = SamplingParams(max_tokens=5, ignore_eos=True)


class Log:
    """What a run was called with."""

    def __init__(self):
        self.shown, self.times, self.ends = [], [], []

    def show(self, outputs):
        self.shown += outputs
        self.times.append(time.monotonic())

    def end(self, error, stopped):
        self.ends.append((error, stopped))

    @property
    def tokens(self):
        return len(self.shown[-1].outputs[0].token_ids) if self.shown else 0


def start(runs, begin, after=0.0):
    log = Log()
    runs.start(begin, show=log.show, end=log.end, after=after)
    return log


def settled(llm):
    until(lambda: llm.engine.num_unfinished == 0)
    return llm.info().num_free_pages == llm.info().num_pages


def test_a_run_ends_with_its_output(llm):
    runs = Runs()
    log = start(runs, lambda: llm.astream("a", SHORT))
    assert runs.running
    assert runs.wait(30)
    assert not runs.running
    assert log.ends == [(None, False)]
    assert log.shown[-1].finished
    assert log.tokens == 5


def test_updates_are_few(llm):
    runs = Runs()
    log = start(runs, lambda: llm.astream("a", LONG))
    assert runs.wait(60)
    # the last one comes when it comes
    gaps = [b - a for a, b in pairwise(log.times[:-1])]
    assert all(gap >= PERIOD for gap in gaps)
    assert log.tokens == 200


def test_stop_keeps_what_there_is(llm):
    runs = Runs()
    log = start(runs, lambda: llm.astream("a", LONG))
    until(lambda: log.tokens)
    runs.stop()
    assert runs.wait(30)
    assert log.ends == [(None, True)]
    assert log.shown[-1].outputs[0].finish_reason == "abort"
    assert 0 < log.tokens < 200
    assert settled(llm)


def test_a_new_run_takes_the_place_of_the_old(llm):
    runs = Runs()
    old = start(runs, lambda: llm.astream("a", LONG))
    until(lambda: old.tokens)
    seen = len(old.shown)
    new = start(runs, lambda: llm.astream("b", SHORT))
    assert runs.wait(30)
    assert new.ends == [(None, False)]
    assert (old.ends, len(old.shown)) == ([], seen)
    assert settled(llm)


def test_of_quick_changes_the_last_runs(llm):
    runs, begun = Runs(), []

    def begin(i):
        begun.append(i)
        return llm.astream("a", SHORT)

    logs = [start(runs, lambda i=i: begin(i), after=0.1) for i in range(10)]
    assert runs.wait(30)
    assert begun == [9]
    assert [len(log.ends) for log in logs] == [0] * 9 + [1]


@pytest.mark.parametrize("after", [0.0, 60.0])
def test_stopped_before_it_began(llm, after):
    runs = Runs()
    log = start(runs, lambda: llm.astream("a", LONG), after=after)
    runs.stop()
    assert runs.wait(30)
    assert log.ends == [(None, True)]
    assert not runs.running
    runs.stop()
    assert settled(llm)


def test_stop_while_it_waits_for_its_first_token(llm, monkeypatch):
    """It may wait for a row for long: then the stream says nothing."""
    monkeypatch.setattr(llm.engine.scheduler, "_admit", lambda budget: None)
    monkeypatch.setattr(type(llm.engine.scheduler), "stuck", None)
    runs = Runs()
    log = start(runs, lambda: llm.astream("a", LONG))
    until(lambda: llm.requests())
    runs.stop()
    assert runs.wait(30)
    assert (log.ends, log.shown) == ([(None, True)], [])
    assert settled(llm)


def test_errors_reach_the_end(llm):
    runs = Runs()
    log = start(runs, lambda: llm.astream("", SHORT))
    assert runs.wait(30)
    [(error, stopped)] = log.ends
    assert isinstance(error, PromptError)
    assert error.__traceback__ is None
    assert not stopped


def test_an_error_while_showing_ends_the_run(llm):
    runs, ends = Runs(), []

    def show(outputs):
        raise ZeroDivisionError

    runs.start(lambda: llm.astream("a", LONG), show=show, end=lambda *how: ends.append(how))
    assert runs.wait(30)
    [(error, _)] = ends
    assert isinstance(error, ZeroDivisionError)
    assert settled(llm)


def test_unloading_ends_a_run(llama):
    runs, llm = Runs(), LLM(llama[0])
    log = start(runs, lambda: llm.astream("a", LONG))
    until(lambda: log.tokens)
    llm.close()
    assert runs.wait(30)
    assert log.ends == [(None, False)]
    assert log.shown[-1].outputs[0].finish_reason == "abort"


def test_a_run_can_start_the_next(llm):
    runs, logs = Runs(), []

    def again(error, stopped):
        logs.append(start(runs, lambda: llm.astream("b", SHORT)))

    runs.start(lambda: llm.astream("a", SHORT), show=lambda outputs: None, end=again)
    until(lambda: logs and logs[0].ends)
    assert logs[0].tokens == 5


def test_a_cell_that_waits_blocks_no_run(llm):
    """The main thread is asleep, as in `time.sleep(60)`."""
    runs = Runs()
    log = start(runs, lambda: llm.astream("a", SHORT))
    time.sleep(0.5)
    until(lambda: log.ends, seconds=5)


TEN_TIMES = [pytest.param(i, marks=pytest.mark.slow if i > 1 else ()) for i in range(10)]


@pytest.mark.parametrize("repetition", TEN_TIMES)
def test_twenty_widgets_and_a_cell_share_an_engine(llm, repetition):
    """All finish; from when all are there until the first is nearly through, nobody gets half of what another gets."""
    count, params = 20, SamplingParams(max_tokens=230, ignore_eos=True, logprobs=1)
    logs, looks = [Log() for _ in range(count)], []

    def show(log, outputs):
        log.show(outputs)
        now = {r.id: r.num_output for r in llm.engine.unfinished}
        if len(now) == count + 1 and (not looks or max(looks[-1].values()) < 200):
            looks.append(now)

    many = [Runs() for _ in range(count)]
    cell = threading.Thread(target=lambda: list(llm.stream("cell", params)), daemon=True)
    cell.start()
    for i, (runs, log) in enumerate(zip(many, logs, strict=True)):
        begin = partial(llm.astream, f"widget {i}", params)
        runs.start(begin, show=partial(show, log), end=log.end)
    cell.join(120)
    assert not cell.is_alive()
    assert all(runs.wait(60) for runs in many)
    assert [log.ends for log in logs] == [[(None, False)]] * count
    assert {log.tokens for log in logs} == {230}
    gains = [looks[-1][id] - looks[0][id] for id in looks[0]]
    assert min(gains) > 0
    assert max(gains) <= 2 * min(gains), gains
    # and every page has seen it grow
    assert min(len(log.times) for log in logs) >= 2
    assert settled(llm)


def test_the_loop_is_one_thread_that_lets_the_interpreter_end():
    assert loop() is loop()
    [thread] = [t for t in threading.enumerate() if t.name == "nbllm-widgets"]
    assert thread.daemon
    future = asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "still there"), loop())
    assert future.result(10) == "still there"
    assert runs_module.DEBOUNCE < 1
