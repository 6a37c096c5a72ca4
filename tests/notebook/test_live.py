"""What a cell shows while it runs: seldom, in one display, and nothing of it stays."""

from itertools import pairwise

import pandas as pd
import pytest

from nbllm.notebook.live import Live
from nbllm.views import MIME


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_at_most_twenty_updates_a_second():
    clock, sent, drawn = Clock(), [], []
    live = Live(lambda **content: sent.append((clock.now, content)), after=0.0, clock=clock)
    with live:
        for i in range(3000):
            clock.now += 0.001
            live.show(lambda i=i: drawn.append(i) or {"text/plain": str(i)})
    assert 55 <= len(drawn) <= 60
    gaps = [b[0] - a[0] for a, b in pairwise(sent[:-1])]
    assert min(gaps) >= 0.05 - 1e-9
    assert len({content["transient"]["display_id"] for _, content in sent}) == 1
    assert [content["update"] for _, content in sent] == [False] + [True] * (len(sent) - 1)
    assert sent[-1][1]["data"]["text/plain"] == ""


def test_a_slow_page_leaves_the_engine_its_time():
    clock = Clock()

    def publish(**content):
        clock.now += 1.0

    live = Live(publish, after=0.0, clock=clock)
    drawn = []
    for _ in range(60):
        live.show(lambda: drawn.append(1) or {})
        clock.now += 0.01
    assert len(drawn) == 12


def test_short_work_shows_nothing():
    clock, sent = Clock(), []
    with Live(lambda **content: sent.append(content), after=0.2, clock=clock) as live:
        for _ in range(10):
            clock.now += 0.01
            live.show(dict)
    assert sent == []


@pytest.fixture
def published(shell, monkeypatch):
    """What a shell with a kernel sends; every step of the model takes a second."""
    sent, clock = [], Clock()
    monkeypatch.setattr(shell, "kernel", object(), raising=False)
    monkeypatch.setattr(shell.display_pub, "publish", lambda **content: sent.append(content))
    monkeypatch.setattr(
        "nbllm.notebook.live.Live.__init__.__kwdefaults__", {"clock": clock}, raising=False
    )
    return sent, clock


@pytest.fixture
def slow(published, llm):
    sent, clock = published

    def at_step(step):
        clock.now += 1.0

    llm.at_step = at_step
    return sent


def test_text_grows_in_place_and_goes(run, slow, shell):
    run("%%generate out -m 3\na b c")
    assert [content["data"]["text/plain"] for content in slow] == [" a", " a b", " a b c", ""]
    run("%%generate out -m 3 --quiet\na b c")
    assert len(slow) == 4


def test_many_prompts_show_how_far_they_are(run, slow, shell):
    shell.user_ns["f"] = pd.DataFrame({"x": list("abcdefghij")})
    run("%%generate out --over f -m 4\n{{ x }}")
    lines = [content["data"]["text/plain"] for content in slow]
    assert lines[0].startswith("0/10 prompts")
    assert lines[-1] == ""
    assert all(MIME not in content["data"] for content in slow)


def test_it_goes_after_an_error_too(run, slow, shell, llm):
    at_step = llm.at_step

    def broken(step):
        at_step(step)
        if step == 3:
            raise RuntimeError

    llm.at_step = broken
    assert not shell.run_cell("%generate a b c").success
    assert [content["data"]["text/plain"] for content in slow] == [" a", " a b", ""]


def test_a_terminal_shows_nothing_until_the_end(run, llm, shell, monkeypatch, capsys):
    monkeypatch.setattr(shell.display_pub, "publish", None)
    run("%%generate -m 3\na b c")
    assert capsys.readouterr().out.count(" a b c") == 1
