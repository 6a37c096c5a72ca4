"""`nbllm`: the command line. One file a command; nothing heavy is imported before one is run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ... import __version__
from ...errors import NbllmError
from . import bench, chat, demo, generate, info, serve

COMMANDS = (serve, generate, chat, bench, info, demo)
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run what `argv` says; the exit status. A user's mistake is one line on standard error."""
    args = parser().parse_args(argv)
    try:
        args.run(args)
        sys.stdout.flush()
    except NbllmError as error:
        print(f"nbllm: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        # GenerationInterrupted says what is kept
        print(f"nbllm: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # whoever read the output has seen enough; Python must not complain again when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def parser() -> argparse.ArgumentParser:
    """Of all commands."""
    top = argparse.ArgumentParser("nbllm", description="A laboratory for language models.")
    top.add_argument("--version", action="version", version=f"nbllm {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS:
        name = module.__name__.rpartition(".")[2]
        about = (module.__doc__ or "").strip()
        command = commands.add_parser(
            name,
            help=about.splitlines()[0],
            description=about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_flags(command)
        command.set_defaults(run=module.run)
    return top
