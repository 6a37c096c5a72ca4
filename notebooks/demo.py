"""Runs the quick start in a kernel, and prints what each cell made."""

from pathlib import Path

import nbformat
from execute import client, text_of

HERE = Path(__file__).parent


def main() -> None:
    notebook = nbformat.read(HERE / "01_quick_start.ipynb", as_version=4)
    client(notebook, HERE, on_cell_executed=lambda cell, **_: show(cell)).execute()


def show(cell: dict) -> None:
    """A cell's source behind a prompt, then its outputs; progress bars are nothing for a log."""
    print("\n".join(f">>> {line}" for line in cell["source"].splitlines()))
    for output in cell["outputs"]:
        text = text_of(output).rstrip("\n")
        if text and output.get("name") != "stderr":
            print(text, "\n")


if __name__ == "__main__":
    main()
