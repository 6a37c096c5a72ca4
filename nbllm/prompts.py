"""What `generate` takes as prompts, in one form. No torch, no tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import ParamError, PromptError
from .sampling_params import BeamSearchParams, SamplingParams


@dataclass(slots=True, kw_only=True, frozen=True)
class Prompt:
    """A text, or token ids, or both (a rendered conversation).

    read: of a conversation, how its answer becomes a message; see `nbllm.chat.parse`. num_begun: so many
    of its last tokens are the beginning of an output that goes on: a grammar begins with them.
    """

    text: str | None = None
    token_ids: list[int] | None = None
    read: Callable[..., dict[str, Any]] | None = None
    num_begun: int = 0

    def ids(self, encode: Callable[[str], list[int]]) -> list[int]:
        """The token ids, encoded from the text unless given."""
        if self.token_ids is not None:
            return self.token_ids
        # an empty text is an empty prompt, even where the tokenizer adds a BOS
        return encode(self.text) if self.text else []


def as_prompts(prompts: Any) -> list[Prompt]:
    """One prompt or any iterable of them: str, {"prompt": …}, token ids, {"prompt_token_ids": …}, `Prompt`.

    A dictionary of ids may have "num_begun": see `Prompt`.
    """
    if isinstance(prompts, str | Mapping | Prompt):
        return [_prompt(prompts)]
    if not isinstance(prompts, Iterable):
        raise PromptError(
            f"prompts must be a string, token ids, or a list of them, got {prompts!r}"
        )
    items = list(prompts)
    if items and all(_is_id(item) for item in items):
        return [_prompt(items)]
    return [_prompt(item) for item in items]


def is_conversation(prompt: Any) -> bool:
    """Whether it is a list of messages rather than a prompt."""
    return (
        isinstance(prompt, Sequence)
        and bool(prompt)
        and all(isinstance(message, Mapping) and "role" in message for message in prompt)
    )


def conversations_in(prompts: Any) -> list | None:
    """The conversations, when `prompts` is one or a list of them; None for plain prompts."""
    if is_conversation(prompts):
        return [prompts]
    if isinstance(prompts, Sequence) and prompts and all(map(is_conversation, prompts)):
        return list(prompts)
    return None


def one_each(params: Any, count: int) -> list[SamplingParams | BeamSearchParams]:
    """Sampling or search parameters for each of `count` prompts, from one or a list."""
    one = isinstance(params, SamplingParams | BeamSearchParams)
    many = [params] * count if one else list(params)
    if len(many) != count:
        raise ParamError(
            f"got {len(many)} sampling parameters for {count} prompts; give one, or one each"
        )
    for each in many:
        if not isinstance(each, SamplingParams | BeamSearchParams):
            raise ParamError(f"sampling_params must be SamplingParams, got {type(each).__name__}")
    return many


def paired(first: list, second: list) -> tuple[list, list]:
    """Two lists of one length; a single item of either goes with all of the other."""
    count = max(len(first), len(second))
    first, second = (each * count if len(each) == 1 else each for each in (first, second))
    if not first or not second:
        return [], []
    if len(first) != len(second):
        raise ParamError(
            f"got {len(second)} continuations for {len(first)} prompts; give as many, or one"
        )
    return first, second


def choices_each(choices: Any, count: int) -> list[list[str]]:
    """The choices of each of `count` prompts, from one list of strings or a list of lists."""
    items = [choices] if isinstance(choices, str) else list(choices)
    lists = [items] * count if all(isinstance(c, str) for c in items) else [*map(list, items)]
    if len(lists) != count:
        raise ParamError(
            f"got {len(lists)} lists of choices for {count} prompts; give one, or one each"
        )
    for each in lists:
        if not each or any(not isinstance(c, str) or not c for c in each):
            raise ParamError(f"choices must be strings, none empty and at least one, got {each!r}")
    return lists


def _is_id(item: Any) -> bool:
    return hasattr(item, "__index__") and not isinstance(item, bool)


def _prompt(item: Any) -> Prompt:
    if isinstance(item, Prompt):
        return item
    if isinstance(item, str):
        return Prompt(text=item)
    if isinstance(item, Mapping):
        ids = item.get("prompt_token_ids")
        text = item.get("prompt")
        if ids is None and not isinstance(text, str):
            raise PromptError(
                f"a prompt dictionary needs 'prompt' or 'prompt_token_ids', got keys {sorted(item)}"
            )
        token_ids = None if ids is None else _ids(ids)
        begun = item.get("num_begun", 0)
        if not _is_id(begun) or not 0 <= begun <= len(token_ids or ()):
            raise PromptError(f"num_begun is a number of the prompt's token ids, got {begun!r}")
        return Prompt(text=text, token_ids=token_ids, num_begun=begun)
    if isinstance(item, Iterable):
        return Prompt(token_ids=_ids(item))
    raise PromptError(f"a prompt must be a string, token ids, or a dictionary, got {item!r}")


def _ids(items: Iterable[Any]) -> list[int]:
    ids = list(items)
    if set(map(type, ids)) <= {int}:  # by far the fastest way to ask
        return ids
    if wrong := [item for item in ids if not _is_id(item)]:
        raise PromptError(f"token ids must be integers, got {wrong[0]!r}")
    return [item.__index__() for item in ids]
