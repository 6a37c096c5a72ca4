"""What does not fit the context: it is shortened, and said to be, or it is an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import PromptError

if TYPE_CHECKING:
    from ..llm import LLM

Messages = list[dict[str, str]]


def room(llm: LLM, max_tokens: int | None) -> int:
    """Tokens that a prompt may have: what an answer needs is left, a quarter of the context at most."""
    quarter = llm.max_model_len // 4
    return llm.max_model_len - max(1, min(max_tokens or quarter, quarter))


def tails(
    llm: LLM,
    texts: Sequence[str],
    max_tokens: int | None,
    *,
    trim: bool,
    say: Callable[[str], None],
) -> dict[int, int]:
    """Of each text that leaves no room for an answer: how many tokens of its end to send.

    Raises `PromptError` for it without `trim`: before anything runs, and so not in the middle of a frame.
    """
    most = llm.max_model_len - 1
    long = {i: n for i, text in enumerate(texts) if (n := _length(llm, text, most)) > most}
    if long and not trim:
        raise _too_long(llm, *next(iter(long.items())), len(texts), "--trim sends its end")
    keep = room(llm, max_tokens)
    if long:
        lost = sum(n - keep for n in long.values())
        whose = "the prompt" if len(texts) == 1 else f"{len(long):,} of {len(texts):,} prompts"
        say(f"{whose} did not fit; {lost:,} tokens of the beginning were left out")
    return dict.fromkeys(long, keep)


def _length(llm: LLM, text: str, most: int) -> int:
    # a token is a byte at least, so most texts need not be looked at
    return len(llm.tokenizer.encode(text)) if len(text.encode("utf-8", "replace")) >= most else 0


def _too_long(llm: LLM, place: int, count: int, total: int, way_out: str) -> PromptError:
    where = f"row {place:,}: " if total > 1 else ""
    return PromptError(
        f"{where}a prompt of {count:,} tokens leaves no room for an answer in "
        f"max_model_len={llm.max_model_len}; {way_out}, or shorten it"
    )


def conversations(
    llm: LLM,
    requests: Sequence[Messages],
    max_tokens: int | None,
    options: dict[str, Any],
    *,
    trim: bool,
    say: Callable[[str], None],
) -> list[Messages]:
    """The conversations, without the oldest turns of those that do not fit.

    options: of `LLM.stream`. Raises `PromptError` for one that does not fit without `trim`, or whose
    last message alone does not.
    """
    begins = "continue_final_message" not in options
    render = partial(llm.preprocess_chat, add_generation_prompt=begins, **options)
    fitting = []
    for place, messages in enumerate(requests):
        size = _size(render(messages)) if _may_be_long(llm, messages) else 0
        if size >= llm.max_model_len and not trim:
            way_out = "--trim leaves the oldest turns out"
            raise _too_long(llm, place, size, len(requests), way_out)
        long = size >= llm.max_model_len
        fitting.append(_shortened(llm, messages, max_tokens, render, say) if long else messages)
    return fitting


def _may_be_long(llm: LLM, messages: Messages) -> bool:
    """A token is a byte at least; a template writes some more of them around each message."""
    said = sum(len(m["content"].encode("utf-8", "replace")) for m in messages)
    return said + 256 * (1 + len(messages)) >= llm.max_model_len


def _shortened(
    llm: LLM,
    messages: Messages,
    max_tokens: int | None,
    render: Callable[[Messages], list[Any]],
    say: Callable[[str], None],
) -> Messages:
    """System messages and the last message stay."""
    system = [m for m in messages if m["role"] == "system"]
    rest, keep = [m for m in messages if m["role"] != "system"], room(llm, max_tokens)
    dropped = 0
    while len(rest) > 1 and _size(render([*system, *rest])) > keep:
        # a question goes with its answer: a conversation begins with the user
        count = next((i for i, m in enumerate(rest[1:], 1) if m["role"] == "user"), len(rest) - 1)
        rest, dropped = rest[count:], dropped + count
    if _size(render([*system, *rest])) >= llm.max_model_len:
        raise PromptError("the last message alone does not fit the context; shorten it")
    say(f"the conversation did not fit; its {dropped:,} oldest messages were left out")
    return [*system, *rest]


def _size(prompts: list[Any]) -> int:
    return len(prompts[0]["prompt_token_ids"])
