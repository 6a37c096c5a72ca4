"""What the README and the guides say to type works, block after block.

Blocks of `python` are run; those of `py` need a download or a choice. Targets of make exist.
"""

import csv
import re
import subprocess
import sys
from pathlib import Path

import execute
import nbformat
import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "docs").rglob("*.md")))]
IMAGE_BYTES = 150_000


def blocks(name: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    found = MarkdownIt("commonmark").parse((ROOT / name).read_text("utf-8"))
    return [t.content.rstrip("\n") for t in found if t.type == "fence" and t.info == language]


WITH_CODE = [name for name in PAGES if blocks(name, "python")]
MARKED = [
    pytest.param(name, marks=() if name == "README.md" else pytest.mark.slow) for name in WITH_CODE
]


@pytest.mark.parametrize("name", MARKED)
def test_its_code_runs(name, tmp_path):
    cells = [nbformat.v4.new_code_cell(block) for block in blocks(name, "python")]
    spec = {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=spec)
    execute.client(notebook, tmp_path).execute(env=execute.environment())
    last = "".join(execute.text_of(output) for output in cells[-1].outputs)
    # of the README, vLLM's and transformers' page
    assert "Paris" in last or name == "docs/index.md"


def test_the_readme_has_code():
    assert {"README.md", "docs/coming_from/vllm.md"} <= set(WITH_CODE)
    assert len(blocks("README.md", "python")) >= 4


@pytest.mark.parametrize("name", PAGES)
def test_its_targets_of_make_exist(name):
    targets = {t for block in blocks(name, "sh") for t in re.findall(r"^make (\w+)", block, re.M)}
    text = (ROOT / "Makefile").read_text("utf-8")
    phony = re.search(r"^\.PHONY:(.*)$", text, re.M)[1].split()
    assert targets <= set(phony)


@pytest.mark.slow
def test_make_demo_prints_what_each_cell_made():
    """Without its set-up, which is that of all tests."""
    demo = subprocess.run(
        [sys.executable, "notebooks/demo.py"], cwd=ROOT, capture_output=True, text=True,
        env=execute.environment(), timeout=240,
    )  # fmt: skip
    assert not demo.returncode, demo.stderr
    assert ">>> %%generate --max-tokens 80 --seed 1" in demo.stdout
    assert "Your name is Anna." in demo.stdout
    assert demo.stdout.rstrip().endswith("unloaded tiny")


def test_the_tree_of_the_readme_is_there():
    """Every path that "Where things are" names."""
    tree = (ROOT / "README.md").read_text("utf-8").split("## Where things are")[1]
    above: list[str] = []
    for line in re.findall(r"^    ( *)(\S+)(?:  |$)", tree, re.M):
        depth = len(line[0]) // 2
        above = [*above[:depth], line[1]]
        path = ROOT.joinpath(*above)
        assert path.exists() or path.name == "labextension", path


def test_pictures_are_small():
    pictures = sorted((ROOT / "docs/images").glob("*.png"))
    assert len(pictures) >= 3
    for path in pictures:
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert path.stat().st_size < IMAGE_BYTES
        assert f"images/{path.name}" in (ROOT / "README.md").read_text("utf-8")


def test_figures_come_from_a_committed_result():
    """Those of the tutorial about GPUs: all of the commit that it names."""
    text = (ROOT / "notebooks/10_on_a_gpu.ipynb").read_text("utf-8")
    [commit] = re.findall(r"\(commit (\w+)\)", text)
    with (ROOT / "tests/bench/results.csv").open(encoding="utf-8") as file:
        measured = {float(r["figure"]) for r in csv.DictReader(file) if r["commit"] == commit}
    told = [float(n.replace(",", "")) for n in re.findall(r"([\d.,]+) (?:tokens/s|ms) \|", text)]
    assert len(told) == 9
    assert set(told) <= measured
