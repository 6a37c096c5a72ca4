"""What does not fit is shortened, and said to be."""

from __future__ import annotations

from collections.abc import Callable
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
    llm: LLM, texts: list[str], max_tokens: int | None, say: Callable[[str], None]
) -> dict[int, int]:
    """Of each text that leaves no room for an answer: how many tokens of its end to send."""
    most = llm.max_model_len - 1
    long = {i: n for i, text in enumerate(texts) if (n := _length(llm, text, most)) > most}
    keep = room(llm, max_tokens)
    if long:
        lost = sum(n - keep for n in long.values())
        whose = "the prompt" if len(texts) == 1 else f"{len(long):,} of {len(texts):,} prompts"
        say(f"{whose} did not fit; {lost:,} tokens of the beginning were left out")
    return dict.fromkeys(long, keep)


def _length(llm: LLM, text: str, most: int) -> int:
    # a token is a byte at least, so most texts need not be looked at
    return len(llm.tokenizer.encode(text)) if len(text.encode("utf-8", "replace")) >= most else 0


def oldest_dropped(
    llm: LLM,
    messages: Messages,
    max_tokens: int | None,
    render: Callable[[Messages], list[Any]],
    say: Callable[[str], None],
) -> Messages:
    """`messages` without their oldest turns, as many as it takes; system messages and the last stay.

    render: as `LLM.preprocess_chat`. Raises `PromptError` if the last message alone does not fit.
    """
    if _size(render(messages)) < llm.max_model_len:
        return messages
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
