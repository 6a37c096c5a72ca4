"""The state of engines for people: text, and HTML without scripts."""

from __future__ import annotations

from html import escape
from typing import Any

from ..views.style import STYLE

Rows = dict[str, str]
NONE = "no model is loaded"


def rows(model: dict[str, Any]) -> Rows:
    """Label → what to say, of one record of `engine_data`."""
    used, total = model["pages"]
    hit, asked = model["prefix"]
    parts = ", ".join(f"{name} {size_of(size)}" for name, size in model["memory"])
    rate = f"{100 * hit / asked:.0f} % of {asked:,} prompt tokens were there" if asked else "unused"
    running = ", ".join(f"call {c['id']} ({c['num_tokens']:,} tokens)" for c in model["calls"])
    return {
        "model": ", ".join(model["facts"]) + (", asleep" if model["asleep"] else ""),
        "memory": parts,
        "KV cache": f"{used:,} of {total:,} pages in use, at most {size_of(model['kv_bound'])}",
        "prefix cache": rate,
        "generated": f"{model['generated']:,} tokens, {model['speeds'][-1]:,.0f} tokens/s",
        "running": running or "nothing",
    }


def plain(models: list[dict[str, Any]]) -> str:
    """A paragraph a model."""
    return (
        "\n".join(
            "\n".join([model["name"], *(f"    {k:<13} {v}" for k, v in rows(model).items())])
            for model in models
        )
        or NONE
    )


def html(models: list[dict[str, Any]]) -> str:
    """A table a model."""
    tables = "".join(
        f"<table><thead><tr><th colspan=2>{escape(model['name'])}</th></tr></thead><tbody>"
        + "".join(f"<tr><th>{k}</th><td>{escape(v)}</td></tr>" for k, v in rows(model).items())
        + "</tbody></table>"
        for model in models
    )
    return f'<div class="nbllm"><style>{STYLE}</style>{tables or NONE}</div>'


def size_of(count: int) -> str:
    """Bytes as people read them."""
    return f"{count / 2**30:,.2f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"
