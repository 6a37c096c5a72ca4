"""`%%chat`: a turn of a conversation, or with `--over` a conversation for every row."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from ..results import trim
from ..results.conversations import free_name
from ..results.generation import Generation
from ..results.turn import Turn
from ..results.work import Work
from .command_line import Call
from .grid import settings
from .prompts import filled_in, prompts
from .runs import Runs
from .turns import turn

if TYPE_CHECKING:
    from ..llm import LLM

Messages = list[dict[str, str]]

_OF_ONE = ("reset", "name", "undo", "retry", "edit", "continue_", "from_")
"""Flags that say which conversation, or where in it."""


def chat(runs: Runs, call: Call) -> Generation | None:
    """Say something, and let the conversation go on with the answer."""
    if call.args.over:
        return _over(runs, call)
    several = {f: getattr(call.args, f) for f in ("grid", "append", "timings")}
    several["n"] = (call.args.n or 1) > 1
    if flag := next((f for f, given in several.items() if given), None):
        raise UsageError(
            f"a conversation goes on with one answer: --{flag} needs --over, or %%generate"
        )
    text = filled_in(call, [{}])[0] if call.prompt else ""
    step = turn(runs.conversations, call.args, text, call.namespace)
    if step.asked is None:
        return _without_question(runs, call, step)
    llm = runs.llm(call.args.model)
    params = runs.params(llm, call, None)
    work = step.work(llm, params, trimmed=runs.trimmed if call.args.trim else None)
    if not call.args.trim:
        _fitting(runs, call, llm, work.requests, params.max_tokens, work.chat)
    return runs.run(call, llm, work, partial(_answered, runs, step))


def _over(runs: Runs, call: Call) -> Generation | None:
    args = call.args
    if wrong := [f.strip("_") for f in _OF_ONE if getattr(args, f)]:
        raise UsageError(f"--over has a conversation per row: --{wrong[0]} does not go with it")
    start = turn({}, args, "", call.namespace).before
    texts, over = prompts(call)
    before = runs.before(call)
    llm = runs.llm(args.model)
    params = runs.params(llm, call, None)
    options = {"chat_template": start.template} if start.template is not None else {}
    asked = [start.asked(text).messages for text in texts]
    work = Work(
        kind="chat", prompts=texts, params=params, chat=options, settings=settings(args.grid),
        requests=_fitting(runs, call, llm, asked, params.max_tokens, options), resumable=True,
    )  # fmt: skip
    make = partial(Generation, over=over, before=before, timings=call.args.timings)
    return runs.run(call, llm, work, make)


def _fitting(
    runs: Runs, call: Call, llm: LLM, asked: Sequence[Messages], most: int | None, options: Any
) -> list[Messages]:
    return trim.conversations(llm, asked, most, options, trim=call.args.trim, say=runs.trimmed)


def _without_question(runs: Runs, call: Call, step: Turn) -> None:
    args = call.args
    if not (args.reset or args.system or args.undo or args.from_ or args.template):
        raise UsageError("the prompt is empty")
    runs.conversations[step.name] = step.before
    if args.undo:
        said = step.before.num_asked
        print(f"undone; the conversation has {said} message{'s' * (said != 1)} of yours")


def _answered(runs: Runs, step: Turn, **made: Any) -> Any:
    [output] = made["outputs"]
    if (after := step.after(output)) is not None:
        if step.kept is not None:
            name = free_name(step.name, runs.conversations)
            runs.conversations[name] = step.kept
            runs.screen.say(f"the conversation as it was goes on with --name {name}")
        instead_of = step.before if step.continued else None
        runs.conversations.put(step.name, after, instead_of=instead_of)
    return step.reply(after, **made)
