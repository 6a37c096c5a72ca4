"""Runs the quick start in a kernel, and prints what each cell made."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def show(output: dict) -> None:
    """The text of one output, as a terminal would show it."""
    text = output.get("text") or output.get("data", {}).get("text/plain", "")
    if text:
        print(text.rstrip("\n"), "\n")


def main() -> None:
    notebook = nbformat.read(HERE / "01_quick_start.ipynb", as_version=4)
    shown = {"on_cell_executed": lambda cell, **_: print_cell(cell)}
    NotebookClient(notebook, resources={"metadata": {"path": str(HERE)}}, **shown).execute()


def print_cell(cell: dict) -> None:
    """A cell's source behind a prompt, then its outputs."""
    print("\n".join(f">>> {line}" for line in cell["source"].splitlines()))
    for output in cell["outputs"]:
        show(output)


if __name__ == "__main__":
    main()
