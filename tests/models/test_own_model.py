"""A model from outside the package: registered, loaded from a folder, generated with."""

import json
import sys
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tiny_models import VOCAB, write_tokenizer
from torch import Tensor, nn

from nbllm import LLM, SamplingParams
from nbllm.errors import ModelError
from nbllm.models import MODELS, register
from nbllm.models.batch import Batch
from nbllm.models.config import ModelConfig
from nbllm.models.interface import TextGenerationModel
from nbllm.models.layers import Embedding, Linear, PagedAttention

HEADS, DIM = 2, 8
SIZE = HEADS * DIM
GREEDY = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)


class OneLayer(nn.Module):
    """Attention over learned embeddings of tokens and positions, and nothing else."""

    FUSED = {"qkv": ("q", "k", "v")}

    def __init__(self, c: ModelConfig):
        super().__init__()
        self.tokens = Embedding(c.vocab_size, c.hidden_size)
        self.places = Embedding(c.max_length, c.hidden_size)
        self.mix = nn.ModuleDict({"qkv": Linear(c.hidden_size, 3 * c.hidden_size)})
        self.attend = PagedAttention(0, c.head_dim)
        self.head = Linear(c.hidden_size, c.vocab_size)

    def forward(self, batch: Batch) -> Tensor:
        x = self.tokens(batch.ids) + self.places(batch.positions)
        q, k, v = self.mix["qkv"](x).unflatten(-1, (3, HEADS, DIM)).unbind(1)
        [batch] = batch.of_layers(1)
        return batch.pick(x) + self.attend(q, k, v, batch)

    def compute_logits(self, hidden: Tensor) -> Tensor:
        return self.head(hidden)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "OneLayer", OneLayer)
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "tokens.weight": (VOCAB, SIZE),
        "places.weight": (256, SIZE),
        **{f"mix.{n}.weight": (SIZE, SIZE) for n in "qkv"},
        "head.weight": (VOCAB, SIZE),
    }
    weights = {n: torch.randn(*s, generator=generator) for n, s in shapes.items()}
    save_file(weights, tmp_path / "model.safetensors")
    config = {
        "architectures": ["OneLayer"],
        "hidden_size": SIZE,
        "num_hidden_layers": 1,
        "num_attention_heads": HEADS,
        "intermediate_size": SIZE,
        "vocab_size": VOCAB,
        "max_position_embeddings": 256,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    write_tokenizer(tmp_path)
    return tmp_path, weights


def plain(w: dict[str, Tensor], ids: list[int]) -> int:
    """The likeliest next token, computed without a cache."""
    x = w["tokens.weight"][ids] + w["places.weight"][: len(ids)]
    q, k, v = ((x @ w[f"mix.{n}.weight"].T).view(1, -1, HEADS, DIM).transpose(1, 2) for n in "qkv")
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    x = x + out.transpose(1, 2).reshape(-1, SIZE)
    return int((x[-1] @ w["head.weight"].T).argmax())


def test_it_generates(folder):
    where, weights = folder
    prompts = [[5] * 70, [9, 8, 7], [5] * 70 + [1]]
    with LLM(where, dtype="float32") as llm:
        assert isinstance(llm.engine.runner.model, TextGenerationModel)
        outputs = llm.generate(prompts, GREEDY, use_tqdm=False)
        assert llm.info().architecture == "OneLayer"
    for prompt, output in zip(prompts, outputs, strict=True):
        ids = list(prompt)
        for _ in range(12):
            ids.append(plain(weights, ids))
        assert output.outputs[0].token_ids == ids[len(prompt) :]


def test_registered_by_name(folder, monkeypatch):
    own = ModuleType("somebodys_models")
    own.OneLayer = OneLayer
    monkeypatch.setitem(sys.modules, "somebodys_models", own)
    register("OneLayer", "somebodys_models:OneLayer")
    with LLM(folder[0]) as llm:
        assert len(llm.generate("a", GREEDY, use_tqdm=False)[0].outputs[0].token_ids) == 12


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear, "Linear lacks compute_logits: see TextGenerationModel"),
        (int, "must be an nn.Module class, got <class 'int'>"),
    ],
)
def test_what_is_no_model(folder, model, message):
    register("OneLayer", model)
    with pytest.raises(ModelError, match=message):
        LLM(folder[0])


def test_an_unknown_architecture_says_how_to_add_it(folder):
    where, _ = folder
    config = json.loads((where / "config.json").read_text())
    (where / "config.json").write_text(json.dumps({**config, "architectures": ["Nobody"]}))
    with pytest.raises(ModelError, match=r"Nobody; nbllm runs .*register"):
        LLM(where)
