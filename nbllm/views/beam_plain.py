"""Beam searches as plain text: a table of the sequences and an indented tree."""

from __future__ import annotations

from typing import Any

from .beam_tree import Branch, Leaver, Nodes, tree
from .tokens import probability, quoted
from .visible import one_line, shortened, visible

MAX_TEXT = 300
MAX_LEAVER_TEXT = 48


def plain(data: dict[str, Any]) -> str:
    """Of each search its prompt, its sequences, and, where there is only one, its tree."""
    searches = data["searches"]
    if not searches:
        return "nothing was searched"
    parts = [part for search in searches for part in _search(search, alone=len(searches) == 1)]
    if data.get("omitted"):
        parts.append(f"… and {data['omitted']:,} more sequences")
    return "\n".join(parts)


def _search(search: dict[str, Any], *, alone: bool) -> list[str]:
    lines = [f"> {shortened(visible(search['prompt']))}", *_table(search["sequences"])]
    return [*lines, "", headline(search), *_tree(search)] if alone else lines


def _table(sequences: list[dict[str, Any]]) -> list[str]:
    lines = ["  #    score  log-prob  tokens  ended   text"]
    for s in sequences:
        numbers = (number(s["score"]), number(s["cumulative_logprob"]), s["num_tokens"])
        text = shortened(one_line(s["text"]), MAX_TEXT)
        lines.append(
            "{:>3} {:>8} {:>9} {:>7}  {:<7} {}".format(
                s["rank"], *numbers, s["finish_reason"], text
            )
        )
    return lines


def _tree(search: dict[str, Any]) -> list[str]:
    nodes = Nodes(search)
    root, missing = tree(search, nodes)
    prompt = shortened(one_line(search["prompt"]), 60)
    return [
        f"{prompt}{_end(root)}",
        *_leavers(root, nodes, "│" if root.children else " "),
        *(line for i, c in enumerate(root.children) for line in _branch(c, nodes, "", _last(root, i))),
        *notes(search, missing),
    ]  # fmt: skip


def _end(branch: Branch) -> str:
    return f"  #{branch.rank}" if branch.rank else ""


def _last(branch: Branch, i: int) -> bool:
    return i == len(branch.children) - 1


def _branch(branch: Branch, nodes: Nodes, indent: str, last: bool) -> list[str]:
    share = share_of(nodes.logprob[branch.nodes[0]])
    text = one_line(shortened(nodes.words(branch.nodes), MAX_TEXT))
    lines = [f"{indent}{'└─' if last else '├─'} {share:>5} {text}{_end(branch)}"]
    indent += "   " if last else "│  "
    lines += _leavers(branch, nodes, indent + ("│" if branch.children else " "))
    for i, child in enumerate(branch.children):
        lines += _branch(child, nodes, indent, _last(branch, i))
    return lines


def _leavers(branch: Branch, nodes: Nodes, indent: str) -> list[str]:
    lines = [f"{indent}      {leaver_line(leaver, nodes)}" for leaver in branch.leavers]
    if more := branch.num_leavers - len(branch.leavers):
        lines.append(f"{indent}      {more_leavers(more)}")
    return lines


def headline(search: dict[str, Any]) -> str:
    """What the tree shows, in a line."""
    width, steps = search["beam_width"], search["num_steps"]
    return (
        f"the search: {_count(width, 'beam')}, {_count(steps, 'step')}, "
        f"{_count(search['num_candidates'], 'candidate')}"
        + ("" if search["finished"] else ", interrupted")
    )


LEGEND = (
    "Each line goes on where the line above it ends. A percentage is how likely the model found the "
    "first token. ✂ and ○ are beams that are not in the result."
)


def leaver_line(leaver: Leaver, nodes: Nodes) -> str:
    """A beam that left a branch: with what, instead of what, and what became of it."""
    first, last = leaver.nodes[0], nodes.step[leaver.nodes[-1]]
    words = nodes.words(leaver.nodes)
    if len(words) > MAX_LEAVER_TEXT:
        # how it began matters most
        words = f"{words[: MAX_LEAVER_TEXT - 1]}…"
    line = f"{'○' if leaver.ended else '✂'} {quoted(words)} ({share_of(nodes.logprob[first])})"
    if (other := leaver.instead_of) is not None:
        line += f" instead of {quoted(nodes.text[other])} ({share_of(nodes.logprob[other])})"
    return f"{line}: {'outscored' if leaver.ended else f'dropped after step {last}'}"


def more_leavers(count: int) -> str:
    """The beams that are not named."""
    return f"… and {count:,} more"


def notes(search: dict[str, Any], missing: int) -> list[str]:
    """What the tree leaves out."""
    notes = []
    if missing:
        notes.append(f"{_count(missing, 'sequence')} not drawn")
    if search["omitted_nodes"]:
        notes.append(f"{_count(search['omitted_nodes'], 'beam token')} not kept in this view")
    return [f"({'; '.join(notes)}: the frames have everything)"] if notes else []


def share_of(logprob: float | None) -> str:
    """A probability in whole percents."""
    share = 100 * probability(logprob)
    return "<1 %" if share < 0.95 else f"{share:.0f} %"


def number(value: float | None) -> str:
    """A score or log-probability, with a real minus."""
    return "−∞" if value is None else f"{value:.3f}".replace("-", "−")


def _count(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
