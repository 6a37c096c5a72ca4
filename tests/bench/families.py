"""One published shape of each family on a GPU, with random weights: one request, and 256.

Families that nbllm has no code for run through `transformers` (the fallback); two shapes of native
families run that way too, to be compared. `peers` adds `transformers`' own eager `generate`.
"""

import gc
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from nbllm import LLM

from . import gpu_transformers
from .gpu import ONE, greedy, many, random_prompts, seconds, write_tokenizer
from .gpu import SHAPES as KNOWN

BANDWIDTH = 4.71e12
"""Bytes a second that an H200 reads."""
LLAMA = KNOWN["llama-3-8b"]
SHAPES = {
    "llama-3-8b": LLAMA,
    "mistral-7b": {
        **LLAMA,
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "vocab_size": 32000,
        "sliding_window": 4096,
    },
    "qwen2.5-1.5b": {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "vocab_size": 151936,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": True,
        "eos_token_id": 151645,
    },
    "qwen3-0.6b": KNOWN["qwen3-0.6b"],
    "qwen3-30b-a3b": {
        "architectures": ["Qwen3MoeForCausalLM"],
        "model_type": "qwen3_moe",
        "vocab_size": 151936,
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "moe_intermediate_size": 768,
        "num_hidden_layers": 48,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "norm_topk_prob": True,
        "max_position_embeddings": 40960,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": False,
        "eos_token_id": 151645,
    },
    "gemma-2-2b": {
        "architectures": ["Gemma2ForCausalLM"],
        "model_type": "gemma2",
        "vocab_size": 256000,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 256,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "sliding_window": 4096,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "eos_token_id": 1,
    },
    "gemma-3-1b": {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "vocab_size": 262144,
        "hidden_size": 1152,
        "intermediate_size": 6912,
        "num_hidden_layers": 26,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 256,
        "sliding_window": 512,
        "sliding_window_pattern": 6,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
        "tie_word_embeddings": True,
        "eos_token_id": 1,
    },
    "phi-3-mini": {
        "architectures": ["Phi3ForCausalLM"],
        "model_type": "phi3",
        "vocab_size": 32064,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "max_position_embeddings": 4096,
        "original_max_position_embeddings": 4096,
        "sliding_window": 2047,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "eos_token_id": 32000,
        "pad_token_id": 32000,
    },
    "smollm3-3b": {
        "architectures": ["SmolLM3ForCausalLM"],
        "model_type": "smollm3",
        "vocab_size": 128256,
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "max_position_embeddings": 65536,
        "no_rope_layer_interval": 4,
        "rms_norm_eps": 1e-6,
        "rope_theta": 5000000.0,
        "tie_word_embeddings": True,
        "eos_token_id": 128012,
        "pad_token_id": 128004,
    },
    "gpt2": {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": 50257,
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "n_positions": 1024,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": True,
        "eos_token_id": 50256,
    },
    "opt-125m": KNOWN["opt-125m"],
    "pythia-1b": {
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "vocab_size": 50304,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 8,
        "max_position_embeddings": 2048,
        "rotary_pct": 0.25,
        "use_parallel_residual": True,
        "eos_token_id": 0,
    },
    "olmo2-1b": {
        "architectures": ["Olmo2ForCausalLM"],
        "model_type": "olmo2",
        "vocab_size": 100352,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "rope_theta": 500000.0,
        "tie_word_embeddings": False,
        "eos_token_id": 100257,
        "pad_token_id": 100277,
    },
}
BOTH_WAYS = ("qwen3-0.6b", "llama-3-8b")
PEERS = ("qwen3-0.6b", "qwen3-30b-a3b")
KV_BYTES = 24 << 30


def token_bytes(shape: dict, parameters: int) -> int:
    """Bytes of the weights that one token reads: of a mixture, the experts that it is sent to."""
    total, hidden = 2 * parameters, shape.get("hidden_size", 0)
    if not shape.get("tie_word_embeddings"):
        total -= 2 * shape["vocab_size"] * hidden  # a row of the embeddings is all that is read
    if experts := shape.get("num_experts"):
        one = 2 * 3 * hidden * shape["moe_intermediate_size"]
        total -= shape["num_hidden_layers"] * (experts - shape["num_experts_per_tok"]) * one
    return total


def measure(
    folder: str, shape: dict, requests: bool, **options
) -> Iterator[tuple[str, float, str]]:
    how = {"load_format": "dummy", "kv_cache_memory_bytes": KV_BYTES, "device": "cuda", **options}
    with LLM(folder, **how) as llm:
        took = seconds(llm, lambda: llm.generate(ONE, greedy(256), use_tqdm=False), 1)
        yield "batch 1", 256 / took, "tokens/s"
        floor = token_bytes(shape, llm.info().num_parameters) / BANDWIDTH
        yield "batch 1, of its bandwidth floor", 256 * floor / took, "x"
        if not requests:
            return
        prompts, each = many()
        if llm.max_model_len < 2100:  # what the others get does not fit
            prompts = random_prompts(256, 100, 500, 4)
            each = [greedy(100 + i % 400) for i in range(256)]
        begin = time.perf_counter()
        llm.generate(prompts, each, use_tqdm=False)
        total = sum(p.max_tokens or 0 for p in each)
        yield (
            "256 requests, graphs captured on the way",
            total / (time.perf_counter() - begin),
            "tokens/s",
        )


def run(name: str, peers: bool = False) -> Iterator[tuple[str, float, str]]:
    """name: a shape, or "all"; peers: `transformers` beside those that are compared with it."""
    for each in SHAPES if name == "all" else [name]:
        shape = SHAPES[each]
        with tempfile.TemporaryDirectory() as folder:
            text = json.dumps({**shape, "dtype": "bfloat16"})
            (Path(folder) / "config.json").write_text(text)
            write_tokenizer(shape["vocab_size"], Path(folder))
            ours = {}
            for case, figure, unit in measure(folder, shape, True):
                ours[case] = figure
                yield f"{each}, {case}", figure, unit
            if each in BOTH_WAYS:
                for case, figure, unit in measure(folder, shape, False, model_impl="transformers"):
                    yield f"{each} through transformers, {case}", figure, unit
                    if case == "batch 1":
                        yield f"{each} through transformers, of native", figure / ours[case], "x"
            if peers and each in PEERS:
                yield from eager(each, folder, ours["batch 1"])
        gc.collect()
        torch.cuda.empty_cache()


def eager(name: str, folder: str, ours: float) -> Iterator[tuple[str, float, str]]:
    model = gpu_transformers.build(folder, "cuda")
    took = gpu_transformers.seconds(lambda: gpu_transformers.generate(model, ONE, 32))
    yield f"{name}, batch 1, transformers' generate", 32 / took, "tokens/s"
    yield f"{name}, batch 1, nbllm is faster by", ours * took / 32, "x"
