"""`python -m tests.bench NAME`: runs one benchmark, prints its table, appends it to results.csv."""

import argparse
import csv
import platform
import subprocess
from pathlib import Path

import torch

import nbllm

from . import beam, cpu, host, structured

BENCHMARKS = {"host": host.run, "cpu": cpu.run, "beam": beam.run, "structured": structured.run}
RESULTS = Path(__file__).with_name("results.csv")
COLUMNS = ["benchmark", "case", "figure", "unit", "machine", "torch", "nbllm", "commit"]


def commit() -> str:
    out = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return out.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--keep", action="store_true", help="append the figures to results.csv")
    args = parser.parse_args()
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads"
    where = (machine, torch.__version__, nbllm.__version__, commit())
    rows = [
        (args.name, case, f"{figure:.4g}", unit, *where)
        for case, figure, unit in BENCHMARKS[args.name]()
    ]
    for row in rows:
        print(f"{row[1]:<44} {row[2]:>10} {row[3]}")
    if args.keep:
        new = not RESULTS.exists()
        with RESULTS.open("a", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([COLUMNS, *rows] if new else rows)


if __name__ == "__main__":
    main()
