"""Checkpoints in all forms: what loads gives the model's tokens, what does not says why."""

import json
import shutil

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tiny_models import VOCAB, write_model, write_tokenizer
from torch import nn

from nbllm import LLM, SamplingParams
from nbllm.errors import ModelError
from nbllm.models import MODELS
from nbllm.models.layers import Embedding, Linear, PagedAttention, empty
from nbllm.models.sources import Source, fused_sources

GREEDY = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True)
PROMPT = [1, 2, 3]


def tokens(folder, **options) -> list[int]:
    with LLM(folder, **options) as llm:
        return llm.generate(PROMPT, GREEDY, use_tqdm=False)[0].outputs[0].token_ids


def greedy(model) -> list[int]:
    ids = torch.tensor([PROMPT])
    out = model.generate(ids, max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0)
    return out[0, len(PROMPT) :].tolist()


@pytest.fixture
def folder(llama, tmp_path):
    """A copy of the tiny model that a test may change."""
    copy = tmp_path / "model"
    shutil.copytree(llama[0], copy)
    return copy


def rewritten(folder, change) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    save_file(change(tensors) or tensors, file)


def refused(folder, *words: str) -> None:
    with pytest.raises(ModelError) as caught:
        LLM(folder)
    assert all(word in str(caught.value) for word in words), caught.value


def test_one_file_and_shards(llama, folder, tmp_path):
    want = greedy(llama[1])
    assert tokens(folder) == want
    shards = tmp_path / "shards"
    llama[1].save_pretrained(shards, max_shard_size="60KB")
    write_tokenizer(shards)
    assert len(list(shards.glob("*.safetensors"))) > 2
    assert tokens(shards) == want
    # without its index
    (shards / "model.safetensors.index.json").unlink()
    assert tokens(shards) == want


def test_the_same_weights_once_more_in_another_layout(llama, folder):
    save_file({"layers.0.wq.weight": torch.zeros(3)}, folder / "consolidated.safetensors")
    assert tokens(folder) == greedy(llama[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_type_are_converted(llama, folder, dtype):
    rewritten(folder, lambda t: {n: x.to(dtype) for n, x in t.items()})
    model = type(llama[1])(llama[1].config).eval()
    rounded = {n: x.to(dtype).float() for n, x in llama[1].state_dict().items()}
    model.load_state_dict(rounded)
    assert tokens(folder, dtype="float32") == greedy(model)


def test_a_type_that_no_weight_has(folder):
    rewritten(folder, lambda t: {**t, "lm_head.weight": t["lm_head.weight"].to(torch.complex64)})
    refused(folder, "lm_head.weight is of type C64, which nbllm does not read")


@pytest.mark.parametrize("kept", ["model.embed_tokens.weight", "lm_head.weight"])
def test_tied_weights_under_either_name_or_both(tmp_path, kept):
    model = write_model("llama", tmp_path, tie_word_embeddings=True)
    want = greedy(model)
    assert tokens(tmp_path) == want
    embedding = model.get_input_embeddings().weight.detach().clone()
    names = {"model.embed_tokens.weight", "lm_head.weight"}
    others = {n: t for n, t in load_file(tmp_path / "model.safetensors").items() if n not in names}
    save_file({**others, kept: embedding}, tmp_path / "model.safetensors")
    assert tokens(tmp_path) == want
    save_file({**others, **{n: embedding.clone() for n in names}}, tmp_path / "model.safetensors")
    assert tokens(tmp_path) == want


def test_saved_without_its_head(tmp_path):
    """As AutoModel saves: no "model." before the names; the head is the embedding."""
    model = write_model("llama", tmp_path, tie_word_embeddings=True)
    rewritten(tmp_path, lambda t: {n.removeprefix("model."): x for n, x in t.items()})
    assert tokens(tmp_path) == greedy(model)


def test_rotary_frequencies_of_older_checkpoints(llama, folder):
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    rewritten(folder, lambda t: {**t, name: torch.ones(6)})
    assert tokens(folder) == greedy(llama[1])


def test_all_that_does_not_fit_is_named(folder):
    def change(tensors):
        for i in range(2):
            del tensors[f"model.layers.{i}.mlp.down_proj.weight"]
            del tensors[f"model.layers.{i}.input_layernorm.weight"]
        tensors["lm_head.weight"] = tensors["lm_head.weight"][:-3].clone()
        tensors["model.layers.0.self_attn.k_proj.weight"] = torch.zeros(24, 50)
        return {**tensors, "model.extra": torch.zeros(2)}

    rewritten(folder, change)
    refused(
        folder,
        "lacks model.layers.0.input_layernorm.weight",
        "and 1 more and has unexpected model.extra and has ",
        f"lm_head.weight of shape [{VOCAB - 3}, 48], where config.json says [{VOCAB}, 48]",
        "k_proj.weight + model.layers.0.self_attn.v_proj.weight of shape [48, 48] + [24, 50]",
    )


@pytest.mark.parametrize("left", [0, 5, 200, 5000, -1])
def test_truncated_files(folder, left):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:left])
    refused(folder, "model.safetensors", "truncated", "download it again")


def test_files_that_are_none(folder):
    file = folder / "model.safetensors"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    refused(folder, "only a pointer of Git LFS", "git lfs pull")
    file.write_bytes((8).to_bytes(8, "little") + b"{broken}")
    refused(folder, "no safetensors file")
    header = b'{"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}'
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    refused(folder, "a has 8 bytes, not those of F32 (3,)")


def test_pickles_are_refused_and_say_the_way_out(folder):
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    refused(folder, "only pytorch_model.bin: a pickle, which can run any code", "save_pretrained")
    (folder / "pytorch_model.bin").rename(folder / "model.gguf")
    refused(folder, "only GGUF files")
    refused(folder / "config.json", "model must be a folder", "is a file")


def test_a_config_without_architecture(folder):
    config = json.loads((folder / "config.json").read_text())
    del config["architectures"]
    (folder / "config.json").write_text(json.dumps(config))
    refused(folder, "model without an architecture", "register")


class Odd(nn.Module):
    """Stores one matrix transposed, and two that are stacked in a third."""

    TRANSPOSED = ("mix",)
    UNUSED = r"\.scratch$"

    def __init__(self, c):
        super().__init__()
        self.tokens = Embedding(c.vocab_size, c.hidden_size)
        self.mix = nn.ModuleDict({"mix": Linear(c.hidden_size, 3 * c.hidden_size)})
        self.stack = nn.Module()
        self.stack.weight = empty(2, 2 * c.hidden_size, c.hidden_size)
        self.attend = PagedAttention(0, c.head_dim)

    def stored_as(self, name):
        if name == "stack.weight":
            return [f"experts.{e}.{part}" for e in range(2) for part in ("a", "b")]
        if name == "tokens.weight":
            return [Source("upside_down", lambda t: t.flip(0))]
        return fused_sources(self, name)

    def forward(self, batch):
        x = self.tokens(batch.ids)
        q, k, v = self.mix["mix"](x).unflatten(-1, (3, 2, -1)).unbind(1)
        x = x + self.attend(q, k, v, batch)
        for matrix in self.stack.weight:
            x = x + F.linear(x, matrix[: x.shape[1]]).tanh() * F.linear(x, matrix[x.shape[1] :])
        return x if batch.last is None else x[batch.last]

    def compute_logits(self, hidden):
        return F.linear(hidden, self.tokens.weight)


def test_models_whose_checkpoints_differ(folder, monkeypatch):
    monkeypatch.setitem(MODELS, "Odd", Odd)
    config = json.loads((folder / "config.json").read_text())
    config |= {"architectures": ["Odd"], "num_attention_heads": 2, "num_key_value_heads": 2}
    (folder / "config.json").write_text(json.dumps({**config, "head_dim": 24}))
    generator = torch.Generator().manual_seed(0)
    size = config["hidden_size"]
    shapes = {f"experts.{e}.{p}": (size, size) for e in range(2) for p in "ab"}
    shapes |= {"upside_down": (VOCAB, size), "mix.mix.weight": (size, 3 * size), "a.scratch": (1,)}
    stored = {n: torch.randn(s, generator=generator) for n, s in shapes.items()}
    save_file(stored, folder / "model.safetensors")
    with LLM(folder, dtype="float32") as llm:
        made = dict(llm.engine.runner.model.named_parameters())
        assert torch.equal(made["tokens.weight"].cpu(), stored["upside_down"].flip(0))
        assert torch.equal(made["mix.mix.weight"].cpu(), stored["mix.mix.weight"].T)
        for e in range(2):
            parts = [stored[f"experts.{e}.{p}"] for p in "ab"]
            assert torch.equal(made["stack.weight"][e].cpu(), torch.cat(parts))
        assert len(llm.generate(PROMPT, GREEDY, use_tqdm=False)[0].outputs[0].token_ids) == 8
    rewritten(folder, lambda t: {**t, "mix.mix.weight": t["mix.mix.weight"].T.contiguous()})
    refused(folder, f"mix.mix.weight of shape [{size}, {3 * size}], where config.json says")
