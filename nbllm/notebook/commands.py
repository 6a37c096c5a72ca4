"""`%nbllm load`, `use`, `status` and `unload`; upkeep.py has the other commands."""

from __future__ import annotations

from argparse import HelpFormatter, Namespace
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

from .. import resident
from ..errors import did_you_mean
from ..views import status as report
from . import load_flags, serving, upkeep
from .command_line import HELP_FLAGS, parse, words
from .flags import KINDS, filled, number

if TYPE_CHECKING:
    from ..llm import LLM
    from .magics import Nbllm

HELP = """\
%nbllm load MODEL     load a name on the Hugging Face hub, a folder, or "tiny", the bundled model
    --name NAME           keep the other models, and call this one NAME (for --model NAME)
    --dtype D             float32, bfloat16, float16; else what suits the model and the device
    --max-model-len N     tokens of context
    --device D            cuda, cpu; else the GPU if there is one; %nbllm load --help has the rest
%nbllm use NAME       make another loaded model the current one
%nbllm status         what is loaded, how full it is, and what memory there is
%nbllm unload [NAME]  free one model's memory, or everything's
%nbllm sleep [NAME]   give the GPU's memory back for a while; --level 2 drops the weights, too
%nbllm wake [NAME]    take it again
%nbllm serve          the loaded models for OpenAI's clients, beside the cells; --stop ends it
    --port N              8000; 0 takes one that is free
    --host H              this machine alone, if it is not given
    --api-key KEY         what clients have to send, or {{ name }} of a variable
%nbllm models         what can be loaded without a download
%nbllm config         defaults of the magics; %nbllm config max_tokens=200 sets one
%nbllm reset          forget conversations and cached prefixes
%nbllm verify [FILE]  make every result that a saved notebook shows again, and compare

%%generate, %%chat    continue a text, hold a conversation (%%generate? explains %%generate)
%%beam                search for the likeliest continuations
%%score, %%choose     how likely texts are, without sampling
%%compare             settings or models side by side"""


def run(line: str, namespace: Mapping[str, Any], magics: Nbllm) -> None:
    """Do what `%nbllm line` says, and print a line about it."""
    command, *rest = words(line) or ["help"]
    if command in HELP_FLAGS:
        command = "help"
    if command not in PARSERS:
        raise UsageError(f"%nbllm has no {command!r}{did_you_mean(command, list(PARSERS))}")
    if not {*HELP_FLAGS}.isdisjoint(rest):
        print(PARSERS[command].format_help())
        return
    args = filled(parse(PARSERS[command], rest), namespace)
    args.magics = magics
    _COMMANDS[command](args)


def show_help(args: Namespace) -> None:
    """Print what `%nbllm` can do."""
    print(HELP)


def load(args: Namespace) -> None:
    """Load a model and make it the current one."""
    llm = resident.load(args.model, name=args.name, **load_flags.options(args))
    _say(args.name or llm.name, llm)


def use(args: Namespace) -> None:
    """Make a loaded model the current one."""
    if args.model is None:
        known = ", ".join(resident.loaded()) or "none"
        raise UsageError(f"%nbllm use which model? loaded: {known}")
    _say(args.model, resident.use(args.model))


def status(args: Namespace) -> None:
    """Print what is loaded."""
    print(report.plain(report.status()))
    if resident.loaded():
        print(report.host_memory())
    if server := args.magics.server:
        print(f"serving {server.url}")


def unload(args: Namespace) -> None:
    """Free one model's memory, or everything's."""
    names = [args.model] if args.model else list(resident.loaded())
    resident.unload(args.model)
    print(f"unloaded {', '.join(names)}" if names else "no model was loaded")


def _say(name: str, llm: LLM) -> None:
    if (data := report.model(name, llm)) is not None:
        print(report.headline(data))


def _parser(name: str, command: Callable[[Namespace], None]) -> MagicArgumentParser:
    # argparse formats the usage
    parser = MagicArgumentParser(
        f"%nbllm {name}", usage=f"%%nbllm {name}", description=command.__doc__
    )
    # plain text, as it is printed
    parser.formatter_class = HelpFormatter
    return parser


def _parsers() -> dict[str, MagicArgumentParser]:
    parsers = {name: _parser(name, command) for name, command in _COMMANDS.items()}
    load_flags.add(parsers["load"])
    for name in ("use", "unload", "sleep", "wake"):
        parsers[name].add_argument("model", nargs="?", help="what it is called")
    parsers["sleep"].add_argument(
        "--level", type=number(KINDS["level"]), default=1, metavar="N",
        help="1 keeps a copy of the weights on the host; 2 reads them again from the disk",
    )  # fmt: skip
    parsers["config"].add_argument("settings", nargs="*", help="name=value; none: show them all")
    parsers["verify"].add_argument("file", nargs="?", help="else the notebook of this kernel")
    serving.add_flags(parsers["serve"])
    return parsers


_COMMANDS = {
    "help": show_help,
    "load": load,
    "use": use,
    "status": status,
    "unload": unload,
    "sleep": upkeep.sleep,
    "wake": upkeep.wake,
    "models": upkeep.models,
    "config": upkeep.config,
    "reset": upkeep.reset,
    "verify": upkeep.verify,
    "serve": serving.serve,
}
PARSERS = _parsers()
"""Of each command."""
