"""A beam search as a tree to read: what is returned branch by branch, and what left it on the way.

Tokens that follow one another without a fork are one branch. A beam that was dropped is no branch of
its own, or the tree would be a hedge: it is noted at the branch that it left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

MAX_LEAVERS = 3
"""Of each branch so many are named, and all are counted."""
MAX_BRANCHES = 60
"""In one tree; a sequence whose branches do not fit is left out of it, and counted."""


@dataclass(slots=True, kw_only=True)
class Leaver:
    """A beam that left a branch and did not come to be a result.

    nodes: as far as it came. instead_of: what the branch went on with; None where it forked, too.
    ended: it completed a sequence, or lived to the last step, and was outscored.
    """

    nodes: list[int]
    instead_of: int | None
    ended: bool


@dataclass(slots=True, kw_only=True)
class Branch:
    """Tokens in a row. rank: of the sequence that ends here."""

    nodes: list[int]
    rank: int | None = None
    children: list[Branch] = field(default_factory=list)
    leavers: list[Leaver] = field(default_factory=list)
    num_leavers: int = 0


class Nodes:
    """The nodes of a search's dictionary, and what follows from them."""

    def __init__(self, search: dict[str, Any]):
        columns = search["nodes"]
        self.num_steps = search["num_steps"]
        self.parent: list[int] = columns["parent"]
        self.text: list[str] = columns["text"]
        self.logprob: list[float | None] = columns["logprob"]
        self.rank: list[int] = columns["rank"]
        self.state: list[str] = columns["state"]
        self.special = frozenset(columns["special"])
        self.step: list[int] = []
        self.children: dict[int, list[int]] = {}
        for node, parent in enumerate(self.parent):
            # a node comes after its parent
            self.step.append(1 if parent < 0 else self.step[parent] + 1)
            self.children.setdefault(parent, []).append(node)

    def siblings(self, node: int) -> list[int]:
        """The candidates of the beam that offered this one, likeliest first; itself among them."""
        return sorted(self.children[self.parent[node]], key=lambda n: -(self.logprob[n] or -1e9))

    def words(self, nodes: list[int]) -> str:
        """The text of nodes in a row."""
        return "".join(self.text[node] for node in nodes)


def tree(search: dict[str, Any], nodes: Nodes) -> tuple[Branch, int]:
    """The root, which has no nodes of its own, and how many sequences there was no room for."""
    ends: dict[int, int] = {}
    shown: dict[int, list[int]] = {}
    forks = 0
    for sequence in search["sequences"]:
        path = sequence.get("nodes")
        # a new sequence forks off once, which makes two branches more
        if path is None or forks + 2 > MAX_BRANCHES:
            continue
        forks += 2
        for node in path:
            after = shown.setdefault(nodes.parent[node], [])
            if node not in after:
                after.append(node)
        # a search that was interrupted at once has found nothing: the prompt alone
        ends[path[-1] if path else -1] = sequence["rank"]
    root = Branch(nodes=[])
    _grow(root, -1, shown, ends, nodes)
    return root, len(search["sequences"]) - len(ends)


def _grow(
    branch: Branch, node: int, shown: dict[int, list[int]], ends: dict[int, int], nodes: Nodes
) -> None:
    """Follow `branch` from `node`, its last so far, to the next fork or its end."""
    leavers: list[Leaver] = []
    stack = [(branch, node, leavers)]
    while stack:
        branch, node, leavers = stack.pop()
        while True:
            after = shown.get(node, [])
            leavers += _leavers(node, after, nodes)
            # the prompt is a line of its own, even where nothing forks at its end
            if len(after) != 1 or node < 0:
                break
            [node] = after
            branch.nodes.append(node)
        branch.rank = ends.get(node)
        branch.num_leavers = len(leavers)
        longest = sorted(leavers, key=lambda leaver: -len(leaver.nodes))[:MAX_LEAVERS]
        branch.leavers = sorted(longest, key=lambda leaver: leaver.nodes[0])
        branch.children = [Branch(nodes=[child]) for child in after]
        stack += [(child, child.nodes[0], []) for child in branch.children]


def _leavers(node: int, after: list[int], nodes: Nodes) -> Iterator[Leaver]:
    for first in nodes.children.get(node, []):
        if first in after or nodes.state[first] == "pruned":
            continue
        path = _longest(first, nodes)
        state, last = nodes.state[path[-1]], nodes.step[path[-1]]
        yield Leaver(
            nodes=path,
            instead_of=after[0] if len(after) == 1 else None,
            ended=state in ("finished", "returned") or last == nodes.num_steps,
        )


def _longest(first: int, nodes: Nodes) -> list[int]:
    """The longest path that begins with a node, of what lived."""
    level = last = [first]
    while level:
        last = level
        level = [
            child
            for node in level
            for child in nodes.children.get(node, [])
            if nodes.state[child] != "pruned"
        ]
    path, node = [], last[0]
    while node != first:
        path.append(node)
        node = nodes.parent[node]
    return [first, *reversed(path)]
