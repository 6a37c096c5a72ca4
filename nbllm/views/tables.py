"""Scores, choices and comparisons: data, plain text and HTML. No script, the same bytes for the same data.

    {"version": 1, "kind": "score", "rows": [
        {"prompt", "continuation": str | None, "num_tokens", "cumulative_logprob", "mean_logprob",
         "perplexity"}], "omitted": int}
    {"version": 1, "kind": "choose", "rows": [
        {"prompt", "choices": [{"choice", "probability", "cumulative_logprob", "num_tokens"}]}],
     "omitted": int}
    {"version": 1, "kind": "compare", "columns": [str, ...], "rows": [
        {"prompt", "cells": [[{"text", "finish_reason", "num_tokens", "cumulative_logprob", "remark"}]]}],
     "omitted": int, "caption": str}

A "remark" is what somebody said of a text, the "caption" of all of them; both may be left out.

Rows after the first `MAX_ROWS` are left out of the view and counted in "omitted".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ..outputs import ChoiceOutput, RequestOutput, ScoreOutput
from .data import rounded
from .html import note_of, pre, text_of
from .style import STYLE, TABLES
from .visible import one_line, shortened, visible

MAX_ROWS = 100
SIDE_BY_SIDE = 4
"""Settings of one prompt; more stand one below the other."""
KINDS = ("score", "choose", "compare")

Data = dict[str, Any]


def labels(outputs: Sequence[Any], *, kind: str, prompts: Sequence[str]) -> Data:
    """The dictionary of scores or choices. prompts: what to show as the prompts."""
    make = _score if kind == "score" else _choice
    pairs = list(zip(prompts, outputs, strict=False))
    return _data(
        kind,
        [{"prompt": prompt, **make(output)} for prompt, output in pairs[:MAX_ROWS]],
        len(pairs),
    )


def comparison(
    models: Mapping[str, Sequence[RequestOutput]], prompts: Sequence[str], settings: Sequence[str]
) -> Data:
    """The dictionary of a comparison: a column for each model and setting."""
    several, size = len(models) > 1, len(settings)
    columns = [f"{model}: {s}" if several else s for model in models for s in settings]
    rows = [
        {
            "prompt": prompt,
            "cells": [
                [_completion(c) for c in output.outputs]
                for outputs in models.values()
                for output in outputs[i * size : (i + 1) * size]
            ],
        }
        for i, prompt in enumerate(prompts[:MAX_ROWS])
    ]
    return {**_data("compare", rows, len(prompts)), "columns": columns}


def _data(kind: str, rows: list[Data], total: int) -> Data:
    data: Data = {"version": 1, "kind": kind, "rows": rows}
    return {**data, "omitted": total - len(rows)} if total > len(rows) else data


def _score(o: ScoreOutput) -> Data:
    return {
        "continuation": o.continuation,
        "num_tokens": len(o.token_ids),
        "cumulative_logprob": rounded(o.cumulative_logprob),
        "mean_logprob": rounded(o.mean_logprob),
        "perplexity": rounded(o.perplexity),
    }


def _choice(o: ChoiceOutput) -> Data:
    names = ("choice", "probability", "cumulative_logprob", "num_tokens")
    columns = (o.choices, map(rounded, o.probabilities), map(rounded, o.logprobs), o.num_tokens)
    return {"choices": [dict(zip(names, each, strict=True)) for each in zip(*columns, strict=True)]}


def _completion(c: Any) -> Data:
    return {
        "text": c.text,
        "finish_reason": c.finish_reason,
        "num_tokens": len(c.token_ids),
        "cumulative_logprob": rounded(c.cumulative_logprob),
    }


def plain(data: Data) -> str:
    """For terminals: a line or two a row."""
    lines = [line for row in data["rows"] for line in _LINES[data["kind"]](data, row)]
    if data.get("omitted"):
        lines.append(f"… and {data['omitted']} more")
    lines += visible(data.get("caption", "")).splitlines()
    return "\n".join(lines) or "no prompts"


def _said(row: Data, limit: int = 72) -> str:
    return shortened(one_line(row["prompt"]), limit)


def _score_lines(data: Data, row: Data) -> list[str]:
    rest = "" if row["continuation"] is None else f" → {shortened(one_line(row['continuation']))}"
    return [f"{_number(row['cumulative_logprob']):>9}  {_said(row)}{rest}"]


def _choice_lines(data: Data, row: Data) -> list[str]:
    shares = ", ".join(f"{one_line(c['choice'])} {_share(c)}" for c in _by_probability(row))
    return [f"> {_said(row)}", f"  {shares}"]


def _comparison_lines(data: Data, row: Data) -> list[str]:
    lines = [f"> {_said(row)}"]
    for name, cell in zip(data["columns"], row["cells"], strict=False):
        lines += [f"[{visible(name)}] {visible(c['text'])}{_remark(c, '  ← ')}" for c in cell]
    return lines


def _remark(completion: Data, before: str) -> str:
    remark = completion.get("remark")
    return f"{before}{visible(remark)}" if remark else ""


_LINES = {"score": _score_lines, "choose": _choice_lines, "compare": _comparison_lines}


def html(data: Data) -> str:
    """A table; comparisons have a column for each setting."""
    head, rows = _TABLES[data["kind"]](data)
    cells = "".join(f"<th>{escape(visible(name))}</th>" for name in head)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    above = "" if head[0] == "prompt" else pre(_short(data["rows"][0]), "nbllm-prompt")
    table = f"{above}<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
    if not rows:
        table = '<div class="nbllm-note">no prompts</div>'
    if data.get("omitted"):
        table += f'<div class="nbllm-note">… and {data["omitted"]} more in the frame</div>'
    for line in visible(data.get("caption", "")).splitlines():
        table += f'<div class="nbllm-note nbllm-caption">{escape(line)}</div>'
    return f'<div class="nbllm nbllm-wide"><style>{STYLE}{TABLES}</style>{table}</div>'


def _score_table(data: Data) -> tuple[list[str], list[str]]:
    told = any(row["continuation"] is not None for row in data["rows"])
    head = ["prompt", *["continuation"] * told, "log-prob.", "per token", "perplexity", "tokens"]
    return head, [
        _prompt(row)
        + (f"<td>{pre(escape(visible(row['continuation'] or '')))}</td>" if told else "")
        + "".join(
            f'<td class="nbllm-figure">{_number(row[name])}</td>'
            for name in ("cumulative_logprob", "mean_logprob", "perplexity")
        )
        + f'<td class="nbllm-figure">{row["num_tokens"]}</td>'
        for row in data["rows"]
    ]


def _choice_table(data: Data) -> tuple[list[str], list[str]]:
    rows = []
    for row in data["rows"]:
        shares = "".join(
            f'<div><meter value="{c["probability"]}">{_share(c)}</meter> {_share(c)} '
            f"<bdi>{'<b>' * (i == 0)}{escape(one_line(c['choice']))}{'</b>' * (i == 0)}</bdi></div>"
            for i, c in enumerate(_by_probability(row))
        )
        rows.append(f"{_prompt(row)}<td>{shares}</td>")
    return ["prompt", "choices"], rows


def _comparison_table(data: Data) -> tuple[list[str], list[str]]:
    columns, rows = data["columns"], data["rows"]
    if len(rows) == 1 and len(columns) > SIDE_BY_SIDE:
        named = zip(columns, rows[0]["cells"], strict=True)
        return ["setting", "text"], [
            f"<td>{escape(visible(name))}</td>{_cell(cell)}" for name, cell in named
        ]
    return ["prompt", *columns], [_prompt(row) + "".join(map(_cell, row["cells"])) for row in rows]


def _cell(completions: list[Data]) -> str:
    return f"<td>{''.join(pre(text_of(c)) + _note(c) for c in completions)}</td>"


_TABLES = {"score": _score_table, "choose": _choice_table, "compare": _comparison_table}


def _prompt(row: Data) -> str:
    return f"<td>{pre(_short(row), 'nbllm-prompt')}</td>"


def _short(row: Data) -> str:
    return escape(shortened(visible(row["prompt"])))


def _note(completion: Data) -> str:
    mean = ""
    if completion["num_tokens"] and completion["cumulative_logprob"] is not None:
        mean = (
            f" · {_number(completion['cumulative_logprob'] / completion['num_tokens'])} per token"
        )
    note = f'<div class="nbllm-note">{note_of(completion)}{mean}</div>'
    if remark := _remark(completion, ""):
        note += f'<div class="nbllm-remark">{escape(remark)}</div>'
    return note


def _by_probability(row: Data) -> list[Data]:
    return sorted(row["choices"], key=lambda c: -(c["probability"] or 0))


def _share(choice: Data) -> str:
    return f"{100 * (choice['probability'] or 0):.1f} %"


def _number(value: float | None) -> str:
    return "−∞" if value is None else f"{value:,.2f}".replace("-", "−")
