"""`%%playground`, `%%tokenexplorer`, `%%beamexplorer`, `%%promptgrid`, `%%chatui`: widgets, with what a magic's flags say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from ..results.conversation import Conversation
from ..results.work import MAX_TOKENS
from . import comparison
from .command_line import Call
from .flags import given, layered
from .prompts import filled_in, prompts
from .runs import Runs
from .sampling_flags import SAMPLING
from .search_flags import SEARCH
from .structured import structured
from .turns import start
from .variables import variable

if TYPE_CHECKING:
    from ..widgets import BeamExplorer, Chat, Playground, PromptGrid, TokenExplorer


def _kept(runs: Runs, call: Call, widget: Any) -> Any:
    """The widget, under its name if it has one."""
    if call.out:
        runs.shell.user_ns[call.out] = widget
    return widget


def playground(runs: Runs, call: Call) -> Playground:
    """A prompt and its settings by hand."""
    from ..widgets import Playground

    args = call.args
    params = runs.params(runs.llm(args.model), call, MAX_TOKENS)
    # the widget has its fields for what `{{ }}` in the prompt stand for
    widget = Playground(call.prompt, params, model=args.model, live=args.live)
    return _kept(runs, call, widget)


def tokenexplorer(runs: Runs, call: Call) -> TokenExplorer:
    """A text token by token."""
    from ..widgets import TokenExplorer

    args = call.args
    source = _explored(call) if args.from_ or args.row is not None else None
    params = runs.params(runs.llm(args.model), call, MAX_TOKENS)
    text = filled_in(call, [{}])[0] if call.prompt else None
    if args.score and text is None:
        raise UsageError("--score what? give a text, or a variable with --from")
    begin: dict[str, Any] = {"text" if args.score else "prompt": text}
    # a source knows what it was made with, unless flags say otherwise
    said = any(value is not None for value in given(args, SAMPLING).values())
    chosen = params if source is None or said else None
    widget = TokenExplorer(source, chosen, model=args.model, **begin)
    return _kept(runs, call, widget)


def _explored(call: Call) -> Any:
    """What `--from VARIABLE` names, of a DataFrame its `--row`."""
    args, name = call.args, call.args.from_
    if not name or call.prompt or args.score:
        wrong = "--row goes with --from" if not name else "--from VARIABLE goes without a prompt"
        raise UsageError(f"{wrong}: the variable has the text that is explored")
    value = variable("--from", name, call.namespace)
    if args.row is None:
        return value
    if not hasattr(value, "iloc"):
        kind = type(value).__name__
        raise UsageError(f"--row: {name} is a {kind}, a DataFrame is needed")
    try:
        return value.iloc[args.row]
    except IndexError:
        size = len(value)
        raise UsageError(f"--row {args.row}: {name} has {size:,} rows, from 0") from None


def beamexplorer(runs: Runs, call: Call) -> BeamExplorer:
    """A beam search step by step."""
    from ..widgets import BeamExplorer

    args = call.args
    if args.from_:
        widget = BeamExplorer(_searched(call), model=args.model)
        flags, shape = given(args, SEARCH), structured(args, call.namespace)
        if shape or any(value is not None for value in flags.values()):
            widget.params = layered(widget.params, flags, shape)
    else:
        [prompt] = filled_in(call, [{}])
        runs.llm(args.model)
        params = runs.search_params(args, call.namespace)
        widget = BeamExplorer(prompt, params, model=args.model)
    return _kept(runs, call, widget)


def _searched(call: Call) -> Any:
    """What `--from` names."""
    if call.prompt:
        raise UsageError(f"--from {call.args.from_} has its prompt: leave the rest empty")
    return variable("--from", call.args.from_, call.namespace)


def promptgrid(runs: Runs, call: Call) -> PromptGrid:
    """Prompts under several settings or models."""
    from ..widgets import PromptGrid

    args = call.args
    texts, over = _rows(call)
    models = args.models.split(",") if args.models else None
    llm = runs.llm(models[0] if models else args.model)
    base = runs.params(llm, call, MAX_TOKENS)
    chosen: Any = None
    if args.setting or args.grid:
        chosen = comparison.settings(runs, call, base)
    elif texts or models:
        chosen = base
    widget = PromptGrid(
        texts, chosen, over=over, models=models, model=args.model, file=args.file, run=args.run
    )
    return _kept(runs, call, widget)


def _rows(call: Call) -> tuple[list[str] | None, Any]:
    """The prompts of a grid: filled in, those of a variable, or none yet."""
    name = call.args.prompts
    if name is None:
        return prompts(call) if call.prompt or call.args.over else (None, None)
    if call.prompt or call.args.over:
        raise UsageError("--prompts has the prompts: a text, or --over, does not go with it")
    found = variable("--prompts", name, call.namespace)
    if isinstance(found, str) or not hasattr(found, "__iter__"):
        raise UsageError(f"--prompts {name}: a variable with a list of texts is needed")
    return list(found), None


def chatui(runs: Runs, call: Call) -> Chat:
    """A conversation by hand."""
    from ..widgets import Chat

    args, name = call.args, call.args.name or ""
    known = runs.conversations.get(name, Conversation())
    begun = start(known, args, call.namespace)
    message = filled_in(call, [{}])[0]
    widget = Chat(
        None if begun is known else begun, runs.params(runs.llm(args.model), call, None),
        name=name, trim=args.trim, model=args.model, conversations=runs.conversations,
    )  # fmt: skip
    if message:
        widget.say(message)
    return _kept(runs, call, widget)
