"""What a JSON schema costs: the bundled model with and without one, in one process, interleaved.

The schema is a list that never has enough records, so that every request runs to max_tokens and
both do the same steps. Figures are medians of the time from one token of a request to its next.
"""

import statistics
import time
from collections.abc import Iterator

import numpy as np

from nbllm import LLM, SamplingParams, StructuredOutputsParams
from nbllm.engine.grammar import Grammars
from nbllm.engine.matcher import fill

PROMPT = "Text: Anna is 12 years old and lives in Paris.\nJSON:"
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "job": {"enum": ["teacher", "doctor", "baker"]},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}},
    },
    "required": ["name", "age", "job", "tags"],
    "additionalProperties": False,
}
MANY = StructuredOutputsParams(json={"type": "array", "items": PERSON, "minItems": 500})
TOKENS = 65
ROUNDS = 9


def token_time(llm: LLM, count: int, wanted: StructuredOutputsParams | None) -> float:
    """Seconds a step, the prompts' steps left out."""
    params = SamplingParams(
        temperature=0, max_tokens=TOKENS, ignore_eos=True, structured_outputs=wanted
    )
    times = []
    for output in llm.stream([PROMPT] * count, params):
        made = output.outputs[0]
        if output.request_id.endswith("-0"):
            times.append(time.perf_counter())
        assert made.finish_reason in (None, "length")
    assert len(times) == TOKENS
    return statistics.median(np.diff(times[1:]))


def mask_time(llm: LLM, grammars: Grammars) -> float:
    """Seconds to follow one token and fill its mask, alone."""
    params = SamplingParams(
        temperature=0, max_tokens=TOKENS, ignore_eos=True, structured_outputs=MANY
    )
    tokens = llm.generate(PROMPT, params, use_tqdm=False)[0].outputs[0].token_ids
    matcher, times = grammars.matcher(MANY), []
    for end in range(len(tokens)):
        begin = time.perf_counter()
        fill([matcher], [tokens[:end]])
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def run() -> Iterator[tuple[str, float, str]]:
    with LLM("tiny") as llm:
        grammars = Grammars(llm.tokenizer, llm.config.vocab_size, llm.intake.eos_ids)
        begin = time.perf_counter()
        grammars.matcher(MANY)
        yield "first grammar, vocabulary included", (time.perf_counter() - begin) * 1e3, "ms"
        begin = time.perf_counter()
        grammars.matcher(MANY)
        yield "the same grammar again", (time.perf_counter() - begin) * 1e6, "µs"
        yield "one mask, alone", mask_time(llm, grammars) * 1e6, "µs"
        for count in (1, 32):
            pairs = [
                (token_time(llm, count, None), token_time(llm, count, MANY))
                for _ in range(ROUNDS + 1)
            ][1:]  # the first warms up
            free, bound = (statistics.median(column) * 1e3 for column in zip(*pairs, strict=True))
            yield f"batch {count}, free", free, "ms/token"
            yield f"batch {count}, JSON schema", bound, "ms/token"
            yield f"batch {count}, difference", bound - free, "ms/token"
