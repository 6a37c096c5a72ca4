"""`python -m tests.bench.plots`: tokens/s by rows and by context, as `growth` measured them last.

Writes a PNG for each model beside this file. vLLM's points are the recorded ones, of other workloads
than a step at 1,000 tokens; they say which. Needs matplotlib.
"""

import csv
import re
from pathlib import Path

from matplotlib import pyplot

from .__main__ import RESULTS
from .gpu import SHAPES, VLLM

Points = dict[int, float]
"""Rows or tokens → tokens/s."""
KINDS = {
    "rows": (re.compile(r"a step of (\d+) rows at 1,000 tokens"), "rows of 1,000 tokens"),
    "context": (re.compile(r"a step at (\d+) tokens"), "tokens in the cache of one row"),
}


def measured(model: str, kind: str, whose: str = "") -> Points:
    """What `growth` found last; whose: "" for nbllm, or ", transformers"."""
    found: Points = {}
    with RESULTS.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["benchmark"] != "growth" or not row["case"].startswith(f"{model}, "):
                continue
            case = row["case"].removeprefix(f"{model}, ")
            if match := re.fullmatch(KINDS[kind][0].pattern + re.escape(whose), case):
                at = int(match[1])
                found[at] = (at if kind == "rows" else 1) / float(row["figure"]) * 1e3
    return dict(sorted(found.items()))


def draw(model: str, folder: Path) -> Path | None:
    """The plots of a model side by side; None without figures."""
    kinds = [kind for kind in KINDS if measured(model, kind)]
    if not kinds:
        return None
    figure, every = pyplot.subplots(1, len(kinds), figsize=(6 * len(kinds), 4), squeeze=False)
    for kind, axes in zip(kinds, every[0], strict=True):
        for name, whose in (("nbllm", ""), ("transformers", ", transformers")):
            if points := measured(model, kind, whose):
                axes.plot(points.keys(), points.values(), marker="o", label=name)
        if kind == "rows":
            _recorded(axes, list(SHAPES).index(model))
        axes.set(xscale="log", yscale="log", xlabel=KINDS[kind][1], ylabel="tokens/s")
        ticks = list(measured(model, kind))
        axes.set_xticks(ticks, [f"{n:,}" for n in ticks])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(f"{model}, one H200, bfloat16, random weights")
    figure.tight_layout()
    path = folder / f"growth-{model}.png"
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def _recorded(axes, model: int) -> None:
    """vLLM's throughput for one request, and for 256."""
    cases = {
        1: "batch 1, 128 in, 256 out, greedy",
        256: "256 requests, 100-1024 in and out, T 0.6",
    }
    points = {rows: VLLM[case][model] for rows, case in cases.items()}
    axes.plot(points.keys(), points.values(), "x", label="vLLM 0.25.1: one request; 256 requests")


def main() -> None:
    for model in SHAPES:
        if path := draw(model, Path(__file__).parent):
            print(path.name)


if __name__ == "__main__":
    main()
