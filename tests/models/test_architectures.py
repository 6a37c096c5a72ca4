"""Every native architecture gives `transformers`' greedy tokens and log-probabilities in float32."""

import pytest
import torch
from tiny_models import write_model

from nbllm import LLM, SamplingParams

KINDS = {
    "llama": ("llama", {}),
    "llama, biased and tied": (
        "llama",
        {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "llama, one kv head": ("llama", {"num_key_value_heads": 1, "num_attention_heads": 3}),
    "qwen3": ("qwen3", {}),
    "qwen3, heads wider than hidden": ("qwen3", {"head_dim": 32, "tie_word_embeddings": True}),
    "opt": ("opt", {}),
    "opt, post-norm and projected": (
        "opt",
        {"do_layer_norm_before": False, "word_embed_proj_dim": 24},
    ),
}


@pytest.fixture(scope="module", params=KINDS, ids=str)
def pair(request, tmp_path_factory):
    kind, changes = KINDS[request.param]
    folder = tmp_path_factory.mktemp("model")
    model = write_model(kind, folder, **changes)
    with LLM(folder) as llm:
        yield llm, model


def greedy(model, ids: list[int], count: int) -> list[int]:
    out = model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=count,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    return out[0, len(ids) :].tolist()


def test_greedy_tokens(pair):
    llm, model = pair
    generator = torch.Generator().manual_seed(3)
    many = [torch.randint(3, 200, (n,), generator=generator).tolist() for n in (1, 7, 64, 65, 100)]
    many.append(many[-1][:80] + [5] * 10)  # shares a page with the one before
    params = SamplingParams(temperature=0, max_tokens=64, ignore_eos=True)
    want = [greedy(model, ids, 64) for ids in many]
    for batch in ([i] for i in range(len(many))), [list(range(len(many)))]:
        for indices in batch:
            out = llm.generate([many[i] for i in indices], params, use_tqdm=False)
            assert [o.outputs[0].token_ids for o in out] == [want[i] for i in indices]


def test_logprobs(pair):
    llm, model = pair
    params = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True, logprobs=3)
    prompt = list(range(5, 60))
    out = llm.generate(prompt, params, use_tqdm=False)[0].outputs[0]
    logits = model(torch.tensor([prompt + out.token_ids])).logits[0, len(prompt) - 1 : -1]
    for position, row in zip(out.logprobs, logits.log_softmax(-1), strict=True):
        assert len(position) == 3
        for token, logprob in position.items():
            assert abs(row[token].item() - logprob.logprob) < 1e-4


def test_dummy_weights_need_no_checkpoint(pair, tmp_path):
    llm, _ = pair
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((llm._folder / name).read_bytes())
    runs = []
    for _ in "ab":
        with LLM(tmp_path, load_format="dummy") as dummy:
            params = SamplingParams(temperature=0, max_tokens=5, ignore_eos=True)
            runs.append(dummy.generate([1, 2], params, use_tqdm=False)[0].outputs[0].token_ids)
    assert runs[0] == runs[1]
