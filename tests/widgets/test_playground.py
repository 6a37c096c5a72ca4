"""A Playground from Python: the page's half is in tests/browser."""

import pytest
from ipywidgets.widgets.widget import _instances
from until import until

import nbllm
from nbllm import SamplingParams, StructuredOutputsParams
from nbllm.errors import NoModelError, ParamError, PromptError
from nbllm.views import MIME
from nbllm.widgets import Playground
from nbllm.widgets.history import MOST

GREEDY = SamplingParams(temperature=0, max_tokens=6, logprobs=2, ignore_eos=True)
LONG = SamplingParams(max_tokens=200, logprobs=1, ignore_eos=True, seed=1)


@pytest.fixture
def llm(resident_ascii_llm):
    return resident_ascii_llm


@pytest.fixture
def playground(llm):
    playground = Playground("abc", GREEDY)
    yield playground
    playground.close()


def ran(playground):
    playground.run()
    assert playground.wait(30)
    assert playground.error == ""
    return playground.result


def sent(view, monkeypatch):
    """The messages to the page from now on."""
    messages = []
    monkeypatch.setattr(view, "send", messages.append)
    return messages


def test_without_arguments(llm):
    playground = Playground()
    assert playground.params.max_tokens == 256
    assert playground.params.temperature == llm.get_default_sampling_params().temperature
    assert (playground.prompt, playground.live, playground.result, playground.history) == (
        "", False, None, [],
    )  # fmt: skip
    assert len(playground.df) == 0
    playground.close()


def test_a_run_is_what_generate_makes(playground, llm):
    result = ran(playground)
    [expected] = llm.generate("abc", GREEDY, use_tqdm=False)
    assert result.outputs[0].outputs[0].token_ids == expected.outputs[0].token_ids
    assert nbllm.last is result
    assert nbllm.replay(result).identical
    assert [entry.generation for entry in playground.history] == [result]


def test_the_page_gets_new_tokens_only(playground, monkeypatch):
    playground.params = LONG
    messages = sent(playground.view, monkeypatch)
    result = ran(playground)
    parts = [part for message in messages for part in message["parts"]]
    count = 0
    for part in parts:
        assert part["start"] == count
        count += len(part["tokens"])
    texts = [t["text"] for part in parts for t in part["tokens"]]
    shown = playground.view.result["completions"][0]["tokens"]
    assert texts == [t["text"] for t in shown][: len(texts)]
    assert len(shown) == result.num_tokens == 200
    assert {m["run"] for m in messages} == {playground.view.result["run"]}
    assert len(messages) > 1


def test_a_page_that_came_late_gets_everything(playground, llm, monkeypatch):
    playground.params = LONG
    messages = sent(playground.view, monkeypatch)
    playground.run()
    until(lambda: messages)
    with playground.runs.lock:
        playground.view._handle_custom_msg({"action": "draw"}, [])
        known = len(playground.view.result["completions"][0]["tokens"])
        messages.clear()
    assert known
    until(lambda: messages)
    assert messages[0]["parts"][0]["start"] == known
    playground.stop()
    assert playground.wait(30)


def test_stop_keeps_the_run(playground, monkeypatch):
    playground.params = LONG
    messages = sent(playground.view, monkeypatch)
    playground.run()
    assert playground.view.running
    until(lambda: messages)
    playground.stop()
    assert playground.wait(30)
    assert not playground.view.running
    [output] = playground.result.outputs
    assert output.outputs[0].finish_reason == "abort"
    assert playground.df.finish_reason.tolist() == ["abort"]


def test_stopped_before_anything_was_generated(playground):
    playground.live = True
    playground.stop()
    assert playground.wait(30)
    assert playground.view.note == "stopped before anything was generated"
    assert playground.history == []


def test_variables_get_fields(playground):
    playground.prompt = "{{ a }} and {{ b.upper() }}, {{ a }}"
    assert list(playground._prompt.fields) == ["a", "b"]
    playground.variables = {"a": "x", "b": "y"}
    assert ran(playground).prompts == ["x and Y, x"]
    playground.prompt = "{{ b }}"
    assert list(playground._prompt.fields) == ["b"]
    playground.prompt = "{{ a }}{{ b }}"
    # a text that was there before is there again
    assert ran(playground).prompts == ["xy"]


def test_a_half_typed_template_keeps_its_fields(playground):
    playground.prompt = "{{ a }}"
    playground.prompt = "{{ a }} {{ "
    assert list(playground._prompt.fields) == ["a"]
    with pytest.raises(PromptError, match="unexpected"):
        playground.run()


def test_live(playground):
    playground.live = True
    playground.prompt = "abcd"
    playground.prompt = "abcde"
    assert playground.runs.running
    assert playground.wait(30)
    assert [entry.template for entry in playground.history] == ["abcde"]
    playground.params = LONG
    until(lambda: playground.view.running)
    playground.prompt = ""
    assert playground.wait(30)
    assert not playground.runs.running
    playground.live = False
    playground.prompt = "abc"
    assert not playground.runs.running


def test_live_from_the_start(llm):
    playground = Playground("abc", GREEDY, live=True)
    assert playground.wait(30)
    assert playground.result.prompts == ["abc"]
    playground.close()


def test_live_shows_what_cannot_be_sent(playground):
    playground.live = True
    playground._settings.controls["n"].widget.value = 2
    assert playground.wait(30)
    assert playground.error.startswith("n must be 1 when temperature is 0")
    playground._settings.controls["n"].widget.value = 1
    assert playground.error == ""
    assert playground.wait(30)
    assert len(playground.history) == 1


def test_restore(playground):
    playground.prompt, playground.variables = "{{ x }}", {"x": "abc"}
    first = ran(playground)
    playground.live = True
    playground.variables = {"x": "z"}
    playground.params = SamplingParams(temperature=1.0, max_tokens=3, logprobs=1)
    assert playground.wait(30)
    playground.restore(1)
    assert not playground.runs.running
    assert (playground.prompt, playground.variables["x"]) == ("{{ x }}", "abc")
    assert playground.params == playground.history[0].params == GREEDY
    assert playground.result is first
    assert playground.view.shown == 1
    with pytest.raises(ParamError, match="run 7 is not in the history"):
        playground.restore(7)


def test_pins(playground):
    with pytest.raises(ParamError, match="no run to pin"):
        playground.pin("A")
    with pytest.raises(ParamError, match="as A or B, got 'C'"):
        playground.pin("C")
    first = ran(playground)
    playground.prompt = "xyz"
    second = ran(playground)
    playground.pin("A", 1)
    assert playground.view.diff == []
    playground.pin("B")
    a, b = playground.view.diff
    assert "".join(words for _, words in a) == first.text
    assert "".join(words for _, words in b) == second.text
    playground.unpin("A")
    assert list(playground.view.pins) == ["B"]


def test_the_static_view_has_pins_and_the_run_that_is_shown(playground, tmp_path):
    import json

    assert playground.static()[0]["text/plain"] == "Playground: nothing has been generated"
    for prompt, params in [("abc", GREEDY), ("xyz", LONG), ("abc", LONG)]:
        playground.prompt, playground.params = prompt, params
        ran(playground)
    data, metadata = playground.static()
    assert [o["prompt"] for o in data[MIME]["outputs"]] == ["abc"]
    playground.pin("A", 1)
    playground.pin("B", 2)
    data, metadata = playground.static()
    shown = data[MIME]["outputs"]
    assert [o["setting"].split(":")[0] for o in shown] == ["A", "B", "shown"]
    assert playground.view.stand_in == {"data": data, "metadata": metadata}
    # and what is shown can be made again from the saved notebook
    from nbllm.replays import replayed
    from nbllm.replays.notebook import recordings

    cell = {"cell_type": "code", "outputs": [{"data": data, "metadata": metadata}]}
    path = tmp_path / "saved.ipynb"
    path.write_text(json.dumps({"cells": [cell]}))
    [(_, recording)] = recordings(path)
    assert len(recording.requests) == 3
    assert replayed(recording).identical


def test_the_frame_of_all_runs(playground):
    playground.prompt, playground.variables = "{{ x }}bc", {"x": "a"}
    ran(playground)
    playground.params = SamplingParams(temperature=0.9, n=2, max_tokens=6, logprobs=2, seed=3)
    playground.variables = {"x": "q"}
    ran(playground)
    frame = playground.df
    assert frame.run.tolist() == [1, 2, 2]
    assert frame.x.tolist() == ["a", "q", "q"]
    assert frame.prompt.tolist() == ["abc", "qbc", "qbc"]
    assert frame.temperature.tolist() == [0.0, 0.9, 0.9]
    assert frame.seed.tolist()[1:] == [3, 3]
    assert frame.text.tolist()[1:] == [c.text for c in playground.result.outputs[0].outputs]
    assert {"n", "ignore_eos"} <= set(frame.columns)
    assert "max_tokens" not in frame.columns


def test_the_history_is_bounded(playground, monkeypatch):
    monkeypatch.setattr("nbllm.widgets.history.MOST", 3)
    assert MOST == 200
    for _ in range(5):
        ran(playground)
    assert [entry.number for entry in playground.history] == [3, 4, 5]


def test_a_vanished_model_is_an_error_inside(playground, monkeypatch):
    from nbllm import resident

    ran(playground)
    playground.model = "gone"
    playground.attempt(playground.run)
    assert "no model called 'gone' is loaded" in playground.error
    # what needs no model works
    playground.pin("A")
    playground.restore(1)
    assert playground.code().startswith("%%generate --model gone")
    assert resident.loaded() == {"ascii": nbllm.current()}


def test_an_unknown_model_leaves_no_widget(llm):
    before = set(_instances)
    with pytest.raises(NoModelError, match="did you mean 'ascii'"):
        Playground(model="asci")
    assert set(_instances) == before


def test_fields_without_a_control_stay(playground):
    wanted = StructuredOutputsParams(regex="[a-c]{4}")
    playground.params = SamplingParams(
        structured_outputs=wanted, logit_bias={5: 1.0}, max_tokens=9, temperature=0.5, logprobs=0
    )
    assert playground.params.structured_outputs == wanted
    assert playground.params.logit_bias == {5: 1.0}
    assert len(ran(playground).text) == 4


def test_very_long_runs_are_shown_as_text(playground, monkeypatch):
    monkeypatch.setattr("nbllm.views.MAX_TOKENS", 50)
    monkeypatch.setattr("nbllm.views.data.MAX_TOKENS", 50)
    messages = sent(playground.view, monkeypatch)
    playground.params = LONG
    ran(playground)
    assert sum(len(p["tokens"]) for m in messages for p in m["parts"]) <= 50
    assert "tokens" not in playground.view.result["completions"][0]


def test_closing_leaves_nothing(llm):
    before = set(_instances)
    playground = Playground("{{ a }} {{ b }}", LONG)
    playground.run()
    playground.prompt = "{{ c }}"
    playground.close()
    assert set(_instances) == before
    until(lambda: llm.engine.num_unfinished == 0)
