"""Continue a text, or every row of a file.

nbllm generate "Once upon a time" -m 50
nbllm generate --in prompts.parquet --out results.parquet --column question --chat

Files are Parquet, CSV, JSON lines or plain text (a prompt a line), by their names. A run over a file
can be interrupted, or killed: the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ParamError
from ...sampling_params import RequestOutputKind, SamplingParams
from .model_flags import add_model, load
from .sampling_flags import add_sampling, sampling_params
from .terminal import say

if TYPE_CHECKING:
    from ...llm import LLM

MAX_TOKENS = 256


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompt", nargs="?", help="the text; - or nothing reads standard input")
    group = parser.add_argument_group("files")
    group.add_argument("--in", dest="source", type=Path, metavar="FILE", help="a prompt a row")
    group.add_argument("--out", dest="target", type=Path, metavar="FILE", help="rows with outputs")
    group.add_argument("--column", metavar="NAME", help="the prompts; default: the only column")
    group.add_argument("--fresh", action="store_true", help="begin again, and write over --out")
    parser.add_argument("--chat", action="store_true", help="the prompt is a user's message")
    parser.add_argument(
        "--system", metavar="TEXT", help="with --chat: what the model is told first"
    )
    add_sampling(parser)
    add_model(parser, positional=False, seed=False)


def run(args: argparse.Namespace) -> None:
    if args.system and not args.chat:
        raise ParamError("--system goes with --chat")
    if args.source or args.target:
        _run_file(args)
        return
    for name in ("column", "fresh"):
        if getattr(args, name):
            raise ParamError(f"--{name} goes with --in and --out")
    prompt = args.prompt
    if prompt in (None, "-"):
        if prompt is None and sys.stdin.isatty():
            raise ParamError("generate what? a prompt, or - for standard input, or --in FILE")
        prompt = sys.stdin.read()
    with load(args, seed=False) as llm:
        params = params_of(args, llm)
        asked = conversation(prompt, args.system) if args.chat else prompt
        if params.n == 1:
            params.output_kind = RequestOutputKind.DELTA
            outputs = llm.stream(asked, params)
            try:
                for output in outputs:
                    say(output.outputs[0].text)
            finally:
                say("\n")
        else:
            make = llm.chat if args.chat else llm.generate
            [output] = make(asked, params, use_tqdm=False)
            for i, completion in enumerate(output.outputs, 1):
                say(f"--- {i} of {params.n}\n{completion.text}\n")


def conversation(text: str, system: str | None) -> list[dict[str, str]]:
    """The messages of a question."""
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": text}]


def _run_file(args: argparse.Namespace) -> None:
    from .batch import Batch

    if not (args.source and args.target):
        raise ParamError("--in and --out go together: what to read, and where to write")
    if args.prompt is not None:
        raise ParamError("a prompt and --in: give one of them")
    batch = Batch(args.source, args.target, args.column, fresh=args.fresh)
    with load(args, seed=False) as llm:
        batch.run(llm, params_of(args, llm), chat=args.chat, system=args.system)


def params_of(args: argparse.Namespace, llm: LLM) -> SamplingParams:
    """The model's defaults, `MAX_TOKENS`, then what the flags say."""
    defaults = replace(llm.get_default_sampling_params(), max_tokens=MAX_TOKENS)
    return sampling_params(args, defaults)
