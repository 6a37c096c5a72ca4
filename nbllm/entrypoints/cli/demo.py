"""What nbllm does, in half a minute, on the bundled model.

It needs no GPU and no download. What is printed after >>> is the code that makes what follows.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from ...outputs import RequestOutput
from ...sampling_params import BeamSearchParams, SamplingParams, StructuredOutputsParams
from .terminal import note, say

if TYPE_CHECKING:
    from ...llm import LLM


def add_flags(parser: argparse.ArgumentParser) -> None:
    """There are none."""


def run(args: argparse.Namespace) -> None:
    from ...frames import to_frame
    from ...llm import LLM

    with LLM() as llm:
        for part in PARTS:
            title, source = _shown(part)
            say(f"\n{title}\n>>> {source}\n\n")
            made = part(llm)
            if isinstance(made[0], RequestOutput) and len(made[0].outputs) == 1:
                say(made[0].outputs[0].text + "\n")
            else:
                frame = to_frame(made)
                columns = [name for name in COLUMNS if name in frame.columns]
                say(frame[columns].to_string(index=False) + "\n")
    note("\nNext: %load_ext nbllm in a notebook, or nbllm serve, nbllm chat, nbllm --help")


COLUMNS = ("choice", "rank", "probability", "score", "text")


def greedy(llm: LLM) -> Any:
    """A text, continued by the likeliest token, one after the other."""
    return llm.generate(
        "English: The singer loves her dog.\nFrench:", SamplingParams(temperature=0)
    )


def beams(llm: LLM) -> Any:
    """The likeliest sentence begins with a less likely word: beam search finds it."""
    return llm.beam_search(
        "English: The singer loves her dog.\nFrench:", BeamSearchParams(beam_width=5, max_tokens=20)
    )


def samples(llm: LLM) -> Any:
    """Three stories by chance; the seed makes them again."""
    return llm.generate("Once upon a time", SamplingParams(n=3, max_tokens=12, seed=1))


def choose(llm: LLM) -> Any:
    """A label without generating: how likely is each?"""
    return llm.choose("Review: I loved every minute.\nSentiment:", [" positive", " negative"])


def structured(llm: LLM) -> Any:
    """An answer in a conversation that has to be JSON of a shape."""
    person = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    }
    return llm.chat(
        [{"role": "user", "content": "Convert to JSON: Anna is 7 years old."}],
        SamplingParams(temperature=0, structured_outputs=StructuredOutputsParams(json=person)),
    )


PARTS: tuple[Callable[[LLM], Any], ...] = (greedy, beams, samples, choose, structured)


def _shown(part: Callable[[LLM], Any]) -> tuple[str, str]:
    """A part's title and its code."""
    code = dedent(inspect.getsource(part).split('"""', 2)[2]).strip().replace("return ", "", 1)
    return (part.__doc__ or "").strip(), code.replace("\n", "\n... ")
