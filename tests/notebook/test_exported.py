"""An executed notebook as HTML: no script of ours, every result, the same bytes when executed again."""

import os
import re
from html import unescape
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

ROOT = Path(__file__).parents[2]
CELLS = [
    "%load_ext nbllm",
    "%nbllm load tiny --device cpu",
    "%%generate -m 12 --seed 1 -l 3\nOnce upon a time",
    "%%generate -m 8 --seed 2 -n 3 --grid temperature=0.5,1\nThere was a fox",
    "import pandas as pd\nf = pd.DataFrame({'review': ['The soup was cold.', '<script>x</script>']})",
    "%%generate out --over f --seed 3 -m 5\nReview: {{ review }}\nSentiment:",
    "out[['review', 'text', 'num_tokens']]",
    "%%beam -w 3 -m 6\nThe capital of France is",
    "%%chat --seed 4 -m 8\nHello!",
    "%%score --over f\n{{ review }}",
    "%%choose --over f -c ' good' -c ' bad'\n{{ review }} It is",
    "%%compare -m 6 --setting 'greedy -t 0' --setting 'beam --width 2'\nOnce upon",
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The HTML of two executions."""
    home = tmp_path_factory.mktemp("jupyter")
    names = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR")
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    env = {**os.environ, **{name: str(home / name) for name in names}, "PYTHONPATH": path}
    return [export(env) for _ in "ab"]


def export(env):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source, id=f"c{i}") for i, source in enumerate(CELLS)],
        metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
    )
    NotebookClient(notebook, timeout=120).execute(env=env)
    html, _ = HTMLExporter(embed_images=True).from_notebook_node(notebook)
    return notebook, html


def ours(html):
    """The parts of a page that nbllm has drawn."""
    return re.findall(r'<div class="nbllm[ "].*?(?=<div class="jp-Cell |\Z)', html, re.DOTALL)


def words(html):
    """What is to be read, without white space: nbconvert writes the markup anew."""
    return re.sub(r"\s+", "", unescape(re.sub(r"(?s)<style>.*?</style>|<[^>]+>", "", html)))


def test_every_result_is_shown_without_a_script(pages):
    notebook, html = pages[0]
    shown = ours(html)
    results = [o for c in notebook.cells for o in c.outputs if "nbllm" in o.get("metadata", {})]
    assert len(shown) == len(results) == 7
    assert "<script>x</script>" not in html
    for part, result in zip(shown, results, strict=True):
        assert "script" not in re.findall(r"<(\w+)", result["data"]["text/html"])
        assert words(result["data"]["text/html"]) in words(html)
        assert not re.search(r"\son\w+=", result["data"]["text/html"])
        assert part.startswith('<div class="nbllm')


def test_executed_again_it_is_the_same_bytes(pages):
    (_, first), (_, second) = pages
    assert first == second
