"""Stop: a run ends as an interrupt ends it, and its cell succeeds."""

import random
import signal
import sys
import threading
import time

import pandas as pd
import pytest

import nbllm
from nbllm import resident
from nbllm.errors import GenerationInterrupted

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "pthread_kill"), reason="needs signals between threads"
)


@pytest.fixture
def stop(shell):
    return shell.magics_manager.registry["Nbllm"].runs.stop


@pytest.fixture
def stop_at(stop):
    """f(number) → what stops the run from another thread at that step."""
    said = []

    def stop_at(number):
        def at_step(step):
            if step == number:
                thread = threading.Thread(target=lambda: said.append(stop()))
                thread.start()
                # as in the engine: the signal comes while it computes
                thread.join(10)
                time.sleep(10)

        return at_step

    stop_at.said = said
    return stop_at


@pytest.mark.parametrize(
    "cell",
    ["%%generate\na b c d", "%%chat\na b c d", "%generate a b c d", "x = %generate a b c d\nx"],
)
def test_the_partial_result_is_the_value_of_the_cell(run, llm, stop_at, capsys, cell):
    llm.at_step = stop_at(3)
    result = run(cell)
    assert stop_at.said == [True]
    assert (result.text, result.outputs[0].outputs[0].finish_reason) == (" a b", "abort")
    assert nbllm.last is result
    assert "stopped: 0 of 1 prompts finished, the rest is partial\n" in capsys.readouterr().out
    assert llm.running == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_name_is_bound(run, shell, llm, stop_at):
    llm.at_step = stop_at(3)
    assert run("%%generate out\na b c d") is None
    assert shell.user_ns["out"].finish_reason.tolist() == ["abort"]


def test_a_run_over_a_frame_goes_on_when_its_cell_is_run_again(run, shell, llm, stop_at, capsys):
    shell.user_ns["f"] = pd.DataFrame({"x": ["a", "b"], "n": [2, 5]})
    llm.at_step = stop_at(4)
    cell = "%%generate out --over f --grid max_tokens=2,5 --seed 1\n{{ x }}"
    run(cell)
    assert shell.user_ns["out"].num_tokens.tolist() == [2, 3, 2, 3]
    assert (
        "2 of 4 prompts finished, the rest is partial; run the cell again"
        in capsys.readouterr().out
    )
    llm.at_step = lambda step: None
    run(cell)
    assert shell.user_ns["out"].num_tokens.tolist() == [2, 5, 2, 5]
    assert len(llm.calls[-1][0]) == 2


@pytest.mark.parametrize(
    "cell",
    [
        "%%beam out -w 2\na b c d e f",
        "%%score out --over f\n{{ x }} y",
        "%%choose out --over f -c ' a' -c ' b'\n{{ x }}",
    ],
)
def test_every_magic_can_be_stopped(run, shell, llm, stop_at, capsys, cell):
    shell.user_ns["f"] = pd.DataFrame({"x": ["a", "b"]})
    llm.at_step = stop_at(1)
    run(cell)
    assert "stopped: " in capsys.readouterr().out
    assert isinstance(shell.user_ns["out"], pd.DataFrame)
    llm.at_step = lambda step: None
    run(cell)
    assert len(shell.user_ns["out"])


def test_the_rest_of_the_cell_is_not_run(fails, shell, llm, stop_at):
    llm.at_step = stop_at(3)
    shell.user_ns["said"] = []
    shell.run_cell("for i in range(3):\n    r = %generate a b c d\n    said.append(r.text)")
    assert shell.user_ns["said"] == [" a b"]
    assert sys.last_type is GenerationInterrupted
    llm.at_step = lambda step: None
    # the next cell is another matter
    assert shell.run_cell("%generate -m 1 again").result.text == " again"


def test_an_interrupt_of_the_next_cell_is_an_interrupt(run, fails, llm, stop_at):
    llm.at_step = stop_at(2)
    run("%%generate\na b c")

    def interrupt(step):
        raise KeyboardInterrupt

    llm.at_step = interrupt
    assert fails("%%generate out\na b c").startswith("GenerationInterrupted: interrupted: 0 of 1")


def test_before_anything_was_generated(run, llm, stop, monkeypatch, capsys):
    info = llm.info

    def stopped():
        monkeypatch.setattr(stop, "asked", True)
        raise KeyboardInterrupt

    monkeypatch.setattr(llm, "info", stopped)
    assert run("%%generate\na b c") is None
    assert capsys.readouterr().out == "stopped: there is nothing to keep yet\n"
    monkeypatch.setattr(llm, "info", info)
    assert run("%%generate -m 1\na").text == " a"


def test_without_a_run_there_is_nothing_to_stop(stop, run, llm):
    assert stop() is False
    run("%%generate\na")
    assert stop() is False
    assert not stop.asked


def test_a_second_stop_while_it_ends_is_dropped(run, shell, llm, stop, stop_at, monkeypatch):
    remember, said = resident.remember, []

    def slow(result):
        thread = threading.Thread(target=lambda: said.append(stop()))
        thread.start()
        thread.join(10)
        signal.raise_signal(signal.SIGINT)
        remember(result)

    monkeypatch.setattr("nbllm.resident.remember", slow)
    llm.at_step = stop_at(3)
    run("%%generate out\na b c d")
    assert said == [True]
    assert shell.user_ns["out"].text[0] == " a b"


def test_in_another_thread_there_are_no_signals_to_end_a_run_with(shell, llm, stop):
    said, magic = [], shell.find_line_magic("generate")
    llm.at_step = lambda step: said.append(stop())
    thread = threading.Thread(target=lambda: magic("a b c", local_ns={}))
    thread.start()
    thread.join(10)
    assert said
    assert not any(said)
    assert nbllm.last.outputs[0].finished


def test_never_outside_of_a_run(run, llm, stop):
    """Stop at any moment: the signal comes while there is a run to end, or not at all."""
    count, done, moments = [0], threading.Event(), random.Random(3)
    llm.at_step = lambda step: time.sleep(0.0002)

    def press():
        while not done.wait(moments.uniform(0, 0.004)):
            count[0] += stop()

    thread = threading.Thread(target=press)
    thread.start()
    try:
        results = [run("%generate -m 3 a") for _ in range(80)]
    finally:
        done.set()
        thread.join(10)
    # None: stopped: there is nothing to keep yet
    aborted = [r is None or r.outputs[0].aborted for r in results]
    assert 5 < sum(aborted) < 75
    assert count[0] >= sum(aborted)
