"""Measure a model on this machine.

Random prompts of the same length; greedy, EOS ignored, the prefix cache emptied before each run.
Figures are medians of --rounds runs, after one that does not count.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ...sampling_params import BeamSearchParams, SamplingParams
from .model_flags import add_model, load

if TYPE_CHECKING:
    from ...llm import LLM

Figure = tuple[str, float, str]


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    group = parser.add_argument_group("the work")
    group.add_argument("--input-len", type=int, default=128, metavar="N", help="default: 128")
    group.add_argument("--output-len", type=int, default=128, metavar="N", help="default: 128")
    group.add_argument(
        "--num-prompts", type=int, default=32, metavar="N", help="at a time; default: 32"
    )
    group.add_argument("--beam-width", type=int, default=5, metavar="N", help="default: 5; 0: none")
    group.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    group.add_argument("--as-json", action="store_true", help="one JSON object instead of a table")


def run(args: argparse.Namespace) -> None:
    begin = time.perf_counter()
    with load(args) as llm:
        loaded = ("load", time.perf_counter() - begin, "s")
        found = []
        for figure in (loaded, *measured(llm, args)):
            found.append(figure)
            if not args.as_json:
                print("{:<44} {:>10.4g} {}".format(*figure), flush=True)
        if args.as_json:
            info = llm.info()
            model = {"model": info.name, "dtype": info.dtype, "device": info.device}
            print(json.dumps({**model, "figures": [_record(f) for f in found]}))


def measured(llm: LLM, args: argparse.Namespace) -> Iterator[Figure]:
    """What there is to know, the cheap things first."""
    prompts = _prompts(llm, args.num_prompts, args.input_len)
    one, out = prompts[:1], args.output_len
    took = _seconds(llm, args.rounds, lambda: _generate(llm, one, 1))
    yield f"first token of a prompt of {args.input_len}", took * 1e3, "ms"
    took = _seconds(llm, args.rounds, lambda: _generate(llm, one, out))
    yield f"one prompt, {out} tokens", out / took, "tokens/s"
    if len(prompts) > 1:
        took = _seconds(llm, args.rounds, lambda: _generate(llm, prompts, out))
        yield f"{len(prompts)} prompts, {out} tokens each", len(prompts) * out / took, "tokens/s"
    if args.beam_width:
        params = BeamSearchParams(beam_width=args.beam_width, max_tokens=out, ignore_eos=True)
        took = _seconds(llm, args.rounds, lambda: llm.beam_search(one, params))
        yield f"beam search, width {args.beam_width}, {out} steps", took, "s"


def _prompts(llm: LLM, count: int, length: int) -> list[dict[str, list[int]]]:
    draw = random.Random(0)
    size = llm.config.vocab_size
    ids = [[draw.randrange(size) for _ in range(length)] for _ in range(count)]
    return [{"prompt_token_ids": each} for each in ids]


def _generate(llm: LLM, prompts: Any, count: int) -> None:
    params = SamplingParams(temperature=0, max_tokens=count, ignore_eos=True, detokenize=False)
    llm.generate(prompts, params, use_tqdm=False)


def _seconds(llm: LLM, rounds: int, work: Callable[[], object]) -> float:
    times = []
    for _ in range(rounds + 1):
        llm.reset_prefix_cache()
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def _record(figure: Figure) -> dict[str, Any]:
    return dict(zip(("case", "figure", "unit"), figure, strict=True))
