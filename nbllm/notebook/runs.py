"""What all magics share once their line is read: the model, the parameters, keeping the result.

magics.py ── command_line.py ──> Call ──┬── generate.py, chats.py ── run.py
                                        ├── search.py        %%beam
                                        ├── labels.py        %%score, %%choose
                                        ├── comparison.py    %%compare
                                        └── panels.py        %%playground
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from .. import resident
from ..results.conversations import Conversations
from ..results.generation import Generation
from ..results.work import Work
from ..sampling_params import BeamSearchParams, SamplingParams
from .checkpoint import Checkpoint
from .command_line import Call
from .flags import given, layered
from .interrupts import Stop
from .live import Screen
from .resume import Finished, identity
from .run import run
from .sampling_flags import SAMPLING
from .search_flags import SEARCH
from .structured import structured

if TYPE_CHECKING:
    from ..llm import LLM
    from .magics import Nbllm

_ALONE = ("get_ipython().run_cell_magic(", "get_ipython().run_line_magic(")

BEAM_WIDTH, BEAM_TOKENS = 5, 32
"""What `%%beam` has unless told. A search does all its steps, so they are few."""


class Runs:
    """The runs of one extension. conversations: by name, "" is the usual one. unfinished: the latest
    interrupted run over a frame, which goes on when its cell is run again."""

    def __init__(self, magics: Nbllm):
        self.magics = magics
        self.conversations = Conversations()
        self.unfinished: Finished | None = None
        self.stop = Stop()
        self.screen = Screen(magics.shell)

    def begin(self, call: Call) -> None:
        """A new call. IPython keeps a cell's source as it runs it: a magic is one line."""
        source = (self.shell.user_ns.get("_ih") or [""])[-1].strip()
        alone = "\n" not in source and source.startswith(_ALONE)
        self.screen = Screen(self.shell, quiet=getattr(call.args, "quiet", False), alone=alone)

    @property
    def shell(self) -> Any:
        return self.magics.shell

    def llm(self, name: str | None) -> LLM:
        """The model to use; the bundled one where none is loaded."""
        if not self.magics.autoload:
            return resident.current(name)
        return resident.current_or_bundled(name, self.screen.say)

    def trimmed(self, line: str) -> None:
        """Say what was left out."""
        self.screen.say(f"--trim: {line}")

    def params(self, llm: LLM, call: Call, max_tokens: int | None) -> SamplingParams:
        """The model's defaults, then `%config`, then flags."""
        defaults = replace(llm.get_default_sampling_params(), max_tokens=max_tokens)
        config = {n: getattr(self.magics, n) for n in SAMPLING if self.magics.has_trait(n)}
        flags = given(call.args, SAMPLING)
        return layered(defaults, config, flags, structured(call.args, call.namespace))

    def search_params(self, args: Namespace, namespace: Mapping[str, Any]) -> BeamSearchParams:
        """Our defaults, then `%config`, then flags."""
        most = self.magics.max_tokens or BEAM_TOKENS
        defaults = BeamSearchParams(beam_width=BEAM_WIDTH, max_tokens=most)
        return layered(defaults, given(args, SEARCH), structured(args, namespace))

    def run(
        self, call: Call, llm: LLM, work: Work, make: Callable[..., Generation]
    ) -> Generation | None:
        """Generate; what is done of a frame stays done when it fails."""
        info = llm.info()
        known = partial(identity, work, info)
        with self.finished(call.args, known, resumable=work.resumable) as finished:
            result = run(
                self.screen, llm, work, info=info, stop=self.stop, stream=call.args.stream,
                finished=finished, keep=partial(self.keep, call.out, make),
            )  # fmt: skip
        return None if call.out else result

    @contextmanager
    def finished(
        self, args: Namespace, known: Callable[[], dict[str, Any]], *, resumable: bool
    ) -> Iterator[Finished | None]:
        """Where to keep what gets done, with what is done already; None: nowhere.

        What was done when the block fails is there for the next run that is `known` by the same.
        """
        if not resumable and not args.checkpoint:
            yield None
            return
        finished = self._finished(args, known())
        failed = True
        try:
            yield finished
            failed = self.stop.asked
        finally:
            finished.close()
            self.unfinished = finished if failed and finished.rows else None

    def _finished(self, args: Namespace, known: dict[str, Any]) -> Finished:
        if args.checkpoint:
            return Checkpoint(known, Path(args.checkpoint).expanduser(), fresh=args.fresh)
        before = self.unfinished
        if before is not None and before.identity == known and not args.fresh:
            return before
        return Finished(known)

    def before(self, call: Call) -> Any:
        """The frame that `--append` adds to; None: there is none yet."""
        if not call.args.append:
            return None
        if call.out is None:
            raise UsageError("--append adds to a DataFrame: say to which, %%generate NAME --append")
        if (known := self.shell.user_ns.get(call.out)) is None:
            return None
        if not hasattr(known, "iloc") or not hasattr(known, "columns"):
            kind = type(known).__name__
            raise UsageError(f"--append: {call.out} is a {kind}, a DataFrame is needed")
        return known

    def keep(
        self, name: str | None, make: Callable[..., Any], interrupted: bool, **made: Any
    ) -> Any:
        """The result, bound to its name and kept as `nbllm.last`."""
        result = make(**made)
        resident.remember(result)
        if name:
            self.shell.user_ns[name] = result.df
        elif interrupted:
            # the cell is about to fail, and then it has no value to show
            data, metadata = result._repr_mimebundle_()
            self.shell.display_pub.publish(data=data, metadata=metadata)
        return result
