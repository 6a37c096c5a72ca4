"""`nbllm generate --in FILE --out FILE`: every format, every row, whatever happens on the way."""

import json
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from nbllm import LLM, SamplingParams
from nbllm.entrypoints.cli import batch, main
from nbllm.entrypoints.cli.batch import Batch
from nbllm.entrypoints.cli.journal import Journal
from nbllm.errors import ParamError

ROWS, SOME = 90, 40
PARAMS = SamplingParams(temperature=0, max_tokens=4)
NAMES = [
    "output",
    "text",
    "finish_reason",
    "num_tokens",
    "cumulative_logprob",
    "mean_logprob",
    "error",
]


@pytest.fixture(scope="module")
def llm():
    with LLM(kv_cache_memory_bytes=64 << 20) as llm:
        yield llm


@pytest.fixture
def run(llm, tmp_path):
    """Run a batch over a file in tmp_path; the path of what it made."""

    def run(source, target, column=None, *, params=PARAMS, fresh=False, chat=False, system=None):
        made = tmp_path / target
        batch = Batch(tmp_path / source, made, column, fresh=fresh)
        batch.run(llm, params, chat=chat, system=system)
        return made

    return run


def texts(llm, prompts):
    return [o.outputs[0].text for o in llm.generate(prompts, PARAMS, use_tqdm=False)]


def test_parquet(run, llm, tmp_path):
    """What is not looked at stays what it was, to the type."""
    frame = pd.DataFrame({
        "id": pd.array([1, None, 3], "Int64"),
        "text": ["One", "Two", "Three"],
        "tags": [["a"], [], None],
        "at": pd.to_datetime(["2020-01-01"] * 3),
    })  # fmt: skip
    frame.to_parquet(tmp_path / "in.parquet")
    made = pd.read_parquet(run("in.parquet", "out.parquet", "text"))
    assert list(made.columns) == ["id", "text_in", "tags", "at", *NAMES]
    assert made.text.tolist() == texts(llm, ["One", "Two", "Three"])
    assert made.text_in.tolist() == ["One", "Two", "Three"]
    import pyarrow.parquet as pq

    before, after = (
        pq.read_schema(tmp_path / "in.parquet"),
        pq.read_schema(tmp_path / "out.parquet"),
    )
    assert [after.field(n).type for n in ("id", "tags", "at")] == [
        before.field(n).type for n in ("id", "tags", "at")
    ]
    assert made.num_tokens.dtype == "int64"
    assert not (tmp_path / "out.parquet.partial").exists()


def test_csv(run, llm, tmp_path):
    (tmp_path / "in.csv").write_text('id,q\n007,"a, b"\nNA,"c\nd"\n')
    made = pd.read_csv(run("in.csv", "out.csv", "q"), dtype=str, keep_default_na=False)
    assert (made.id.tolist(), made.q.tolist()) == (["007", "NA"], ["a, b", "c\nd"])
    assert made.text.tolist() == texts(llm, ["a, b", "c\nd"])


def test_json_lines(run, llm, tmp_path):
    rows = [
        {"prompt": "One", "n": 1},
        {"prompt": "Zwei ü", "n": None, "deep": {"a": [1]}},
        {"prompt": "3"},
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(r) + "\n\n" for r in rows))
    made = [
        json.loads(line) for line in run("in.jsonl", "out.jsonl", "prompt").read_text().splitlines()
    ]
    assert [m["text"] for m in made] == texts(llm, ["One", "Zwei ü", "3"])
    assert (made[0]["n"], made[1]["n"], made[1]["deep"]) == (1, None, {"a": [1]})
    assert "ü" in (tmp_path / "out.jsonl").read_text()


def test_plain_text(run, llm, tmp_path):
    (tmp_path / "in.txt").write_text("One\n\n  Two \n")
    made = pd.read_json(run("in.txt", "out.jsonl"), lines=True)
    assert made.prompt.tolist() == ["One", "  Two "]


def test_from_one_format_to_another(run, tmp_path):
    rows = [{"q": "One", "x": [1, 2]}, {"q": "Two", "x": []}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    made = pd.read_parquet(run("in.jsonl", "out.parquet", "q"))
    assert [list(x) for x in made.x] == [[1, 2], []]
    assert len(pd.read_csv(run("out.parquet", "again.csv", "q", fresh=True))) == 2


def test_several_completions(run, tmp_path):
    (tmp_path / "in.txt").write_text("One\nTwo\n")
    params = SamplingParams(n=3, temperature=1, max_tokens=4)
    made = pd.read_json(run("in.txt", "out.jsonl", params=params), lines=True)
    assert made.output.tolist() == [0, 1, 2] * 2
    assert made.prompt.tolist() == ["One"] * 3 + ["Two"] * 3


def test_conversations(run, llm, tmp_path):
    ask = [{"role": "user", "content": "What is 2 + 3?"}]
    (tmp_path / "in.jsonl").write_text(json.dumps({"m": ask, "q": ask[0]["content"]}) + "\n")
    long = SamplingParams(temperature=0, max_tokens=20)
    [wanted] = llm.chat(ask, long, use_tqdm=False)
    by_messages = pd.read_json(run("in.jsonl", "a.jsonl", "m", params=long), lines=True)
    by_text = pd.read_json(run("in.jsonl", "b.jsonl", "q", params=long, chat=True), lines=True)
    assert by_messages.text.tolist() == by_text.text.tolist() == [wanted.outputs[0].text]
    told = pd.read_json(
        run("in.jsonl", "c.jsonl", "q", params=long, chat=True, system="Say no."), lines=True
    )
    assert told.finish_reason.tolist() == ["stop"]


def test_rows_that_cannot_be_done(run, llm, tmp_path):
    """One wrong row costs that row alone; the file says why."""
    rows = [
        {"q": "One"},
        {"q": ""},
        {"q": None},
        {"q": 5},
        {"q": "a " * 5000},
        {"q": "Two"},
        {"q": "\ud800"},
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    made = pd.read_json(run("in.jsonl", "out.jsonl", "q"), lines=True)
    assert made.finish_reason.tolist() == ["length", *["error"] * 4, "length", "error"]
    assert "a prompt is empty" in made.error[1]
    assert "a prompt is text, got None" in made.error[2]
    assert "leaves no room" in made.error[4]
    assert "half a surrogate pair" in made.error[6]
    assert made.text.tolist()[::5] == texts(llm, ["One", "Two"])


def test_a_generation_that_fails(run, llm, tmp_path, monkeypatch):
    (tmp_path / "in.txt").write_text("One\nTwo\nThree\n")
    inner = llm.engine.runner.run

    def fail(plan):
        if any(r.tokens[1:2] == llm.tokenizer.encode("Two")[1:2] for r in plan.requests):
            raise RuntimeError("no luck")
        return inner(plan)

    monkeypatch.setattr(llm.engine.runner, "run", fail)
    made = pd.read_json(run("in.txt", "out.jsonl"), lines=True)
    assert made.finish_reason.tolist() == ["length", "error", "length"]
    assert made.error[1] == "no luck"


def test_more_rows_than_a_chunk(run, llm, tmp_path, monkeypatch):
    monkeypatch.setattr("nbllm.entrypoints.cli.tables.CHUNK", 7)
    prompts = [f"Number {i}" for i in range(25)]
    pd.DataFrame({"q": prompts}).to_parquet(tmp_path / "in.parquet")
    made = pd.read_parquet(run("in.parquet", "out.parquet"))
    assert made.q.tolist() == prompts
    assert made.text.tolist() == texts(llm, prompts)


def interrupt_after(llm, monkeypatch, count):
    """Ctrl-C in the step after `count` requests have ended, few at a time."""
    monkeypatch.setattr(batch, "AT_ONCE", 16)
    collect, begin = llm.engine._collect, llm.engine.stats.num_ended

    def stop(plan, samples):
        if llm.engine.stats.num_ended - begin >= count:
            monkeypatch.setattr(llm.engine, "_collect", collect)
            raise KeyboardInterrupt
        return collect(plan, samples)

    monkeypatch.setattr(llm.engine, "_collect", stop)


def test_resumed(run, llm, tmp_path, monkeypatch):
    """What was done is not done again, and what comes out is what one run would have made."""
    prompts = [f"Number {i}" for i in range(ROWS)]
    (tmp_path / "in.txt").write_text("\n".join(prompts))
    params = SamplingParams(temperature=1, max_tokens=3)
    interrupt_after(llm, monkeypatch, SOME)
    with pytest.raises(
        KeyboardInterrupt,
        match=r"rows are kept in .*out\.jsonl\.partial; the same command goes on",
    ):
        run("in.txt", "out.jsonl", params=params)
    assert not (tmp_path / "out.jsonl").exists()
    head, *lines = (tmp_path / "out.jsonl.partial").read_text().splitlines()
    assert SOME <= len(lines) < ROWS
    ended = llm.engine.stats.num_ended
    made = pd.read_json(run("in.txt", "out.jsonl", params=params), lines=True)
    assert llm.engine.stats.num_ended - ended == ROWS - len(lines)
    seed = json.loads(head)["seed"]
    each = [SamplingParams(temperature=1, max_tokens=3, seed=seed + i) for i in range(ROWS)]
    wanted = llm.generate(prompts, each, use_tqdm=False)
    assert made.text.tolist() == [o.outputs[0].text for o in wanted]
    assert made.prompt.tolist() == prompts


def test_a_changed_row_is_done_again(run, llm, tmp_path, monkeypatch):
    (tmp_path / "in.txt").write_text("\n".join(f"Row {i}" for i in range(ROWS)))
    interrupt_after(llm, monkeypatch, SOME)
    with pytest.raises(KeyboardInterrupt):
        run("in.txt", "out.jsonl")
    (tmp_path / "in.txt").write_text(
        "\n".join(["Another one", *(f"Row {i}" for i in range(1, ROWS))])
    )
    made = pd.read_json(run("in.txt", "out.jsonl"), lines=True)
    assert made.text[:2].tolist() == texts(llm, ["Another one", "Row 1"])


def test_another_run(run, llm, tmp_path, monkeypatch):
    (tmp_path / "in.txt").write_text("\n".join(f"Row {i}" for i in range(ROWS)))
    interrupt_after(llm, monkeypatch, SOME)
    with pytest.raises(KeyboardInterrupt):
        run("in.txt", "out.jsonl")
    other = SamplingParams(temperature=0, max_tokens=5)
    with pytest.raises(
        ParamError, match=r"is of another run: max_tokens is 4 there, 5 here; .*--fresh"
    ):
        run("in.txt", "out.jsonl", params=other)
    assert (
        len(pd.read_json(run("in.txt", "out.jsonl", params=other, fresh=True), lines=True)) == ROWS
    )


def test_nothing_is_written_over(run, tmp_path):
    (tmp_path / "in.txt").write_text("One\n")
    run("in.txt", "out.jsonl")
    with pytest.raises(ParamError, match="is there already; --fresh writes over it"):
        run("in.txt", "out.jsonl")
    run("in.txt", "out.jsonl", fresh=True)


def test_what_was_begun_afresh_goes_on(run, llm, tmp_path, monkeypatch):
    """The old file stays until the new one is whole, and is in nobody's way."""
    (tmp_path / "in.txt").write_text("\n".join(f"Row {i}" for i in range(ROWS)))
    (tmp_path / "out.jsonl").write_text("old")
    interrupt_after(llm, monkeypatch, SOME)
    with pytest.raises(KeyboardInterrupt):
        run("in.txt", "out.jsonl", fresh=True)
    assert (tmp_path / "out.jsonl").read_text() == "old"
    ended = llm.engine.stats.num_ended
    assert len(run("in.txt", "out.jsonl").read_text().splitlines()) == ROWS
    assert llm.engine.stats.num_ended - ended < ROWS - SOME + 1


def test_an_input_that_grows(run, llm, tmp_path, monkeypatch):
    (tmp_path / "in.txt").write_text("One\n")
    write = Batch._write

    def grown(self, journal):
        (tmp_path / "in.txt").write_text("One\nTwo\n")
        write(self, journal)

    with monkeypatch.context() as patch:
        patch.setattr(Batch, "_write", grown)
        with pytest.raises(ParamError, match="more rows meanwhile; the same command does them"):
            run("in.txt", "out.jsonl")
    assert len(run("in.txt", "out.jsonl").read_text().splitlines()) == 2


def test_a_journal_cut_anywhere(tmp_path):
    """A process that is killed may leave any part of a line."""
    path = tmp_path / "j"
    with Journal(path, {"a": 1}, fresh=True) as journal:
        journal.begin(7)
        for i in range(3):
            journal.add(i, f"row {i}", [{"text": "x" * i}])
    whole = path.read_bytes()
    ends = [i + 1 for i, c in enumerate(whole) if c == 10]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        with Journal(path, {"a": 1}, fresh=False) as journal:
            journal.begin(7)
            assert journal.seed == 7
            assert len(journal) == max(0, sum(end <= cut for end in ends) - 1)
            for i in range(3):
                if not journal.has(i, f"row {i}"):
                    journal.add(i, f"row {i}", [{"text": "x" * i}])
            assert [journal.outputs(i) for i in range(3)] == [[{"text": "x" * i}] for i in range(3)]
        assert path.read_bytes() == whole


def test_what_is_no_journal(tmp_path):
    (tmp_path / "j").write_text("hello\nworld\n")
    with pytest.raises(ParamError, match="is no journal of this nbllm; --fresh writes over it"):
        Journal(tmp_path / "j", {}, fresh=False)
    assert (tmp_path / "j").read_text() == "hello\nworld\n"


MISTAKES = [
    ("in.xls", "out.csv", None, "the name of the file has to end in one of .parquet, .csv"),
    ("in.csv", "out.txt", None, "has to end in one of"),
    ("no.csv", "out.csv", None, "cannot read .*no.csv: No such file or directory"),
    ("in.csv", "no/out.csv", None, "there is no folder"),
    ("in.csv", "in.csv", "a", "--in and --out are the same file"),
    ("in.csv", "out.csv", None, "--column says which; it has a, b"),
    ("in.csv", "out.csv", "aa", "there is no column 'aa'; it has a, b; did you mean 'a'"),
    ("empty.jsonl", "out.csv", None, "has no rows"),
    ("bad.jsonl", "out.csv", None, "cannot read .*bad.jsonl: line 1 is not a JSON object"),
    ("bad.parquet", "out.csv", None, "cannot read .*bad.parquet"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "target", "column", "said"), MISTAKES)
def test_mistakes(tmp_path, source, target, column, said):
    """All of them before a model is loaded."""
    (tmp_path / "in.csv").write_text("a,b\n1,2\n")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "bad.jsonl").write_text("[1]\n")
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(ParamError, match=said):
        Batch(tmp_path / source, tmp_path / target, column, fresh=False)


def test_from_the_command_line(tmp_path, capsys):
    (tmp_path / "in.txt").write_text("One\nTwo\n")
    files = ["--in", str(tmp_path / "in.txt"), "--out", str(tmp_path / "out.csv")]
    assert main(["generate", *files, "-t", "0", "-m", "3"]) == 0
    assert f"2 rows are in {tmp_path / 'out.csv'}" in capsys.readouterr().err
    assert len(pd.read_csv(tmp_path / "out.csv")) == 2


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_killed_and_resumed(tmp_path, how):
    prompts = [f"Row {i}: there was a" for i in range(3000)]
    (tmp_path / "in.txt").write_text("\n".join(prompts))
    command = [
        sys.executable, "-m", "nbllm", "generate", "--in", tmp_path / "in.txt",
        "--out", tmp_path / "out.jsonl", "-t", "0", "-m", "4",
    ]  # fmt: skip
    journal = tmp_path / "out.jsonl.partial"
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 200
    while not journal.exists() or journal.read_text().count("\n") < 1000:
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (130 if how is signal.SIGINT else -how)
    if how is signal.SIGINT:
        assert "rows are kept in" in said
        assert "Traceback" not in said
    done = journal.read_text().count("\n") - 1
    assert 1000 <= done + 1 < 3000
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"going on: {done:,} rows were done" in again.stderr.replace(
        f"{done + 1:,}", f"{done:,}"
    )
    assert pd.read_json(tmp_path / "out.jsonl", lines=True).prompt.tolist() == prompts
