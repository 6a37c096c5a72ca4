"""EngineStatus from Python: the page's half is in tests/browser."""

import time

import pytest

from nbllm import LLM, BeamSearchParams, SamplingParams, resident
from nbllm.errors import NoModelError, ParamError
from nbllm.widgets import EngineStatus
from nbllm.widgets.engine_data import MAX_CALLS, SAMPLES, Watched

LONG = SamplingParams(max_tokens=200, ignore_eos=True)


@pytest.fixture
def status(resident_llm):
    status = EngineStatus()
    yield status
    status.close()


def test_a_record_a_model(status, resident_llm):
    [model] = status.models
    assert (model["name"], model["current"], model["asleep"]) == ("tiny-llama", True, False)
    assert (model["num_used_pages"], model["num_pages"]) == (0, resident_llm.info().num_pages)
    assert model["calls"] == []
    assert len(model["speeds"]) == SAMPLES


def test_calls(status, resident_llm):
    first = resident_llm.stream(["abc", "def"], LONG)
    second = resident_llm.stream("ghi", SamplingParams(n=3, max_tokens=50, ignore_eos=True))
    for stream in (first, second):
        next(stream)
    status.look()
    one, other = status.models[0]["calls"]
    assert (one["prompts"], one["state"], one["max_tokens"]) == (2, "running", 400)
    assert (other["prompts"], other["max_tokens"]) == (1, 150)
    assert one["num_tokens"] >= 2
    status.stop("tiny-llama", other["id"])
    assert [c["id"] for c in status.models[0]["calls"]] == [one["id"]]
    status.stop("tiny-llama")
    assert status.models[0]["calls"] == []
    ends = [list(first)[-1], list(second)[-1]]
    assert {c.finish_reason for output in ends for c in output.outputs} == {"abort"}


def test_many_calls_are_counted(status, resident_llm):
    streams = [resident_llm.stream("a", LONG) for _ in range(MAX_CALLS + 3)]
    for stream in streams:
        next(stream)
    status.look()
    model = status.models[0]
    assert (len(model["calls"]), model["more_calls"]) == (MAX_CALLS, 3)
    for stream in streams:
        stream.close()


def test_a_search_is_a_call(resident_llm, status):
    import threading

    params = BeamSearchParams(beam_width=4, max_tokens=240, ignore_eos=True)
    thread = threading.Thread(target=resident_llm.beam_search, args=(["abc"], params), daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not status.models[0]["calls"] or status.models[0]["calls"][0]["state"] != "searching":
        assert time.monotonic() < deadline
        status.look()
    assert status.models[0]["calls"][0]["max_tokens"] == 240
    status.stop("tiny-llama")
    thread.join(30)
    assert not thread.is_alive()


def test_speed(resident_llm):
    watched = Watched(resident_llm)
    watched.look("x", current=True)
    begin = time.monotonic()
    resident_llm.generate("abc", LONG, use_tqdm=False)
    speed = watched.look("x", current=True)["speeds"][-1]
    assert 0 < speed <= 200 / (time.monotonic() - begin) * 1.5
    time.sleep(0.01)
    assert watched.look("x", current=True)["speeds"][-1] == 0


def test_sleep_and_unload(llama, monkeypatch):
    monkeypatch.setattr(resident, "_llms", {})
    monkeypatch.setattr(resident, "_current", None)
    status = EngineStatus()
    assert status.models == []
    assert status.static()[0]["text/plain"].startswith("no model is loaded")
    resident.load(LLM(llama[0]), name="one")
    resident.load(LLM(llama[0]), name="two")
    status.look()
    assert [(m["name"], m["current"]) for m in status.models] == [("one", False), ("two", True)]
    stream = resident.current("one").stream("a", LONG)
    next(stream)
    with pytest.raises(ParamError, match="1 prompt runs, which would wake one up at once"):
        status.sleep("one")
    stream.close()
    status.sleep("one")
    assert status.models[0]["asleep"]
    status.wake("one")
    assert not status.models[0]["asleep"]
    status.unload("two")
    assert [m["name"] for m in status.models] == ["one"]
    with pytest.raises(NoModelError):
        status.unload("two")
    status.unload("one")
    assert resident.loaded() == {}
    status.close()


def test_what_is_left(status, resident_llm):
    resident_llm.generate("abc", SamplingParams(max_tokens=2), use_tqdm=False)
    status.look()
    data, metadata = status.static()
    assert metadata == {}
    assert data["text/plain"].startswith("tiny-llama: LlamaForCausalLM, ")
    assert "<script" not in data["text/html"]
    # a saved notebook gets what it was when something had come to rest
    assert status.view.stand_in["data"] == data


def test_names_are_text(status, resident_llm, monkeypatch):
    monkeypatch.setattr(resident, "_llms", {"<img src=x onerror=alert(1)>": resident_llm})
    monkeypatch.setattr(resident, "_current", "<img src=x onerror=alert(1)>")
    status.look()
    assert "<img" not in status.static()[0]["text/html"]


def test_it_looks_while_it_is_in_view(status, resident_llm, monkeypatch):
    monkeypatch.setattr("nbllm.widgets.engine_status.PERIOD", 0.01)
    looks = []
    look = status.look
    monkeypatch.setattr(status, "look", lambda: (looks.append(1), look()))
    status.view._view_count = 1
    status.view._view_count = 2
    deadline = time.monotonic() + 30
    while len(looks) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    status.view._view_count = 0
    time.sleep(0.2)
    count = len(looks)
    time.sleep(0.2)
    assert len(looks) == count


def test_a_model_closed_behind_its_back(status, llama, monkeypatch):
    gone = LLM(llama[0])
    gone.close()
    monkeypatch.setattr(resident, "_llms", {"gone": gone})
    status.look()
    assert status.models == []
