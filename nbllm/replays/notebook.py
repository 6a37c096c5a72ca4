"""The results that a saved notebook holds, for `%nbllm verify`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import NbllmError, ParamError
from .recording import Made, Recording, params_from

MIME = "application/vnd.nbllm.v1+json"

Data = dict[str, Any]


def recordings(path: Path) -> Iterator[tuple[int, Recording | NbllmError]]:
    """The number of each code cell that shows a result, from 1, and what it tells, or why it does not.

    Raises `ParamError` for a file that is no notebook.
    """
    try:
        cells = json.loads(path.read_text("utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ParamError(f"{path} cannot be read as a notebook: {error}") from None
    code = [cell for cell in cells if cell.get("cell_type") == "code"]
    for number, cell in enumerate(code, 1):
        for output in cell.get("outputs", []):
            meta, data = output.get("metadata", {}).get("nbllm"), output.get("data", {}).get(MIME)
            if meta and data:
                yield number, _recording(meta, data)


def _recording(meta: Data, data: Data) -> Recording | NbllmError:
    make = _KINDS.get(meta.get("kind", ""))
    if make is None:
        return ParamError(f"results of kind {meta.get('kind')!r} cannot be made again")
    try:
        requests, params, expected = make(meta, data)
        return Recording(
            kind=meta["kind"], model=meta["model"], requests=requests, params=params,
            expected=expected, chat=meta.get("chat", {}),
        )  # fmt: skip
    except NbllmError as error:
        return error
    except (KeyError, IndexError, TypeError) as error:
        return ParamError(f"its record is damaged: {type(error).__name__} {error}")


Parts = tuple[list[Any], list[Any], list[list[Made]]]


def _completions(meta: Data, data: Data) -> Parts:
    settings, base = meta.get("settings", [{}]), meta["params"]
    requests, params, expected = [], [], []
    for place, output in enumerate(data["outputs"]):
        i, s = divmod(place, len(settings))
        values = {**base, **settings[s]}
        if "seed" not in settings[s] and base.get("seed") is not None:
            values["seed"] = base["seed"] + i * meta["seed_step"]
        if (tail := meta.get("tails", {}).get(str(i))) is not None:
            values["truncate_prompt_tokens"] = tail
        # of branches: what is shown goes on from tokens that were sent
        sent = meta["requests"][place] if "requests" in meta else None
        requests.append(
            sent or (meta["messages"][i] if meta["kind"] == "chat" else output["prompt"])
        )
        params.append(params_from(values, meta["kind"]))
        ids = meta["token_ids"][place]
        made = [_made(*each) for each in zip(output["completions"], ids, strict=False)]
        # and its sum is of all of them
        expected.append([replace(m, logprob=None) for m in made] if sent else made)
    return requests, params, expected


def _chat(meta: Data, data: Data) -> Parts:
    if data["kind"] != "conversation":
        return _completions(meta, data)
    # its last answer was made so; its text may be longer, or lack the reasoning
    aborted = data["messages"][-1]["completion"]["finish_reason"] == "abort"
    [[ids]] = meta["token_ids"]
    params = params_from(meta["params"], "chat")
    return meta["messages"], [params], [[Made(token_ids=ids, aborted=aborted)]]


def _beam(meta: Data, data: Data) -> Parts:
    searches = data["searches"]
    return (
        [search["prompt"] for search in searches],
        [params_from(meta["params"], "beam") for _ in searches],
        [[_made(s) for s in search["sequences"]] for search in searches],
    )


def _score(meta: Data, data: Data) -> Parts:
    rows = data["rows"]
    requests = [(row["prompt"], row["continuation"]) for row in rows]
    return requests, [None] * len(rows), [[Made(logprob=r["cumulative_logprob"])] for r in rows]


def _choose(meta: Data, data: Data) -> Parts:
    rows = data["rows"]
    requests = [(row["prompt"], [c["choice"] for c in row["choices"]]) for row in rows]
    expected = [[Made(logprob=c["cumulative_logprob"]) for c in row["choices"]] for row in rows]
    return requests, [meta["params"]["normalize"]] * len(rows), expected


def _compare(meta: Data, data: Data) -> Parts:
    settings = meta["params"]["settings"]
    if len(data["columns"]) != len(settings):
        raise ParamError("a comparison of several models cannot be replayed")
    requests, params, expected = [], [], []
    for row in data["rows"]:
        # a notebook's dictionaries are saved in the order of their keys
        for name, cell in zip(data["columns"], row["cells"], strict=False):
            said = settings[name]
            requests.append(row["prompt"])
            params.append(params_from(said, "beam" if "beam_width" in said else "completions"))
            expected.append([_made(c) for c in cell])
    return requests, params, expected


def _made(record: Data, token_ids: list[int] | None = None) -> Made:
    return Made(
        text=record["text"],
        token_ids=token_ids,
        logprob=record["cumulative_logprob"],
        aborted=record["finish_reason"] == "abort",
    )


_KINDS: dict[str, Callable[[Data, Data], Parts]] = {
    "completions": _completions,
    "chat": _chat,
    "beam": _beam,
    "score": _score,
    "choose": _choose,
    "compare": _compare,
}
