"""A grid in a file of JSON lines, and what of a file belongs to a grid.

{"nbllm": "grid", "version": 1, "columns": [{"name", "model", "drawn", "params"}, …]}
{"prompt": str, "over": {column: value}}                                  a row of the grid, in order
{"row", "column", "text", "token_ids", …, "rating", "note", "model"}      a cell that holds something
{"a", "b", "row", "left", "winner"}                                       a judgement; numbers are places
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import ParamError
from ...outputs import CompletionOutput
from ...replays.recording import params_from
from ...results.provenance import plain
from ...sampling_params import BeamSearchParams
from ...views.visible import one_line, shortened
from .cells import Cell, Cells, checked_rating
from .choices import Duel, Duels
from .columns import Column

VERSION = 1


def write(path: Path, cells: Cells, duels: Iterable[Duel]) -> None:
    """Write it, in one step: the file is the old one or the new one, never a half. Raises `OSError`;
    `ParamError` for functions among the parameters."""
    for column in cells.columns:
        if "logits_processors" in column.said:
            raise ParamError(
                f"{column.name} has logits_processors, functions that no file can keep"
            )
    text = "".join(json.dumps(line, default=_plain) + "\n" for line in _lines(cells, duels))
    beside = path.with_name(path.name + ".new")
    beside.write_text(text, "utf-8", newline="")
    beside.replace(path)


def read(path: Path) -> tuple[Cells, Duels]:
    """What `write` was given. Raises `ParamError` for any other file."""
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
    except OSError as error:
        raise ParamError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ParamError(f"{path} is no saved grid: it is not JSON, a line each") from None
    head = lines[0] if lines and isinstance(lines[0], dict) else {}
    if head.get("nbllm") != "grid" or head.get("version") != VERSION:
        raise ParamError(f"{path} is no saved grid of this nbllm")
    try:
        return _grid(head, lines[1:])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ParamError(f"{path} is damaged: {type(error).__name__} {error}") from None


class Unmatched(NamedTuple):
    """A cell of a file for which a grid has no place."""

    prompt: str
    setting: str
    why: str


@dataclass(kw_only=True)
class Restored:
    """What of a file belongs to a grid, and what does not."""

    path: Path
    cells: int = 0
    ratings: int = 0
    choices: int = 0
    unmatched: list[Unmatched] = field(default_factory=list)

    def __str__(self) -> str:
        counts = {"cell": self.cells, "rating": self.ratings, "judgement": self.choices}
        said = ", ".join(f"{n:,} {name}{'s' * (n != 1)}" for name, n in counts.items())
        said = f"{self.path.name}: {said} restored"
        if not self.unmatched:
            return said
        prompt, setting, why = self.unmatched[0]
        where = f"“{shortened(one_line(prompt), 40)}” under {one_line(setting)}: {why}"
        more = f", and {len(self.unmatched) - 1:,} more" if len(self.unmatched) > 1 else ""
        return f"{said}; {len(self.unmatched):,} did not match ({where}{more})"


def restore(path: Path, cells: Cells, duels: Duels, models: Mapping[int, str]) -> Restored:
    """Put what `path` holds where prompt and setting are the same. Raises `ParamError`.

    models: the fingerprint of each column's model, where one is loaded. A cell that was made anew
    since, with another text, keeps what it is.
    """
    saved, judged = read(path)
    fresh = {j for j in range(len(cells.columns)) if not any(row[j].made for row in cells.table)}
    found, places = Restored(path=path), _places(saved, cells)
    for there in filter(_holds, saved):
        if why := _put(saved, there, cells, places, models, fresh):
            name = saved.columns[there.column].name
            found.unmatched.append(Unmatched(saved.prompts[there.row], name, why))
            places.pop((there.row, there.column), None)
        else:
            found.cells += 1
            found.ratings += there.rating is not None
    for duel in judged.values():
        found.choices += _judge(duel, places, duels)
    return found


def _holds(cell: Cell) -> bool:
    return bool(cell.made or cell.rating or cell.note)


def _put(
    saved: Cells,
    there: Cell,
    cells: Cells,
    places: dict[Any, Any],
    models: Mapping[int, str],
    fresh: Collection[int],
) -> str:
    """Restore one cell; why not, if it cannot be. fresh: columns in which nothing had been made."""
    if (place := places.get((there.row, there.column))) is None:
        known = saved.prompts[there.row] in set(cells.prompts)
        return "there is no such setting" if known else "there is no such prompt"
    here = cells.table[place[0]][place[1]]
    if there.model and models.get(here.column, there.model) != there.model:
        return "another model made it"
    if here.made and there.made and here.made.text != there.made.text:
        return "it has another text now"
    if here.made is None and there.made is not None:
        if not _take_seed(cells, here.column, saved.columns[there.column], fresh):
            return "another seed made it"
        here.made, here.model = there.made, there.model
    here.rating = here.rating if there.rating is None else there.rating
    here.note = there.note or here.note
    return ""


def _take_seed(cells: Cells, place: int, column: Column, fresh: Collection[int]) -> bool:
    """Let the rest of a column be made with the seed that made its restored cells; whether it can be."""
    here = cells.columns[place]
    seed = getattr(column.params, "seed", None)
    if isinstance(here.params, BeamSearchParams) or here.params.seed == seed:
        return True
    if place in fresh:
        cells.columns[place] = replace(here, params=replace(here.params, seed=seed))
    return place in fresh


def _places(saved: Cells, cells: Cells) -> dict[tuple[int, int], tuple[int, int]]:
    """Place in the file → place in the grid; of equal prompts the first goes with the first."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for i, prompt in enumerate(cells.prompts):
        rows[prompt].append(i)
    columns = {column.key: j for j, column in reversed(list(enumerate(cells.columns)))}
    pairs = [(i, rows[p].pop(0)) for i, p in enumerate(saved.prompts) if rows[p]]
    return {
        (there, j): (here, columns[column.key])
        for there, here in pairs
        for j, column in enumerate(saved.columns)
        if column.key in columns
    }


def _judge(duel: Duel, places: Mapping[tuple[int, int], tuple[int, int]], duels: Duels) -> int:
    """Restore the judgements of two columns; how many."""
    count = 0
    for row, won in duel.chosen.items():
        if (a := places.get((row, duel.a))) is None or (b := places.get((row, duel.b))) is None:
            continue
        to = {duel.a: a[1], duel.b: b[1], None: None}
        mine = duels.setdefault((a[1], b[1]), Duel(a=a[1], b=b[1]))
        mine.chosen[a[0]], mine.left[a[0]] = to[won], a[1] if duel.left[row] == duel.a else b[1]
        count += 1
    return count


def _lines(cells: Cells, duels: Iterable[Duel]) -> Iterator[dict[str, Any]]:
    columns = [
        {"name": c.name, "model": c.model, "drawn": c.drawn, "params": plain(c.params, defaults=False)}
        for c in cells.columns
    ]  # fmt: skip
    yield {"nbllm": "grid", "version": VERSION, "columns": columns}
    over = None if cells.over is None else cells.over.to_dict("records")
    for i, prompt in enumerate(cells.prompts):
        yield {"prompt": prompt, **({} if over is None else {"over": over[i]})}
    for cell in cells:
        if _holds(cell):
            yield _cell_line(cell)
    for duel in duels:
        for row, won in duel.chosen.items():
            yield {"a": duel.a, "b": duel.b, "row": row, "left": duel.left[row], "winner": won}


def _cell_line(cell: Cell) -> dict[str, Any]:
    line: dict[str, Any] = {"row": cell.row, "column": cell.column}
    if (made := cell.made) is not None:
        line |= {
            "text": made.text,
            "token_ids": made.token_ids,
            "cumulative_logprob": made.cumulative_logprob,
            # what is under way now is cut short when it is read again
            "finish_reason": made.finish_reason or "abort",
            "stop_reason": made.stop_reason,
            "model": cell.model,
        }
    return {**line, "rating": cell.rating, "note": cell.note}


def _grid(head: dict[str, Any], lines: list[dict[str, Any]]) -> tuple[Cells, Duels]:
    import pandas as pd

    rows = [line for line in lines if "prompt" in line]
    over = pd.DataFrame([row["over"] for row in rows]) if rows and "over" in rows[0] else None
    columns = [_column(record) for record in head["columns"]]
    cells, duels = (
        Cells(prompts=[row["prompt"] for row in rows], columns=columns, over=over),
        Duels(),
    )
    for line in lines:
        if "column" in line:
            _fill(cells.cell(line["row"], line["column"]), line)
        elif "winner" in line:
            a, b, row = line["a"], line["b"], line["row"]
            duel = duels.setdefault((a, b), Duel(a=cells.column(a), b=cells.column(b)))
            if line["left"] not in (a, b) or line["winner"] not in (a, b, None):
                raise KeyError("winner")
            row = cells.cell(row, a).row
            duel.chosen[row], duel.left[row] = line["winner"], line["left"]
    return cells, duels


def _column(record: dict[str, Any]) -> Column:
    kind = "beam" if "beam_width" in record["params"] else "completions"
    params = params_from(record["params"], kind)
    return Column(name=record["name"], params=params, model=record["model"], drawn=record["drawn"])


def _fill(cell: Cell, line: dict[str, Any]) -> None:
    cell.rating, cell.note = checked_rating(line["rating"]), str(line["note"])
    if "text" in line:
        cell.model = line["model"]
        cell.made = CompletionOutput(
            index=0, text=str(line["text"]), token_ids=[int(token) for token in line["token_ids"]],
            cumulative_logprob=float(line["cumulative_logprob"]),
            finish_reason=line["finish_reason"], stop_reason=line["stop_reason"],
        )  # fmt: skip


def _plain(value: Any) -> Any:
    """A value of a frame that JSON lacks: numpy's numbers as numbers, anything else as a text."""
    return value.item() if hasattr(value, "item") else str(value)
