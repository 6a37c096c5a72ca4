"""What a playground shows below its controls."""

from __future__ import annotations

from typing import Any

from traitlets import Dict, Int, List, Unicode

from .completions_view import CompletionsView
from .diff import word_diff
from .history import Entry
from .modules import css, esm


class PlaygroundView(CompletionsView):
    """shown: the number of the run that is shown, 0 for none. facts: a line about it. history: a line a
    run, as `Entry.summary` has it. pins: name → such a line. diff: the parts of A and those of B, as
    `word_diff` has them; empty unless both are there. code: the cell that was asked for.
    """

    _esm = esm("playground")
    _css = css("frame", "tokens", "completions", "compared", "playground")
    shown = Int().tag(sync=True)
    facts = Unicode().tag(sync=True)
    history = List().tag(sync=True)
    pins = Dict().tag(sync=True)
    diff = List().tag(sync=True)
    code = Unicode().tag(sync=True)

    def name(self, entry: Entry) -> None:
        """Say which run is shown, and what is worth knowing of it."""
        self.shown, self.facts = entry.number, facts(entry)

    def compare(self, pins: dict[str, Entry], summaries: dict[str, dict[str, Any]]) -> None:
        """Show the pinned runs; of two, what differs."""
        texts = {name: entry.generation.text for name, entry in pins.items()}
        self.diff = list(word_diff(texts["A"], texts["B"])) if len(texts) == 2 else []
        self.pins = {name: {**summaries[name], "whole": texts[name]} for name in pins}


def facts(entry: Entry) -> str:
    """What is worth knowing of a run besides its text."""
    made, [output] = entry.generation, entry.generation.outputs
    rate = f", {made.num_tokens / made.seconds:,.0f} tokens/s" if made.seconds else ""
    cached = (
        f"{output.num_cached_tokens:,} of {len(output.prompt_token_ids):,} prompt tokens cached"
    )
    model, seed = made.provenance.model["name"], entry.sent.seed
    return f"run {entry.number} · {model} · seed {seed} · {made.seconds:.2f} s{rate} · {cached}"
