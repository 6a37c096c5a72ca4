"""A PromptGrid from Python: the page's half is in tests/browser."""

import time
from types import SimpleNamespace

import pandas as pd
import pytest
from ipywidgets.widgets.widget import _instances
from until import until

import nbllm
from nbllm import BeamSearchParams, SamplingParams
from nbllm.errors import NoModelError, ParamError, PromptError
from nbllm.views import MIME
from nbllm.widgets import PromptGrid, prompt_grid
from nbllm.widgets.grid.stream import AT_ONCE

SHORT = {"max_tokens": 6, "ignore_eos": True}
SETTINGS = {"greedy": {"temperature": 0, **SHORT}, "wild": {"temperature": 1.3, **SHORT}}
LONG = {"long": {"max_tokens": 200, "ignore_eos": True}}


@pytest.fixture
def llm(resident_ascii_llm):
    return resident_ascii_llm


@pytest.fixture
def made(llm):
    """f(…) → a grid, closed at the end."""
    grids = []

    def make(*args, **options):
        grids.append(PromptGrid(*args, **options))
        return grids[-1]

    yield make
    for grid in grids:
        grid.close()


@pytest.fixture
def grid(made):
    """Three prompts, two settings, done."""
    return ran(made(["abc", "xyz", "hello"], SETTINGS))


def ran(grid):
    grid.run()
    assert grid.wait(60)
    assert grid.error == ""
    return grid


def page_says(grid, action, **fields):
    grid.view._handle_custom_msg({"action": action, **fields}, [])


def sent(grid, monkeypatch):
    """The cells that are sent from now on."""
    cells = []
    monkeypatch.setattr(grid.view, "send", lambda m: cells.extend(m["cells"]))
    return cells


def test_without_arguments(made):
    grid = made()
    assert len(grid.cells) == 0
    assert len(grid.df) == len(grid.choices) == 0
    assert grid.static()[0]["text/plain"] == "PromptGrid: nothing has been generated"
    grid.run()
    assert grid.view.note == "there is no cell to run"
    grid.add("abc")
    grid.add_setting("wild: temperature=1.3 max_tokens=4")
    assert [c.name for c in grid.cells.columns] == ["default", "wild"]
    ran(grid)
    assert grid.df.text.notna().all()


def test_cells_are_what_generate_makes(grid, llm):
    found = grid.df
    assert found.setting.tolist() == ["greedy", "wild"] * 3
    params = [grid.cells.columns[i].params for i in (0, 1)] * 3
    expected = llm.generate(found.prompt.tolist(), params, use_tqdm=False)
    assert found.text.tolist() == [o.outputs[0].text for o in expected]
    assert found.cumulative_logprob.tolist() == pytest.approx(
        [o.outputs[0].cumulative_logprob for o in expected], rel=1e-4
    )
    assert found.num_tokens.tolist() == [6] * 6
    assert grid.view.progress == {"done": 6, "failed": 0, "total": 6}
    assert nbllm.last is grid
    assert nbllm.replay(grid).identical
    assert found.attrs["nbllm"]["kind"] == "compare"


def test_over_a_frame(made):
    over = pd.DataFrame({"animal": ["fox", "owl"]}, index=["f", "o"])
    grid = ran(made("The {{ animal }}", SETTINGS, over=over))
    assert grid.df.prompt.tolist() == ["The fox"] * 2 + ["The owl"] * 2
    assert grid.df.index.tolist() == ["f", "f", "o", "o"]
    with pytest.raises(ParamError, match="rows are those of a frame"):
        grid.add("more")


def test_searches_and_samples_side_by_side(made, llm):
    search = BeamSearchParams(beam_width=3, max_tokens=5)
    grid = ran(made(["abc", "xyz"] * 3, {"s": search, "x": {"temperature": 0, **SHORT}}))
    best = llm.beam_search(["abc", "xyz"], search)
    texts = grid.df[grid.df.setting == "s"].text.tolist()
    assert texts == [o.sequences[0].generated_text for o in best] * 3


def test_several_models(made, llm, monkeypatch):
    from nbllm import resident

    monkeypatch.setattr(resident, "_llms", {"ascii": llm, "twin": llm})
    grid = ran(made(["abc"], {"temperature": 0, **SHORT}, models=["ascii", "twin"]))
    assert grid.df.model.tolist() == ["ascii", "twin"]
    assert grid.df.text[0] == grid.df.text[1]


def test_stop_and_resume(made):
    grid = made([f"p{i}" for i in range(8)], LONG)
    grid.run()
    until(lambda: any(cell.made for cell in grid.cells))
    assert grid.view.running
    # a second press changes nothing
    grid.run()
    grid.stop()
    assert grid.wait(30)
    assert not grid.view.running
    assert "abort" in grid.df.finish_reason.tolist()
    assert grid.view.note.startswith("stopped")
    before = [cell.made for cell in grid.cells if cell.done]
    grid.add_setting({"temperature": 0, **SHORT})
    ran(grid)
    assert all(cell.done for cell in grid.cells)
    # what was done has not been made again
    assert all(any(cell.made is done for cell in grid.cells) for done in before)
    grid.run()
    assert grid.view.note == "all is done"


def test_it_leaves_room_for_others(made, llm):
    grid = made([f"p{i}" for i in range(3 * AT_ONCE)], LONG)
    grid.run()
    until(lambda: llm.engine.num_unfinished)
    [output] = llm.generate("abc", SamplingParams(max_tokens=5, ignore_eos=True), use_tqdm=False)
    assert len(output.outputs[0].token_ids) == 5
    # in the time of some steps, not of all the cells before it
    assert sum(cell.done for cell in grid.cells) == 0
    assert llm.engine.num_unfinished <= AT_ONCE
    grid.stop()
    assert grid.wait(30)


def test_it_leaves_rows_free_in_a_small_engine(made, llama, monkeypatch):
    from nbllm import LLM, resident

    with LLM(llama[0], max_num_seqs=8) as small:
        monkeypatch.setattr(resident, "_llms", {"ascii": small})
        grid = made([f"p{i}" for i in range(20)], SETTINGS)
        most = 0

        def stepped(*_, step=small.engine.step, **options):
            nonlocal most
            most = max(most, small.engine.num_unfinished)
            return step(**options)

        monkeypatch.setattr(small.engine, "step", stepped)
        ran(grid)
    assert most == 6


def test_a_cell_that_cannot_be_sent_has_its_own_error(made, llm):
    too_long = "x" * (llm.max_model_len + 1)
    grid = ran(made(["abc", "", too_long], {"x": {"temperature": 0, **SHORT}}))
    assert grid.df.error.isna().tolist() == [True, False, False]
    assert "empty" in grid.df.error[1]
    assert grid.view.progress == {"done": 1, "failed": 2, "total": 3}
    assert grid.sort(show="failed") == [1, 2]


def test_a_column_that_fails_ends_alone(made):
    def wrong(ids, logits):
        raise ZeroDivisionError("in a processor")

    broken = SamplingParams(max_tokens=4, logits_processors=[wrong])
    grid = made(["abc", "xyz"], {"broken": broken, "fine": {"temperature": 0, **SHORT}})
    grid.run()
    assert grid.wait(60)
    assert "in a processor" in grid.error
    done = grid.df[grid.df.finish_reason == "length"]
    assert done.setting.tolist() == ["fine", "fine"]


def test_a_model_that_is_gone(made):
    grid = made(["abc"], SETTINGS)
    grid.model = "gone"
    grid.run()
    assert grid.wait(30)
    assert "no model called 'gone' is loaded" in grid.error
    assert not grid.view.running


def test_a_column_without_its_model_has_errors(made, llm, monkeypatch):
    from nbllm import resident

    monkeypatch.setattr(resident, "_llms", {"ascii": llm, "twin": llm})
    grid = made(["abc"], {"temperature": 0, **SHORT}, models=["ascii", "twin"])
    monkeypatch.setattr(resident, "_llms", {"ascii": llm})
    ran(grid)
    assert grid.df.finish_reason.tolist()[0] == "length"
    assert "no model called 'twin' is loaded" in grid.df.error[1]
    monkeypatch.setattr(resident, "_llms", {"ascii": llm, "twin": llm})
    ran(grid)
    assert "error" not in grid.df
    assert grid.df.finish_reason.tolist() == ["length"] * 2


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (NoModelError, {"model": "asci"}),
        (NoModelError, {"models": ["ascii", "asci"]}),
        (ParamError, {"settings": "greedy"}),
        (PromptError, {"over": pd.DataFrame({"x": [1, 2]})}),
        (ParamError, {"file": __file__}),
    ],
    ids=repr,
)
def test_a_mistake_leaves_no_widget(llm, error, options):
    before = set(_instances)
    with pytest.raises(error):
        PromptGrid(["abc"], **options)
    assert set(_instances) == before


def test_nothing_that_can_be_sent(made):
    grid = ran(made([""], SETTINGS))
    assert grid.view.progress == {"done": 0, "failed": 2, "total": 2}
    assert not grid.view.running


def test_an_error_stays_while_the_page_only_looks(grid, monkeypatch):
    monkeypatch.setattr(prompt_grid, "KEEP_AFTER", 0.01)
    grid.rate(0, 0, 2)
    page_says(grid, "rate", row=0, column=0, rating=7)
    page_says(grid, "look", page="one", rows=[0])
    page_says(grid, "draw")
    until(lambda: "★★☆☆☆" in grid.view.stand_in["data"]["text/html"])
    assert grid.error == "a rating is 1 to 5, 0 for none, got 7"
    page_says(grid, "rate", row=0, column=0, rating=3)
    assert grid.error == ""


def test_the_page_gets_what_is_in_sight_while_it_grows(made, monkeypatch):
    grid = made([f"p{i}" for i in range(6)], LONG)
    cells = sent(grid, monkeypatch)
    page_says(grid, "look", page="one", rows=[2, 3])
    grid.run()
    assert grid.wait(60)
    growing = [c for c in cells if c["state"] == "running"]
    assert {c["row"] for c in growing} == {2, 3}
    assert len(growing) > 4
    ended = [c["row"] for c in cells if c["state"] == "done"]
    assert sorted(ended) == list(range(6))


def test_a_page_that_came_late_gets_everything(grid, monkeypatch):
    cells = sent(grid, monkeypatch)
    page_says(grid, "draw")
    assert [(c["row"], c["column"]) for c in cells] == [(i, j) for i in range(3) for j in range(2)]
    assert [c["text"] for c in cells] == grid.df.text.tolist()


def test_only_the_latest_pages_are_known(grid):
    for i in range(20):
        page_says(grid, "look", page=str(i), rows=[0])
    assert list(grid.view._pages) == [str(i) for i in range(12, 20)]
    page_says(grid, "look", page="x", rows=[99])
    assert grid.error.startswith("IndexError")


def test_ratings_and_notes(grid, monkeypatch):
    cells = sent(grid, monkeypatch)
    grid.rate(0, "greedy", 4)
    page_says(grid, "rate", row=1, column=1, rating=2)
    page_says(grid, "annotate", row=1, column=1, note="too wild")
    assert grid.df.rating.tolist()[:4] == [4, pd.NA, pd.NA, 2]
    assert grid.df.note.tolist()[3] == "too wild"
    assert [c["rating"] for c in cells] == [4, 2, 2]
    assert [c["mean"] for c in grid.view.columns] == [4.0, 2.0]
    grid.rate(0, "greedy", 0)
    assert grid.df.rating[0] is pd.NA
    page_says(grid, "rate", row=0, column=0, rating=7)
    assert grid.error == "a rating is 1 to 5, 0 for none, got 7"


def test_a_saved_notebook_gets_ratings(grid, monkeypatch):
    monkeypatch.setattr(prompt_grid, "KEEP_AFTER", 0.01)
    grid.rate(0, "greedy", 4)
    until(lambda: "★★★★☆" in grid.view.stand_in["data"]["text/html"])


def test_rows_stay_where_they_are_while_they_are_rated(grid):
    assert grid.sort("rating", show="unrated") == [0, 1, 2]
    grid.rate(0, 0, 5)
    grid.rate(0, 1, 5)
    assert grid.view.rows == [0, 1, 2]
    assert grid.sort("rating", show="unrated") == [1, 2]
    assert grid.sort("prompt", descending=True) == [1, 2, 0]
    with pytest.raises(ParamError, match="there is no column 'x'"):
        grid.sort("rating", "x")
    assert grid.view.order["by"] == "prompt"
    shown = grid.static()[0][MIME]["rows"]
    assert [row["prompt"] for row in shown] == ["xyz", "hello", "abc"]


def test_judging_blind(grid):
    with pytest.raises(ParamError, match="which columns"):
        grid.choose("left")
    with pytest.raises(ParamError, match="these are one"):
        grid.blind("greedy", 0)
    grid.blind("wild", "greedy")
    duel = grid.view.duel
    texts = set(grid.df.text[:2])
    assert {duel["left"], duel["right"]} == texts
    assert not {"greedy", "wild"} & set(str(duel).replace("'", " ").split())
    assert (duel["judged"], duel["of"], duel["outcome"]) == (0, 3, None)
    grid.choose("left")
    # a key that was pressed twice is not an answer to the next row
    page_says(grid, "choose", choice="left", row=0)
    assert grid.view.duel["judged"] == 1
    page_says(grid, "choose", choice="tie", row=1)
    page_says(grid, "undo")
    grid.choose("tie")
    grid.choose("right")
    assert grid.view.duel["row"] is None
    with pytest.raises(ParamError, match="has been judged"):
        grid.choose("left")
    outcome = grid.reveal()
    assert sum(outcome.wins.values()) == 2
    assert grid.view.duel["outcome"]["ties"] == outcome.ties == 1
    found = grid.choices
    assert found.choice.tolist() == ["left", "tie", "right"]
    assert (found.winner == found.left).tolist() == [True, False, False]
    assert str(outcome) in grid.static()[0]["text/plain"]
    grid.end_blind()
    assert grid.view.duel == {}
    grid.blind("greedy", "wild")
    assert grid.view.duel["judged"] == 3


def test_rows_become_ready_while_they_are_judged(made):
    grid = made(["abc", "xyz"], SETTINGS)
    grid.blind(0, 1)
    assert (grid.view.duel["row"], grid.view.duel["waiting"]) == (None, 2)
    ran(grid)
    assert (grid.view.duel["row"], grid.view.duel["waiting"]) == (0, 0)


def test_ratings_survive_a_restart(grid, made, tmp_path):
    path = tmp_path / "mine.jsonl"
    grid.rate(0, "greedy", 4)
    grid.annotate(2, "wild", "hm")
    grid.blind(0, 1)
    grid.choose("left")
    grid.save(path)
    assert grid.view.note == f"saved: {path}"
    grid.rate(1, 1, 1)
    grid.save()
    again = made(["abc", "xyz", "hello", "new"], SETTINGS, file=path)
    assert again.df.drop(columns="row")[:6].equals(grid.df.drop(columns="row"))
    assert again.choices.equals(grid.choices)
    assert "6 cells, 2 ratings, 1 judgement restored" in again.view.note
    # the rest is made with the same seed
    ran(again)
    assert len({column.params.seed for column in (*again.cells.columns, *grid.cells.columns)}) == 1
    assert nbllm.replay(again).identical


def test_a_grid_from_its_file(grid, made, tmp_path, monkeypatch):
    from nbllm import resident

    grid.rate(0, "greedy", 4)
    grid.save(tmp_path / "mine.jsonl")
    monkeypatch.setattr(resident, "_llms", {})
    # ratings can be looked at without any model
    there = PromptGrid.load(tmp_path / "mine.jsonl")
    assert resident.loaded() == {}
    assert there.df.equals(grid.df)
    there.rate(1, 0, 5)
    there.save()
    assert PromptGrid.load(tmp_path / "mine.jsonl").df.rating.tolist()[:3] == [4, pd.NA, 5]
    there.close()


def test_nothing_is_overwritten_by_accident(grid, made, tmp_path):
    path = tmp_path / "notes.jsonl"
    path.write_text("precious")
    with pytest.raises(ParamError, match="is there already: load it first, or choose another name"):
        grid.save(path)
    assert path.read_text() == "precious"
    page_says(grid, "save", path=str(tmp_path / "no" / "folder.jsonl"))
    assert "cannot be written: No such file" in grid.error
    grid.save(path, overwrite=True)
    other = made(["abc"], SETTINGS)
    other.restore(path)
    with pytest.raises(ParamError, match="4 cells that did not match, and they would be gone"):
        other.save()


def test_to_frame(grid, monkeypatch):
    shell = SimpleNamespace(user_ns={})
    monkeypatch.setattr("nbllm.widgets.binding.get_ipython", lambda: shell)
    page_says(grid, "frame", name="not a name")
    assert grid.error == "'not a name' is not a variable name"
    page_says(grid, "frame", name="cells")
    assert shell.user_ns["cells"].equals(grid.df)
    assert grid.view.note == "cells is a DataFrame of 6 rows"
    monkeypatch.setattr("nbllm.widgets.binding.get_ipython", lambda: None)
    page_says(grid, "frame", name="cells")
    assert "there is no notebook" in grid.error


def test_what_is_shown_can_be_made_again(grid, tmp_path):
    import json

    from nbllm.replays import replayed
    from nbllm.replays.notebook import recordings

    data, metadata = grid.static()
    cell = {"cell_type": "code", "outputs": [{"data": data, "metadata": metadata}]}
    path = tmp_path / "saved.ipynb"
    path.write_text(json.dumps({"cells": [cell]}))
    [(_, recording)] = recordings(path)
    assert len(recording.requests) == 6
    assert replayed(recording).identical
    grid.add("not made yet")
    assert grid.static()[1] == {}


def test_closing_leaves_the_static_view_and_nothing_else(llm, published):
    before = set(_instances)
    grid = ran(PromptGrid(["abc"], SETTINGS))
    grid.rate(0, 0, 3)
    grid._ipython_display_()
    grid.close()
    assert set(_instances) == before
    assert "★★★☆☆" in published[-1][2]["text/html"]
    until(lambda: llm.engine.num_unfinished == 0)


def test_thousands_of_cells_are_quick_to_handle(made):
    """Everything but the model: none of it grows out of hand."""
    grid = made([f"Once upon a time {i}" for i in range(3000)], SETTINGS)
    began = time.monotonic()
    for i in range(20):
        grid.rate(i, 0, 1 + i % 5)
    grid.sort("rating", descending=True)
    assert len(grid.df) == 6000
    grid.static()
    # a twentieth of this, on a machine of its own
    assert time.monotonic() - began < 5
