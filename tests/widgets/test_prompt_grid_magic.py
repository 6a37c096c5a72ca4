"""%promptgrid: settings and rows as %compare and --over have them."""

import pandas as pd
import pytest

import nbllm
from nbllm import BeamSearchParams, resident


@pytest.fixture
def made(shell):
    """f(cell) → the grid that it makes, closed at the end."""
    grids = []

    def make(cell):
        result = shell.run_cell(cell)
        result.raise_error()
        grids.append(result.result)
        return grids[-1]

    yield make
    for grid in grids:
        grid.close()


def test_rows_of_a_frame_under_settings(made, shell):
    shell.user_ns["pets"] = pd.DataFrame({"pet": ["fox", "owl"]}, index=["f", "o"])
    shell.user_ns["what"] = "lived"
    grid = made(
        '%%promptgrid g --over pets --setting "greedy -t 0" --setting "beam --width 3" -m 4 '
        "--grid top_k=1,5\nThe {{ pet }} {{ what }}"
    )
    assert grid is shell.user_ns["g"]
    assert grid.cells.prompts == ["The fox lived", "The owl lived"]
    columns = grid.cells.columns
    assert [c.name for c in columns] == ["greedy", "beam", "top_k=1", "top_k=5"]
    assert columns[0].params.max_tokens == 4
    assert columns[1].params == BeamSearchParams(beam_width=3, max_tokens=4)
    # nobody has asked for the seed, so it is no part of what the settings are
    assert columns[0].drawn == 0
    grid.run()
    assert grid.wait(60)
    assert grid.df.index.tolist() == ["f"] * 4 + ["o"] * 4
    assert grid.df.num_tokens.notna().all()


def test_rows_of_a_list_and_models(made, shell, ascii_llm):
    resident._llms["twin"] = ascii_llm
    shell.user_ns["texts"] = ["abc", "{{ literal }}"]
    grid = made("%promptgrid --prompts texts --models ascii,twin -t 0 -m 3 --run")
    assert grid.wait(60)
    assert grid.cells.prompts == ["abc", "{{ literal }}"]
    assert [(c.name, c.model) for c in grid.cells.columns] == [("ascii", "ascii"), ("twin", "twin")]
    assert grid.df.text[0] == grid.df.text[1]
    assert nbllm.last is grid


def test_one_prompt_and_none(made):
    grid = made("%config Nbllm.temperature = 0.25\n%promptgrid --out h some words -m 5")
    assert grid.cells.prompts == ["some words"]
    [column] = grid.cells.columns
    assert (column.name, column.params.temperature, column.params.max_tokens) == (
        "default",
        0.25,
        5,
    )
    assert len(made("%promptgrid").cells) == 0


def test_ratings_come_back(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cell = "%%promptgrid --grid temperature=0,1 -m 4 --file r.jsonl\nabc"
    grid = made(cell)
    grid.run()
    assert grid.wait(60)
    grid.rate(0, "temperature=1.0", 5)
    grid.save()
    again = made(cell)
    assert again.df.equals(grid.df)
    assert again.df.rating.tolist() == [pd.NA, 5]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--temprature 1 hi", "did you mean '--temperature'"),
        ("--prompts none", "--prompts none: there is no such variable"),
        ("--prompts texts hi", "--prompts has the prompts"),
        ("--over none hi", "there is no such variable"),
        ("--setting 'x hello' hi", "flags only, got 'hello'"),
        ("--models nobody hi", "no model called 'nobody' is loaded"),
        ("--grid temprature=1 hi", "did you mean 'temperature'"),
    ],
)
def test_mistakes_are_one_line(shell, capsys, line, message):
    shell.user_ns["texts"] = ["a"]
    assert not shell.run_cell(f"%promptgrid {line}").success
    said = "".join(capsys.readouterr())
    assert message in said
    assert len(said.strip().splitlines()) == 1
