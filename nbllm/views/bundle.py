"""One result as Jupyter wants it: the same thing in every format, the front end picks."""

from __future__ import annotations

from typing import Any

from . import beam_html, beam_plain, messages, tables
from .html import html
from .plain import plain

MIME = "application/vnd.nbllm.v1+json"


def bundle(data: dict[str, Any]) -> dict[str, Any]:
    """Mime type → content, of what `completions`, `beams`, `conversation` … returned."""
    if data["kind"] == "beam":
        return {"text/plain": beam_plain.plain(data), "text/html": beam_html.html(data), MIME: data}
    if data["kind"] == "conversation":
        return {
            "text/plain": messages.plain(data),
            "text/html": messages.html(data),
            MIME: data,
        }
    if data["kind"] in tables.KINDS:
        return {"text/plain": tables.plain(data), "text/html": tables.html(data), MIME: data}
    return {"text/plain": plain(data), "text/html": html(data), MIME: data}
