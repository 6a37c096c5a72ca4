"""Hugging Face mode: token for token what `transformers.generate(num_beams=…)` returns."""

import random

import pytest
import torch
from tiny_models import write_model

from nbllm import LLM, BeamSearchParams

NUM_CASES = 70
"""Random searches for each architecture."""


@pytest.fixture(scope="module", params=["llama", "qwen3", "opt"])
def pair(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    # flatter than the other tests' models: completed and live sequences compete
    model = write_model(request.param, folder, std=0.12)
    with LLM(folder) as llm:
        yield llm, model


def theirs(model, prompt: list[int], eos: list[int], **options) -> tuple[list[list[int]], list]:
    """Generated ids, best first, without padding; and their scores."""
    out = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        do_sample=False,
        eos_token_id=eos or None,
        pad_token_id=PAD,
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )
    rows = out.sequences[:, len(prompt) :].tolist()
    scores = out.sequences_scores if "sequences_scores" in out else None
    return [_unpadded(row, eos) for row in rows], [] if scores is None else scores.tolist()


PAD = 260


def _unpadded(row: list[int], eos: list[int]) -> list[int]:
    """Up to the first EOS; without any the row is as long as the search."""
    return next((row[: i + 1] for i, token in enumerate(row) if token in eos), row)


def random_case(seed: int) -> tuple[dict, list[list[int]], int]:
    rng = random.Random(seed)
    width = rng.randint(1, 8)
    options = {
        "beam_width": width,
        "max_tokens": rng.choice([1, 2, 5, 12, 20]),
        "length_penalty": rng.choice([-1.0, 0.0, 0.5, 1.0, 2.0, rng.uniform(-1, 2)]),
        "early_stopping": rng.choice([True, False, "never"]),
        "num_return_sequences": width,
    }
    prompts = [
        [rng.randrange(255) for _ in range(rng.choice([1, 2, 9, 63, 64, 65, 130]))]
        for _ in range(rng.randint(1, 3))
    ]
    return options, prompts, rng.choice([0, 1, 2, 3, 5, 10, 10])


def likely_tokens(llm, prompts: list[list[int]], count: int, seed: int) -> list[int]:
    """Tokens that a search comes across: as EOS they end sequences early, and often."""
    if not count:
        return []
    params = BeamSearchParams(beam_width=8, max_tokens=8, ignore_eos=True)
    outputs = llm.beam_search(prompts, params)
    found = {t for o in outputs for s in o.sequences for t in s.generated_token_ids if t < PAD}
    return random.Random(seed).sample(sorted(found), min(count, len(found)))


@pytest.mark.parametrize("seed", range(NUM_CASES))
def test_same_tokens_and_scores(pair, seed, monkeypatch):
    llm, model = pair
    options, prompts, num_eos = random_case(seed)
    eos = likely_tokens(llm, prompts, num_eos, seed)
    monkeypatch.setattr(llm.intake, "model_eos_ids", frozenset(eos))
    outputs = llm.beam_search(prompts, BeamSearchParams(**options))
    for prompt, output in zip(prompts, outputs, strict=True):
        ids, scores = theirs(
            model,
            prompt,
            eos,
            num_beams=options["beam_width"],
            num_return_sequences=options["num_return_sequences"],
            max_new_tokens=options["max_tokens"],
            length_penalty=options["length_penalty"],
            early_stopping=options["early_stopping"],
        )
        assert [s.generated_token_ids for s in output.sequences] == ids
        if scores:
            got = torch.tensor([s.score for s in output.sequences])
            torch.testing.assert_close(got, torch.tensor(scores), rtol=1e-4, atol=1e-4)
        ENDED.extend(row[-1] in eos for row in ids)
        EARLY.append(max(map(len, ids)) < options["max_tokens"])
    assert llm.info().num_free_pages == llm.info().num_pages


ENDED: list[bool] = []
EARLY: list[bool] = []


def test_the_cases_were_worth_it():
    assert len(ENDED) > 1000
    assert 0.2 < sum(ENDED) / len(ENDED) < 0.9
    assert sum(EARLY) / len(EARLY) > 0.05


def test_a_padded_batch(pair, monkeypatch):
    """transformers itself, with prompts of different lengths side by side."""
    llm, model = pair
    prompts = [[7] * 3, [9, 8, 7, 6, 5], [11]]
    eos = likely_tokens(llm, prompts, 3, 0)
    monkeypatch.setattr(llm.intake, "model_eos_ids", frozenset(eos))
    longest = max(map(len, prompts))
    ids = torch.tensor([[PAD] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    out = model.generate(
        ids,
        attention_mask=mask,
        do_sample=False,
        num_beams=4,
        num_return_sequences=4,
        max_new_tokens=16,
        eos_token_id=eos,
        pad_token_id=PAD,
    )[:, longest:].tolist()
    params = BeamSearchParams(beam_width=4, max_tokens=16, early_stopping=False)
    ours = [s.generated_token_ids for o in llm.beam_search(prompts, params) for s in o.sequences]
    assert ours == [_unpadded(row, eos) for row in out]
