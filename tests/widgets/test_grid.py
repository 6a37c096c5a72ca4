"""The parts of a PromptGrid: columns, order, judgements, files. No model, no page."""

import json

import pandas as pd
import pytest

from nbllm import BeamSearchParams, SamplingParams
from nbllm.errors import ParamError, PromptError
from nbllm.outputs import CompletionOutput
from nbllm.views import MIME
from nbllm.widgets.grid import saved
from nbllm.widgets.grid.cells import Cells, checked_rating
from nbllm.widgets.grid.choices import Duel, wilson
from nbllm.widgets.grid.columns import Column, column, columns
from nbllm.widgets.grid.frame import choices, frame
from nbllm.widgets.grid.order import Order
from nbllm.widgets.grid.rows import rows
from nbllm.widgets.grid.static import stars, static


def base():
    return SamplingParams(temperature=0.7, max_tokens=256)


def named(settings, models=None):
    return {c.name: c for c in columns(settings, models, base)}


def made(text, *, tokens=3, logprob=-1.5, reason="stop"):
    return CompletionOutput(
        index=0, text=text, token_ids=list(range(tokens)), cumulative_logprob=logprob,
        finish_reason=reason,
    )  # fmt: skip


@pytest.fixture
def cells():
    """Four rows, two columns; the last row is not made."""
    cells = Cells(
        prompts=["b", "a", "d", "c"], columns=columns({"x": {}, "y": {"top_k": 5}}, None, base)
    )
    for row, text in enumerate(["one", "two words", "three"]):
        for cell in cells.table[row]:
            cell.made = made(
                f"{text} {cell.column}", tokens=row + 1 + cell.column, logprob=-row - 1.0
            )
            cell.model = "f00d"
    return cells


# columns


def test_what_settings_may_be():
    assert named(None)["default"].params.temperature == 0.7
    assert list(named(SamplingParams(temperature=0))) == ["default"]
    assert list(named({"temperature": 0, "top_k": 3})) == ["temperature=0, top_k=3"]
    assert list(named([{"temperature": 0}, SamplingParams(top_k=2), {}])) == [
        "temperature=0", "top_k=2", "default",
    ]  # fmt: skip
    found = named(
        {"greedy": {"temperature": 0}, "search": {"beam_width": 3}, "own": SamplingParams()}
    )
    assert found["greedy"].params.max_tokens == 256
    assert found["search"].params == BeamSearchParams(beam_width=3, max_tokens=256)
    assert found["own"].params.max_tokens == 16
    # one field whose value is a dictionary is no name
    assert named({"logit_bias": {5: 1.0}})["logit_bias={5: 1.0}"].params.logit_bias == {5: 1.0}


def test_models_are_columns():
    assert [(c.name, c.model) for c in columns(None, ["a", "b"], base)] == [("a", "a"), ("b", "b")]
    found = columns({"x": {}, "y": {"top_k": 1}}, ["a", "b"], base)
    assert [c.name for c in found] == ["a: x", "a: y", "b: x", "b: y"]


def test_seeds():
    found = named({"one": {}, "two": {"top_k": 5}, "own": {"seed": 3}})
    assert found["one"].params.seed == found["two"].params.seed is not None
    assert found["own"].params.seed == 3
    # whose seed nobody asked for is the same column the next time
    again = named({"one": {}, "own": {"seed": 4}})
    assert again["one"].key == found["one"].key
    assert again["own"].key != found["own"].key
    assert "seed" not in found["one"].settings


def test_several_completions_are_a_column_each():
    found = named({"x": {"n": 3, "seed": 10}, "y": {"n": 2}})
    assert list(found) == ["x [0]", "x [1]", "x [2]", "y [0]", "y [1]"]
    assert [c.params.seed for c in found.values()][:3] == [10, 11, 12]
    assert {c.params.n for c in found.values()} == {1}
    assert found["y [0]"].key != found["y [1]"].key


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"x": {"temprature": 1}}, "no setting 'temprature'; did you mean 'temperature'"),
        ({"temprature": 1}, "no setting 'temprature'; did you mean 'temperature'"),
        (
            {"x": 3, "y": {}},
            "a setting must be SamplingParams, BeamSearchParams or a dict.* got a int",
        ),
        ("greedy", "got a str"),
        ([], "settings are empty"),
        ({3: {}}, "name must be a string, got 3"),
        ([{"top_k": 1}, {"top_k": 1}], "two settings are the same"),
        ({"x": {"temperature": 9}}, "temperature must lie in"),
        ({"x": {"temperature": 0, "n": 2}}, "n must be 1 when temperature is 0"),
    ],
    ids=repr,
)
def test_wrong_settings(settings, message):
    with pytest.raises(ParamError, match=message):
        columns(settings, None, base)


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("wild: temperature=1.3 top_k=50", "wild", {"temperature": 1.3, "top_k": 50}),
        (
            "temperature=0, max-tokens=8",
            "temperature=0, max_tokens=8",
            {"temperature": 0, "max_tokens": 8},
        ),
        (
            r"""x: stop='.\n' ignore_eos=true seed=None""",
            "x",
            {"stop": [".\n"], "ignore_eos": True},
        ),
        ("plain", "default", {"temperature": 0.7}),
        ("", "default", {"temperature": 0.7}),
    ],
    ids=repr,
)
def test_a_setting_as_it_is_typed(text, name, values):
    if text == "plain":
        with pytest.raises(ParamError, match=r"a setting is NAME=VALUE.* got 'plain'$"):
            column(text, base)
        return
    [found] = column(text, base)
    assert found.name == name
    assert {field: getattr(found.params, field) for field in values} == values


def test_a_typed_setting_with_an_open_quote():
    with pytest.raises(ParamError, match="No closing quotation"):
        column("x: stop='a", base)


# rows


def test_rows():
    over = pd.DataFrame({"x": ["a", "b"], 3: [1, 2]})
    assert rows("say {{ x }}", over) == ["say a", "say b"]
    assert rows(["p", "q"], over) == ["p", "q"]
    assert rows("{{ x }}", None) == ["{{ x }}"]
    assert rows(pd.Series(["p"]), None) == ["p"]
    assert rows(None, None) == []
    with pytest.raises(PromptError, match="got 1 prompts for the 2 rows"):
        rows(["p"], over)
    with pytest.raises(PromptError, match="did you mean 'x'"):
        rows("{{ xx }}", over)
    with pytest.raises(PromptError, match="a text or a list of them, got 3"):
        rows(3, None)
    with pytest.raises(ParamError, match="over must be a DataFrame, got a list"):
        rows("p", [1])
    with pytest.raises(PromptError, match="prompts must be texts, got 3"):
        rows([3], None)


def test_places(cells):
    assert cells.cell(1, "y") is cells.table[1][1] is cells.cell(1, 1)
    for row, which, message in [
        (9, "x", "there is no row 9"), (-1, 0, "no row -1"), (0, "xx", "no column 'xx'; did you mean"),
        (0, 2, "no column 2: the grid has 2"), (True, 0, "a row is its number"), ("0", 0, "a row is its number"),
    ]:  # fmt: skip
        with pytest.raises(ParamError, match=message):
            cells.cell(row, which)


@pytest.mark.parametrize("rating", [6, -1, True, "3", 2.5], ids=repr)
def test_no_rating(rating):
    with pytest.raises(ParamError, match="a rating is 1 to 5, 0 for none"):
        checked_rating(rating)


# order


def test_sorting(cells):
    cells.table[0][0].rating, cells.table[2][1].rating, cells.table[1][1].rating = 2, 5, 3
    assert Order(by="prompt").rows(cells) == [1, 0, 3, 2]
    assert Order(by="rating", descending=True).rows(cells) == [2, 1, 0, 3]
    # what has none comes last either way
    assert Order(by="rating", column=0).rows(cells) == [0, 1, 2, 3]
    assert Order(by="tokens", descending=True).rows(cells) == [2, 1, 0, 3]
    assert Order(by="logprob", column=0).rows(cells) == [0, 1, 2, 3]
    assert Order(by="text", descending=True).rows(cells) == [1, 2, 0, 3]
    assert Order(by="row", descending=True).rows(cells) == [3, 2, 1, 0]


def test_filtering(cells):
    cells.table[0][0].rating, cells.table[2][1].note, cells.table[3][0].error = 1, "hm", "no"
    assert Order(text="WORDS").rows(cells) == [1]
    assert Order(text="c").rows(cells) == [3]
    assert Order(text="0", column=1).rows(cells) == []
    shown = {show: Order(show=show).rows(cells) for show in ("rated", "noted", "missing", "failed")}
    assert shown == {"rated": [0], "noted": [2], "missing": [3], "failed": [3]}
    assert Order(show="unrated", column=0).rows(cells) == [1, 2, 3]
    with pytest.raises(ParamError, match=r"by must be one of row, .*did you mean 'rating'"):
        Order(by="ratng")


# judgements


def test_wilson():
    """Of textbooks: 8 of 10, and Agresti and Coull's 9 of 10."""
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert wilson(0, 5) == pytest.approx((0.0, 0.4345), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_sides_are_drawn_once_for_each_row(cells):
    many = Cells(prompts=["p"] * 200, columns=cells.columns)
    duel = Duel(a=0, b=1)
    sides = [duel.sides(row) for row in range(len(many.prompts))]
    assert sides == [duel.sides(row) for row in range(len(many.prompts))]
    # by chance: one in 10^20 that it is outside
    assert 35 < sum(left == 0 for left, _ in sides) < 165
    assert all({left, right} == {0, 1} for left, right in sides)


def test_judging(cells):
    duel = Duel(a=0, b=1)
    cells.table[1][1].made = made("two words 0")
    assert duel.rows(cells) == [0, 2]
    duel.left = {0: 1, 2: 0}
    duel.choose(0, "left")
    assert duel.next(cells) == 2
    duel.choose(2, "tie")
    assert duel.next(cells) is None
    outcome = duel.outcome(cells)
    assert (outcome.wins, outcome.ties, outcome.share) == ({"x": 0, "y": 1}, 1, 0.0)
    assert (outcome.low, outcome.high) == wilson(0, 1)
    assert "x: 0 wins, y: 1 win, 1 tied" in str(outcome)
    found = choices(cells, [duel])
    assert found.to_dict("list") | {"winner": found.winner.fillna("-").tolist()} == {
        "row": [0, 2], "prompt": ["b", "d"], "a": ["x", "x"], "b": ["y", "y"], "left": ["y", "x"],
        "choice": ["left", "tie"], "winner": ["y", "-"],
    }  # fmt: skip
    duel.undo()
    assert duel.next(cells) == 2
    duel.undo()
    assert duel.outcome(cells).share is None
    with pytest.raises(ParamError, match="nothing has been judged yet"):
        duel.undo()
    with pytest.raises(ParamError, match="one of left, right, tie, got 'both'"):
        duel.choose(0, "both")


# frames and views


def test_the_frame(cells):
    cells.table[0][1].rating, cells.table[0][1].note, cells.table[3][0].error = (
        4,
        "fine",
        "too long",
    )
    found = frame(cells, None)
    assert list(found.columns) == [
        "row", "prompt", "setting", "text", "finish_reason", "num_tokens", "cumulative_logprob",
        "mean_logprob", "error", "rating", "note", "top_k",
    ]  # fmt: skip
    assert len(found) == 8
    assert found.num_tokens.tolist()[:2] == [1, 2]
    assert found.mean_logprob[1] == -0.5
    assert found.rating.dtype == "Int64"
    assert found.text.isna().tolist() == [False] * 6 + [True] * 2
    assert found.error[6] == "too long"
    assert found.top_k.tolist() == [0, 5] * 4


def test_the_frame_of_nothing():
    found = frame(Cells(prompts=[], columns=[]), None)
    assert len(found) == 0
    assert found.rating.dtype == "Int64"


def test_beside_a_frame_and_with_models():
    over = pd.DataFrame({"text": ["u", "v"]}, index=["i", "j"])
    cells = Cells(prompts=["p", "q"], columns=columns(None, ["m", "n"], base), over=over)
    found = frame(cells, None)
    assert found.index.tolist() == ["i", "i", "j", "j"]
    assert found.text_over.tolist() == ["u", "u", "v", "v"]
    assert found.model.tolist() == ["m", "n", "m", "n"]


def test_the_static_view(cells):
    cells.table[0][0].rating, cells.table[0][0].note = 3, "<b>"
    duel = Duel(a=0, b=1, chosen={0: 0}, left={0: 0})
    bundle = static(cells, [2, 0], [duel])
    data = bundle[MIME]
    assert [row["prompt"] for row in data["rows"]] == ["d", "b"]
    assert data["omitted"] == 2
    assert data["rows"][1]["cells"][0][0]["remark"] == "★★★☆☆ · <b>"
    assert "★★★☆☆ · &lt;b&gt;" in bundle["text/html"]
    assert "★★★☆☆" in bundle["text/plain"]
    # who wins is told when somebody has asked
    assert data["caption"] == "x and y: 1 rows judged blind"
    duel.revealed = True
    assert "x: 1 win" in static(cells, [0], [duel])["text/html"]
    assert stars(None) == ""


# files


def keep(tmp_path, cells, *duels):
    path = tmp_path / "grid.jsonl"
    saved.write(path, cells, duels)
    return path


def test_a_file_has_everything(cells, tmp_path):
    cells.table[0][0].rating, cells.table[1][1].note = 4, "\ud800 odd"
    cells.table[2][0].made = made("\x1b[31m \u202e", reason=None)
    duel = Duel(a=0, b=1, chosen={1: 0, 0: None}, left={0: 1, 1: 0})
    there, duels = saved.read(keep(tmp_path, cells, duel))
    assert there.prompts == cells.prompts
    assert there.columns == cells.columns
    cells.table[2][0].made = made("\x1b[31m \u202e", reason="abort")
    assert there.table == cells.table
    [read] = duels.values()
    assert (read.chosen, read.left, list(read.chosen)) == (duel.chosen, duel.left, [1, 0])
    assert list(tmp_path.iterdir()) == [tmp_path / "grid.jsonl"]


def test_a_search_and_the_frame_travel(tmp_path):
    over = pd.DataFrame({"when": pd.to_datetime(["2026-01-02"]), "n": [3], "x": [float("nan")]})
    cells = Cells(prompts=["p"], columns=columns({"s": {"beam_width": 2}}, None, base), over=over)
    there, _ = saved.read(keep(tmp_path, cells))
    assert there.columns[0].params == BeamSearchParams(beam_width=2, max_tokens=256)
    assert there.over is not None
    assert there.over.n.tolist() == [3]
    assert there.over.when.tolist() == ["2026-01-02 00:00:00"]


def test_what_matches_is_restored_and_the_rest_is_said(cells, tmp_path):
    cells.table[0][0].rating, cells.table[1][0].rating, cells.table[2][1].rating = 5, 4, 3
    duel = Duel(a=0, b=1, chosen={0: 1, 1: 0}, left={0: 0, 1: 1})
    path = keep(tmp_path, cells, duel)
    here = Cells(
        prompts=["new", "b", "a"], columns=columns({"q": {"top_k": 5}, "x": {}}, None, base)
    )
    duels = {}
    found = saved.restore(path, here, duels, {})
    assert [(c.made.text, c.rating) for c in here.table[1]] == [("one 1", None), ("one 0", 5)]
    assert here.table[2][1].rating == 4
    assert here.columns[1].params.seed == cells.columns[0].params.seed
    [restored] = duels.values()
    assert restored.outcome(here).wins == {"q": 1, "x": 1}
    assert (found.cells, found.ratings, found.choices) == (4, 2, 2)
    assert found.unmatched == [
        ("d", "x", "there is no such prompt"),
        ("d", "y", "there is no such prompt"),
    ]
    assert str(found) == (
        "grid.jsonl: 4 cells, 2 ratings, 2 judgements restored; 2 did not match "
        "(“d” under x: there is no such prompt, and 1 more)"
    )


def test_why_a_cell_does_not_match(cells, tmp_path):
    path = keep(tmp_path, cells)
    fresh = Cells(prompts=["b"], columns=columns({"x": {}, "z": {"top_k": 9}}, None, base))
    whys = lambda found: {why for _, _, why in found.unmatched}  # noqa: E731
    assert "there is no such setting" in whys(saved.restore(path, fresh, {}, {}))
    other = Cells(prompts=cells.prompts, columns=cells.columns)
    assert whys(saved.restore(path, other, {}, {0: "beef", 1: "beef"})) == {"another model made it"}
    assert not any(cell.made for cell in other)
    anew = Cells(prompts=cells.prompts, columns=cells.columns)
    anew.table[0][0].made = made("something else")
    assert whys(saved.restore(path, anew, {}, {})) == {"it has another text now"}
    assert anew.table[0][0].made.text == "something else"
    begun = Cells(prompts=cells.prompts, columns=columns({"x": {}, "y": {"top_k": 5}}, None, base))
    begun.table[3][0].made = made("made with a seed of its own")
    assert whys(saved.restore(path, begun, {}, {})) == {"another seed made it"}


def test_equal_prompts_are_matched_in_their_order(tmp_path):
    wanted = columns({"x": {}}, None, base)
    cells = Cells(prompts=["p", "p"], columns=wanted)
    cells.table[0][0].rating, cells.table[1][0].rating = 1, 2
    here = Cells(prompts=["p", "p"], columns=wanted)
    saved.restore(keep(tmp_path, cells), here, {}, {})
    assert [row[0].rating for row in here.table] == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no saved grid"),
        ("{}\n", "is no saved grid"),
        ("[1]\n", "is no saved grid"),
        ("no JSON", "it is not JSON"),
        ('{"nbllm": "grid", "version": 9}', "no saved grid of this nbllm"),
        ('{"nbllm": "grid", "version": 1}', "is damaged: KeyError"),
        ('{"nbllm": "grid", "version": 1, "columns": []}\n{"row": 5, "column": 0}', "is damaged"),
        ('{"nbllm": "grid", "version": 1, "columns": []}\n3', "is damaged"),
    ],
    ids=repr,
)
def test_other_files(tmp_path, text, message):
    path = tmp_path / "other.jsonl"
    path.write_text(text)
    with pytest.raises(ParamError, match=message):
        saved.read(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ParamError, match="cannot be read: No such file"):
        saved.read(tmp_path / "none.jsonl")


def test_a_wrong_judgement_or_rating_is_damage(cells, tmp_path):
    path = keep(tmp_path, cells, Duel(a=0, b=1, chosen={0: 1}, left={0: 0}))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for place, change in [
        (-1, {"winner": 7}),
        (-1, {"row": 99}),
        (5, {"rating": 9}),
        (5, {"token_ids": ["a"]}),
    ]:
        wrong = [dict(line) for line in lines]
        wrong[place] |= change
        path.write_text("\n".join(map(json.dumps, wrong)))
        with pytest.raises(ParamError, match="is damaged"):
            saved.read(path)


def test_functions_cannot_be_kept(tmp_path):
    params = SamplingParams(logits_processors=[lambda ids, logits: logits])
    cells = Cells(prompts=["p"], columns=[Column(name="own", params=params)])
    with pytest.raises(
        ParamError, match="own has logits_processors, functions that no file can keep"
    ):
        saved.write(tmp_path / "grid.jsonl", cells, [])
    assert list(tmp_path.iterdir()) == []
