"""What a branch may begin with: prompts, texts, outputs, results, rows of frames, another branch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..errors import ParamError, PromptError
from ..outputs import BeamSearchOutput, CompletionOutput, RequestOutput
from ..prompts import Prompt, as_prompts, is_conversation
from ..results.generation import Generation
from .branches import Branch, Position, instead

if TYPE_CHECKING:
    from ..llm import LLM
    from ..sampling_params import SamplingParams


@dataclass(kw_only=True)
class Source:
    """A prompt, and what is there already behind it. params: what that was sampled with, if known.

    typed: what somebody would have to type to begin with it, where that is not the prompt. fingerprint:
    of the model whose tokens they are.
    """

    prompt: str
    prompt_ids: list[int]
    branches: list[Branch] = field(default_factory=list)
    params: SamplingParams | None = None
    typed: str | None = None
    fingerprint: str = ""

    def empty(self) -> Branch:
        """A branch that begins at the prompt, without a token."""
        return Branch(prompt=self.prompt, prompt_ids=self.prompt_ids, fingerprint=self.fingerprint)


def read(llm: LLM, source: Any = None, *, prompt: Any = None, text: str | None = None) -> Source:
    """What `source` is to the model. prompt: what a text or a `CompletionOutput` continues.

    Raises `ParamError` or `PromptError` for what cannot be explored.
    """
    found = replace(_read(llm, source, prompt, text), fingerprint=llm.info().fingerprint)
    for branch in found.branches:
        branch.fingerprint = found.fingerprint
    return found


def parting(llm: LLM, parent: Branch, position: int | None, token: int | str | None) -> Branch:
    """A branch of `parent`, with the tokens that it begins with; see `TokenExplorer.branch`."""
    if parent.fingerprint != llm.info().fingerprint:
        raise ParamError(
            f"the tokens of {parent.name} are of another model than {llm.name!r}; "
            "set .model to the name of the loaded model that made it"
        )
    count = len(parent.token_ids)
    at = count if position is None else position
    if not 0 <= at <= count:
        raise ParamError(f"position is from 0 to {count}, the end of {parent.name}, got {at}")
    before, known = parent.token_ids[:at], parent.logprobs[:at]
    there = parent.logprobs[at] if at < len(parent.logprobs) else {}
    ids = _token_ids(llm, there, token)
    taken = instead(there, ids[0]) if len(ids) == 1 else None
    return Branch(
        prompt=parent.prompt, prompt_ids=parent.prompt_ids, parent=parent, position=at,
        token_ids=[*before, *ids], logprobs=[*known, *([taken] if taken else [])],
        text=llm.tokenizer.decode([*before, *ids]), fingerprint=parent.fingerprint,
    )  # fmt: skip


def _token_ids(llm: LLM, there: Position, token: int | str | None) -> list[int]:
    """The ids of what a user calls a token at a position."""
    if token is None:
        return []
    if not isinstance(token, str):
        return [token]
    named = [id for id, known in there.items() if known.decoded_token == token]
    ids = named[:1] or llm.tokenizer.encode(token, add_special_tokens=False)
    if not ids:
        raise ParamError(f"{token!r} is no token of this model and no text that has any")
    return ids


def _read(llm: LLM, source: Any, prompt: Any, text: str | None) -> Source:
    if text is not None:
        if source is not None:
            raise ParamError(
                "text= is scored by itself or behind prompt=: it goes without a source"
            )
        return _text(llm, prompt, text)
    if source is None or (prompt is not None and not isinstance(source, CompletionOutput)):
        if source is not None:
            raise ParamError(f"a {type(source).__name__} knows its prompt: prompt= goes without it")
        return _prompt(llm, prompt)
    if isinstance(source, CompletionOutput):
        return _completion(llm, source, prompt)
    if isinstance(source, RequestOutput | BeamSearchOutput):
        return _output(llm, source)
    if hasattr(source, "outputs"):
        return _result(llm, source)
    if hasattr(source, "columns") or (hasattr(source, "index") and hasattr(source, "to_dict")):
        return _row(llm, source)
    if _is_list_of_outputs(source):
        return _output(llm, _only(source, "outputs"))
    return _prompt(llm, source)


def _prompt(llm: LLM, given: Any) -> Source:
    if is_conversation(given):
        [given] = llm.preprocess_chat(given)
    prompt: Prompt = _only(as_prompts(given), "prompts")
    ids = prompt.ids(llm.tokenizer.encode)
    llm.intake.check_prompt(ids)
    return Source(prompt=_spelled(llm, ids) if prompt.text is None else prompt.text, prompt_ids=ids)


def _text(llm: LLM, prompt: Any, text: str) -> Source:
    """A text somebody wrote. Without a prompt its first token is one: nothing says how likely it is."""
    from ..engine.scoring import Scorer

    if prompt is None:
        ids = llm.tokenizer.encode(text) if text else []
        before, after = ids[:1], ids[1:]
        begun = Prompt(text=_spelled(llm, before), token_ids=before)
    else:
        begun = _only(as_prompts(prompt), "prompts")
        before, after = Scorer(llm.engine, llm.intake).split(begun, Prompt(text=text))
    if not before or not after:
        raise PromptError(f"there is no token to score in {text!r}; give a longer text")
    llm.intake.check_prompt([*before, *after])
    shown = begun.text if begun.text is not None else _spelled(llm, before)
    written = Branch(
        prompt=shown, prompt_ids=before, token_ids=after, num_given=len(after),
        text=llm.tokenizer.decode(after) if prompt is None else text,
    )  # fmt: skip
    typed = text if prompt is None else None
    return Source(prompt=shown, prompt_ids=before, branches=[written], typed=typed)


def _completion(llm: LLM, made: CompletionOutput, prompt: Any) -> Source:
    if prompt is None:
        raise ParamError(
            "a CompletionOutput does not know its prompt: give the RequestOutput, or prompt="
        )
    begun = _prompt(llm, prompt)
    return replace(begun, branches=[_branch(begun, made)])


def _output(llm: LLM, output: RequestOutput | BeamSearchOutput) -> Source:
    ids = output.prompt_token_ids
    llm.intake.check_prompt(ids)
    begun = Source(prompt=output.prompt or _spelled(llm, ids), prompt_ids=ids)
    made = output.outputs if isinstance(output, RequestOutput) else output.sequences
    found = [_branch(begun, each) for each in made]
    for branch in found:
        if wrong := [i for i in branch.token_ids if not 0 <= i < llm.intake.vocab_size]:
            raise PromptError(
                f"token id {wrong[0]} is not in the vocabulary of this model; "
                "model= names the loaded one that generated the text"
            )
    return replace(begun, branches=[b for b in found if b.token_ids])


def _branch(begun: Source, made: Any) -> Branch:
    """Of a completion, or of a sequence of a beam search."""
    sampled = isinstance(made, CompletionOutput)
    ids = made.token_ids if sampled else made.generated_token_ids
    return Branch(
        prompt=begun.prompt, prompt_ids=begun.prompt_ids, token_ids=list(ids),
        text=made.text if sampled else made.generated_text,
        logprobs=_alternatives(made.logprobs), finish_reason=made.finish_reason,
    )  # fmt: skip


def _alternatives(logprobs: Sequence[Position] | None) -> list[Position]:
    """As they are; none where they know nothing but the tokens themselves: then these are scored."""
    known = list(logprobs or ())
    return known if any(len(position) > 1 for position in known) else []


def _result(llm: LLM, result: Any) -> Source:
    """What a magic or a widget made."""
    output = _only(result.outputs, "outputs")
    made, here = getattr(result, "provenance", None), llm.info()
    if made is not None and made.model["fingerprint"] != here.fingerprint:
        raise ParamError(
            f"this was made with {made.model['name']!r}, the model is {here.name!r}; "
            "load that one, and name it with model="
        )
    source = _output(llm, output)
    if not isinstance(result, Generation):
        return source
    params = result.work.params_of(0)
    for i, branch in enumerate(source.branches):
        seed = None if params.seed is None else params.seed + i
        branch.params, branch.made = replace(params, n=1, seed=seed), result
    # a seed of then would draw the same again
    return replace(source, params=replace(params, n=1, seed=None, truncate_prompt_tokens=None))


def _row(llm: LLM, row: Any) -> Source:
    """A row of a result's frame, or a frame of one: texts, whose tokens are found anew."""
    if hasattr(row, "columns"):
        if len(row) != 1:
            raise ParamError(
                f"one text is explored, the frame has {len(row):,} rows: give one, such as "
                ".iloc[0], or --row 0 with %tokenexplorer"
            )
        row = row.iloc[0]
    if getattr(row, "attrs", {}).get("nbllm", {}).get("kind") == "chat":
        raise ParamError(
            "a row of %%chat has the message, not the prompt that was sent: "
            "give the result, or one of its .outputs"
        )
    values = row.to_dict()
    text = next(
        (values[n] for n in ("text", "continuation") if isinstance(values.get(n), str)), None
    )
    if text is None:
        names = ", ".join(map(str, values)) or "none"
        raise ParamError(f"a row needs a column text, and prompt before it; this one has {names}")
    prompt = values.get("prompt")
    source = _text(llm, prompt if isinstance(prompt, str) and prompt else None, text)
    reason = values.get("finish_reason")
    source.branches[0].finish_reason = reason if isinstance(reason, str) else None
    return source


def _is_list_of_outputs(source: Any) -> bool:
    return isinstance(source, list | tuple) and any(
        isinstance(each, RequestOutput | BeamSearchOutput) for each in source
    )


def _only(items: Sequence[Any], what: str) -> Any:
    if len(items) != 1:
        raise ParamError(
            f"one prompt is explored at a time, got {len(items):,} {what}: give one of them"
        )
    return items[0]


def _spelled(llm: LLM, ids: list[int]) -> str:
    return llm.tokenizer.decode(ids, skip_special_tokens=False)
