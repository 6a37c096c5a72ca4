"""A conversation: who said what, as text and as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from .html import pre
from .style import STYLE
from .visible import visible


def conversation(messages: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Mime type → content, of messages with role and content."""
    said = [(visible(m["role"]), visible(m["content"])) for m in messages]
    rows = "".join(f"<tr><th>{escape(r)}</th><td>{pre(escape(c))}</td></tr>" for r, c in said)
    table = f"<table>{rows}</table>" if said else '<div class="nbllm-note">no messages yet</div>'
    return {
        "text/plain": "\n".join(f"{role}: {content}" for role, content in said)
        or "no messages yet",
        "text/html": f'<div class="nbllm"><style>{STYLE}</style>{table}</div>',
    }
