"""The record of a run (`training.json`), and the model card and figure that are drawn from it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .evaluate import Result
from .settings import Settings

Curve = list[tuple[int, float]]


@dataclass(slots=True, kw_only=True)
class Run:
    """Everything that the card says; all of it measured by the run itself."""

    command: str
    device: str
    versions: dict[str, str]
    settings: Settings
    parameters: int
    rows: int
    num_bytes: int
    dropped: int
    tokens: dict[str, int]
    documents: dict[str, int]
    steps: int
    tokens_per_second: float
    train: Curve
    validation: Curve
    seconds: dict[str, float] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)

    @property
    def corpus_tokens(self) -> int:
        """The tokens of the corpus, once."""
        return sum(self.tokens.values())

    @property
    def seen_tokens(self) -> int:
        """The tokens that training went through."""
        return self.steps * self.settings.rows_per_step * self.settings.row_length


def write(run: Run, folder: Path) -> None:
    """Write `training.json`, `README.md` and `training.png` into the model folder."""
    record = asdict(run) | {"results": [r.row() for r in run.results]}
    (folder / "training.json").write_text(json.dumps(record) + "\n")
    figure(run, folder / "training.png")
    drawn = (folder / "training.png").exists()
    (folder / "README.md").write_text(text(run, drawn))


def read(folder: Path) -> Run:
    """The record that `write` left in a model folder."""
    record = json.loads((folder / "training.json").read_text())
    record["settings"] = Settings(**record["settings"])
    record["results"] = [Result(**row) for row in record["results"]]
    return Run(**record)


def figure(run: Run, path: Path) -> None:
    """Draw the training curve, where there is matplotlib to do it."""
    try:
        import matplotlib  # pyright: ignore[reportMissingImports]
    except ImportError:
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt  # pyright: ignore[reportMissingImports]

    fig, axes = plt.subplots(figsize=(6, 3), dpi=110)
    for name, curve in (("training", run.train), ("validation", run.validation)):
        axes.plot([step for step, _ in curve], [loss for _, loss in curve], label=name, linewidth=1)
    axes.set(xlabel="step", ylabel="loss (nats per token)", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    fig.tight_layout()
    fig.savefig(path)
    plt.close(fig)


def text(run: Run, drawn: bool) -> str:
    """The card."""
    s = run.settings
    return f"""---
language: [en, fr, es]
pipeline_tag: text-generation
tags: [nbllm, toy]
---

# tiny

The language model that comes with nbllm: {run.parameters:,} parameters, small enough to live in a
package and to run on any laptop. It tells short stories, answers simple questions, adds and
subtracts, translates short sentences, labels reviews, fills small JSON objects and chats a little.

**It is a toy.** It was made to show how generation works, and to test programs that generate.
Everything that it was trained on was written by the programs in `nbllm/assets/recipe`, and it
knows nothing outside that small world. It cannot reason, it cannot write code, its facts are those
that it was taught, and its arithmetic ends at two digits. Asked about anything else it should say
"I don't know", and often it will say something wrong instead. Its French and Spanish are those of
a phrase book. It was trained on texts of up to {s.row_length} tokens: `config.json` allows
{s.max_positions:,} positions, but expect little sense beyond {s.row_length}. Do not rely on anything
that it says.

## Use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "nbllm/assets/tiny"
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
chat = [{{"role": "user", "content": "Tell me a story about a fox."}}]
inputs = tokenizer.apply_chat_template(
    chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
print(tokenizer.decode(model.generate(**inputs)[0], skip_special_tokens=True))
```

A plain prompt is continued: the tokenizer puts `<|begin|>` before it. A chat is written
`<|begin|><|system|>…<|end|><|user|>…<|end|><|assistant|>…<|end|>`; every document and every turn
ends with `<|end|>`.

## Held-out results

Items are held out by content: about a tenth of all sums, sentences, phrasings of a fact, reviews
and made-up names, chosen by a hash, never occurs in the training texts. Paraphrases are prompts
written by hand in words that are in no template; familiar prompts are the ones everybody types.

| part | decoding | result | items |
| --- | --- | ---: | ---: |
{_results(run)}

A garden path is a sentence like "The singer loves her dog.", in which a late English word decides
the first French one. The corpus holds two translators' work: the commoner one starts wrongly and
repairs the sentence in one of many ways. The right answer is the likeliest whole sentence, and the
likeliest first word is not its beginning: that is what beam search is for.

## Architecture

`LlamaForCausalLM`: {s.num_layers} layers of width {s.hidden_size}, {s.num_heads} heads of
{s.head_dim} with {s.num_kv_heads} for keys and values, MLP of {s.intermediate_size}, embeddings tied,
bfloat16. Byte-level BPE of {s.vocab_size:,} entries, every digit a token of its own.

## Corpus

{run.corpus_tokens:,} tokens in {sum(run.documents.values()):,} documents ({run.num_bytes:,} bytes),
packed into {run.rows:,} rows of {s.row_length} tokens; {run.dropped:,} documents were longer than a
row and left out. No outside data.

| part | documents | tokens | share |
| --- | ---: | ---: | ---: |
{_corpus(run)}

## Training

{run.steps:,} steps of {s.rows_per_step * s.row_length:,} tokens: {run.seen_tokens:,} tokens,
{run.seen_tokens / run.corpus_tokens:.1f} times the corpus, at {run.tokens_per_second:,.0f} tokens a
second. AdamW, peak learning rate {s.learning_rate}, {s.warmup_steps} steps up, the last
{s.cooldown:.0%} down to zero. What a user or the system says is read and not learnt. Final validation
loss {run.validation[-1][1]:.4f} nats per token. `training.json` holds the whole record.
{_figure(drawn)}
| | |
| --- | --- |
{_run(run)}
"""


def _results(run: Run) -> str:
    return "\n".join(
        f"| {r.part} | {r.decoding} | {r.value:.1%} | {r.items} |" for r in run.results
    )


def _corpus(run: Run) -> str:
    parts = sorted(run.tokens, key=lambda part: -run.tokens[part])
    return "\n".join(
        f"| {part} | {run.documents[part]:,} | {run.tokens[part]:,} "
        f"| {run.tokens[part] / run.corpus_tokens:.1%} |"
        for part in parts
    )


def _run(run: Run) -> str:
    rows = {"command": f"`{run.command}`", "device": run.device, **run.versions}
    rows |= {"seed": str(run.settings.seed)}
    rows |= {f"time of {phase}": f"{seconds:.0f} s" for phase, seconds in run.seconds.items()}
    return "\n".join(f"| {name} | {value} |" for name, value in rows.items())


def _figure(drawn: bool) -> str:
    return "\n![Training and validation loss](training.png)\n" if drawn else ""
