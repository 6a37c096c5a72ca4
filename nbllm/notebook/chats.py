"""`%%chat`: a turn of a conversation, or with `--over` a conversation for every row."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from ..results.conversation import Conversation
from ..results.generation import Generation
from ..results.work import Work
from . import trim
from .command_line import Call
from .grid import settings
from .prompts import filled_in, prompts
from .runs import Runs
from .turns import Turn, free_name, turn

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
    options = _options(step.asked, continued=step.continued)
    [messages] = _fitting(runs, call, llm, [step.asked.messages], params.max_tokens, options)
    work = Work(
        kind="chat", prompts=[step.asked.turns[-1].content], requests=[messages], params=params,
        chat=options,
    )  # fmt: skip
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
    options = _options(start)
    asked = [start.asked(text).messages for text in texts]
    work = Work(
        kind="chat", prompts=texts, params=params, chat=options, settings=settings(args.grid),
        requests=_fitting(runs, call, llm, asked, params.max_tokens, options), resumable=True,
    )  # fmt: skip
    make = partial(Generation, over=over, before=before, timings=call.args.timings)
    return runs.run(call, llm, work, make)


def _options(conversation: Conversation, *, continued: bool = False) -> dict[str, Any]:
    """For `LLM.stream`."""
    options: dict[str, Any] = {}
    if conversation.template is not None:
        options["chat_template"] = conversation.template
    if continued:
        options["continue_final_message"] = True
    return options


def _fitting(
    runs: Runs, call: Call, llm: LLM, asked: list[Messages], most: int | None, options: Any
) -> list[Messages]:
    render = partial(
        llm.preprocess_chat,
        add_generation_prompt="continue_final_message" not in options,
        **options,
    )
    say = runs.screen.say
    return trim.conversations(llm, asked, most, render, trim=call.args.trim, say=say)


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
        runs.conversations[step.name] = after
    return step.reply(after, **made)
