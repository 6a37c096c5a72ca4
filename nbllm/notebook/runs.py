"""What the magics do once their line is read: find the model, run, keep the result."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from IPython.core.error import UsageError

from .. import resident
from ..results import trim
from ..results.conversation import Conversation
from ..results.conversations import Conversations, free_name
from ..results.generation import Generation
from ..results.turn import Turn
from ..results.work import MAX_TOKENS, Work, draw_seed
from ..sampling_params import BeamSearchParams, SamplingParams
from . import comparison
from .checkpoint import Checkpoint
from .command_line import Call, one_name
from .flags import given, layered
from .grid import settings
from .labels import Labels, label
from .live import Screen
from .prompts import filled_in, prompts
from .resume import Finished, identity
from .run import run
from .sampling_flags import SAMPLING
from .search import Found, search
from .search_flags import SEARCH
from .structured import choices, structured
from .turns import start, turn

if TYPE_CHECKING:
    from ..llm import LLM
    from ..widgets import Chat, Playground
    from .magics import Nbllm

_CELL_MAGIC = "get_ipython().run_cell_magic("

BEAM_WIDTH, BEAM_TOKENS = 5, 32
"""What `%%beam` has unless told. A search does all its steps, so they are few."""


class Runs:
    """The runs of one extension. conversations: by name, "" is the usual one. unfinished: the latest
    interrupted run over a frame, which goes on when its cell is run again."""

    def __init__(self, magics: Nbllm):
        self.magics = magics
        self.conversations = Conversations()
        self.unfinished: Finished | None = None
        self.screen = Screen(magics.shell)

    def begin(self, call: Call) -> None:
        """A new call. IPython keeps a cell's source as it runs it: a `%%magic` is one line."""
        source = (self.shell.user_ns.get("_ih") or [""])[-1].strip()
        alone = call.from_cell and "\n" not in source and source.startswith(_CELL_MAGIC)
        quiet = getattr(call.args, "quiet", False)
        self.screen = Screen(self.shell, quiet=quiet, alone=alone)

    @property
    def shell(self) -> Any:
        return self.magics.shell

    def generate(self, call: Call) -> Generation | None:
        texts, over = prompts(call)
        before = self._before(call)
        llm = self.llm(call.args.model)
        params = self._params(llm, call, MAX_TOKENS)
        tails = trim.tails(llm, texts, params.max_tokens, self._trimmed) if call.args.trim else {}
        work = Work(
            kind="completions", prompts=texts, requests=texts, params=params, tails=tails,
            settings=settings(call.args.grid), resumable=over is not None,
        )  # fmt: skip
        return self._run(call, llm, work, partial(Generation, over=over, before=before))

    def chat(self, call: Call) -> Generation | None:
        if call.args.over:
            return self._chat_over(call)
        if (call.args.n or 1) > 1 or call.args.grid or call.args.append:
            flag = "--grid" if call.args.grid else "--append" if call.args.append else "--n"
            raise UsageError(
                f"a conversation goes on with one answer: {flag} needs --over, or %%generate"
            )
        text = filled_in(call, [{}])[0] if call.prompt else ""
        step = turn(self.conversations, call.args, text, call.namespace)
        if step.asked is None:
            return self._without_question(call, step)
        llm = self.llm(call.args.model)
        params = self._params(llm, call, None)
        work = step.work(llm, params, trimmed=self._trimmed if call.args.trim else None)
        return self._run(call, llm, work, partial(self._answered, step))

    def _without_question(self, call: Call, step: Turn) -> None:
        args = call.args
        if not (args.reset or args.system or args.undo or args.from_ or args.template):
            raise UsageError("the prompt is empty")
        self.conversations[step.name] = step.before
        if args.undo:
            said = step.before.num_asked
            print(f"undone; the conversation has {said} message{'s' * (said != 1)} of yours")

    def _answered(self, step: Turn, **made: Any) -> Any:
        [output] = made["outputs"]
        if (after := step.after(output)) is not None:
            if step.kept is not None:
                name = free_name(step.name, self.conversations)
                self.conversations[name] = step.kept
                self.screen.say(f"the conversation as it was goes on with --name {name}")
            instead_of = step.before if step.continued else None
            self.conversations.put(step.name, after, instead_of=instead_of)
        return step.reply(after, **made)

    def _trimmed(self, line: str) -> None:
        self.screen.say(f"--trim: {line}")

    def _chat_over(self, call: Call) -> Generation | None:
        args = call.args
        alone = ("reset", "name", "undo", "retry", "edit", "continue_", "from_")
        if wrong := [f.strip("_") for f in alone if getattr(args, f)]:
            raise UsageError(f"--over has a conversation per row: --{wrong[0]} does not go with it")
        start = turn({}, args, "", call.namespace).before
        texts, over = prompts(call)
        before = self._before(call)
        llm = self.llm(args.model)
        options = {"chat_template": start.template} if start.template is not None else {}
        params = self._params(llm, call, None)
        requests = [start.asked(text).messages for text in texts]
        if args.trim:
            render = partial(llm.preprocess_chat, **options)
            requests = [
                trim.oldest_dropped(llm, r, params.max_tokens, render, self._trimmed)
                for r in requests
            ]
        work = Work(
            kind="chat", prompts=texts, requests=requests, params=params, chat=options,
            settings=settings(args.grid), resumable=True,
        )  # fmt: skip
        return self._run(call, llm, work, partial(Generation, over=over, before=before))

    def beam(self, call: Call) -> Found | None:
        texts, over = prompts(call)
        trace = one_name([call.args.trace] if call.args.trace else [])
        if trace and trace == call.out:
            raise UsageError(f"two variables for the frame and its trace, got {trace} for both")
        llm = self.llm(call.args.model)
        params = self._search_params(call.args)
        keep = partial(self._keep_search, trace, call.out, partial(Found, over=over))
        result = search(llm, params, prompts=texts, quiet=call.args.quiet, keep=keep)
        # a table of sequences says little about a search, so it is shown even if it has a name
        return None if call.out and call.args.quiet else result

    def _keep_search(self, trace: str | None, *args: Any, **made: Any) -> Found:
        result = self._keep(*args, **made)
        if trace:
            self.shell.user_ns[trace] = result.trace
        return result

    def score(self, call: Call) -> Labels | None:
        texts, over = prompts(call)
        after = call.args.continuation
        rest = None if after is None else filled_in(call, _rows(over), after)
        llm = self.llm(call.args.model)

        def ask(begin: int, end: int) -> Any:
            told = None if rest is None else rest[begin:end]
            return llm.score(texts[begin:end], told, use_tqdm=False)

        return self._label(call, llm, "score", texts, {}, ask, partial(Labels, over=over))

    def choose(self, call: Call) -> Labels | None:
        texts, over = prompts(call)
        options = choices(call.args, call.namespace)
        if not options:
            raise UsageError("choose among what? --choice TEXT, to be repeated, or --choices NAME")
        each = self._choices_each(call, options, over)
        llm, normalize = self.llm(call.args.model), bool(call.args.normalize)

        def ask(begin: int, end: int) -> Any:
            return llm.choose(
                texts[begin:end], each[begin:end], normalize=normalize, use_tqdm=False
            )

        make = partial(Labels, over=over, best=call.args.best)
        return self._label(call, llm, "choose", texts, {"normalize": normalize}, ask, make)

    def _choices_each(self, call: Call, options: list[str], over: Any) -> list[list[str]]:
        """`{{ }}` in a choice is filled in for each row; a list's texts are literal."""
        rows = _rows(over)
        if call.args.choices:
            return [options] * len(rows)
        columns = [filled_in(call, rows, option) for option in options]
        return [list(each) for each in zip(*columns, strict=True)]

    def _label(
        self, call: Call, llm: LLM, kind: str, texts: list[str], values: dict[str, Any],
        ask: Any, make: Any,
    ) -> Labels | None:  # fmt: skip
        keep = partial(self._keep, call.out, make)
        result = label(
            self.screen, llm, kind=kind, prompts=texts, values=values, ask=ask,
            keep=keep,
        )  # fmt: skip
        return None if call.out else result

    def compare(self, call: Call) -> comparison.Comparison | None:
        texts, over = prompts(call)
        args = call.args
        names = args.models.split(",") if args.models else [args.model]
        llms = {name or "": self.llm(name) for name in names}
        llms = {name or llm.name: llm for name, llm in llms.items()}
        first = next(iter(llms.values()))

        def sampled(flags: Namespace) -> SamplingParams:
            # what the comparison's own flags say holds for every setting
            base = self._params(first, call, MAX_TOKENS)
            more = structured(flags, call.namespace)
            return layered(base, given(flags, SAMPLING), more)

        def searched(flags: Namespace) -> BeamSearchParams:
            base = self._search_params(flags)
            most = args.max_tokens if flags.max_tokens is None else None
            return layered(base, {"max_tokens": most})

        generate, beam = cast(Any, self.magics.generate), cast(Any, self.magics.beam)
        make = {"sampling": (generate.parser, sampled), "search": (beam.parser, searched)}
        base = self._params(first, call, MAX_TOKENS)
        if args.setting or args.grid or not args.models:
            chosen = comparison.settings(args.setting, settings(args.grid), base, make)
        else:
            chosen = {
                "default": replace(base, seed=draw_seed() if base.seed is None else base.seed)
            }
        keep = partial(self._keep, call.out, partial(comparison.Comparison, over=over))
        result = comparison.compared(llms, texts, chosen, quiet=args.quiet, keep=keep)
        return None if call.out else result

    def playground(self, call: Call) -> Playground:
        from ..widgets import Playground

        args = call.args
        params = self._params(self.llm(args.model), call, MAX_TOKENS)
        # the widget has its fields for what `{{ }}` in the prompt stand for
        widget = Playground(call.prompt, params, model=args.model, live=args.live)
        if call.out:
            self.shell.user_ns[call.out] = widget
        return widget

    def chatui(self, call: Call) -> Chat:
        from ..widgets import Chat

        args, name = call.args, call.args.name or ""
        known = self.conversations.get(name, Conversation())
        begun = start(known, args, call.namespace)
        message = filled_in(call, [{}])[0]
        widget = Chat(
            None if begun is known else begun, self._params(self.llm(args.model), call, None),
            name=name, trim=args.trim, model=args.model, conversations=self.conversations,
        )  # fmt: skip
        if message:
            widget.say(message)
        if call.out:
            self.shell.user_ns[call.out] = widget
        return widget

    def _run(
        self, call: Call, llm: LLM, work: Work, make: Callable[..., Generation]
    ) -> Generation | None:
        finished = self._finished(call.args, llm, work)
        failed = True
        try:
            result = run(
                self.screen, llm, work, stream=call.args.stream,
                finished=finished, keep=partial(self._keep, call.out, make),
            )  # fmt: skip
            failed = False
        finally:
            if finished is not None:
                finished.close()
                self.unfinished = finished if failed and finished.rows else None
        return None if call.out else result

    def _finished(self, args: Namespace, llm: LLM, work: Work) -> Finished | None:
        """Where to keep what gets done, with what is done already."""
        if not work.resumable and not args.checkpoint:
            return None
        known = identity(work, llm.info())
        if args.checkpoint:
            return Checkpoint(known, Path(args.checkpoint).expanduser(), fresh=args.fresh)
        before = self.unfinished
        if before is not None and before.identity == known and not args.fresh:
            return before
        return Finished(known)

    def _before(self, call: Call) -> Any:
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

    def _keep(
        self, name: str | None, make: Callable[..., Any], interrupted: bool, **made: Any
    ) -> Any:
        result = make(**made)
        resident.remember(result)
        if name:
            self.shell.user_ns[name] = result.df
        elif interrupted:
            # the cell is about to fail, and then it has no value to show
            data, metadata = result._repr_mimebundle_()
            self.shell.display_pub.publish(data=data, metadata=metadata)
        return result

    def llm(self, name: str | None) -> LLM:
        """The model to use; the bundled one where none is loaded."""
        if not self.magics.autoload:
            return resident.current(name)
        return resident.current_or_bundled(name, self.screen.say)

    def _params(self, llm: LLM, call: Call, max_tokens: int | None) -> SamplingParams:
        """The model's defaults, then `%config`, then flags."""
        defaults = replace(llm.get_default_sampling_params(), max_tokens=max_tokens)
        config = {n: getattr(self.magics, n) for n in SAMPLING if self.magics.has_trait(n)}
        flags = given(call.args, SAMPLING)
        return layered(defaults, config, flags, structured(call.args, call.namespace))

    def _search_params(self, args: Namespace) -> BeamSearchParams:
        most = self.magics.max_tokens or BEAM_TOKENS
        defaults = BeamSearchParams(beam_width=BEAM_WIDTH, max_tokens=most)
        return layered(defaults, given(args, SEARCH))


def _rows(over: Any) -> list[dict[str, Any]]:
    return [{}] if over is None else over.to_dict("records")
