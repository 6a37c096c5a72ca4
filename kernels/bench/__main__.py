"""`python kernels/bench [OP ...] [--keep]`: times the kernels on a GPU; --keep: into results.csv.

Each case is checked against its reference first; a wrong one has no time. A time is the median over
replays of a CUDA graph of many calls, which rotate over inputs of more bytes together than the L2
cache holds, divided by the calls. Rates count what must be read, written or multiplied.
"""

import argparse
import csv
import subprocess
from pathlib import Path

import torch
import triton
from cases import CASES

PEAK = {"TB/s": 4.71, "TFLOP/s": 790.0}
"""Measured on an H200: reading, and bf16 matrix products."""
RESULTS = Path(__file__).with_name("results.csv")
COLUMNS = ["op", "case", "dtype", "us", "rate", "unit", "share_of_peak"]
COLUMNS += ["gpu", "driver", "torch", "triton", "commit"]
CALLS, REPLAYS = 24, 15


def microseconds(calls) -> float:
    """Median time of one of `calls`, functions without arguments."""
    rounds = max(1, CALLS // len(calls))
    for call in calls:
        call()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(rounds):
            for call in calls:
                call()
    graph.replay()
    times = []
    for _ in range(REPLAYS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) * 1000 / (rounds * len(calls)))
    return sorted(times)[REPLAYS // 2]


def output(*command: str) -> str:
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return run.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ops", nargs="*", help="only these operations")
    parser.add_argument(
        "--keep", type=Path, nargs="?", const=RESULTS, help="their rows of this CSV"
    )
    parser.add_argument("--commit", help="what is measured, where git cannot say")
    args = parser.parse_args()
    # a line for each GPU
    driver = output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").split()[0]
    commit = args.commit or output("git", "describe", "--always", "--dirty")
    where = (torch.cuda.get_device_name(), driver, torch.__version__, triton.__version__, commit)
    rows = []
    for op, make in CASES.items():
        if args.ops and op not in args.ops:
            continue
        for case in make():
            if not case.right():
                print(f"{op:<18} {case.name:<52} WRONG", flush=True)
                continue
            time = microseconds(case.calls)
            rate = case.work / time / 1e6
            row = (op, case.name, case.dtype, f"{time:.2f}", f"{rate:.3g}", case.unit)
            rows.append((*row, f"{rate / PEAK[case.unit]:.3f}", *where))
            print("{:<18} {:<52} {:<9} {:>9} us {:>7} {} {}".format(*rows[-1][:7]), flush=True)
            torch.cuda.empty_cache()
    if args.keep:
        keep(args.keep, rows)


def keep(path: Path, rows: list[tuple]) -> None:
    """Put `rows` into the file, in place of all that it has of their operations."""
    others, ops = [], {row[0] for row in rows}
    if path.exists():
        with path.open(newline="") as file:
            others = [row for row in csv.reader(file) if row and row[0] not in {"op", *ops}]
    order = list(CASES)
    found = sorted([*others, *rows], key=lambda row: order.index(row[0]))
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *found])


if __name__ == "__main__":
    main()
