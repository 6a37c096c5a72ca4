"""Results made again: the same, or where and by how much they differ."""

import json

import nbformat
import pandas as pd
import pytest

import nbllm
from nbllm import resident
from nbllm.errors import NoModelError, ParamError
from nbllm.replays.notebook import recordings


@pytest.fixture(scope="module")
def tiny():
    """The bundled model, for all tests of this module."""
    llm = nbllm.LLM("tiny", dtype="float32", device="cpu")
    yield llm
    llm.close()


@pytest.fixture
def real(bare_shell, tiny, monkeypatch):
    """A shell over it."""
    monkeypatch.setattr(resident, "_llms", {"tiny": tiny})
    monkeypatch.setattr(resident, "_current", "tiny")
    bare_shell.run_line_magic("load_ext", "nbllm")
    bare_shell.user_ns["f"] = pd.DataFrame(
        {"x": ["a fox", "a ship", "the king"], "text": [1, 2, 3]}
    )
    yield bare_shell
    bare_shell.run_line_magic("unload_ext", "nbllm")


CELLS = [
    "%%generate NAME -m 8\nOnce upon a time",
    "%%generate NAME -m 6 -n 2 --over f --grid temperature=0.7,1.1 -l 2\nThere was {{ x }}",
    "%%generate NAME -m 6 --over f --grid seed=1..2 --stop e\nThere was {{ x }}",
    "%%generate NAME -m 6 --bad-words a --logit-bias 5=3 --regex '[a-z ]+'\nOnce",
    "%%chat NAME -m 6 --over f -t 0.9\nWho is {{ x }}?",
    "%%beam NAME -w 3 -m 5 --over f\nThere was {{ x }}",
    "%%score NAME --over f -c ' was here'\nOnce {{ x }}",
    "%%score NAME --over f\nOnce {{ x }}",
    "%%choose NAME --over f -c ' good' -c ' bad' --normalize\n{{ x }} is",
]


@pytest.mark.parametrize("cell", CELLS)
def test_results_and_frames_are_made_again(real, tiny, cell):
    real.run_cell(cell.replace("NAME", "out")).raise_error()
    outcome = nbllm.replay(nbllm.last)
    assert outcome.identical, outcome
    frame = real.user_ns["out"]
    assert nbllm.replay(frame).identical
    assert str(outcome).startswith(f"identical: {len(frame)} row")
    # the record survives a copy through JSON, as in a parquet file
    frame.attrs["nbllm"] = json.loads(json.dumps(frame.attrs["nbllm"]))
    assert nbllm.replay(frame).identical


def test_a_grown_frame_is_made_again_run_by_run(real, tiny):
    real.user_ns["out"] = pd.DataFrame({"text": ["by hand"]})
    for cell in CELLS[:3]:
        real.run_cell(cell.replace("NAME", "out --append")).raise_error()
    frame = real.user_ns["out"]
    assert len(frame) == 1 + 1 + 12 + 6
    outcome = nbllm.replay(frame)
    assert outcome.identical, outcome
    assert outcome.num_rows == 19
    # by hand, in the second run, and in the third
    frame.iloc[[0, 4, 15], frame.columns.get_loc("text")] = " was nothing"
    assert [d.row for d in nbllm.replay(frame).differences] == [4, 15]
    # nothing says which rows are left, so only those of the last run are known
    real.user_ns["out"] = frame.iloc[5:]
    real.run_cell("%%generate out --append -m 2\nOnce").raise_error()
    assert nbllm.replay(real.user_ns["out"]).num_rows == 1


def test_a_conversation_is_made_again(real):
    real.run_cell("%%chat -m 6\nHello! My name is Anna.").raise_error()
    real.run_cell("%%chat -m 6\nWhat is my name?").raise_error()
    assert nbllm.replay(nbllm.last).identical
    real.run_cell("%chat --continue -m 4").raise_error()
    assert nbllm.replay(nbllm.last).identical


def test_turns_share_the_prefix_cache(real):
    text = "Tell me something long about a ship that sailed north. " * 8
    real.run_cell(f"%%chat --reset -m 4\n{text}").raise_error()
    real.run_cell("%%chat -m 4\nAnd then?").raise_error()
    assert nbllm.last.outputs[0].num_cached_tokens >= 64
    # other completions of the same prompt begin where the first began
    real.run_cell("%chat --retry -m 4").raise_error()
    assert nbllm.last.outputs[0].num_cached_tokens >= 64


def test_a_difference_is_found(real, tiny):
    real.run_cell("%%generate out -m 8 --over f -t 0\nThere was {{ x }}").raise_error()
    result, frame = nbllm.last, real.user_ns["out"].copy()
    recording = result.recording()
    made = recording.expected[1][0]
    ids = list(made.token_ids)
    other = (ids[3] + 1) % 500 + 10
    object.__setattr__(made, "token_ids", [*ids[:3], other, *ids[4:]])
    from nbllm.replays import replayed

    outcome = replayed(recording)
    assert not outcome.identical
    [found] = outcome.differences
    assert (found.row, found.output, found.position) == (1, 0, 3)
    [old, new] = (
        tiny.score(
            [{"prompt_token_ids": [*result.outputs[1].prompt_token_ids, *ids[:3]]}],
            [{"prompt_token_ids": [token]}],
        )[0].cumulative_logprob
        for token in (other, ids[3])
    )
    assert found.gap == pytest.approx(new - old)
    assert "row 1, token 3" in str(outcome)
    frame.loc[2, "text"] = frame.text[2][:-3] + "zzz"
    [found] = nbllm.replay(frame).differences
    assert found.row == 2
    assert "zzz" in found.before


def test_an_interrupted_result_is_compared_as_far_as_it_got(real, tiny, monkeypatch):
    def stop(self, latest):
        if latest.num_tokens > 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(real, "kernel", object(), raising=False)
    monkeypatch.setattr("nbllm.notebook.live.Watch.show", stop)
    assert not real.run_cell(
        "%%generate out -m 30 --ignore-eos --over f\nThere was {{ x }}"
    ).success
    assert nbllm.replay(nbllm.last).identical
    assert nbllm.replay(real.user_ns["out"]).identical


def test_what_cannot_be_replayed_says_so(real, tiny):
    with pytest.raises(ParamError, match="got a str"):
        nbllm.replay("x")
    with pytest.raises(ParamError, match="does not know what made it"):
        nbllm.replay(pd.DataFrame({"a": [1]}))
    real.run_cell("%%generate out -m 3 --over f\n{{ x }}").raise_error()
    with pytest.raises(ParamError, match="rows are missing"):
        nbllm.replay(real.user_ns["out"].iloc[1:])
    frame = real.user_ns["out"]
    frame.attrs["nbllm"]["model"]["fingerprint"] = "another"
    with pytest.raises(NoModelError, match=r"%nbllm load tiny --dtype float32"):
        nbllm.replay(frame)
    real.user_ns["twice"] = lambda ids, logits: 2 * logits
    real.run_cell("%%generate out -m 3 --logits-processors twice\nhi").raise_error()
    assert nbllm.replay(nbllm.last).identical
    with pytest.raises(ParamError, match="logits_processors"):
        nbllm.replay(real.user_ns["out"])


def saved(shell, cells, path):
    """A notebook with what these cells show."""
    notebook = nbformat.v4.new_notebook()
    for source in cells:
        result = shell.run_cell(source)
        result.raise_error()
        data, metadata = result.result._repr_mimebundle_()
        output = nbformat.v4.new_output("execute_result", data, metadata=metadata)
        notebook.cells.append(nbformat.v4.new_code_cell(source, outputs=[output]))
    nbformat.write(notebook, path)
    return path


def test_verify_a_saved_notebook(real, tmp_path, capsys):
    cells = [cell.replace(" NAME", "") for cell in CELLS]
    cells += ["%%chat --reset -m 4\nHello!", "%%chat -m 4\nAnd you?"]
    cells += ["%%compare -m 4 --setting 'z -t 0' --setting 'a --width 2'\nOnce"]
    path = saved(real, cells, tmp_path / "n.ipynb")
    capsys.readouterr()
    real.run_cell(f"%nbllm verify {path}").raise_error()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(cells)
    assert all(": identical: " in line for line in lines), lines


def test_verify_finds_what_was_changed(real, tmp_path, capsys):
    path = saved(
        real, ["%%generate -m 6 -t 0\nOnce upon", "%%score\nOnce upon"], tmp_path / "n.ipynb"
    )
    text = path.read_text().replace('"temperature": 0.0', '"temperature": 2.0')
    path.write_text(text)
    capsys.readouterr()
    assert not real.run_cell(f"%nbllm verify {path}").success
    said = "".join(capsys.readouterr())
    assert "code cell 1: different in 1 of 1 row" in said
    assert "code cell 2: identical" in said
    assert "1 of 2 results could not be made again" in said


def test_verify_finds_its_own_notebook(real, tmp_path, monkeypatch, capsys):
    path = saved(real, ["%%generate -m 2\nhi"], tmp_path / "mine.ipynb")
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    real.run_cell("%nbllm verify").raise_error()
    assert "identical" in capsys.readouterr().out
    monkeypatch.delenv("JPY_SESSION_NAME")
    assert not real.run_cell("%nbllm verify").success
    assert not real.run_cell("%nbllm verify nowhere.ipynb").success
    said = "".join(capsys.readouterr())
    assert "which notebook?" in said
    assert "there is no file 'nowhere.ipynb'" in said


def test_damaged_notebooks(tmp_path):
    path = tmp_path / "x.ipynb"
    path.write_text("nothing")
    with pytest.raises(ParamError, match="cannot be read as a notebook"):
        list(recordings(path))
    data = {"application/vnd.nbllm.v1+json": {"version": 1, "kind": "score"}}
    output = {"metadata": {"nbllm": {"kind": "score"}}, "data": data}
    cells = [{"cell_type": "code", "outputs": [output]}]
    path.write_text(json.dumps({"cells": cells}))
    [(number, error)] = recordings(path)
    assert number == 1
    assert "damaged" in str(error)
