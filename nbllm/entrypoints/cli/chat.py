"""Talk to a chat model in the terminal.

Ctrl-C ends an answer and keeps what there is of it, Ctrl-D ends the conversation. /help lists what
else can be done.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ...errors import GenerationInterrupted, NbllmError
from ...sampling_params import SamplingParams
from .model_flags import add_model, load
from .sampling_flags import add_sampling, sampling_params
from .terminal import note, say

if TYPE_CHECKING:
    from ...llm import LLM

HELP = """\
/reset   forget the conversation
/undo    take back your last message and its answer
/retry   another answer to your last message
/exit    end, as Ctrl-D does"""
PROMPT = "> "


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--system", metavar="TEXT", help="what the model is told first")
    add_model(parser, seed=False)
    add_sampling(parser, several=False)


def run(args: argparse.Namespace) -> None:
    with suppress(ImportError):
        import readline  # noqa: F401  # input() can be edited, where there is such a thing
    with load(args, seed=False) as llm:
        defaults = replace(llm.get_default_sampling_params(), max_tokens=args.max_tokens)
        talk = Talk(llm, sampling_params(args, defaults), args.system)
        note(f"{llm.name}: say something; /help, Ctrl-D ends")
        while (line := _line()) is not None:
            try:
                if not talk.hear(line):
                    break
            except NbllmError as error:
                # a turn that fails leaves the conversation as it was
                note(f"nbllm: {error}")


def _line() -> str | None:
    """What the user says; None at the end."""
    try:
        return input(PROMPT)
    except EOFError:
        print()
        return None
    except KeyboardInterrupt:
        print()
        return ""


@dataclass
class Talk:
    """A conversation."""

    llm: LLM
    params: SamplingParams
    system: str | None
    turns: list[dict[str, str]] = field(default_factory=list)

    def hear(self, line: str) -> bool:
        """Do what a line says; False: end."""
        word = line.strip()
        if word in ("/exit", "/quit"):
            return False
        if word == "/help":
            note(HELP)
        elif word == "/reset":
            self.turns.clear()
        elif word == "/undo":
            del self.turns[-2:]
        elif word == "/retry":
            if self.turns:
                self._answer(self.turns[:-1])
        elif word.startswith("/"):
            note(f"there is no {word.split()[0]}\n{HELP}")
        elif word:
            self._answer([*self.turns, {"role": "user", "content": line}])
        return True

    def _answer(self, asked: list[dict[str, str]]) -> None:
        """Stream the answer; then it belongs to the conversation, also as far as it got."""
        first = [{"role": "system", "content": self.system}] if self.system else []
        text = ""
        try:
            for output in self.llm.stream([*first, *asked], self.params):
                said = output.outputs[0].text
                say(said[len(text) :])
                text = said
        except GenerationInterrupted:
            note(" …")
        say("\n")
        if text:
            self.turns = [*asked, {"role": "assistant", "content": text}]
