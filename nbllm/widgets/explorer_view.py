"""What a token explorer shows below its controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from traitlets import Dict, Int, List, Unicode

from .. import views
from ..views.data import rounded, token
from ..views.visible import one_line, shortened
from .branch_frames import taken
from .branches import Branch, num_shared, own
from .completions_view import CompletionsView
from .diff import token_diff
from .modules import css, esm

MAX_PROMPT = 2000
"""Of a longer prompt the middle is left out."""
MAX_LINE = 160
"""Characters, and tokens, of a branch in the tree."""


class ExplorerView(CompletionsView):
    """shown: the number of the branch whose tokens `result` has, 0 for none; position: of its first own
    token. prompt: what is in front of it. facts: a line about it. forks: [position, numbers of the
    branches that part there]. branches: a line a branch, as `line` has it, in the order of the tree.
    pins: name → such a line, with what `_side` adds.
    """

    _esm = esm("token_explorer")
    _css = css("frame", "tokens", "completions", "compared", "token_explorer")
    shown = Int().tag(sync=True)
    position = Int().tag(sync=True)
    prompt = Unicode().tag(sync=True)
    facts = Unicode().tag(sync=True)
    forks = List().tag(sync=True)
    branches = List().tag(sync=True)
    pins = Dict().tag(sync=True)

    def show_branch(self, branch: Branch | None) -> None:
        """Show this branch; None: nothing."""
        self.shown = branch.number if branch else 0
        self.position = branch.position if branch else 0
        self.prompt = shortened(branch.prompt, MAX_PROMPT) if branch else ""
        self.running = branch is not None and branch.running
        # a new number: what was drawn is of another branch
        self._run, self._told = self._run + 1, {}
        self._output = branch.output(growing=branch.running) if branch else None
        if branch is None:
            self.result = {}
        self.draw()

    def show_tree(self, tree: Sequence[tuple[int, Branch]], shown: Branch | None) -> None:
        """Show the tree, what is worth knowing of the branch in view, and where others part from it."""
        self.branches = [line(branch, depth) for depth, branch in tree]
        self.facts = facts(shown) if shown else ""
        self.forks = _forks(shown, [b for _, b in tree]) if shown else []

    def compare(self, pins: Mapping[str, Branch]) -> None:
        """Show the pinned branches; of two, where they differ."""
        if len(pins) < 2:
            self.pins = {name: _side(branch, 0, None) for name, branch in pins.items()}
            return
        a, b = pins["A"], pins["B"]
        start, spans = num_shared(a, b), token_diff(a.token_ids, b.token_ids)
        self.pins = {
            "A": _side(a, start, [[i, j] for same, i, j, _, _ in spans if not same]),
            "B": _side(b, start, [[k, m] for same, _, _, k, m in spans if not same]),
        }


def line(branch: Branch, depth: int) -> dict[str, Any]:
    """A branch in a list, as JSON has it. token: with which it parts from another; text: what follows."""
    begin = branch.position
    first = own(branch.logprobs[begin]) if branch.parent and branch.logprobs[begin:] else None
    after = branch.logprobs[begin + (first is not None) :][:MAX_LINE]
    spelled = "".join(own(p).decoded_token for p in after) if branch.logprobs else branch.text
    return {
        "branch": branch.number,
        "depth": depth,
        "name": branch.name,
        "position": begin,
        "token": first.decoded_token if first else None,
        "logprob": rounded(first.logprob) if first else None,
        "text": one_line(spelled)[:MAX_LINE],
        "num_tokens": len(branch.token_ids),
        "cumulative_logprob": rounded(branch.cumulative_logprob),
        "reason": "running" if branch.running else branch.finish_reason,
    }


def facts(branch: Branch) -> str:
    """What is worth knowing of a branch besides its text."""
    said = [branch.name]
    if len(branch.token_ids) > views.MAX_TOKENS:
        said.append("too long to be shown token by token: use .branch(position, token)")
    if branch.parent is not None:
        said.append(f"from {branch.parent.name} at {branch.position}{taken(branch)}")
    if (made := branch.made) is None:
        given = branch.num_given and not branch.running
        return " · ".join([*said, "given"] if given else said)
    [output] = made.outputs
    said.append(made.provenance.model["name"])
    if branch.params is not None:
        said.append(f"temperature {branch.params.temperature:g} · seed {branch.params.seed}")
    metrics = output.metrics
    if metrics.first_token_time is not None:
        wait = 1000 * (metrics.first_token_time - metrics.arrival_time)
        rate = f", {made.num_tokens / made.seconds:,.0f} tokens/s" if made.seconds else ""
        said.append(f"first token after {wait:,.0f} ms{rate}")
    cached, count = output.num_cached_tokens, len(output.prompt_token_ids)
    return " · ".join([*said, f"{cached:,} of {count:,} tokens cached"])


def _forks(shown: Branch, branches: Sequence[Branch]) -> list[list[Any]]:
    """Where other branches part from the one in view, with the oldest of each that goes on differently."""
    found: dict[int, dict[int, int]] = {}
    for other in branches:
        at = num_shared(shown, other)
        if other is not shown and at < min(len(shown.token_ids), len(other.token_ids)):
            found.setdefault(at, {}).setdefault(other.token_ids[at], other.number)
    return [[at, list(found[at].values())] for at in sorted(found)]


def _side(branch: Branch, start: int, differs: Sequence[Sequence[int]] | None) -> dict[str, Any]:
    """A pinned branch. start: how many tokens it begins with as the other does. differs: where it has
    tokens that the other has not, as [begin, end]; None: there is no other."""
    after = branch.logprob_after(start) if branch.scored else None
    return {
        **line(branch, 0),
        "whole": branch.text,
        "shared": start,
        "differs": differs,
        "after": None if after is None else rounded(after),
        "tokens": [token(p) for p in branch.logprobs] if branch.scored else [],
    }
