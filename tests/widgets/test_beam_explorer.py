"""A BeamExplorer from Python: the page's half is in tests/browser."""

import numpy as np
import pytest
from beam_outputs import Words, searched
from ipywidgets.widgets.widget import _instances
from until import until

import nbllm
from nbllm import BeamSearchParams, resident
from nbllm.errors import NoModelError, ParamError
from nbllm.frames import BEAM_COLUMNS, TRACE_COLUMNS
from nbllm.results.search import Found
from nbllm.views import MIME
from nbllm.widgets import BeamExplorer
from nbllm.widgets.beam_record import ARRAYS

PARAMS = BeamSearchParams(beam_width=4, max_tokens=8)
LONG = BeamSearchParams(beam_width=4, max_tokens=200, ignore_eos=True)


@pytest.fixture
def llm(resident_ascii_llm):
    return resident_ascii_llm


@pytest.fixture
def explorer(llm):
    explorer = BeamExplorer("abc", PARAMS)
    assert explorer.wait(30)
    assert explorer.error == ""
    yield explorer
    explorer.close()


def slide(explorer, **values):
    """As a person moves the controls."""
    names = {"beam_width": "width", "length_penalty": "penalty", "max_tokens": "max_tokens"}
    for name, value in values.items():
        getattr(explorer._settings, names[name]).value = value


def texts(output):
    return [s.generated_text for s in output.sequences]


def test_without_arguments(llm):
    explorer = BeamExplorer()
    assert (explorer.params.beam_width, explorer.params.max_tokens) == (5, 32)
    assert (explorer.prompt, explorer.output, explorer.result, explorer.step) == ("", None, None, 0)
    assert list(explorer.df.columns) == list(BEAM_COLUMNS)
    assert list(explorer.trace.columns) == TRACE_COLUMNS
    assert len(explorer.df) == len(explorer.trace) == len(explorer.selected) == 0
    with pytest.raises(ParamError, match="there is no prompt"):
        explorer.run()
    with pytest.raises(ParamError, match="there is no search yet"):
        explorer.select(1)
    slide(explorer, beam_width=3)
    assert (explorer.error, explorer.runs.running) == ("", False)
    explorer.close()


def test_a_search_is_what_beam_search_makes(explorer, llm):
    [expected] = llm.beam_search("abc", PARAMS)
    assert texts(explorer.output) == texts(expected)
    assert isinstance(explorer.result, Found)
    assert nbllm.last.outputs == [explorer.output]
    assert nbllm.replay(explorer.result).identical
    assert list(explorer.df.text) == texts(expected)
    assert explorer.df.attrs["nbllm"]["kind"] == "beam"
    assert len(explorer.trace) == len(expected.trace_frame())
    assert explorer.step == 8


def test_the_page_gets_the_record(explorer):
    history, said = explorer.output.history, explorer.view.search
    for name, kind in ARRAYS.items():
        expected = history.scores[1:] if name == "scores" else getattr(history, name)
        assert np.array_equal(np.frombuffer(said[name], kind), expected.ravel())
    pieces = dict(said["pieces"])
    assert set(pieces) == set(np.unique(history.tokens).tolist())
    assert {pieces[token] for token in said["special"]} <= {"<s>", "</s>", "<pad>", "<unk>"} | set(
        map(history.spell, said["special"])
    )
    assert (said["width"], said["candidates"], said["steps"]) == (4, 8, 8)
    assert said["first"] == [0.0, None, None, None]
    assert [line["rank"] for line in explorer.view.lines] == [1, 2, 3, 4]
    assert "4 beams · 8 steps" in explorer.view.facts


def test_half_characters_are_spelled_where_they_are_whole():
    words = Words("p", "a", b"\xc3", b"\xa9")

    def choices(ids):
        return {3: 0.9, 2: 0.1} if not ids else {4: 0.9, 2: 0.1}

    output = searched(words, choices, BeamSearchParams(beam_width=1, max_tokens=2))
    explorer = BeamExplorer(output)
    assert explorer.view.search["texts"] == [[0, 0, ""], [1, 0, "é"]]
    explorer.close()


def test_new_steps_are_sent_as_they_come(llm, monkeypatch):
    explorer = BeamExplorer(params=LONG)
    messages = []
    monkeypatch.setattr(explorer.view, "send", lambda *message: messages.append(message))
    explorer.prompt = "abc"
    explorer.run()
    assert explorer.wait(60)
    known = 0
    for content, buffers in messages:
        assert (content["kind"], content["start"]) == ("more", known)
        count = content["steps"] - known
        sizes = [len(buffer) for buffer in buffers]
        assert sizes == [count * size for size in (4 * 8 * 4, 4 * 8 * 4, 4 * 8, 4 * 4, 4 * 8)]
        known = content["steps"]
    assert known == 200
    assert len(messages) > 1
    assert len({content["run"] for content, _ in messages}) == 1
    explorer.close()


def test_a_page_that_came_late_gets_everything(llm):
    explorer = BeamExplorer("abc", LONG)
    until(lambda: explorer.view._told > 2)
    with explorer.runs.lock:
        explorer.view._handle_custom_msg({"action": "draw"}, [])
        assert explorer.view.search["steps"] == explorer.view._told
    explorer.stop()
    assert explorer.wait(30)
    explorer.close()


def test_who_looks_at_an_earlier_step_stays_there(llm):
    explorer = BeamExplorer("abc", LONG)
    until(lambda: explorer.view._told > 5)
    explorer.go(3)
    assert explorer.wait(60)
    assert (explorer.step, explorer.output.history.num_steps) == (3, 200)
    explorer.run()
    assert explorer.wait(60)
    assert explorer.step == 200
    explorer.close()


def test_stop_keeps_the_best_so_far(llm):
    explorer = BeamExplorer("abc", LONG)
    until(lambda: explorer.view._told > 2)
    explorer.stop()
    assert explorer.wait(30)
    assert 2 < explorer.output.history.num_steps < 200
    assert set(explorer.df.finish_reason) == {"abort"}
    assert "interrupted" in explorer.view.facts
    assert explorer.view.search["steps"] == explorer.step == explorer.output.history.num_steps
    assert llm.requests() == []
    assert not explorer.view.running
    explorer.close()


def test_the_length_penalty_ranks_what_was_found(explorer, llm, monkeypatch):
    monkeypatch.setattr(llm, "astream_beams", None)
    drawn = explorer.view.search
    for penalty in (0.0, 2.5, -1.0):
        slide(explorer, length_penalty=penalty)
        params = BeamSearchParams(beam_width=4, max_tokens=8, length_penalty=penalty)
        [expected] = llm.beam_search("abc", params)
        assert texts(explorer.output) == texts(expected)
        assert list(explorer.df.score) == pytest.approx([s.score for s in expected.sequences])
        assert (explorer.view.penalty, explorer.error) == (penalty, "")
    assert explorer.view.note == "re-ranked from the recorded search"
    # the tree is the same: it is not sent again
    assert explorer.view.search is drawn
    assert nbllm.replay(explorer.result).identical


def test_less_is_in_the_record(explorer, llm, monkeypatch):
    monkeypatch.setattr(llm, "astream_beams", None)
    explorer.go(7)
    slide(explorer, max_tokens=5)
    [expected] = llm.beam_search("abc", BeamSearchParams(beam_width=4, max_tokens=5))
    assert texts(explorer.output) == texts(expected)
    assert explorer.step == explorer.view.search["steps"] == 5
    # and all of it is there again
    slide(explorer, max_tokens=8)
    assert explorer.output.history.num_steps == 8
    assert explorer.view.note == ""


def test_a_narrower_search(explorer, llm):
    for width in (3, 2, 1):
        slide(explorer, beam_width=width)
        assert explorer.wait(30)
        [expected] = llm.beam_search("abc", BeamSearchParams(beam_width=width, max_tokens=8))
        assert texts(explorer.output) == texts(expected)
        assert explorer.view.search["width"] == width


def test_more_is_searched_again(explorer, llm):
    slide(explorer, beam_width=6)
    assert explorer.view.note.startswith("searching again")
    slide(explorer, max_tokens=10)
    assert explorer.wait(30)
    params = BeamSearchParams(beam_width=6, max_tokens=10)
    assert texts(explorer.output) == texts(llm.beam_search("abc", params)[0])
    assert explorer.view.note == ""
    assert llm.requests() == []


def test_quick_changes_are_one_search_and_the_old_one_ends(llm, monkeypatch):
    began, begin = [], llm.astream_beams
    monkeypatch.setattr(
        llm, "astream_beams", lambda prompts, p: began.append(p.beam_width) or begin(prompts, p)
    )
    explorer = BeamExplorer("abc", LONG)
    until(lambda: explorer.view._told > 2)
    for width in (5, 6, 7, 8):
        slide(explorer, beam_width=width)
    until(lambda: len(began) == 2)
    until(lambda: len(llm.requests()) == 1)
    explorer.stop()
    assert explorer.wait(30)
    assert began == [4, 8]
    assert explorer.output.history.params.beam_width == 8
    explorer.close()


def test_back_to_what_was_found_ends_the_new_search(explorer):
    slide(explorer, max_tokens=200)
    until(lambda: explorer.view._told and explorer.view.running)
    slide(explorer, max_tokens=8)
    assert not explorer.runs.running
    assert not explorer.view.running
    assert explorer.view.search["steps"] == 8
    assert explorer.view.search["run"] == explorer.view._run


def test_what_was_searched_before_is_there_again(explorer, llm, monkeypatch):
    first = explorer.output
    slide(explorer, beam_width=6)
    assert explorer.wait(30)
    second = explorer.output
    monkeypatch.setattr(llm, "astream_beams", None)
    slide(explorer, beam_width=4)
    assert explorer.output is first
    slide(explorer, beam_width=6)
    assert explorer.output is second
    assert explorer.view.note == ""


def test_another_model_searches_again(explorer, llm):
    resident._llms["other"] = llm
    explorer.model = "other"
    slide(explorer, length_penalty=0.5)
    assert explorer.runs.running
    assert explorer.wait(30)
    assert explorer.output.history.params.length_penalty == 0.5


def test_nothing_is_selected_of_a_search_that_goes_on(llm):
    explorer = BeamExplorer("abc", PARAMS)
    assert explorer.wait(30)
    explorer.select(1)
    slide(explorer, max_tokens=200, beam_width=5)
    until(lambda: explorer.view._told > 2)
    with pytest.raises(ParamError, match="the search goes on: wait for its end, or stop it"):
        explorer.select(1)
    explorer.stop()
    assert explorer.wait(30)
    assert len(explorer.selected) == 0
    explorer.select(1)
    explorer.close()


def test_num_return_sequences_is_at_most_the_width(llm):
    params = BeamSearchParams(beam_width=4, max_tokens=4, num_return_sequences=3)
    explorer = BeamExplorer("abc", params)
    assert explorer.wait(30)
    assert len(explorer.df) == 3
    slide(explorer, beam_width=2)
    assert explorer.wait(30)
    assert len(explorer.df) == 2
    slide(explorer, beam_width=4)
    assert len(explorer.df) == 3
    explorer.close()


def test_parameters_that_do_not_go_together(llm):
    params = BeamSearchParams(beam_width=4, max_tokens=4, num_beam_groups=2)
    explorer = BeamExplorer("abc", params)
    assert explorer.wait(30)
    slide(explorer, beam_width=3)
    assert explorer.error == "num_beam_groups must divide beam_width=3, got 2"
    slide(explorer, beam_width=2)
    assert explorer.wait(30)
    assert explorer.error == ""
    explorer.close()


def test_selected_sequences(explorer):
    assert len(explorer.selected) == 0
    explorer.select(2)
    explorer.select(1)
    assert list(explorer.selected["rank"]) == [2, 1]
    assert list(explorer.selected.text) == [explorer.df.text[1], explorer.df.text[0]]
    common = [name for name in BEAM_COLUMNS if name != "token_logprobs"]
    for name in common:
        assert explorer.selected[name][0] == explorer.df[name][1]
    assert explorer.selected.diverges_at.isna().tolist() == [False, True]
    assert [line["selected"] for line in explorer.view.lines] == [True, True, False, False]
    explorer.unselect()
    assert len(explorer.selected) == 0
    explorer.select()
    assert len(explorer.selected) == 4
    with pytest.raises(ParamError, match="rank must be 1 … 4, got 5"):
        explorer.select(5)


def test_any_path_can_be_selected(explorer):
    trace = explorer.trace
    for state in ("pruned", "live"):
        row = trace[(trace.step == 3) & (trace.state == state)].iloc[0]
        explorer.select_path(int(row.step), int(row["rank"]))
        picked = explorer.selected.iloc[-1]
        assert (picked.state, picked.num_tokens) == (state, 3)
        assert picked.text.endswith(row.token)
        assert picked.cumulative_logprob == pytest.approx(row.cumulative_logprob)
        assert sum(picked.token_logprobs) == pytest.approx(row.cumulative_logprob, abs=1e-5)
    assert explorer.selected["rank"].isna().all()
    assert explorer.selected.finish_reason.isna().all()
    assert [line["rank"] for line in explorer.view.lines] == [1, 2, 3, 4, None, None]
    for step, rank in [(0, 1), (9, 1), (3, 0), (3, 33)]:
        with pytest.raises(ParamError):
            explorer.select_path(step, rank)


def test_a_selection_stays_with_its_tree(explorer):
    explorer.select(1)
    [best] = explorer.selected.text
    slide(explorer, length_penalty=0.0)
    assert list(explorer.selected.text) == [best]
    slide(explorer, max_tokens=5)
    assert len(explorer.selected) == 0


def page(explorer, **content):
    explorer.view._handle_custom_msg(content, [])
    return explorer.error


def test_what_the_page_says(explorer):
    line = explorer.view.lines[1]
    at = {"step": line["step"], "place": line["place"]}
    assert page(explorer, action="toggle", **at) == ""
    assert list(explorer.selected["rank"]) == [2]
    page(explorer, action="toggle", **at)
    assert len(explorer.selected) == 0
    page(explorer, action="go", step=3)
    assert explorer.step == 3
    # it is somebody's word
    assert "step must be 0 … 8" in page(explorer, action="go", step=99)
    assert "step must be 0 … 8" in page(explorer, action="go", step="<b>")
    assert "no candidate" in page(explorer, action="toggle", step=3, place=10**9)
    assert page(explorer, action="toggle", step=None, place=[]) != ""
    assert (
        page(explorer, action="frame", name="not a name") == "'not a name' is not a variable name"
    )


def test_a_search_that_was_made(llm):
    [output] = llm.beam_search("abc", PARAMS)
    explorer = BeamExplorer(output)
    assert (explorer.prompt, explorer.output, explorer.result) == ("abc", output, None)
    assert explorer.params == PARAMS
    assert not explorer.runs.running
    assert list(explorer.df.text) == texts(output)
    slide(explorer, length_penalty=0.0)
    assert explorer.error == ""
    slide(explorer, beam_width=6)
    assert explorer.wait(30)
    assert explorer.result is not None
    explorer.close()
    other = BeamExplorer(explorer.result, BeamSearchParams(beam_width=6, max_tokens=3))
    assert other.result.provenance.run == explorer.result.provenance.run
    assert other.output.history.num_steps == 3
    other.close()


def test_a_search_of_token_ids_is_searched_again_as_such(llm, monkeypatch):
    [output] = llm.beam_search([[5, 6, 7]], PARAMS)
    explorer = BeamExplorer(output)
    assert explorer.prompt == llm.get_tokenizer().decode([5, 6, 7])
    slide(explorer, max_tokens=9)
    assert explorer.wait(30)
    assert explorer.error == ""
    assert explorer.output.prompt_token_ids == [5, 6, 7]
    explorer.close()


def test_it_needs_no_model_for_a_search_that_was_made(llm, monkeypatch):
    [output] = llm.beam_search("abc", PARAMS)
    monkeypatch.setattr(resident, "_llms", {})
    monkeypatch.setattr(resident, "_current", None)
    explorer = BeamExplorer(output)
    slide(explorer, length_penalty=2.0, max_tokens=4)
    assert explorer.output.history.num_steps == 4
    assert resident.loaded() == {}
    explorer.close()


def test_what_is_no_search(llm):
    outputs = llm.beam_search(["abc", "def"], PARAMS)
    found = Found(outputs=outputs, prompts=["abc", "def"], provenance=None, seconds=0)
    before = set(_instances)
    with pytest.raises(ParamError, match=r"one search can be explored, got 2: take one"):
        BeamExplorer(found)
    with pytest.raises(ParamError, match=r"takes a prompt, or what %%beam .* got DataFrame"):
        BeamExplorer(outputs[0].to_frame())
    assert set(_instances) == before


def test_a_search_that_found_nothing():
    words = Words("p", "a")
    params = BeamSearchParams(beam_width=2, max_tokens=3)
    explorer = BeamExplorer(searched(words, lambda ids: {2: 1.0}, params, num_steps=0))
    assert list(explorer.df.num_tokens) == [0]
    with pytest.raises(ParamError, match="no candidate"):
        explorer.select()
    assert len(explorer.selected) == 0
    slide(explorer, length_penalty=0.0)
    assert explorer.error == ""
    explorer.close()


def test_the_bundled_model_is_loaded_and_the_note_says_so(monkeypatch):
    monkeypatch.setattr(resident, "_llms", {})
    monkeypatch.setattr(resident, "_current", None)
    explorer = BeamExplorer("Once", BeamSearchParams(beam_width=2, max_tokens=2))
    assert explorer.wait(60)
    assert "this is 'tiny', the bundled one" in explorer.view.note
    explorer.close()
    resident.unload()


def test_an_unknown_model_leaves_no_widget(llm):
    before = set(_instances)
    with pytest.raises(NoModelError, match="no model called 'asci'"):
        BeamExplorer("abc", model="asci")
    assert set(_instances) == before


def test_an_error_of_the_search_is_shown(llm):
    explorer = BeamExplorer("abc", PARAMS)
    assert explorer.wait(30)
    explorer.prompt = "a" * 5000
    explorer.run()
    assert explorer.wait(30)
    assert explorer.error.startswith("a prompt of 5001 tokens leaves no room")
    # what there was is shown still
    assert len(explorer.df) == 4
    assert not explorer.view.running
    explorer.close()


def test_what_is_left(explorer):
    data, metadata = explorer.static()
    [search] = data[MIME]["searches"]
    assert search["prompt"] == "abc"
    assert [s["text"] for s in search["sequences"]] == list(explorer.df.text)
    assert metadata["nbllm"]["params"]["beam_width"] == 4
    assert "<script" not in data["text/html"]
    until(lambda: explorer.view.stand_in)
    assert explorer.view.stand_in["data"][MIME] == data[MIME]
    slide(explorer, max_tokens=3)
    until(lambda: explorer.view.stand_in["data"][MIME]["searches"][0]["num_steps"] == 3)


def test_closed_it_shows_what_was_found(explorer, published):
    before = len(_instances)
    explorer._ipython_display_()
    explorer.close()
    assert published[-1][1] is True
    assert published[-1][2][MIME]["kind"] == "beam"
    assert len(_instances) < before
    assert BeamExplorer().static()[0]["text/plain"] == "BeamExplorer: nothing has been searched"


def test_several_share_the_engine(llm):
    explorers = [BeamExplorer(text, PARAMS) for text in ("abc", "def", "ghi", "jkl")]
    for explorer in explorers:
        assert explorer.wait(60)
        assert explorer.error == ""
        assert texts(explorer.output) == texts(llm.beam_search(explorer.prompt, PARAMS)[0])
        explorer.close()
