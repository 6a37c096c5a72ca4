"""Long runs: what is done stays done, in this kernel or in a file, and nothing is done twice."""

import json

import pandas as pd
import pytest

from nbllm.notebook import run as run_module


@pytest.fixture
def rows(shell):
    shell.user_ns["rows"] = pd.DataFrame({"x": [f"row {i}" for i in range(9)]})


def interrupt_when(llm, first_done):
    """Prompts end one after the other; an interrupt comes when `first_done` have."""
    whole = llm.stream

    def stream(prompts, params, **options):
        done = 0
        for output in whole(prompts, params, **options):
            if output.finished:
                if done == first_done:
                    raise KeyboardInterrupt
                done += 1
                yield output

    llm.stream = stream
    return whole


def sent(llm):
    """Prompts and seeds of the latest call."""
    prompts, params = llm.calls[-1]
    return list(prompts), [p.seed for p in params]


def test_the_same_cell_does_the_rest(run, fails, shell, llm, rows, capsys):
    cell = "%%generate out --over rows -m 2\nsay {{ x }}"
    whole = interrupt_when(llm, 4)
    line = fails(cell)
    assert "4 of 9 prompts finished" in line
    assert "run the cell again to do the rest" in line
    out = shell.user_ns["out"]
    assert len(out) == 9
    assert (out.finish_reason == "abort").tolist() == [False] * 4 + [True] * 5
    _, seeds = sent(llm)
    llm.stream = whole
    run(cell)
    assert "going on: 4 of 9 prompts were done" in capsys.readouterr().out
    assert sent(llm) == ([f"say row {i}" for i in range(4, 9)], seeds[4:])
    assert shell.user_ns["out"].text.tolist() == [" say row"] * 9
    # a run that came to its end is no part of the next
    run(cell)
    assert len(sent(llm)[0]) == 9


def test_the_rest_of_a_run_that_appends_takes_the_place_of_what_there_was(run, shell, llm, rows):
    run("%%generate out --append -m 2\nfirst")
    cell = "%%generate out --append --over rows -m 2\nsay {{ x }}"
    prompts = ["first", *(f"say row {i}" for i in range(9))]
    whole = interrupt_when(llm, 4)
    for _ in "ab":
        assert not shell.run_cell(cell).success
        assert shell.user_ns["out"].prompt.tolist() == prompts
    llm.stream = whole
    run(cell)
    out = shell.user_ns["out"]
    assert out.text.tolist() == [" first first", *[" say row"] * 9]
    assert out.index.tolist() == list(range(10))
    assert not (out.finish_reason == "abort").any()
    # what came to its end stays
    run(cell)
    assert len(shell.user_ns["out"]) == 19


@pytest.mark.parametrize("change", ["-m 3", "--seed 4", "-m 2 --fresh", "-m 2 --grid top_k=1,2"])
def test_another_run_begins_afresh(run, fails, shell, llm, rows, change):
    whole = interrupt_when(llm, 4)
    fails("%%generate out --over rows -m 2\nsay {{ x }}")
    llm.stream = whole
    run(f"%%generate out --over rows {change}\nsay {{{{ x }}}}")
    assert sent(llm)[0][0] == "say row 0"


def test_rows_that_changed_are_done_again(run, fails, shell, llm, rows):
    cell = "%%generate out --over rows -m 2\nsay {{ x }}"
    whole = interrupt_when(llm, 4)
    fails(cell)
    llm.stream = whole
    shell.user_ns["rows"].loc[1, "x"] = "another"
    shell.user_ns["rows"].loc[9, "x"] = "new"
    run(cell)
    assert sent(llm)[0] == ["say another", *[f"say row {i}" for i in range(4, 9)], "say new"]


def test_a_single_prompt_is_not_resumed(run, fails, shell, llm):
    whole = interrupt_when(llm, 0)
    assert "run the cell again" not in fails("%%generate out -m 2\nhi")
    llm.stream = whole
    run("%%generate out -m 2\nhi")
    assert shell.user_ns["out"].num_tokens.tolist() == [2]


def test_an_error_keeps_what_was_done(run, shell, llm, rows, capsys):
    from nbllm.errors import PromptError

    whole, cell = llm.stream, "%%generate out --over rows -m 2\nsay {{ x }}"

    def stream(prompts, params, **options):
        for i, output in enumerate(o for o in whole(prompts, params, **options) if o.finished):
            if i == 3:
                raise PromptError("too long")
            yield output

    llm.stream = stream
    assert not shell.run_cell(cell).success
    llm.stream = whole
    run(cell)
    assert len(sent(llm)[0]) == 6


def test_a_checkpoint_goes_on_in_another_kernel(run, fails, shell, llm, rows, tmp_path):
    file = tmp_path / "labels.jsonl"
    cell = f"%%chat out --over rows -m 2 -l 1 --checkpoint {file}\nsay {{{{ x }}}}"
    whole = interrupt_when(llm, 4)
    fails(cell)
    _, seeds = sent(llm)
    llm.stream = whole
    # a killed kernel leaves a line half written
    with file.open("a") as lines:
        lines.write('{"place": 4, "sent": "')
    shell.run_line_magic("reload_ext", "nbllm")
    run(cell)
    assert [m[0]["content"] for m in sent(llm)[0]] == [f"say row {i}" for i in range(4, 9)]
    assert sent(llm)[1] == seeds[4:]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted(line["place"] for line in lines[1:]) == list(range(9))
    # nothing is left to do, and the frame is the whole one
    before = shell.user_ns["out"]
    calls = len(llm.calls)
    run(cell)
    assert len(llm.calls) == calls
    pd.testing.assert_frame_equal(shell.user_ns["out"], before)


def test_a_checkpoint_of_another_run_is_refused(run, fails, shell, llm, rows, tmp_path):
    file = tmp_path / "c"
    run(f"%%generate out --over rows -m 2 --checkpoint {file}\nsay {{{{ x }}}}")
    line = fails(f"%%generate out --over rows -m 3 --checkpoint {file}\nsay {{{{ x }}}}")
    assert "is of another run: max_tokens is 2 there, 3 here" in line
    run(f"%%generate out --over rows -m 3 --fresh --checkpoint {file}\nsay {{{{ x }}}}")
    file.write_text("notes of mine\n")
    assert "that is no checkpoint" in fails(f"%%generate -m 3 --checkpoint {file}\nhi")
    assert file.read_text() == "notes of mine\n"


def test_outputs_survive_the_file(llm, run, tmp_path):
    from nbllm.notebook.records import from_record, to_record

    output = run("%%generate -n 2 -l 2 -m 3\na \ud83d b").outputs[0]
    assert from_record(json.loads(json.dumps(to_record(output)))) == output


def test_progress_counts_only_this_run(run, fails, shell, llm, rows, monkeypatch):
    seen = []
    monkeypatch.setattr(
        run_module.Watch, "show", lambda self, latest: seen.append(self._progress(latest))
    )
    whole = interrupt_when(llm, 4)
    fails("%%generate out --over rows -m 2\nsay {{ x }}")
    llm.stream = whole
    run("%%generate out --over rows -m 2\nsay {{ x }}")
    assert seen[-1]["text/plain"].startswith("9/9 prompts")
