"""`%nbllm serve`: the loaded models, for OpenAI's clients, beside the cells."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

from .. import resident
from ..entrypoints.cli.serve import add_server, build, exposed

if TYPE_CHECKING:
    from .magics import Nbllm


def add_flags(parser: MagicArgumentParser) -> None:
    """Those of `nbllm serve` that are about the server."""
    parser.add_argument("--stop", action="store_true", help="end the server")
    add_server(parser)


def serve(args: Namespace) -> None:
    """Begin to serve, or end it."""
    magics: Nbllm = args.magics
    if args.stop:
        print(f"stopped {url}" if (url := stop(magics)) else "nothing is served")
        return
    if magics.server is not None:
        raise UsageError(f"{magics.server.url} is served already; %nbllm serve --stop ends it")
    magics.runs.llm(None)  # the bundled model, where none is loaded
    magics.server = build(args).start()
    names = ", ".join(resident.loaded())
    print(f"serving {names} at {magics.server.url}; %nbllm serve --stop ends it")
    if warning := exposed(magics.server.host, args):
        print(warning)


def stop(magics: Nbllm) -> str | None:
    """End the server, if there is one; its address."""
    server, magics.server = magics.server, None
    if server is None:
        return None
    server.stop()
    return server.url
