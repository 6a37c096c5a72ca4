"""The tutorials: each is executed once, and what it shows on GitHub is what it makes."""

import resource
from pathlib import Path

import execute
import nbformat
import pytest

ROOT = Path(__file__).parents[2]
MIME = "application/vnd.nbllm.v1+json"
FAST = "01_quick_start"
TUTORIALS = [
    pytest.param(path, id=path.stem, marks=() if path.stem == FAST else pytest.mark.slow)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
]
SECONDS = 120
"""Of a processor, that a tutorial may take."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", TUTORIALS)
def test_executed_again_it_shows_the_same(path, environment):
    saved = nbformat.read(path, as_version=4)
    before = children_seconds()
    made = execute.executed(path, execute.environment(environment))
    assert children_seconds() - before < SECONDS
    nbformat.validate(made)
    assert not [o for cell in execute.code(made) for o in cell.outputs if o.output_type == "error"]
    assert not (differences := execute.differences(saved, made)), "\n\n".join(
        ["`make notebooks` saves what these cells show now:", *differences]
    )


@pytest.mark.parametrize("path", TUTORIALS)
def test_it_can_be_verified(path):
    """`%nbllm verify` makes every result of the saved notebook again."""
    from nbllm import resident
    from nbllm.replays import replayed
    from nbllm.replays.notebook import recordings

    resident.load("tiny", device="cpu")
    try:
        outcomes = {n: str(replayed(recording)) for n, recording in recordings(path)}
    finally:
        resident.unload()
    assert not {n: said for n, said in outcomes.items() if not said.startswith("identical")}


@pytest.mark.parametrize("path", [p.values[0] for p in TUTORIALS], ids=lambda path: path.stem)
def test_it_is_saved_for_readers(path):
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata.kernelspec.name == "python3"
    cells = execute.code(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert len(outputs) > 5
    assert not [o for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    # what GitHub draws: text, and HTML without scripts
    for output in outputs:
        data = output.get("data", {"text/plain": ""})
        assert "text/plain" in data
        assert "<script" not in data.get("text/html", "")
        if MIME in data:
            assert "<table" in data["text/html"] or "<pre" in data["text/html"]
    assert str(ROOT) not in path.read_text("utf-8")
    assert path.stat().st_size < 300_000


def children_seconds() -> float:
    """What processes that have ended took, which a busy machine does not change."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def said(text, **more):
    return [
        nbformat.v4.new_output("execute_result", {"text/plain": text}, execution_count=1, **more)
    ]


@pytest.mark.parametrize(
    ("saved", "made"),
    [
        ("80 tokens, 119 tokens/s lately", "80 tokens, 1,204 tokens/s lately"),
        ("took 2.1 s", "took 13 s"),
        ("  −0.212  stop", " −0.213 stop"),
        ("31 %", "32 %"),
        ("1e-05", "1.0e-05"),
    ],
)
def test_what_a_machine_may_change(saved, made):
    assert execute.agree(said(saved), said(made))


@pytest.mark.parametrize(
    ("saved", "made"),
    [
        ("80 tokens", "81 tokens"),
        ("−0.212", "−0.214"),
        ("−0.212", "0.212"),
        ("31 %", "33 %"),
        ("Paris", "Rome"),
        ("1 2", "12"),
        ("3 seeds", "4 seeds"),
    ],
)
def test_what_it_may_not(saved, made):
    assert not execute.agree(said(saved), said(made))
    assert not execute.agree(said(saved), [])
