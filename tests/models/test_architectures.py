"""Every architecture gives `transformers`' greedy tokens and log-probabilities in float32.

What is compared with is computed in float64, so that the rounding of one CPU or another does not count.
"""

import copy

import pytest
import torch
from tiny_models import WINDOW, write_model
from torch import nn

from nbllm import LLM, BeamSearchParams, SamplingParams
from nbllm.engine import build
from nbllm.engine.cuda_runner import CudaRunner

SCALED = {"original_max_position_embeddings": 32, "rope_theta": 1e4, "factor": 8.0}
LLAMA3 = {**SCALED, "rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0, 1.1, 1.3, 1.7, 2.0, 3.0],
    "long_factor": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    "original_max_position_embeddings": 256,
}
EVERY = {"sliding_window": WINDOW, "use_sliding_window": True, "max_window_layers": 0}
NATIVE = {
    "llama": ("llama", {}),
    "llama, biased and tied": (
        "llama",
        {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "llama, one kv head": ("llama", {"num_key_value_heads": 1, "num_attention_heads": 3}),
    "llama 3.1": ("llama", {"rope_parameters": LLAMA3}),
    "llama, linear": ("llama", {"rope_parameters": {**SCALED, "rope_type": "linear"}}),
    "llama, dynamic": ("llama", {"rope_parameters": {**SCALED, "rope_type": "dynamic"}}),
    "llama, yarn": ("llama", {"rope_parameters": {**SCALED, "rope_type": "yarn"}}),
    "mistral": ("mistral", {}),
    "mistral without a window": ("mistral", {"sliding_window": None}),
    "mixtral": ("mixtral", {"sliding_window": WINDOW}),
    "qwen2": ("qwen2", {}),
    "qwen2, a window in one layer": ("qwen2", {**EVERY, "max_window_layers": 1}),
    "qwen3": ("qwen3", {}),
    "qwen3, heads wider than hidden": ("qwen3", {"head_dim": 32, "tie_word_embeddings": True}),
    "qwen3, windows": ("qwen3", EVERY),
    "qwen3_moe": ("qwen3_moe", {}),
    "qwen3_moe, one dense layer": ("qwen3_moe", {"mlp_only_layers": [0], "norm_topk_prob": True}),
    "gemma2": ("gemma2", {"tie_word_embeddings": True}),
    "gemma2 without caps": (
        "gemma2",
        {"attn_logit_softcapping": None, "final_logit_softcapping": None},
    ),
    "gemma3": ("gemma3", {"tie_word_embeddings": True}),
    "gemma3, the long ones scaled": (
        "gemma3",
        {
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            }
        },
    ),
    "phi3": ("phi3", {"sliding_window": WINDOW}),
    "phi3, longrope": ("phi3", {"max_position_embeddings": 512, "rope_parameters": LONGROPE}),
    "phi4-mini": ("phi3", {"partial_rotary_factor": 0.5, "tie_word_embeddings": True}),
    "smollm3": ("smollm3", {}),
    "gpt2": ("gpt2", {}),
    "gpt2, scaled by layer": ("gpt2", {"scale_attn_by_inverse_layer_idx": True}),
    "opt": ("opt", {}),
    "opt, post-norm and projected": (
        "opt",
        {"do_layer_norm_before": False, "word_embed_proj_dim": 24},
    ),
    "opt, gelu": ("opt", {"activation_function": "gelu"}),
}
FALLBACK = {
    "gpt_neox": ("gpt_neox", {}),
    "stablelm": ("stablelm", {"partial_rotary_factor": 0.5}),
    "olmo2": ("olmo2", {}),
    "cohere, scaled logits": ("cohere", {"logit_scale": 0.3}),
    "starcoder2, windows": ("starcoder2", {}),
    "llama, gelu": ("llama", {"hidden_act": "gelu"}),
}
KINDS = {**NATIVE, **FALLBACK}
GREEDY = SamplingParams(temperature=0, max_tokens=64, ignore_eos=True)


@pytest.fixture(scope="module", params=KINDS, ids=str)
def pair(request, tmp_path_factory):
    kind, changes = KINDS[request.param]
    folder = tmp_path_factory.mktemp("model")
    model = write_model(kind, folder, **changes)
    with LLM(folder, dtype="float32") as llm:
        llm.case = request.param
        exact = copy.deepcopy(model).double()
        if "mixtral" in kind or "moe" in kind:
            exact.set_experts_implementation("eager")  # grouped products are of other types
        if kind == "gemma2":
            exact.set_attn_implementation("eager")  # others leave its caps out, in some versions
        yield llm, exact


def prompts() -> list[list[int]]:
    generator = torch.Generator().manual_seed(3)
    many = [torch.randint(3, 200, (n,), generator=generator).tolist() for n in (1, 7, 64, 65, 100)]
    return [*many, many[-1][:80] + [5] * 10]  # shares a page with the one before


def likeliest(model, ids: list[int], tokens: list[int]) -> list[int]:
    """After each of `tokens` behind the prompt `ids`, the model's next: `tokens`, if it is greedy."""
    logits = model(torch.tensor([ids + tokens])).logits[0, len(ids) - 1 : -1]
    return logits.argmax(-1).tolist()


def generated(model, ids: list[int], **options) -> list[int]:
    mask = torch.ones(1, len(ids), dtype=torch.long)
    options = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0, **options}
    out = model.generate(torch.tensor([ids]), attention_mask=mask, **options)
    return out[0, len(ids) :].tolist()


def test_greedy_tokens(pair):
    llm, model = pair
    many = prompts()
    alone = [llm.generate([ids], GREEDY, use_tqdm=False)[0] for ids in many]
    llm.reset_prefix_cache()
    together = llm.generate(many, GREEDY, use_tqdm=False)
    cached = llm.generate(many, GREEDY, use_tqdm=False)
    assert cached[4].num_cached_tokens == 64
    for ids, *outputs in zip(many, alone, together, cached, strict=True):
        tokens = outputs[0].outputs[0].token_ids
        assert len(tokens) == 64
        assert likeliest(model, ids, tokens) == tokens
        assert all(o.outputs[0].token_ids == tokens for o in outputs)
    assert generated(model, many[1], max_new_tokens=64) == alone[1].outputs[0].token_ids


def test_chunked_prefill(pair):
    llm, model = pair
    ids = [*prompts()[4], *prompts()[2]]
    limits = {"max_num_batched_tokens": 48, "max_num_seqs": 2, "enable_prefix_caching": False}
    with LLM(llm._folder, dtype="float32", **limits) as small:
        for output in small.generate([ids, ids[:70]], GREEDY, use_tqdm=False):
            tokens = output.outputs[0].token_ids
            assert likeliest(model, output.prompt_token_ids, tokens) == tokens


def test_logprobs(pair):
    llm, model = pair
    params = GREEDY.clone()
    params.max_tokens, params.logprobs, params.prompt_logprobs = 12, 3, 2
    prompt = list(range(5, 60))
    output = llm.generate(prompt, params, use_tqdm=False)[0]
    found = output.prompt_logprobs[1:] + output.outputs[0].logprobs
    ids = prompt + output.outputs[0].token_ids
    wanted = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    for position, row in zip(found, wanted, strict=True):
        assert len(position) >= 2
        for token, logprob in position.items():
            assert abs(row[token].item() - logprob.logprob) < 1e-4


@pytest.mark.parametrize("pair", NATIVE, ids=str, indirect=True)
def test_the_last_layer_gives_what_has_logits(pair):
    llm, _ = pair
    if isinstance(llm.engine.runner, CudaRunner):
        pytest.skip("there the step is one that was captured before")
    lists = (m for m in llm.engine.runner.model.modules() if isinstance(m, nn.ModuleList))
    first, *_, last = next(m for m in lists if len(m) == llm.config.num_layers)
    rows = []
    keep = lambda module, args, out: rows.append((out[0] if isinstance(out, tuple) else out).shape)  # noqa: E731
    hooks = [layer.register_forward_hook(keep) for layer in (first, last)]
    try:
        llm.reset_prefix_cache()
        llm.generate(prompts()[4], SamplingParams(temperature=0, max_tokens=1), use_tqdm=False)
    finally:
        for hook in hooks:
            hook.remove()
    assert [shape[-2] for shape in rows] == [100, 1]


ON_TWIN = (
    *("llama", "mistral", "mixtral", "gemma2", "gemma3", "smollm3", "gpt2"),
    "opt, post-norm and projected",
)


@pytest.mark.parametrize("pair", ON_TWIN, ids=str, indirect=True)
@pytest.mark.parametrize("tokens", [None, 48], ids=["whole prompts", "parts of prompts"])
def test_the_runner_of_a_gpu_agrees(pair, monkeypatch, on_gpu, tokens):
    """More prompts than a captured step takes, then few; some of them scored."""
    llm, _ = pair
    if on_gpu:
        pytest.skip("compares two runners on a CPU")
    limits = {"max_num_batched_tokens": tokens, "max_num_seqs": 24, "enable_prefix_caching": False}
    many = [ids[i:] for i in range(0, 28, 7) for ids in prompts() if len(ids) > i]
    assert len(many) > 16
    plain, scored = GREEDY.clone(), GREEDY.clone()
    plain.max_tokens, scored.max_tokens, scored.prompt_logprobs = 6, 6, 1
    with monkeypatch.context() as patch:
        patch.setattr(build, "has_kernels", lambda kv: True)
        twin = LLM(llm._folder, dtype="float32", **limits)
    with twin:
        for some, params in ((many, plain), (many[:10], plain), (many[:10], scored)):
            theirs = twin.generate(some, params, use_tqdm=False)
            ours = llm.generate(some, params, use_tqdm=False)
            for a, b in zip(ours, theirs, strict=True):
                assert a.outputs[0].token_ids == b.outputs[0].token_ids
                for x, y in zip(a.prompt_logprobs or (), b.prompt_logprobs or (), strict=True):
                    assert (x is None) == (y is None)
                    assert all(abs(x[i].logprob - y[i].logprob) < 1e-4 for i in x or ())


def test_beams(pair):
    llm, model = pair
    for ids in (prompts()[1], prompts()[2]):
        params = BeamSearchParams(beam_width=4, max_tokens=12, early_stopping=True, ignore_eos=True)
        found = llm.beam_search([ids], params)[0].sequences[0]
        options = {"num_beams": 4, "early_stopping": True, "length_penalty": 1.0}
        assert found.generated_token_ids == generated(model, ids, max_new_tokens=12, **options)


def test_who_runs_it(pair):
    llm, _ = pair
    how = llm.info().implementation
    assert how == "native" if llm.case in NATIVE else how.startswith("transformers (")


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
