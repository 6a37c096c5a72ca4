"""The record of a DataFrame, for `nbllm.replay`: its rows, and what `attrs["nbllm"]` keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..errors import ParamError
from .recording import Made, Recording, params_from

if TYPE_CHECKING:
    import pandas as pd


Find = Callable[[dict[str, Any]], Any]
"""Record of a model → the LLM."""


def recordings(frame: pd.DataFrame, find: Find) -> Iterator[tuple[int, Recording]]:
    """What made `frame`: of each run the number of its first row, and its record.

    The frame has to be whole: the rows of the runs, in their order. It has several runs where
    `--append` has grown it. Raises `ParamError` for other frames.
    """
    record = frame.attrs.get("nbllm")
    if not isinstance(record, dict) or "kind" not in record:
        raise ParamError("this DataFrame does not know what made it: attrs['nbllm'] is not there")
    for one in record.get("earlier", []):
        begin = one.get("appended_to", 0)
        yield begin, _recording(frame.iloc[begin : begin + one["num_rows"]], one, find)
    begin = record.get("appended_to", 0)
    yield begin, _recording(frame.iloc[begin:], record, find)


def _recording(rows: pd.DataFrame, record: dict[str, Any], find: Find) -> Recording:
    kind = record["kind"]
    if kind in ("completions", "chat") and "output" in rows.columns:
        return _completions(rows, record, find)
    if kind == "beam" and "rank" in rows.columns and "step" not in rows.columns:
        return _beams(rows, record)
    if kind in ("score", "choose"):
        return _scores(rows, record)
    raise ParamError(f"the frame of a {kind} cannot be replayed; replay the result (nbllm.last)")


def _completions(rows: pd.DataFrame, record: dict[str, Any], find: Find) -> Recording:
    base, settings = dict(record["params"]), record.get("settings", [{}])
    requests, params, expected, taken = [], [], [], 0
    place = 0
    while taken < len(rows):
        prompt, s = divmod(place, len(settings))
        values = {**base, **settings[s]}
        if "seed" not in settings[s] and base.get("seed") is not None:
            values["seed"] = base["seed"] + prompt * record["seed_step"]
        if tail := record.get("tails", {}).get(str(prompt)):
            values["truncate_prompt_tokens"] = tail
        one = params_from(values, record["kind"])
        group = rows.iloc[taken : taken + one.n]
        if group["output"].tolist() != list(range(one.n)):
            raise ParamError(_NOT_WHOLE)
        requests.append(_request(group["prompt"].iloc[0], record, find))
        params.append(one)
        expected.append(_all_made(group))
        taken, place = taken + one.n, place + 1
    if record.get("num_rows", len(rows)) != len(rows):
        raise ParamError(_NOT_WHOLE)
    return Recording(
        kind="completions", model=record["model"], requests=requests, params=params,
        expected=expected,
    )  # fmt: skip


_NOT_WHOLE = (
    "rows are missing, added or in another order, so their seeds are not known; replay the whole "
    "frame as the magic made it, or the result object"
)


def _request(prompt: Any, record: dict[str, Any], find: Find) -> Any:
    tail = record["params"].get("truncate_prompt_tokens")
    if record["kind"] != "chat" or tail:
        return prompt
    # a rendered conversation brings its own special tokens
    ids = find(record["model"]).tokenizer.encode(prompt, add_special_tokens=False)
    return {"prompt": prompt, "prompt_token_ids": ids}


def _all_made(group: pd.DataFrame) -> list[Made]:
    return [_made(row) for row in group.to_dict("records")]


def _made(row: dict[Any, Any]) -> Made:
    text = row["text"] if isinstance(row["text"], str) else ""
    aborted = row["finish_reason"] == "abort"
    return Made(text=text, logprob=float(row["cumulative_logprob"]), aborted=aborted)


def _groups(rows: pd.DataFrame, column: str) -> Iterator[pd.DataFrame]:
    """Runs of rows; each begins where `column` is not more than in the row before."""
    values = rows[column].tolist()
    begins = [i for i, v in enumerate(values) if i == 0 or v <= values[i - 1]]
    for begin, end in zip(begins, [*begins[1:], len(values)], strict=True):
        yield rows.iloc[begin:end]


def _beams(rows: pd.DataFrame, record: dict[str, Any]) -> Recording:
    params = params_from(record["params"], "beam")
    groups = list(_groups(rows, "rank"))
    if any(group["rank"].tolist() != list(range(1, len(group) + 1)) for group in groups):
        raise ParamError(_NOT_WHOLE)
    return Recording(
        kind="beam",
        model=record["model"],
        requests=[group["prompt"].iloc[0] for group in groups],
        params=[params.clone() for _ in groups],
        expected=[_all_made(group) for group in groups],
    )


def _scores(rows: pd.DataFrame, record: dict[str, Any]) -> Recording:
    chosen = record["kind"] == "choose"
    size = record.get("num_choices", 1)
    if len(rows) % size:
        raise ParamError(_NOT_WHOLE)
    groups = [rows.iloc[i : i + size] for i in range(0, len(rows), size)]
    column = "choice" if chosen else "continuation"
    told = [group[column].tolist() for group in groups]
    return Recording(
        kind=record["kind"],
        model=record["model"],
        requests=[
            (group["prompt"].iloc[0], said if chosen else said[0])
            for group, said in zip(groups, told, strict=True)
        ],
        params=[record["params"].get("normalize", False)] * len(groups),
        expected=[[Made(logprob=float(v)) for v in g["cumulative_logprob"]] for g in groups],
    )
