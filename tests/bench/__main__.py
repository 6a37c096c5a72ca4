"""`python -m tests.bench NAME`: runs one benchmark, prints its table, appends it to results.csv."""

import argparse
import csv
import platform
import subprocess
from importlib import import_module
from itertools import islice
from pathlib import Path

import torch

import nbllm

BENCHMARKS = (
    "host",
    "cpu",
    "beam",
    "structured",
    "notebook",
    "server",
    "gpu",
    "fields",
    "start",
    "profile",
    "families",
    "growth",
)
RESULTS = Path(__file__).with_name("results.csv")
COLUMNS = ["benchmark", "case", "figure", "unit", "machine", "torch", "nbllm", "commit"]


def commit() -> str:
    out = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return out.stdout.strip() or "unknown"


def triton() -> str:
    from triton import __version__

    return __version__


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--keep", action="store_true", help="append the figures to results.csv")
    of_which = (
        "gpu, fields, start, server, notebook, profile, families, growth: the shape of which model"
    )
    parser.add_argument("--model", help=of_which)
    parser.add_argument("--only", choices=("beams",), help="gpu: only these cases")
    parser.add_argument(
        "--peers", action="store_true", help="gpu, growth, families: transformers too"
    )
    parser.add_argument("--first", type=int, help="stop after so many figures")
    args = parser.parse_args()
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        machine = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, Triton {triton()}"
    where = (machine, torch.__version__, nbllm.__version__, commit())
    shape = args.model or "opt-125m"
    options = {
        "gpu": [shape, args.only, args.peers],
        "fields": [shape],
        "start": [shape],
        # without a shape the bundled model
        "notebook": [args.model],
        "profile": [shape],
        "families": [shape, args.peers],
        "growth": [shape, args.peers],
        "server": [shape],
    }
    model = options.get(args.name, [])
    figures = import_module(f"{__package__}.{args.name}").run(*model)
    for case, figure, unit in islice(figures, args.first):
        print(f"{case:<72} {figure:>10.4g} {unit}", flush=True)
        if args.keep:
            keep(args.name, case, f"{figure:.4g}", unit, *where)


def keep(*row: str) -> None:
    """At once: a run that is cut off has lost nothing."""
    new = not RESULTS.exists()
    with RESULTS.open("a", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, row] if new else [row])


if __name__ == "__main__":
    main()
