"""Who is in the engine: what `LLM.requests` lists and `LLM.abort` ends."""

from __future__ import annotations

from nbllm.outputs import RequestInfo

from .engine import Engine
from .request import NO_ROW, Request
from .text import Tokenizer

SHOWN = 24
"""Tokens of a prompt's end that are shown: where the model goes on says most about it."""


def listed(engine: Engine, tokenizer: Tokenizer) -> list[RequestInfo]:
    """One record for each prompt, in the order of arrival."""
    prompts: dict[str, list[Request]] = {}
    for request in sorted(engine.unfinished, key=lambda r: r.arrival):
        prompts.setdefault(prompt_id(request), []).append(request)
    return [_info(id, requests, tokenizer) for id, requests in prompts.items()]


def called(engine: Engine, id: str) -> list[Request]:
    """The requests of a prompt, or of all prompts of a call."""
    return [r for r in engine.unfinished if f"{r.id}-".startswith(f"{id}-")]


def prompt_id(request: Request) -> str:
    """The id that its prompt's output has; a search is the only request of its prompt."""
    return request.id if request.search else request.id.rpartition("-")[0]


def _info(id: str, requests: list[Request], tokenizer: Tokenizer) -> RequestInfo:
    first = requests[0]
    prompt = first.tokens[: first.num_prompt]
    return RequestInfo(
        request_id=id,
        prompt=tokenizer.decode(prompt[-SHOWN:]),
        state=max((_state(r) for r in requests), key=STATES.index),
        num_prompt_tokens=first.num_prompt,
        num_tokens=sum(map(_num_done, requests)),
        max_tokens=sum(map(_most, requests)),
        arrival_time=first.arrival,
    )


STATES = ("waiting", "prefilling", "running", "searching")


def _state(request: Request) -> str:
    if request.search and request.search.parked:
        return "searching"
    if request.decoding:
        return "running"
    return "waiting" if request.row == NO_ROW else "prefilling"


def _num_done(request: Request) -> int:
    """Generated tokens; of a search its steps."""
    if request.search is None:
        return request.num_output
    return request.search.wave.num_steps if request.search.wave else 0


def _most(request: Request) -> int:
    return request.search.limit if request.search else request.limit - request.num_prompt
