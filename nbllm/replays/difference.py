"""Where what was made again differs from what was made before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .recording import Made

if TYPE_CHECKING:
    from ..llm import LLM

CLOSE = 1e-4
"""Scores that differ by no more are the same: views keep four decimals, and batches differ."""


@dataclass(kw_only=True, frozen=True)
class Difference:
    """Where a row first differs. row: of the frame; position: of the token, from 0.

    gap: log p(its token now) − log p(the token before), of a score the difference; None: not known.
    """

    row: int
    output: int
    position: int | None
    before: str
    now: str
    gap: float | None

    def __str__(self) -> str:
        where = f"row {self.row}" + (
            f", token {self.position}" if self.position is not None else ""
        )
        by = f", which is {self.gap:+.3g} in log-probability" if self.gap is not None else ""
        return f"{where}: {self.before} before, {self.now} now{by}"


def difference(
    llm: LLM, row: int, output: int, prompt_ids: list[int], before: Made, now: Made
) -> Difference | None:
    if before.text is None:
        return _score_difference(row, output, before.logprob, now.logprob)
    old, new = before.token_ids, list(now.token_ids or ())
    if old is None:
        return _text_difference(llm, row, output, before, now)
    same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), None)
    if same is None:
        if len(old) == len(new) or (before.aborted and len(old) < len(new)):
            return None
        same = min(len(old), len(new))
    spelled = [_spelled(llm, ids, same) for ids in (old, new)]
    gap = None
    if same < len(old) and same < len(new):
        begun = {"prompt_token_ids": [*prompt_ids, *new[:same]]}
        pair = [{"prompt_token_ids": [ids[same]]} for ids in (old, new)]
        scores = [s.cumulative_logprob for s in llm.score([begun] * 2, pair, use_tqdm=False)]
        gap = scores[1] - scores[0]
    return Difference(
        row=row, output=output, position=same, before=spelled[0], now=spelled[1], gap=gap
    )


def _score_difference(
    row: int, output: int, before: float | None, now: float | None
) -> Difference | None:
    if before is None or now is None or math.isclose(before, now, rel_tol=0, abs_tol=CLOSE):
        return None
    return Difference(
        row=row, output=output, position=None, before=f"{before:.6g}", now=f"{now:.6g}",
        gap=now - before,
    )  # fmt: skip


def _text_difference(llm: LLM, row: int, output: int, before: Made, now: Made) -> Difference | None:
    """Of a record without token ids: the token in which the texts part."""
    old, new = before.text or "", now.text or ""
    if old == new or (before.aborted and new.startswith(old)):
        return None
    pairs = enumerate(zip(old, new, strict=False))
    part = next((i for i, (a, b) in pairs if a != b), min(len(old), len(new)))
    ids = list(now.token_ids or ())
    decode = llm.tokenizer.decode
    position = next((i for i in range(len(ids)) if len(decode(ids[: i + 1])) > part), len(ids))
    gap = None if before.logprob is None or now.logprob is None else now.logprob - before.logprob
    shown = [repr(text[part : part + 20]) for text in (old, new)]
    return Difference(
        row=row, output=output, position=position, before=shown[0], now=shown[1], gap=gap
    )


def _spelled(llm: LLM, ids: Sequence[int], position: int) -> str:
    if position >= len(ids):
        return "the end"
    return repr(llm.tokenizer.decode([ids[position]], skip_special_tokens=False))
