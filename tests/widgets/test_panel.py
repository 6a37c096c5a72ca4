"""What all widgets share: actions, errors inside, and the static view that outlives them."""

from types import SimpleNamespace

import ipywidgets
import pytest
from ipywidgets.widgets.widget import _instances

from nbllm import SamplingParams, resident
from nbllm.errors import ParamError
from nbllm.widgets.modules import css, esm
from nbllm.widgets.panel import WIDGET_VIEW, Panel
from nbllm.widgets.view import View, answered_where_asked


class SampleView(View):
    _esm = esm("frame")
    _css = css("frame")


class Sample(Panel):
    """The smallest widget."""

    def __init__(self):
        self.said = "nothing"
        super().__init__(SampleView({"say": self.say, "close": self.close}))
        self.arrange(ipywidgets.Text(description="text"), ipywidgets.Box([ipywidgets.Text()]))

    def say(self, text):
        self.said = text

    def static(self):
        return {"text/plain": self.said}, {"nbllm": {"kind": "sample"}}


@pytest.fixture
def sample():
    sample = Sample()
    yield sample
    sample.close()


def page_says(widget, content):
    widget.view._handle_custom_msg(content, [])


def test_a_message_is_an_action(sample):
    page_says(sample, {"action": "say", "text": "hello"})
    assert sample.said == "hello"


@pytest.mark.parametrize(
    "content",
    [{"action": "__init__"}, {"action": "view"}, {"action": None}, {}, None, [1], "say"],
    ids=repr,
)
def test_any_other_message_is_ignored(sample, content):
    page_says(sample, content)
    assert sample.said == "nothing"


@pytest.mark.parametrize(
    ("error", "shown"),
    [(ParamError("n must be ≥ 1"), "n must be ≥ 1"), (KeyError("x"), "KeyError: 'x'")],
    ids=["expected", "unexpected"],
)
def test_errors_are_shown_inside_and_go_with_the_next_wish(sample, error, shown):
    def fails():
        raise error

    sample.attempt(fails)
    assert sample.error == shown
    assert sample.attempt(lambda: 7) == 7
    assert sample.error == ""


def test_a_wrong_message_from_the_page_is_an_error_inside(sample):
    sample.view._actions["say"] = lambda **fields: sample.attempt(sample.say, **fields)
    page_says(sample, {"action": "say", "txt": 1})
    assert sample.error.startswith("TypeError")


def test_it_is_displayed_with_its_static_view(sample, published):
    sample._ipython_display_()
    [(_, update, data, metadata)] = published
    assert not update
    assert data["text/plain"] == "nothing"
    assert data[WIDGET_VIEW]["model_id"] == sample.model_id == sample.view.panel_id
    assert metadata == {"nbllm": {"kind": "sample"}}


def test_closing_leaves_the_static_view_everywhere(sample, published):
    sample._ipython_display_()
    sample._ipython_display_()
    sample.say("the result")
    sample.close()
    first, second, *updates = published
    assert first[0] != second[0]
    assert [u[:2] for u in updates] == [(first[0], True), (second[0], True)]
    for *_, data, metadata in updates:
        assert data == {"text/plain": "the result"}
        assert metadata == {"nbllm": {"kind": "sample"}}
    sample.close()
    assert len(published) == 4


def test_closing_leaves_no_widget(published):
    before = set(_instances)
    sample = Sample()
    sample.tie(extra := ipywidgets.Text())
    sample.children = (*sample.children, extra)
    assert len(set(_instances) - before) > 8
    sample.close()
    assert set(_instances) - before == set()


def test_a_saved_notebook_gets_what_is_shown(sample):
    sample.say("by now")
    sample.keep()
    assert sample.view.stand_in == {
        "data": {"text/plain": "by now"},
        "metadata": {"nbllm": {"kind": "sample"}},
    }


def test_messages_are_handled_where_the_page_sends_them(sample):
    class Comm:
        """As ipykernel 7.4 has it."""

        def _reply_subshell_for(self, data, default):
            return "the shell that spoke last"

    widget = SimpleNamespace(comm=Comm())
    answered_where_asked(widget)
    assert widget.comm._reply_subshell_for({}, "the page's subshell") == "the page's subshell"
    # other versions have no such method
    answered_where_asked(ipywidgets.Text())


def test_the_bundled_model_is_loaded_and_the_widget_says_so(sample, resident_llm, monkeypatch):
    assert sample.llm() is resident_llm
    assert sample.view.note == ""
    monkeypatch.setattr(resident, "_llms", {})
    monkeypatch.setattr(resident, "_current", None)
    monkeypatch.setattr(resident, "load", lambda: resident_llm)
    assert sample.llm() is resident_llm
    assert sample.view.note.startswith("no model was loaded: this is")


def test_another_model_by_its_name(sample, resident_llm):
    sample.model = "tiny-llama"
    assert sample.llm() is resident_llm
    sample.model = "tiny-lama"
    sample.attempt(sample.llm)
    assert "did you mean 'tiny-llama'" in sample.error


def test_closing_ends_what_runs(sample, resident_llm):
    long = SamplingParams(max_tokens=200, ignore_eos=True)
    ends = []
    sample.runs.start(
        lambda: resident_llm.astream("a", long),
        show=lambda outputs: sample.close(),
        end=lambda *how: ends.append(how),
    )
    run = sample.runs._latest
    assert run.over.wait(30)
    assert ends == []
    assert resident_llm.engine.num_unfinished == 0
