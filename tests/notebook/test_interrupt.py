"""An interrupt at any moment: partial results are kept, the cell fails with one line."""

import gc
import signal
import sys
import weakref

import pandas as pd
import pytest

import nbllm
from nbllm.errors import GenerationInterrupted
from nbllm.notebook import run as run_module


def interrupt_at(number):
    def at_step(step):
        if step == number:
            raise KeyboardInterrupt

    return at_step


def test_in_the_engine(fails, shell, llm):
    llm.at_step = interrupt_at(3)
    line = fails("%%generate out\na b c d")
    assert (
        line == "GenerationInterrupted: interrupted: 0 of 1 prompts finished, the rest is partial"
    )
    out = shell.user_ns["out"]
    assert (out.text[0], out.finish_reason[0], out.num_tokens[0]) == (" a b", "abort", 2)
    assert nbllm.last.df.equals(out)
    assert llm.running == 0
    llm.at_step = lambda step: None
    assert shell.run_cell("%generate -m 1 again").result.text == " again"


def test_between_two_steps(fails, shell, llm, monkeypatch):
    shown = []

    def show(self, latest):
        shown.append(latest)
        if len(shown) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(shell, "kernel", object(), raising=False)
    monkeypatch.setattr("nbllm.notebook.live.Watch.show", show)
    shell.user_ns["f"] = pd.DataFrame({"x": ["a", "b"]})
    fails("%%generate out --over f\n{{ x }}")
    assert shell.user_ns["out"].num_tokens.tolist() == [2, 2]
    assert shell.user_ns["out"].x.tolist() == ["a", "b"]
    assert llm.running == 0


def test_without_a_name_it_is_shown_and_kept_as_last(shell, llm, monkeypatch, capsys):
    published = []
    monkeypatch.setattr(shell.display_pub, "publish", lambda **content: published.append(content))
    llm.at_step = interrupt_at(3)
    assert not shell.run_cell("%generate a b c").success
    [content] = published
    assert content["data"]["text/plain"] == " a b"
    assert content["metadata"]["nbllm"]["model"]["fingerprint"] == "f00d"
    assert nbllm.last.text == " a b"


def test_a_second_interrupt_while_the_result_is_kept_is_dropped(fails, shell, llm, monkeypatch):
    from nbllm import resident

    remember = resident.remember

    def slow(result):
        signal.raise_signal(signal.SIGINT)
        remember(result)

    monkeypatch.setattr("nbllm.resident.remember", slow)
    llm.at_step = interrupt_at(3)
    before = signal.getsignal(signal.SIGINT)
    fails("%%generate out\na b c d")
    assert shell.user_ns["out"].text[0] == " a b"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interrupt_in_the_engines_own_clean_up():
    def stream():
        try:
            yield partial
        except KeyboardInterrupt:
            raise KeyboardInterrupt from None

    partial = nbllm.RequestOutput(
        request_id="1-0", prompt="a", prompt_token_ids=[], finished=False, metrics=None,
        outputs=[nbllm.CompletionOutput(index=0, text="b", token_ids=[1], cumulative_logprob=0.0)],
    )  # fmt: skip

    def show():
        raise KeyboardInterrupt

    kept = {}
    assert run_module.follow(stream(), [5], kept.__setitem__, show)
    assert kept[5].outputs[0].finish_reason == "abort"
    assert kept[5].finished


def test_before_anything_was_sent(fails, llm, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(llm, "info", interrupted)
    assert (
        fails("%generate hi") == "GenerationInterrupted: interrupted before anything was generated"
    )


class Tensor:
    """Something in a local variable of the engine."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, nbllm.errors.OutOfMemoryError])
def test_no_frame_of_the_engine_outlives_the_cell(shell, llm, error, capsys):
    alive = []

    def at_step(step):
        tensor = Tensor()
        alive.append(weakref.ref(tensor))
        if step == 2:
            raise error("in the middle")

    llm.at_step = at_step
    assert not shell.run_cell("%%generate out\na b").success
    llm.at_step = None
    gc.collect()
    assert issubclass(sys.last_type, GenerationInterrupted | error)
    assert [ref() for ref in alive] == [None, None]
