"""What a family's config.json leaves out or names differently, and which layers have windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Config = dict[str, Any]

DEFAULTS: dict[str, Config] = {
    "gemma2": {
        "tie_word_embeddings": True,
        "head_dim": 256,
        "sliding_window": 4096,
        "query_pre_attn_scalar": 256,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    },
    "gemma3_text": {
        "tie_word_embeddings": True,
        "head_dim": 256,
        "sliding_window": 4096,
        "query_pre_attn_scalar": 256,
        "sliding_window_pattern": 6,
        "rope_theta": 1e6,
    },
    "gpt2": {"tie_word_embeddings": True, "eos_token_id": 50256},
    "mistral": {"sliding_window": 4096, "num_key_value_heads": 8},
    "mixtral": {"rms_norm_eps": 1e-5, "rope_theta": 1e6, "num_key_value_heads": 8},
    "opt": {"tie_word_embeddings": True},
    "phi3": {"rms_norm_eps": 1e-5},
    "qwen2": {"use_sliding_window": False, "max_window_layers": 28},
    "qwen3": {"use_sliding_window": False, "max_window_layers": 28, "head_dim": 128},
    "qwen3_moe": {"use_sliding_window": False},
    "smollm3": {
        "tie_word_embeddings": True,
        "rope_theta": 2e6,
        "use_sliding_window": False,
        "no_rope_layer_interval": 4,
    },
}
"""By model_type, what a field means that is not there, where that is not what it means elsewhere."""

NAMES: dict[str, dict[str, str]] = {
    "gpt2": {
        "hidden_size": "n_embd",
        "intermediate_size": "n_inner",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    }
}
"""By model_type, what it calls a field."""

SLIDING: dict[str, Callable[[Config, int], bool]] = {
    "gemma2": lambda c, i: i % 2 == 0,
    "gemma3_text": lambda c, i: (i + 1) % c["sliding_window_pattern"] != 0,
    "qwen2": lambda c, i: i >= c["max_window_layers"],
    "qwen3": lambda c, i: i >= c["max_window_layers"],
    "smollm3": lambda c, i: not rotates(c, i),
}
"""Families of which not every layer has the window, if there is one; `layer_types` goes first."""


def completed(config: Config) -> Config:
    """The config with the family's names and defaults filled in."""
    kind = config.get("model_type", "")
    named = {ours: config[n] for ours, n in NAMES.get(kind, {}).items() if n in config}
    found = {**DEFAULTS.get(kind, {}), **named, **config}
    if kind == "gpt2" and not found.get("intermediate_size") and "hidden_size" in found:
        found["intermediate_size"] = 4 * found["hidden_size"]
    return found


def windows(config: Config) -> tuple[int, ...]:
    """Of each layer, the newest tokens that a query sees; 0: all of them."""
    layers, kind = range(config["num_hidden_layers"]), config.get("model_type", "")
    size = config.get("sliding_window")
    if not size or not config.get("use_sliding_window", True):
        return (0,) * len(layers)
    if kind not in SLIDING:
        return (size,) * len(layers)
    if types := config.get("layer_types"):
        return tuple(size if types[i] == "sliding_attention" else 0 for i in layers)
    return tuple(size if SLIDING[kind](config, i) else 0 for i in layers)


def rotates(config: Config, layer: int) -> bool:
    """Whether a layer of SmolLM3 rotates its queries and keys."""
    if flags := config.get("no_rope_layers"):
        return bool(flags[layer])
    return (layer + 1) % config["no_rope_layer_interval"] != 0
