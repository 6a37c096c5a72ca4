"""Serve a model to OpenAI's clients.

nbllm serve MODEL, then point a client to http://127.0.0.1:8000/v1. Ctrl-C ends it; requests under
way get some seconds to finish.
"""

from __future__ import annotations

import argparse
import os
import time

from ...errors import ParamError
from .model_flags import add_model, load
from .terminal import note

KEY = "NBLLM_API_KEY"


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--served-model-name", metavar="NAME", help="what clients call the model")
    add_server(parser)


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add where and how to listen."""
    group = parser.add_argument_group("the server")
    group.add_argument("--host", default="127.0.0.1", help="address; default: this machine alone")
    group.add_argument("--port", type=int, default=8000, help="0: one that is free; default: 8000")
    group.add_argument(
        "--api-key", action="append", metavar="KEY",
        help=f"what clients have to send; may be repeated; default: the environment's {KEY}",
    )  # fmt: skip
    group.add_argument(
        "--allowed-host", action="append", metavar="NAME",
        help="a name under which to answer; default: on loopback its own names, else all",
    )  # fmt: skip
    group.add_argument("--max-body-bytes", type=int, metavar="N", help="of one request's body")
    group.add_argument("--max-batch", type=int, metavar="N", help="completions of one request")
    group.add_argument("--max-queue", type=int, metavar="N", help="completions at a time")
    group.add_argument("--max-requests", type=int, metavar="N", help="requests at a time")
    group.add_argument(
        "--trust-request-chat-template", action="store_true",
        help="let requests bring chat templates: they run in a sandbox, but as long as they like",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    server = build(args)  # first: a port that is taken is known before a model is loaded
    from ... import resident

    begin = time.perf_counter()
    llm = load(args)
    name = args.served_model_name or llm.name
    resident.load(llm, name=name)
    note(f"{name} is loaded ({time.perf_counter() - begin:.1f} s)")
    note(f"serving {server.url}, Ctrl-C ends it")
    if warning := exposed(server.host, args):
        note(warning)
    try:
        server.run()
    finally:
        resident.unload(name)


def build(args: argparse.Namespace):
    """The server that the flags describe. Raises `ParamError`."""
    try:
        from ..openai import Limits, Options, Server
    except ImportError as error:
        raise ParamError(
            f"serving needs {error.name}, which is not installed: pip install 'nbllm[server]'"
        ) from None
    names = ("max_body_bytes", "max_batch", "max_queue", "max_requests")
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    options = Options(
        api_keys=keys(args),
        allowed_hosts=args.allowed_host or (),
        limits=Limits(**given),
        trust_templates=args.trust_request_chat_template,
    )
    return Server(args.host, args.port, options)


def keys(args: argparse.Namespace) -> list[str]:
    """The keys given; an empty one would let in everybody who sends none."""
    found = args.api_key or [*filter(None, [os.environ.get(KEY)])]
    if not all(found):
        raise ParamError("--api-key: a key must not be empty")
    return found


def exposed(host: str, args: argparse.Namespace) -> str | None:
    """What to say about a server that others can reach."""
    from ..openai.server import is_loopback

    if is_loopback(host) or keys(args):
        return None
    return "others can reach this server, and nobody needs a key: --api-key asks for one"
