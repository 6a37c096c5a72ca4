"""The magics: read the line, wait for the model, keep the result."""

from __future__ import annotations

from argparse import Namespace
from collections import ChainMap
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    line_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
)
from IPython.core.magic_arguments import argument, magic_arguments
from traitlets import Bool, Float, Int

from .. import resident
from ..errors import NoModelError
from ..sampling_params import BeamSearchParams, SamplingParams
from . import commands
from .command_line import Call, one_name, read
from .conversation import Conversation, Reply
from .flags import SAMPLING, SEARCH, beam_flags, given, layered, run_flags
from .prompts import prompts
from .results import Generation
from .run import run, without_frames
from .search import Found, search

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..llm import LLM

MAX_TOKENS = 256
"""What `%%generate` generates at most, unless told; `%%chat` has what the context leaves."""
BEAM_WIDTH, BEAM_TOKENS = 5, 32
"""What `%%beam` has unless told. A search does all its steps, so they are few."""


@magics_class
class Nbllm(Magics):
    """The magics of nbllm. What is set here holds for every cell; a cell's own flags come later."""

    autoload = Bool(
        True, help="load the bundled model when a magic needs one and none is loaded"
    ).tag(config=True)
    max_tokens = Int(None, allow_none=True, help="tokens to generate at most").tag(config=True)
    temperature = Float(None, allow_none=True, help="0 takes the likeliest token").tag(config=True)
    top_p = Float(
        None, allow_none=True, help="sample from the likeliest tokens that reach this"
    ).tag(config=True)
    top_k = Int(None, allow_none=True, help="sample from the K likeliest tokens").tag(config=True)
    min_p = Float(
        None, allow_none=True, help="drop tokens less likely than P times the likeliest"
    ).tag(config=True)
    seed = Int(None, allow_none=True, help="the same seed gives the same text").tag(config=True)

    # never None once it is built, which IPython's own annotation allows
    shell: InteractiveShell  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, shell: InteractiveShell, **options: Any):
        super().__init__(shell, **options)
        self.conversations: dict[str, Conversation] = {}
        self.replaced: dict[str, dict[str, Any]] = {}
        self.matcher: Callable[..., Any] | None = None

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    @magic_arguments()
    @argument(
        "words", nargs="*", help="in a cell: variable for the DataFrame; on a line: the prompt"
    )
    @run_flags
    def generate(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> Generation | None:
        """Continue a text.

        `%%generate [NAME]` takes the rest of the cell as the prompt, `%generate` the rest of the
        line (a line that ends in ? is IPython's help: use quotes). `{{ name }}` in the prompt is
        replaced by a variable or, with --over, by a column; nothing else is. The result is the
        cell's value: `.df`, `.text`, `.outputs`. With a NAME the DataFrame is bound to it instead.
        """
        return without_frames(self._generate, self._read(self.generate, line, cell, local_ns))

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    @magic_arguments()
    @argument(
        "words", nargs="*", help="in a cell: variable for the DataFrame; on a line: the message"
    )
    @argument("--system", metavar="TEXT", help="what the model is told first")
    @argument(
        "--name", metavar="NAME", help="a conversation of this name, instead of the usual one"
    )
    @argument("--reset", action="store_true", help="forget the conversation first")
    @run_flags
    def chat(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> Generation | None:
        """Say something to a chat model; the next %%chat goes on with the conversation.

        `%%chat` takes the rest of the cell as the message, `%chat` the rest of the line (a line
        that ends in ? is IPython's help: use quotes). A reasoning model's thoughts are shown, and
        left out of what the next turn repeats.

        A turn that fails leaves the conversation as it was. An interrupted answer is kept as far as
        it got (finish_reason "abort" in `.df`); before its first token the turn is dropped. With
        --over every row is a conversation of its own, and the usual one is left alone.
        """
        return without_frames(self._chat, self._read(self.chat, line, cell, local_ns))

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    @magic_arguments()
    @argument(
        "words", nargs="*", help="in a cell: variable for the DataFrame; on a line: the prompt"
    )
    @beam_flags
    def beam(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> Found | None:
        """Search for the likeliest continuations of a text.

        `%%beam [NAME]` takes the rest of the cell as the prompt, `%beam` the rest of the line; names
        and `{{ }}` are as in %%generate. The result is the cell's value, with NAME too unless --quiet:
        `.df` has the sequences, best first, `.trace` every candidate of every step. Nothing is drawn by chance, so of
        `%config Nbllm` only max_tokens counts. Interrupted, it keeps the best so far.
        """
        return without_frames(self._beam, self._read(self.beam, line, cell, local_ns))

    @no_var_expand
    @needs_local_scope
    @line_magic
    def nbllm(self, line: str, local_ns: dict[str, Any] | None = None) -> None:
        """Load, show and unload models; alone it prints help."""
        without_frames(commands.run, line, self._namespace(local_ns))

    def _read(
        self, magic: Any, line: str, cell: str | None, local_ns: dict[str, Any] | None
    ) -> Call:
        return read(magic.parser, line, cell, self._namespace(local_ns))

    def _namespace(self, local_ns: dict[str, Any] | None) -> ChainMap[str, Any]:
        return ChainMap(local_ns or {}, self.shell.user_ns)

    def _generate(self, call: Call) -> Generation | None:
        texts, over = prompts(call)
        return self._run(call, "completions", texts, texts, partial(Generation, over=over))

    def _beam(self, call: Call) -> Found | None:
        texts, over = prompts(call)
        trace = one_name([call.args.trace] if call.args.trace else [])
        if trace and trace == call.out:
            raise UsageError(f"two variables for the frame and its trace, got {trace} for both")
        llm = self._llm(call.args.model)
        defaults = BeamSearchParams(
            beam_width=BEAM_WIDTH, max_tokens=self.max_tokens or BEAM_TOKENS
        )
        params = layered(defaults, given(call.args, SEARCH))
        keep = partial(self._keep_search, trace, call.out, partial(Found, over=over))
        result = search(llm, params, prompts=texts, quiet=call.args.quiet, keep=keep)
        # a table of sequences says little about a search, so it is shown even if it has a name
        return None if call.out and call.args.quiet else result

    def _keep_search(self, trace: str | None, *args: Any, **made: Any) -> Found:
        result = self._keep(*args, **made)
        if trace:
            self.shell.user_ns[trace] = result.trace
        return result

    def _chat(self, call: Call) -> Generation | None:
        if call.args.over:
            return self._chat_over(call)
        if (call.args.n or 1) > 1:
            raise UsageError(
                "a conversation goes on with one answer: --n needs --over, or %%generate"
            )
        name = call.args.name or ""
        before = Conversation() if call.args.reset else self.conversations.get(name, Conversation())
        if call.args.system:
            before = before.with_system(call.args.system)
        if not call.prompt and (call.args.reset or call.args.system):
            self.conversations[name] = before
            return None
        [text], _ = prompts(call)
        asked = before.asked(text)
        return self._run(
            call, "chat", [text], [asked.messages], partial(self._answered, name, before, asked)
        )

    def _chat_over(self, call: Call) -> Generation | None:
        if call.args.reset or call.args.name:
            raise UsageError(
                "--over has a conversation per row: --name and --reset do not go with it"
            )
        start = Conversation().with_system(call.args.system) if call.args.system else Conversation()
        texts, over = prompts(call)
        requests = [start.asked(text).messages for text in texts]
        return self._run(call, "chat", texts, requests, partial(Generation, over=over))

    def _answered(self, name: str, before: Conversation, asked: Conversation, **made: Any) -> Reply:
        [output] = made["outputs"]
        # an interrupted answer stays as far as it got; without a word of it there was no turn
        kept = any(answer.text or answer.finish_reason != "abort" for answer in output.outputs)
        if not kept:
            return Reply(conversation=before, **made)
        self.conversations[name] = asked.answered(output)
        return Reply(conversation=self.conversations[name], **made)

    def _run(
        self,
        call: Call,
        kind: str,
        texts: list[str],
        requests: list[Any],
        make: Callable[..., Generation],
    ) -> Generation | None:
        llm = self._llm(call.args.model)
        keep = partial(self._keep, call.out, make)
        params = self._params(llm, call.args, MAX_TOKENS if kind == "completions" else None)
        quiet = call.args.quiet
        result = run(
            self.shell,
            llm,
            params,
            kind=kind,
            prompts=texts,
            requests=requests,
            quiet=quiet,
            keep=keep,
        )
        return None if call.out else result

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

    def _llm(self, name: str | None) -> LLM:
        try:
            return resident.current(name)
        except NoModelError:
            if name or resident.loaded() or not self.autoload:
                raise
        llm = resident.load()
        print(
            f"no model was loaded: this is {llm.name!r}, the bundled one; %nbllm load MODEL loads another"
        )
        return llm

    def _params(self, llm: LLM, args: Namespace, max_tokens: int | None) -> SamplingParams:
        """The model's defaults, then `%config`, then flags."""
        defaults = replace(llm.get_default_sampling_params(), max_tokens=max_tokens)
        config = {name: getattr(self, name) for name in SAMPLING if self.has_trait(name)}
        return layered(defaults, config, given(args, SAMPLING))
