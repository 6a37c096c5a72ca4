"""The bundled model keeps what its card says: files and sizes, and quality on held-out items.

The fast tests look at a few items of each part, the slow ones at 240, with the thresholds that the
model has to keep. Decoding is greedy unless a test says otherwise.
"""

import json
from functools import cache

import pytest

from nbllm.assets.recipe import evaluate

FEW, MANY = 16, 240

THRESHOLDS = {
    "capitals": 0.97,
    "facts": 0.97,
    "unknown": 0.90,
    "arithmetic": 0.95,
    "comparison and counting": 0.95,
    "translation": 0.90,
    "sentiment": 0.95,
    "topic": 0.95,
    "extraction": 0.95,
    "name recall": 0.95,
    "system instruction": 0.90,
    "paraphrases": 0.85,
    "familiar prompts": 0.90,
}
BY_HAND = {"paraphrases": 60, "familiar prompts": 20}
"""The parts whose prompts are written by hand, and how many there are at least."""
FEW_ARE_ENOUGH = 0.80
"""The share that sixteen items have to reach."""


@cache
def items(n: int) -> dict:
    return evaluate.heldout_items(n)


def test_files_are_small_and_complete(folder):
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    needed = {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
        "training.png",
        "README.md",
    }
    assert set(sizes) == needed
    assert sizes["model.safetensors"] <= 16_000_000


def test_the_weights_are_what_the_card_counts(folder):
    from safetensors import safe_open

    record = json.loads((folder / "training.json").read_text())
    with safe_open(folder / "model.safetensors", "pt") as weights:
        names = list(weights.keys())
        shapes = {name: weights.get_slice(name).get_shape() for name in names}
        assert {weights.get_slice(name).get_dtype() for name in names} == {"BF16"}
    total = sum(rows * (rest[0] if rest else 1) for rows, *rest in shapes.values())
    assert total == record["parameters"] <= 8_000_000
    assert "lm_head.weight" not in names
    assert f"{total:,} parameters" in (folder / "README.md").read_text()


def test_configuration(folder):
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["max_position_embeddings"] == 2048
    assert 4096 <= config["vocab_size"] <= 8192
    generation = json.loads((folder / "generation_config.json").read_text())
    assert generation["do_sample"] is True
    assert {"temperature", "top_p", "max_new_tokens", "eos_token_id"} <= set(generation)


def test_the_card_shows_the_recorded_results(folder):
    record = json.loads((folder / "training.json").read_text())
    card = (folder / "README.md").read_text()
    assert len(record["results"]) > 15
    for row in record["results"]:
        assert (
            f"| {row['part']} | {row['decoding']} | {row['value']:.1%} | {row['items']} |" in card
        )


def test_the_tokenizer_begins_texts_and_splits_digits(folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("In 1999 there").input_ids
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert tokens[0] == tokenizer.bos_token
    assert [t for t in tokens if any(c.isdigit() for c in t)] == ["1", "9", "9", "9"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "In 1999 there"
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], add_generation_prompt=True, tokenize=False
    )
    assert chat == "<|begin|><|user|>Hi<|end|><|assistant|>"


@pytest.mark.parametrize("part", THRESHOLDS)
def test_a_few(engine, part):
    result = evaluate.judge(engine, part, items(FEW)[part][:FEW])
    assert result.value >= FEW_ARE_ENOUGH, evaluate.as_text([result])


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", THRESHOLDS)
def test_many(engine, part):
    some = items(MANY)[part]
    assert len(some) >= BY_HAND.get(part, 200)
    result = evaluate.judge(engine, part, some)
    assert result.value >= THRESHOLDS[part], evaluate.as_text([result])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_beam_search_translates_no_worse(engine):
    some = items(MANY)["translation"]
    greedy, beam = (evaluate.judge(engine, "translation", some, n) for n in (1, evaluate.BEAMS))
    assert beam.value >= greedy.value, evaluate.as_text([greedy, beam])


@pytest.mark.parametrize(
    "n", [FEW, pytest.param(MANY, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])]
)
def test_beam_search_is_not_led_down_the_garden_path(engine, n):
    some = items(n)["garden path"]
    greedy, beam = (evaluate.judge(engine, "garden path", some, k) for k in (1, evaluate.BEAMS))
    assert beam.value >= 0.9, evaluate.as_text([beam])
    assert beam.value > greedy.value + 0.2, evaluate.as_text([greedy, beam])


def test_mixed_reviews_are_uncertain(engine):
    result = evaluate.judge_mixed(engine, items(MANY)["mixed sentiment"])
    assert 0.3 <= result.value <= 0.7


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_sampled_stories(engine):
    ended, introduced, varied, distinct = evaluate.judge_stories(engine, items(MANY)["stories"])
    assert ended.items >= 200
    assert ended.value >= 0.95
    assert introduced.value >= 0.90, evaluate.as_text([introduced])
    assert varied.value >= 0.95
    assert distinct.value >= 0.5


def test_a_few_sampled_stories(engine):
    ended, introduced, varied, _ = evaluate.judge_stories(engine, items(FEW)["stories"])
    assert min(ended.value, introduced.value, varied.value) >= FEW_ARE_ENOUGH
