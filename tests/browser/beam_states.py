"""The traits of a beam explorer's view, of searches without a model."""

from beam_outputs import Words, searched

from nbllm.sampling_params import BeamSearchParams
from nbllm.widgets.beam_record import ARRAYS, Record, header
from nbllm.widgets.beam_sequences import lines

TEXT = [
    "the",
    "fox",
    "was",
    "happy",
    "and",
    "went",
    "to",
    "find",
    "a",
    "big",
    "red",
    "ball",
    "in",
    "the",
    "park",
    "with",
    "her",
    "mum",
    ".",
    "She",
    "said",
    "it",
    "was",
    "time",
    "for",
    "bed",
    "but",
    "he",
    "did",
    "not",
    "want",
    "to",
    "sleep",
    "so",
    "they",
    "ran",
    "home",
    "again",
]


def search(width=4, steps=12, **params):
    """A search among the words of a story, whose probabilities depend on the last two."""
    words = Words("p", *(f" {word}" for word in dict.fromkeys(TEXT)))
    count = len(words.words) - 2

    def choices(ids):
        seed = sum((i + 1) * token for i, token in enumerate(ids[-2:])) + len(ids) * 7
        ranked = {2 + (seed * 5 + k * 3) % count: 0.5 ** (k * 0.7 + 1) for k in range(12)}
        # about as often as a story ends
        return {**ranked, 0: 0.06 if seed % 3 == 0 else 0.004}

    params = BeamSearchParams(beam_width=width, max_tokens=steps, **params)
    return searched(words, choices, params, prompt="Once upon a time")


def state(output, *, selected=(), run=1, **traits):
    """As `BeamExplorerView` would have it."""
    history = output.history
    said, arrays = Record().steps(history, 0)
    return {
        "running": False, "step": history.num_steps, "facts": "tiny · 4 beams",
        "search": {"run": run, **header(history), **said, **dict(zip(ARRAYS, arrays, strict=True))},
        "penalty": history.params.length_penalty, "lines": lines(history, selected), **traits,
    }  # fmt: skip
