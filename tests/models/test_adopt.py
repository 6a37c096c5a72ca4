"""A transformers model that is already there is served from its own tensors, and stays as it was."""

import gc

import pytest
import torch
from tiny_models import write_model
from tokenizers import Tokenizer

import nbllm
from nbllm import LLM, SamplingParams
from nbllm.errors import ModelError, ParamError
from nbllm.models import adopt
from nbllm.models.layers import Linear

GREEDY = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)
PROMPT = list(range(5, 90))  # more than a page, so that there is something to reuse
KINDS = {
    "llama": ("llama", {}),
    "llama, biased and tied": (
        "llama",
        {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "qwen3": ("qwen3", {}),
    "opt": ("opt", {}),
}


@pytest.fixture
def device(on_gpu):
    return "cuda" if on_gpu else "cpu"


@pytest.fixture(params=KINDS, ids=str)
def model(request, tmp_path, device):
    kind, changes = KINDS[request.param]
    return write_model(kind, tmp_path, **changes).to(device), tmp_path


@pytest.fixture
def llama_model(tmp_path, device):
    return write_model("llama", tmp_path).to(device), tmp_path


def greedy(model, ids: list[int], count: int = 12) -> list[int]:
    given = torch.tensor([ids], device=model.device)
    out = model.generate(
        given,
        attention_mask=torch.ones_like(given),
        max_new_tokens=count,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    return out[0, len(ids) :].tolist()


def tokens(llm, ids: list[int] = PROMPT) -> list[int]:
    return llm.generate(ids, GREEDY, use_tqdm=False)[0].outputs[0].token_ids


def test_the_same_tokens_from_the_same_memory(model):
    model, folder = model
    own = {p.data_ptr() for p in model.parameters()}
    with LLM(model, tokenizer=folder) as llm:
        network = llm.engine.runner.model
        assert {p.data_ptr() for p in network.parameters()} == own
        for ids in (PROMPT, [7], list(range(100, 30, -1))):
            assert tokens(llm, ids) == greedy(model, ids)
    assert tokens_of_copy(folder) == greedy(model, PROMPT)


def tokens_of_copy(folder) -> list[int]:
    with LLM(folder) as llm:
        return tokens(llm)


def test_the_model_stays_as_it_was(llama_model):
    model, folder = llama_model
    model.train()
    model.model.norm.weight.requires_grad_(False)
    calls = []
    model.lm_head.register_forward_hook(lambda *_: calls.append(1))

    def state():
        return [
            (name, id(p), p.data_ptr(), p._version, p.requires_grad, p.grad)
            for name, p in model.named_parameters()
        ], [(name, m.training, len(m._forward_hooks)) for name, m in model.named_modules()]

    before = state()
    with LLM(model, tokenizer=folder) as llm:
        want = tokens(llm)
        assert state() == before
        assert not calls
        assert greedy(model.eval(), PROMPT) == want
        model.train()
    assert state() == before
    assert calls


def test_training_changes_the_next_generation(llama_model):
    """A few steps of training: after each the engine generates what the model now says."""
    model, folder = llama_model
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-2)
    text = torch.tensor([PROMPT + [9, 8, 7] * 5], device=model.device)
    seen = []
    with LLM(model, tokenizer=folder) as llm:
        for _ in range(4):
            seen.append(tokens(llm))
            assert seen[-1] == greedy(model, PROMPT)
            model(text, labels=text).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    assert len({tuple(s) for s in seen}) == 4


def test_prefixes_are_forgotten_when_a_weight_is_written(llama_model):
    model, folder = llama_model
    with LLM(model, tokenizer=folder) as llm:
        tokens(llm)
        again = llm.generate(PROMPT, GREEDY, use_tqdm=False)[0]
        assert again.num_cached_tokens == 64
        with torch.no_grad():
            model.model.embed_tokens.weight[PROMPT[0]] += 1
        fresh = llm.generate(PROMPT, GREEDY, use_tqdm=False)[0]
        assert fresh.num_cached_tokens == 0
        assert fresh.outputs[0].token_ids == greedy(model, PROMPT)
        # torch does not notice this: the caller says so
        model.model.embed_tokens.weight.data[PROMPT[1]] += 1
        llm.reset_prefix_cache()
        assert tokens(llm) == greedy(model, PROMPT)


def test_replaced_parameters_are_followed(llama_model):
    model, folder = llama_model
    with LLM(model, tokenizer=folder) as llm:
        before = tokens(llm)
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().flip(0))
        changed = tokens(llm)
        assert changed == greedy(model, PROMPT) != before
        proj = model.model.layers[0].self_attn.k_proj.weight
        proj.data = proj.data * 1.5
        assert tokens(llm) == greedy(model, PROMPT)


def test_no_second_copy_in_memory(tmp_path, device):
    """40 MB of weights: adopting and generating takes less than a quarter of that besides."""
    big = {"hidden_size": 768, "intermediate_size": 2048, "vocab_size": 261}
    model = write_model("llama", tmp_path, std=0.02, **big).to(device)
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    assert size > 35e6
    with LLM(model, tokenizer=tmp_path, kv_cache_memory_bytes=4 << 20) as llm:  # once, to warm up
        tokens(llm)
    gc.collect()
    before = used(device)
    with LLM(model, tokenizer=tmp_path, kv_cache_memory_bytes=4 << 20) as llm:
        tokens(llm, [1, 2, 3])
        assert used(device) - before < size / 4
        assert llm.info().memory["weights"] == 0
    with LLM(tmp_path, kv_cache_memory_bytes=4 << 20, dtype="float32") as llm:
        assert used(device) - before > size * 0.9  # the measure does see a copy


def used(device: str) -> int:
    """Bytes of the device that are in use by this process."""
    if device == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_loaded_for_the_magics(llama_model):
    model, folder = llama_model
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    try:
        llm = nbllm.load(model, backend)
        assert nbllm.current() is llm
        assert llm.get_tokenizer() is backend
        info = llm.info()
        assert (info.architecture, info.fingerprint) == ("LlamaForCausalLM", "live")
        assert "in this process" in info.path
        assert nbllm.load(llm) is llm
        assert tokens(llm) == greedy(model, PROMPT)
    finally:
        nbllm.unload()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, ParamError, "tokenizer"),
        ({"tokenizer": "tiny", "dtype": "float16"}, ParamError, "dtype must be 'auto'"),
        ({"tokenizer": "tiny", "device": "cuda:7"}, ParamError, "device must be 'auto'"),
        ({"tokenizer": "tiny", "load_format": "dummy"}, ParamError, "load_format do not apply"),
    ],
)
def test_options_that_make_no_sense(llama_model, options, error, words):
    with pytest.raises(error, match=words):
        LLM(llama_model[0], **options)


def test_objects_that_cannot_be_served(llama_model):
    model, folder = llama_model
    with pytest.raises(ModelError, match="got a int"):
        LLM(3, tokenizer=folder)
    with pytest.raises(ModelError, match="no code of its own for a LlamaModel object"):
        LLM(model.model, tokenizer=folder)
    model.lm_head.half()
    with pytest.raises(ModelError, match=r"one type and on one device.*float16, torch.float32"):
        LLM(model, tokenizer=folder)


def test_a_change_that_copies_is_refused():
    stored = torch.zeros(4, 6)
    turned = adopt._changed(stored, adopt.Source("w", torch.t))
    assert turned.shape == (6, 4)
    with pytest.raises(ModelError, match="stored in another order"):
        adopt._changed(stored, adopt.Source("w", lambda t: t[[1, 0, 2, 3]]))


def test_layers_side_by_side_are_no_case_for_own_kernels(monkeypatch):
    monkeypatch.setattr("nbllm_kernels.skinny_linear.use_triton", lambda x: True)
    parts = [Linear(8, 4), Linear(8, 6)]
    assert adopt.Joined(parts).tile(torch.zeros(1, 8)) is None
    assert not adopt.Joined(parts).few(torch.zeros(1, 8))
