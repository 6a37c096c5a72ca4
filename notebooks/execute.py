"""Executes notebooks and saves their outputs: `make notebooks`.

    python notebooks/execute.py [NOTEBOOK …]      all of them, unless told which

Outputs are made on a CPU with the bundled model. What is saved says nothing of the time and the
machine, and a cell whose outputs are as before keeps them: a run that changes nothing leaves the
files as they are.
"""

import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

HERE = Path(__file__).parent
PASSING = ("run", "started", "seconds", "tokens_per_second")
"""What the metadata of a result says of one run alone."""
TIMES_AND_SIZES = re.compile(r"\d[\d,.]* ?(?:tokens/s|seconds|s|ms|µs|[MG]iB)\b")
NUMBERS = re.compile(r"([-−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?)( %)?")


def client(notebook: NotebookNode, folder: str | Path, **options: Any) -> NotebookClient:
    """What executes `notebook` in a kernel that works in `folder`. Start it with `environment()`."""
    return NotebookClient(
        notebook,
        timeout=600,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
        **options,
    )


def environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """`base` for a kernel that sees no GPU: outputs are made in float32.

    The models are small: a second thread mostly waits for the first, and starves where cores are shared.
    """
    return {"OMP_NUM_THREADS": "1", **base, "CUDA_VISIBLE_DEVICES": ""}


def executed(path: Path, env: dict[str, str]) -> NotebookNode:
    """The notebook with fresh outputs, settled; they were made in a folder of their own."""
    notebook = nbformat.read(path, as_version=4)
    before = dict(notebook.metadata)
    with tempfile.TemporaryDirectory() as folder:
        client(notebook, folder).execute(env=env)
    # the kernel has written its version of Python there
    notebook.metadata = nbformat.from_dict(before)
    for cell in code(notebook):
        cell.outputs = [settled(output) for output in cell.outputs if not _erased(output)]
    return notebook


def code(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def settled(output: NotebookNode) -> NotebookNode:
    """An output without the folder of this checkout, and without what belongs to one run alone."""
    text = json.dumps(output).replace(json.dumps(str(HERE.parent))[1:-1], "…")
    output = nbformat.from_dict(json.loads(text))
    record = output.get("metadata", {}).get("nbllm", {})
    for name in PASSING:
        record.pop(name, None)
    _drop_idle_seeds(record)
    return output


def _erased(output: NotebookNode) -> bool:
    """Whether it is what a progress bar leaves behind, which there is on a slow machine alone."""
    lines = output.get("text", "x").split("\n")
    return not any(line.rpartition("\r")[2].strip() for line in lines)


def _drop_idle_seeds(record: Any) -> None:
    """A seed is drawn for every run without one; where the likeliest token is taken it does nothing."""
    if isinstance(record, dict):
        if record.get("temperature") == 0:
            record.pop("seed", None)
        for value in record.values():
            _drop_idle_seeds(value)


def differences(saved: NotebookNode, made: NotebookNode) -> list[str]:
    """Of two executions of one notebook: what differs, cell by cell; timings aside."""
    pairs = zip(code(saved), code(made), strict=True)
    return [
        f"{old.source}\n\nsaved:\n{_shown(old)}\nmade:\n{_shown(new)}"
        for old, new in pairs
        if not agree(old.outputs, new.outputs)
    ]


def agree(saved: Any, made: Any) -> bool:
    """Whether outputs say the same: every word, every number up to its last digit; timings aside.

    That digit is rounded from sums whose order is not the same on every processor.
    """
    if isinstance(saved, dict) and isinstance(made, dict):
        return saved.keys() == made.keys() and all(agree(saved[k], made[k]) for k in saved)
    if isinstance(saved, list) and isinstance(made, list):
        return len(saved) == len(made) and all(map(agree, saved, made))
    if isinstance(saved, str | float) and isinstance(made, str | float):
        return _alike(str(saved), str(made))
    return saved == made


def _alike(saved: str, made: str) -> bool:
    # columns are as wide as their widest number
    old, new = (re.sub(" +", " ", TIMES_AND_SIZES.sub("0", text)) for text in (saved, made))
    if NUMBERS.sub("#", old) != NUMBERS.sub("#", new):
        return False
    pairs = zip(NUMBERS.findall(old), NUMBERS.findall(new), strict=True)
    return all(_near(a, b, percent) for (a, percent), (b, _) in pairs)


def _near(a: str, b: str, rounded: str) -> bool:
    """Two numbers, as they are written; integers are counts, unless they are rounded."""
    x, y = (Decimal(text.replace("−", "-").replace(",", "")) for text in (a, b))
    place = min(x.as_tuple().exponent, y.as_tuple().exponent)
    return x == y or ((place < 0 or bool(rounded)) and abs(x - y) <= Decimal(1).scaleb(place))


def _shown(cell: NotebookNode) -> str:
    """The text of a cell's outputs, as a terminal would show it."""
    return "\n".join(map(text_of, cell.outputs))


def text_of(output: NotebookNode) -> str:
    """The text of one output; of one that a terminal cannot show, nothing."""
    return output.get("text") or output.get("data", {}).get("text/plain", "")


def save(path: Path) -> bool:
    """Execute one notebook in place; whether anything in it has changed."""
    saved, made = nbformat.read(path, as_version=4), executed(path, environment())
    for old, new in zip(code(saved), code(made), strict=True):
        if agree(old.outputs, new.outputs):
            new.outputs = old.outputs
    text = nbformat.writes(made) + "\n"
    changed = path.read_text("utf-8") != text
    path.write_text(text, "utf-8")
    return changed


def main(names: list[str]) -> None:
    for path in map(Path, names) if names else sorted(HERE.glob("*.ipynb")):
        print(f"{path.name}: {'new outputs' if save(path) else 'as before'}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
