"""`%%generate`."""

from __future__ import annotations

from functools import partial

from ..results import trim
from ..results.generation import Generation
from ..results.work import MAX_TOKENS, Work
from .command_line import Call
from .grid import settings
from .prompts import prompts
from .runs import Runs


def generate(runs: Runs, call: Call) -> Generation | None:
    """Continue a text, or one for every row of a frame."""
    texts, over = prompts(call)
    before = runs.before(call)
    llm = runs.llm(call.args.model)
    params = runs.params(llm, call, MAX_TOKENS)
    work = Work(
        kind="completions", prompts=texts, requests=texts, params=params,
        tails=trim.tails(llm, texts, params.max_tokens, trim=call.args.trim, say=runs.trimmed),
        settings=settings(call.args.grid), resumable=over is not None,
    )  # fmt: skip
    make = partial(Generation, over=over, before=before, timings=call.args.timings)
    return runs.run(call, llm, work, make)
