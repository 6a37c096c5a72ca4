"""`%%playground`: widgets, with what a magic's flags say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..results.work import MAX_TOKENS
from .command_line import Call
from .runs import Runs

if TYPE_CHECKING:
    from ..widgets import Playground


def playground(runs: Runs, call: Call) -> Playground:
    """A prompt and its settings by hand."""
    from ..widgets import Playground

    args = call.args
    params = runs.params(runs.llm(args.model), call, MAX_TOKENS)
    # the widget has its fields for what `{{ }}` in the prompt stand for
    widget = Playground(call.prompt, params, model=args.model, live=args.live)
    if call.out:
        runs.shell.user_ns[call.out] = widget
    return widget
