"""Beam searches as HTML: a table of the sequences and a tree of the search. No script.

Tables, lists and bold type say what there is to say: GitHub, and notebooks that are not trusted, leave
nothing else (no style sheet, no style attribute, no drawing).
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from .beam_plain import LEGEND, headline, leaver_line, more_leavers, notes, number, share_of
from .beam_tree import Branch, Nodes, tree
from .style import BEAMS, STYLE
from .tokens import percent, quoted
from .visible import one_line, shortened, visible

MAX_RUN = 40
"""A branch of more tokens is shown without its middle."""
MAX_TITLES = 2000
"""Tokens that tell their probability when they are pointed at; later ones are plain text."""


def html(data: dict[str, Any]) -> str:
    """Of each search its prompt, its sequences and its tree, which is folded where there are several."""
    searches = data["searches"]
    room, parts = MAX_TITLES, []
    for search in searches:
        view = _View(search, room)
        parts.append(view.html(opened=len(searches) == 1))
        room = view.room
    body = "".join(parts) or _note("nothing was searched")
    if data.get("omitted"):
        body += _note(f"… and {data['omitted']:,} more sequences in the frame")
    return f'<div class="nbllm nbllm-beam"><style>{STYLE}{BEAMS}</style>{body}</div>'


class _View:
    """One search. room: titles left."""

    def __init__(self, search: dict[str, Any], room: int):
        self.search, self.nodes, self.room = search, Nodes(search), room

    def html(self, *, opened: bool) -> str:
        prompt = escape(shortened(visible(self.search["prompt"])))
        return (
            f'<pre dir="auto" class="nbllm-prompt">\n{prompt}</pre>{self._table()}'
            f"<details{' open' if opened else ''}><summary>{headline(self.search)}</summary>"
            f"{self._tree()}</details>"
        )

    def _table(self) -> str:
        names = ("", "text", "score", "log-prob.", "tokens", "ended")
        head = "".join(f"<th>{name}</th>" for name in names)
        rows = "".join(self._row(s) for s in self.search["sequences"])
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def _row(self, s: dict[str, Any]) -> str:
        cells = [
            f"<th>#{s['rank']}</th>",
            f'<td><pre dir="auto">\n{self._text(s)}</pre></td>',
            *(f"<td>{number(s[name])}</td>" for name in ("score", "cumulative_logprob")),
            f"<td>{s['num_tokens']:,}</td><td>{escape(s['finish_reason'])}</td>",
        ]
        return f"<tr>{''.join(cells)}</tr>"

    def _text(self, s: dict[str, Any]) -> str:
        """Dimmed as far as the best sequence goes the same way; the token that parts them is marked."""
        if s.get("nodes") is None:
            return escape(visible(s["text"]))
        path = [node for node in s["nodes"] if node not in self.nodes.special]
        parts, length = [], len(self.nodes.words(path)) - s["hidden"]
        turn = s["diverges_at"]
        turned = turn is None
        same: list[str] = []
        for group in _characters(path, self.nodes):
            text = self.nodes.words(group)[: max(length, 0)]
            length -= len(text)
            here = not turned and self.nodes.step[group[-1]] > turn
            token = self._token(group, visible(text), "b" if here else "span")
            (parts if turned or here else same).append(token)
            turned = turned or here
        return f'<span class="nbllm-same">{"".join(same)}</span>' * bool(same) + "".join(parts)

    def _tree(self) -> str:
        root, missing = tree(self.search, self.nodes)
        prompt = escape(one_line(shortened(self.search["prompt"], 60)))
        items = "".join(self._branch(child) for child in root.children)
        below = "".join(
            f'<div class="nbllm-note nbllm-legend">{escape(line)}</div>'
            for line in [LEGEND, *notes(self.search, missing)]
        )
        return (
            f'<ul><li><code class="nbllm-run nbllm-prompt" dir="auto">{prompt}</code>{_end(root)}'
            f"{self._leavers(root)}{f'<ul>{items}</ul>' * bool(items)}</li></ul>{below}"
        )

    def _branch(self, branch: Branch) -> str:
        share = f'<span class="nbllm-share">{share_of(self.nodes.logprob[branch.nodes[0]])}</span>'
        below = "".join(self._branch(child) for child in branch.children)
        return (
            f'<li>{share} <code class="nbllm-run" dir="auto">{self._run(branch.nodes)}</code>{_end(branch)}'
            f"{self._leavers(branch)}{f'<ul>{below}</ul>' * bool(below)}</li>"
        )

    def _run(self, path: list[int]) -> str:
        groups, parts = list(_characters(path, self.nodes)), []
        cut = len(groups) > MAX_RUN
        for i, group in enumerate(groups):
            if cut and MAX_RUN // 2 <= i < len(groups) - MAX_RUN // 2:
                if i == MAX_RUN // 2:
                    parts.append(f"<i> → {len(groups) - MAX_RUN:,} tokens → </i>")
                continue
            name = "i" if group[-1] in self.nodes.special else "span"
            parts.append(self._token(group, one_line(self.nodes.words(group)), name))
        return "".join(parts)

    def _leavers(self, branch: Branch) -> str:
        lines = [leaver_line(leaver, self.nodes) for leaver in branch.leavers]
        if more := branch.num_leavers - len(branch.leavers):
            lines.append(more_leavers(more))
        items = "".join(f"<li>{escape(line)}</li>" for line in lines)
        return f'<ul class="nbllm-left">{items}</ul>' if items else ""

    def _token(self, group: list[int], text: str, name: str) -> str:
        if self.room <= 0:
            return f"<{name}>{escape(text)}</{name}>" if name != "span" else escape(text)
        self.room -= 1
        return f'<{name} title="{escape(self._title(group))}">{escape(text)}</{name}>'

    def _title(self, group: list[int]) -> str:
        nodes, blocks = self.nodes, []
        for node in group:
            first = (
                f"{percent(nodes.logprob[node])}  step {nodes.step[node]}, rank {nodes.rank[node]}"
            )
            others = [
                f"{percent(nodes.logprob[n])}  {quoted(nodes.text[n])}  {nodes.state[n]}"
                for n in nodes.siblings(node)
            ]
            blocks.append("\n".join([first, "", *others]))
        return "\n\n".join(blocks)


def _end(branch: Branch) -> str:
    return f' <b class="nbllm-end">#{branch.rank}</b>' if branch.rank else ""


def _characters(path: list[int], nodes: Nodes) -> Iterator[list[int]]:
    """Nodes in a row, those together that only together are text."""
    group: list[int] = []
    for node in path:
        group.append(node)
        if nodes.text[node] or node == path[-1]:
            yield group
            group = []


def _note(text: str) -> str:
    return f'<div class="nbllm-note">{escape(text)}</div>'
