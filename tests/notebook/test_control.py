"""The comm that the JupyterLab extension opens: what it answers, and that it goes with the extension."""

import gc
import threading
import time
import types
import weakref

import pandas as pd
import pytest

from nbllm import resident


class Comm:
    """One that a front end has opened."""

    def __init__(self):
        self.sent = []

    def on_msg(self, handler):
        self.handle = handler

    def on_close(self, handler):
        self.gone = handler

    def send(self, data):
        self.sent.append(data)

    def ask(self, name, **more):
        self.handle({"content": {"data": {"id": 7, "ask": name, **more}}})
        [reply] = [data for data in self.sent if data.get("id") == 7]
        self.sent.remove(reply)
        return {key: value for key, value in reply.items() if key != "id"}

    def told(self):
        """The status that was sent last."""
        return [data["status"] for data in self.sent if "status" in data][-1]


class Manager:
    def __init__(self):
        self.targets, self.gone = {}, []

    def register_target(self, name, handler):
        self.targets[name] = handler

    def unregister_target(self, name, handler):
        assert self.targets.pop(name) == handler

    def unregister_comm(self, comm):
        self.gone.append(comm)


@pytest.fixture
def kernel(fake, bare_shell, monkeypatch):
    """What ipykernel gives a shell."""
    kernel = types.SimpleNamespace(comm_manager=Manager())
    monkeypatch.setattr(bare_shell, "kernel", kernel, raising=False)
    bare_shell.run_line_magic("load_ext", "nbllm")
    yield kernel
    bare_shell.run_line_magic("unload_ext", "nbllm")


@pytest.fixture
def comm(kernel):
    return opened(kernel)


def opened(kernel, **options):
    comm = Comm()
    kernel.comm_manager.targets["nbllm.control"](comm, {"content": {"data": options}})
    return comm


BEFORE = set[threading.Thread]()
"""Those of other tests' kernels."""


@pytest.fixture(autouse=True)
def before():
    BEFORE.clear()
    BEFORE.update(reporters())


def reporters():
    known = {thread for thread in threading.enumerate() if thread.name == "nbllm-reporter"}
    return known - BEFORE


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_it_comes_and_goes_with_the_extension(kernel, comm, bare_shell):
    assert list(kernel.comm_manager.targets) == ["nbllm.control"]
    bare_shell.run_line_magic("unload_ext", "nbllm")
    assert kernel.comm_manager.targets == {}
    assert comm.sent[-1] == {"gone": True}
    assert kernel.comm_manager.gone == [comm]
    bare_shell.run_line_magic("load_ext", "nbllm")


def test_a_front_end_that_closes_it_is_forgotten(comm, bare_shell):
    comm.gone({})
    bare_shell.run_line_magic("reload_ext", "nbllm")
    assert {"gone": True} not in comm.sent
    wait_for(lambda: not reporters())


def test_it_tells_the_status_at_once_and_when_it_changes(kernel):
    comm = opened(kernel, period=0.2)
    assert comm.told() == {"version": 1, "current": None, "models": []}
    resident.load("fake")
    wait_for(lambda: comm.told()["models"])
    assert comm.told()["current"] == "fake"
    [model] = comm.told()["models"]
    assert (model["num_used_pages"], model["num_pages"], model["asleep"]) == (4, 64, False)
    assert (model["prefix_cache_hits"], model["generation_tokens"]) == (50, 1234)
    # nothing has changed, so nothing is said
    count = len(comm.sent)
    time.sleep(0.7)
    assert len(comm.sent) == count


def test_a_comm_that_is_gone_says_no_goodbye(kernel):
    """Every page would get it, and log an error."""
    comm = opened(kernel)
    gone = weakref.ref(comm)
    comm.gone({})
    del comm
    gc.collect()
    assert gone() is not None


def test_one_thread_tells_all_and_ends_with_the_last(kernel):
    comms = [opened(kernel, period=0.2) for _ in range(3)]
    assert len(reporters()) == 1
    resident.load("fake")
    wait_for(lambda: all(comm.told()["models"] for comm in comms))
    for comm in comms:
        comm.gone({})
    wait_for(lambda: not reporters())


def test_pages_that_are_gone_without_a_word_are_forgotten(kernel):
    comms = [opened(kernel, period=0.2) for _ in range(10)]
    resident.load("fake")
    wait_for(lambda: comms[-1].told()["models"])
    assert [bool(comm.told()["models"]) for comm in comms] == [False] * 2 + [True] * 8


def test_stop_without_a_run(comm, bare_shell):
    assert comm.ask("stop") == {"answer": {"ended": False, "busy": False}}
    bare_shell.user_ns["said"] = []
    bare_shell.user_ns["ask"] = lambda: bare_shell.user_ns["said"].append(comm.ask("stop"))
    bare_shell.run_cell("ask()")
    assert bare_shell.user_ns["said"] == [{"answer": {"ended": False, "busy": True}}]
    bare_shell.run_cell("1 / 0")
    assert comm.ask("stop") == {"answer": {"ended": False, "busy": False}}


def test_models_sleep_wake_up_and_go(comm):
    llm = resident.load("fake")
    assert comm.ask("sleep", model="fake") == {"answer": None}
    assert llm.is_sleeping()
    comm.ask("wake", model="fake")
    assert not llm.is_sleeping()
    comm.ask("unload", model="fake")
    assert llm.closed
    assert "no model called 'fake'" in comm.ask("sleep", model="fake")["error"]


def test_frames(comm, bare_shell):
    bare_shell.user_ns |= {"f": pd.DataFrame({"x": [1, 2], 3: "y"}), "_g": pd.DataFrame(), "n": 1}
    assert comm.ask("frames") == {
        "answer": [{"name": "f", "num_rows": 2, "columns": ["x", "3"]}],
    }


@pytest.mark.parametrize(
    ("before", "start", "expected"),
    [
        ("%%generate out --max", 15, ["--max-tokens"]),
        ("%%generate --over f", 18, ["f", "frame"]),
        ("%%beam --early-stopping ", 24, ["true", "false", "never"]),
        ("%%generate --over f\n{{ x", 23, ["xs"]),
        ("%%generate --over f\n{{ ", 23, ["xs", "f", "frame", "n"]),
        ("%%generate --over f\nA\n{{ xs }} {{ (x", 35, ["xs"]),
        ("%%generate --over none\n{{ n", 26, ["n"]),
        ("%%generate\n{{ n | upp", 18, ["upper"]),
        # nothing of ours belongs there
        ("%%generate --over f\nx", 21, []),
        ("%%generate --over f\n{{ x }} x", 29, []),
        ("%%generate --over f\n{{ f.x", 26, []),
        ("%%generate --over f\n{{ 'x", 25, []),
        ("%%generate --raw --over f\n{{ x", 30, []),
        ("x = '''\n{{ x", 12, []),
    ],
)
def test_complete(comm, bare_shell, before, start, expected):
    frame = pd.DataFrame({"xs": [1], "not a name": 2})
    bare_shell.user_ns |= {"f": frame, "frame": frame, "n": 1, "_hidden": 2, "pd": pd}
    answer = comm.ask("complete", before=before)["answer"]
    assert [item["text"] for item in answer["items"]][: len(expected)] == expected
    assert bool(answer["items"]) == bool(expected)
    assert answer["start"] == start or not expected


def test_flags_come_with_their_help(comm):
    [item] = comm.ask("complete", before="%%generate --temp")["answer"]["items"]
    assert item["kind"] == "flag"
    assert item["help"] == "0 takes the likeliest token; up to 2"


def test_what_it_does_not_know_is_one_line(comm):
    assert comm.ask("dance")["error"] == "nbllm 0.1.0 has no answer to 'dance'"
    assert comm.ask("stop", now=True)["error"].startswith("TypeError: ")
