"""The magics: what a user types, and what `?` says about it. `runs.py` does the work."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable
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

from ..errors import GenerationInterrupted
from ..results.conversations import Conversations
from ..results.generation import Generation
from ..results.search import Found
from . import chats, commands, comparison, generate, labels, panels, search
from .chat_flags import CHATUI_FLAGS, FROM, NAME, RESET, SYSTEM, TEMPLATE
from .command_line import Call, read
from .comparison import Comparison
from .control import Control
from .flags import flag, with_flags
from .interrupts import without_frames
from .labels import Labels
from .run_flags import COMPARE_FLAGS, LONG_FLAGS, PANEL_FLAGS, RESUME_FLAGS, RUN_FLAGS, STREAM_FLAGS
from .runs import Runs
from .sampling_flags import SAMPLING_FLAGS
from .search_flags import SEARCH_FLAGS, TRACE
from .structured import CHOICE_FLAGS, PROCESSORS, STRUCTURED_FLAGS

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..entrypoints.openai import Server
    from ..widgets import BeamExplorer, Chat, EngineStatus, Playground, PromptGrid, TokenExplorer

SHAPE = (*STRUCTURED_FLAGS, *CHOICE_FLAGS)
SAMPLING = (*SAMPLING_FLAGS, *SHAPE, PROCESSORS)
WORDS = argument(
    "words", nargs="*", help="in a cell: variable for the DataFrame; on a line: the prompt"
)


def _default(kind: type[Int] | type[Float], help: str, **bounds: Any) -> Any:
    """A default of the magics; None: the model's own."""
    return kind(None, allow_none=True, help=help, **bounds).tag(config=True)


@magics_class
class Nbllm(Magics):
    """The magics of nbllm. What is set here holds for every cell; a cell's own flags come later."""

    autoload = Bool(
        True, help="load the bundled model when a magic needs one and none is loaded"
    ).tag(config=True)
    max_tokens = _default(Int, "tokens to generate at most", min=1)
    temperature = _default(Float, "0 takes the likeliest token", min=0, max=2)
    top_p = _default(Float, "sample from the likeliest tokens that reach this", min=0, max=1)
    top_k = _default(Int, "sample from the K likeliest tokens", min=-1)
    min_p = _default(Float, "drop tokens less likely than P times the likeliest", min=0, max=1)
    seed = _default(Int, "the same seed gives the same text")

    # never None once it is built, which IPython's own annotation allows
    shell: InteractiveShell  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, shell: InteractiveShell, **options: Any):
        super().__init__(shell, **options)
        self.runs = Runs(self)
        self.control = Control(self)
        self.replaced: dict[str, dict[str, Any]] = {}
        self.matcher: Callable[..., Any] | None = None
        self.server: Server | None = None

    @property
    def conversations(self) -> Conversations:
        """By name; "" is the usual one."""
        return self.runs.conversations

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    @magic_arguments()
    @WORDS
    @with_flags(SAMPLING, LONG_FLAGS, STREAM_FLAGS, RUN_FLAGS)
    def generate(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> Generation | None:
        """Continue a text.

        `%%generate [NAME]` takes the rest of the cell as the prompt, `%generate` the rest of the
        line (a line that ends in ? is IPython's help: use quotes). `{{ name }}` in the prompt is
        replaced by a variable or, with --over, by a column; nothing else is. The result is the
        cell's value: `.df`, `.text`, `.outputs`, `.tokens_frame()`. With a NAME the DataFrame is
        bound to it instead.

        Interrupted, it keeps what there is. Over a frame the same cell, run again, does the rest;
        with --checkpoint also in another kernel.
        """
        return self._do(generate.generate, self.generate, line, cell, local_ns)

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    @magic_arguments()
    @argument(
        "words", nargs="*", help="in a cell: variable for the DataFrame; on a line: the message"
    )
    @with_flags((SYSTEM, NAME, RESET))
    @argument(
        "--undo", action="store_true", help="take your last message and its answer back first"
    )
    @argument("--retry", action="store_true", help="another answer to your last message")
    @flag("--edit", metavar="N", help="say this instead of your message number N, from 1")
    @argument(
        "--continue", dest="continue_", action="store_true", help="go on with the last answer"
    )
    @with_flags((FROM, TEMPLATE), SAMPLING, LONG_FLAGS, STREAM_FLAGS, RUN_FLAGS)
    def chat(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> Generation | None:
        """Say something to a chat model; the next %%chat goes on with the conversation.

        `%%chat` takes the rest of the cell as the message, `%chat` the rest of the line (a line
        that ends in ? is IPython's help: use quotes). A reasoning model's thoughts are shown, and
        left out of what the next turn repeats. The result has `.messages`, `.df`, `.fork()` and
        `.to_json()`.

        --retry and --edit begin a branch: the conversation as it was is kept under a name that is
        printed. A turn that fails leaves the conversation as it was. An interrupted answer is kept
        as far as it got (finish_reason "abort" in `.df`); before its first token the turn is
        dropped. With --over every row is a conversation of its own, and the usual one is left alone.
        """
        return self._do(chats.chat, self.chat, line, cell, local_ns)

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    @magic_arguments()
    @WORDS
    @with_flags(SEARCH_FLAGS, (TRACE,), SHAPE, RUN_FLAGS)
    def beam(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> Found | None:
        """Search for the likeliest continuations of a text.

        `%%beam [NAME]` takes the rest of the cell as the prompt, `%beam` the rest of the line; names
        and `{{ }}` are as in %%generate. The result is the cell's value; of one prompt with NAME, too, unless
        --quiet: `.df` has the sequences, best first, `.trace` every candidate of every step. Nothing is
        drawn by chance, so of `%config Nbllm` only max_tokens counts. Interrupted, it keeps the best so far.
        """
        return self._do(search.beam, self.beam, line, cell, local_ns)

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    @magic_arguments()
    @WORDS
    @argument(
        "-c", "--continuation", metavar="TEXT",
        help="score this behind the prompt; without it the prompt itself is scored",
    )  # fmt: skip
    @with_flags(RESUME_FLAGS, RUN_FLAGS)
    def score(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> Labels | None:
        """How likely a text is to the model; nothing is generated.

        `%%score [NAME] --over FRAME` scores the cell for every row, from its second token on, or with
        --continuation that text behind it; `{{ column }}` works in both. Columns of the DataFrame:
        num_tokens, cumulative_logprob, mean_logprob, perplexity, token_logprobs.
        """
        return self._do(labels.score, self.score, line, cell, local_ns)

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    @magic_arguments()
    @WORDS
    @with_flags(CHOICE_FLAGS)
    @argument("--best", action="store_true", help="one row per prompt: its likeliest choice")
    @argument("--normalize", action="store_true", help="compare by the mean per token")
    @with_flags(RESUME_FLAGS, RUN_FLAGS)
    def choose(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> Labels | None:
        """How likely each of several choices is behind a prompt; nothing is generated.

        `%%choose [NAME] --over FRAME --choice " good" --choice " bad" --best` labels a frame. Most
        prompts end without a space, and most choices begin with one. Columns of the DataFrame:
        choice, probability (over the choices), rank, num_tokens, cumulative_logprob, mean_logprob.
        """
        return self._do(labels.choose, self.choose, line, cell, local_ns)

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    @magic_arguments()
    @WORDS
    @with_flags(COMPARE_FLAGS, SAMPLING, RUN_FLAGS)
    def compare(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> Comparison | None:
        """The same prompt under several settings or models, side by side.

        `%%compare [NAME] --setting "greedy -t 0" --setting "wild -t 1.3" --setting "beam --width 4"`.
        Other flags of %%generate hold for every setting. `.df` is the frame of `LLM.compare`: a row
        per prompt, setting and output, with log-probabilities under the model itself, shares of
        distinct tokens and the parameters that differ; with several models also a column model.
        """
        return self._do(comparison.compare, self.compare, line, cell, local_ns)

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    @magic_arguments()
    @argument("words", nargs="*", help="in a cell: variable for the widget; on a line: the prompt")
    @argument("--live", action="store_true", help="run again after every change")
    @with_flags(SAMPLING, PANEL_FLAGS)
    def playground(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> Playground:
        """Try a prompt by hand: a field for each `{{ variable }}`, sliders, history, two runs compared.

        `%%playground [NAME]` takes the rest of the cell as the prompt, `%playground` the rest of the
        line. Flags say what the controls begin with. The widget is the cell's value: `.df` has its
        runs, `.code()` the cell that does the same.
        """
        return self._do(panels.playground, self.playground, line, cell, local_ns)

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    @magic_arguments()
    @argument("words", nargs="*", help="in a cell: variable for the widget; on a line: the prompt")
    @argument("--score", action="store_true", help="score the text as it is, generate nothing")
    @argument(
        "--from", dest="from_", metavar="VARIABLE",
        help="explore this instead: a result, an output, a DataFrame; _ is the last cell's value",
    )  # fmt: skip
    @argument("--row", metavar="N", type=int, help="of the DataFrame, from 0")
    @with_flags(SAMPLING, PANEL_FLAGS)
    def tokenexplorer(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> TokenExplorer:
        """See a text token by token; choose another token anywhere, and the text goes on from there.

        `%%tokenexplorer [NAME]` takes the rest of the cell as the prompt, `%tokenexplorer` the rest of
        the line; `{{ }}` is as in %%generate. It is generated from at once, or with --score looked at
        as it is. Flags say what the controls begin with. The widget is the cell's value: `.df` has its
        branches, `.tokens_frame()` their tokens.
        """
        return self._do(panels.tokenexplorer, self.tokenexplorer, line, cell, local_ns)

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    @magic_arguments()
    @argument("words", nargs="*", help="in a cell: variable for the widget; on a line: the prompt")
    @argument(
        "--from", dest="from_", metavar="VARIABLE",
        help="a search that was made: what %%%%beam or LLM.beam_search returned",
    )  # fmt: skip
    @with_flags(SEARCH_FLAGS, SHAPE, PANEL_FLAGS)
    def beamexplorer(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> BeamExplorer:
        """Look at a beam search step by step: its tree, what was pruned and why, its sequences.

        `%%beamexplorer [NAME]` takes the rest of the cell as the prompt, `%beamexplorer` the rest of the
        line, and `%beamexplorer --from VARIABLE` a search that was made. Flags are those of %%beam.
        Sliders re-rank what was found, or search again where that is needed. The widget is the
        cell's value: `.df` has the sequences, `.trace` every candidate, `.selected` what you selected.
        """
        return self._do(panels.beamexplorer, self.beamexplorer, line, cell, local_ns)

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    @magic_arguments()
    @argument("words", nargs="*", help="in a cell: variable for the widget; on a line: the prompt")
    @argument("--over", metavar="FRAME", help="a DataFrame: a row of the grid for each of its rows")
    @argument("--prompts", metavar="NAME", help="a list of prompts, in the place of a text")
    @argument("--file", metavar="FILE", help="where ratings are saved; what it has is restored")
    @argument("--run", action="store_true", help="begin at once")
    @with_flags(COMPARE_FLAGS, SAMPLING, PANEL_FLAGS)
    def promptgrid(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> PromptGrid:
        """Prompts under several settings or models as a grid, to be read, sorted, rated and judged blind.

        `%%promptgrid [NAME] --over FRAME --grid temperature=0,0.7 --setting "beam --width 4"` takes the
        rest of the cell as the prompt, with `{{ column }}` filled in for each row. Other flags of
        %%generate hold for every setting. The widget is the cell's value: `.df` has a row per cell, with
        its rating; `.choices` what was judged blind.
        """
        return self._do(panels.promptgrid, self.promptgrid, line, cell, local_ns)

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    @magic_arguments()
    @argument("words", nargs="*", help="in a cell: variable for the widget; on a line: a message")
    @with_flags(CHATUI_FLAGS, SAMPLING, PANEL_FLAGS)
    def chatui(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> Chat:
        """Talk to a chat model by hand: edit, retry, and switch between the branches.

        `%chatui` shows the conversation of %%chat, or with --name another of them: what is said in a
        cell appears there, and the other way round. `%%chatui [NAME]` says the rest of the cell,
        `%chatui` the rest of the line, if there is one. Flags say what the controls begin with. The
        widget is the cell's value: `.conversation`, `.messages`, `.df`, `.branches`.
        """
        return self._do(panels.chatui, self.chatui, line, cell, local_ns)

    @line_magic
    def enginestatus(self, line: str) -> EngineStatus:
        """Show the engines of this kernel: models, memory, speed, and who runs, with buttons to stop them.

        `status = %enginestatus` keeps the widget under a name.
        """
        from ..widgets import EngineStatus

        if line.strip():
            raise UsageError(
                f"%enginestatus shows every model and takes nothing, got {line.strip()!r}"
            )
        return EngineStatus()

    @no_var_expand
    @needs_local_scope
    @line_magic
    def nbllm(self, line: str, local_ns: dict[str, Any] | None = None) -> None:
        """Load, show and unload models; alone it prints help."""
        stopped = f"interrupted: %nbllm {line.strip()} was not finished"
        without_frames(commands.run, line, self._namespace(local_ns), self, unfinished=stopped)

    def _do(
        self,
        do: Callable[[Runs, Call], Any],
        magic: Any,
        line: str,
        cell: str | None,
        local_ns: dict[str, Any] | None,
    ) -> Any:
        self.runs.stop.check()

        def called() -> Any:
            call = read(magic.parser, line, cell, self._namespace(local_ns))
            self.runs.begin(call)
            return do(self.runs, call)

        try:
            return without_frames(called, unfinished="interrupted before anything was generated")
        except GenerationInterrupted:
            if not self.runs.stop.asked:
                raise
            self.runs.screen.say("stopped: there is nothing to keep yet")

    def _namespace(self, local_ns: dict[str, Any] | None) -> ChainMap[str, Any]:
        return ChainMap(local_ns or {}, self.shell.user_ns)
