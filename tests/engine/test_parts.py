"""Sums that come in parts, and layers of few rows, on their way through models: see `Linear.forward`.

Tiles are for a GPU; here a product in float32 does what theirs do, for all the ways a layer may go.
"""

import pytest
import torch
from random_prompts import prompts, tokens
from tiny_models import write_model

from nbllm import LLM, SamplingParams
from nbllm.models import layers
from nbllm_kernels.skinny_linear import skinny_linear_ref
from nbllm_kernels.skinny_tiles import BlockTile, RowsTile

FEW = RowsTile(16, 1, 4)
PARTS = BlockTile(16, 16, 16, 2, 4, splits=3)


def product(x, weight, bias, *, tile, **around):
    """As `skinny_linear` with this tile."""
    if tile == FEW:
        return skinny_linear_ref(x, weight, bias, **around)
    assert around["norm"] is None
    if getattr(tile, "splits", 1) == 1:
        return skinny_linear_ref(x, weight, bias, **around)
    assert not around["gate"]
    assert around["act"] is around["add"] is None
    both = zip(x.tensor_split(tile.splits, 1), weight.tensor_split(tile.splits, 1), strict=True)
    parts = [some @ of.T for some, of in both]
    parts[0] = parts[0] if bias is None else parts[0] + bias
    return torch.stack(parts).float()


@pytest.mark.parametrize("kind", ["llama", "qwen3", "opt", "gpt2", "gemma2", "qwen3_moe"])
def test_tokens_are_those_of_whole_sums(tmp_path, monkeypatch, open_llm, kind):
    write_model(kind, tmp_path)
    many, params = prompts(7, 60), SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)
    with LLM(tmp_path, device="cpu") as llm:
        want = tokens(llm.generate(many, params, use_tqdm=False))
    asked = []

    def choose(x, weight, gate, most):
        """Few rows with their norms, then parts, of layers that have no gate."""
        tile = FEW if len(x) <= 2 else PARTS._replace(splits=1) if gate else PARTS
        tile = None if len(x) == 4 else tile
        asked.append(tile)
        return tile if most else None

    monkeypatch.setattr(layers, "pack", lambda *_: None)  # as on a GPU
    monkeypatch.setattr(layers, "choose", choose)
    monkeypatch.setattr(layers, "skinny_linear", product)
    for rows in (2, 3, 7):
        with open_llm(tmp_path, max_num_seqs=rows) as llm:
            assert tokens(llm.generate(many, params, use_tqdm=False)) == want
    assert {FEW, PARTS, None} <= {*asked}
