"""Cells through the engine: all columns at once, a window of each at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from ...errors import NbllmError, ParamError, PromptError
from ...outputs import RequestOutput
from ...prompts import as_prompts
from ...sampling_params import BeamSearchParams, SamplingParams
from .cells import Cell, Cells

if TYPE_CHECKING:
    from ...llm import LLM
    from ..runs import Stream

AT_ONCE = 128
"""Cells in an engine at a time, and at most three quarters of its rows: who comes later need not wait for
the last cell."""
SEARCHES = 4
"""Searches of a column at a time."""


def possible(cells: Cells, wanted: Sequence[Cell], llms: Mapping[int, LLM]) -> list[Cell]:
    """Those that can be sent; the others get their error. llms: by the place of the column."""
    for cell in wanted:
        params = cells.columns[cell.column].params
        try:
            llms[cell.column].intake.jobs(as_prompts([cells.prompts[cell.row]]), [params], [0])
            cell.error = ""
        except (PromptError, ParamError) as error:
            cell.error = str(error)
    return [cell for cell in wanted if not cell.error]


def stream(cells: Cells, wanted: Sequence[Cell], llms: Mapping[int, LLM]) -> Stream:
    """Outputs of these cells as they grow; `request_id` is the cell's id. llms: as above.

    A column that fails ends alone: its error is raised when the others have ended.
    """
    by_column = sorted(wanted, key=lambda cell: cell.column)
    groups = {c: list(group) for c, group in groupby(by_column, key=lambda cell: cell.column)}
    of_model = Counter(id(llms[c]) for c in groups)
    return _merged(
        {
            cells.columns[c].name: _column(cells, group, llms[c], of_model[id(llms[c])])
            for c, group in groups.items()
        }
    )


async def _column(cells: Cells, wanted: list[Cell], llm: LLM, columns: int) -> Stream:
    """columns: of this model, which share its rows."""
    params = cells.columns[wanted[0].column].params
    prompts = [cells.prompts[cell.row] for cell in wanted]
    if isinstance(params, BeamSearchParams):
        for begin in range(0, len(wanted), SEARCHES):
            part = slice(begin, begin + SEARCHES)
            outputs = await llm.agenerate(prompts[part], params)
            for cell, output in zip(wanted[part], outputs, strict=True):
                yield replace(output, request_id=cell.id)
        return
    assert isinstance(params, SamplingParams)
    room = max(1, min(AT_ONCE, llm.max_num_seqs * 3 // 4) // columns)
    async with aclosing(llm.astream(prompts, params, concurrency_limit=room)) as outputs:
        async for output in outputs:
            place = int(output.request_id.rpartition("-")[2])
            yield replace(output, request_id=wanted[place].id)


async def _merged(streams: Mapping[str, Stream]) -> Stream:
    news: asyncio.Queue[RequestOutput | None] = asyncio.Queue()

    async def follow(stream: Stream) -> None:
        try:
            async with aclosing(stream):
                async for output in stream:
                    news.put_nowait(output)
        finally:
            news.put_nowait(None)

    tasks = {name: asyncio.ensure_future(follow(stream)) for name, stream in streams.items()}
    try:
        left = len(tasks)
        while left:
            if (output := await news.get()) is None:
                left -= 1
            else:
                yield output
        _raise_first(await _errors(tasks))
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


async def _errors(tasks: Mapping[str, asyncio.Task[None]]) -> dict[str, BaseException]:
    ends = await asyncio.gather(*tasks.values(), return_exceptions=True)
    return {n: end for n, end in zip(tasks, ends, strict=True) if isinstance(end, BaseException)}


def _raise_first(errors: Mapping[str, BaseException]) -> None:
    for name, error in errors.items():
        if isinstance(error, NbllmError):
            raise type(error)(f"{name}: {error}") from None
        raise error
