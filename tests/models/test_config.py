"""Configs of transformers 5 and of earlier versions say the same thing in different words."""

import pytest
import torch

from nbllm.errors import ModelError, UnsupportedModelError
from nbllm.models.config import ModelConfig
from nbllm.models.rotary import FULL, SLIDING, table

SHAPE = {
    "architectures": ["X"],
    "hidden_size": 48,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 100,
    "max_position_embeddings": 512,
}


def read(**fields) -> ModelConfig:
    return ModelConfig.from_hf({**SHAPE, **fields})


LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
SAME = {
    "theta": ({"rope_theta": 500.0}, {"rope_parameters": {"rope_theta": 500.0}}),
    "linear": (
        {"rope_scaling": {"type": "linear", "factor": 4.0}},
        {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}},
    ),
    "llama3": (
        {
            "rope_theta": 5e5,
            "rope_scaling": {
                **LLAMA3,
                "rope_type": "llama3",
                "original_max_position_embeddings": 64,
            },
        },
        {
            "rope_parameters": {
                **LLAMA3,
                "rope_type": "llama3",
                "original_max_position_embeddings": 64,
                "rope_theta": 5e5,
            }
        },
    ),
    "part of a head": (
        {"partial_rotary_factor": 0.5},
        {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}},
    ),
    "longrope by its first name": (
        {
            "rope_scaling": {"type": "su", "short_factor": [2.0] * 6, "long_factor": [9.0] * 6},
            "original_max_position_embeddings": 128,
        },
        {
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 1e4,
                "short_factor": [2.0] * 6,
                "long_factor": [9.0] * 6,
                "original_max_position_embeddings": 128,
            }
        },
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_old_and_new_rope(name):
    old, new = (read(**fields) for fields in SAME[name])
    torch.testing.assert_close(table(old), table(new), rtol=0, atol=0)
    plain = table(read())
    assert table(old).shape != plain.shape or not torch.equal(table(old), plain)


def test_gemma3_has_two_ropes():
    old = read(
        model_type="gemma3_text",
        head_dim=12,
        rope_theta=1e6,
        rope_local_base_freq=1e4,
        rope_scaling={"rope_type": "linear", "factor": 8.0},
    )
    new = read(
        model_type="gemma3_text",
        head_dim=12,
        rope_parameters={
            FULL: {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            SLIDING: {"rope_type": "default", "rope_theta": 1e4},
        },
    )
    for layers in (FULL, SLIDING):
        assert torch.equal(table(old, layers), table(new, layers))
    assert torch.equal(table(new, SLIDING), table(read()))


def test_longrope_ends_where_the_frequencies_change():
    old, _ = SAME["longrope by its first name"]
    assert read(**old).max_length == 128
    assert read().max_length == 512


@pytest.mark.parametrize(
    ("fields", "windows"),
    [
        ({}, (0,) * 6),
        ({"model_type": "mistral"}, (4096,) * 6),
        ({"model_type": "mistral", "sliding_window": None}, (0,) * 6),
        ({"model_type": "mixtral", "sliding_window": 8}, (8,) * 6),
        ({"model_type": "qwen2", "sliding_window": 8, "max_window_layers": 2}, (0,) * 6),
        (
            {
                "model_type": "qwen2",
                "sliding_window": 8,
                "use_sliding_window": True,
                "max_window_layers": 4,
            },
            (0, 0, 0, 0, 8, 8),
        ),
        ({"model_type": "gemma2", "sliding_window": 8}, (8, 0, 8, 0, 8, 0)),
        ({"model_type": "gemma3_text", "sliding_window": 8}, (8, 8, 8, 8, 8, 0)),
        (
            {"model_type": "gemma2", "sliding_window": 8, "layer_types": [FULL, SLIDING] * 3},
            (0, 8, 0, 8, 0, 8),
        ),
    ],
    ids=str,
)
def test_windows(fields, windows):
    assert read(**fields).windows == windows


def test_families_leave_out_what_is_usual_for_them():
    assert read(model_type="gemma2").tie_embeddings
    assert not read().tie_embeddings
    gpt2 = {"n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": 9}
    config = ModelConfig.from_hf({"model_type": "gpt2", **gpt2})
    assert (config.hidden_size, config.intermediate_size, config.max_length) == (48, 192, 64)
    assert config.tie_embeddings


def test_what_is_not_known_is_refused():
    with pytest.raises(UnsupportedModelError, match=r"by default, .*says 'spiral'"):
        read(rope_scaling={"rope_type": "spiral"})
    with pytest.raises(ModelError, match="lacks 'vocab_size'"):
        ModelConfig.from_hf({k: v for k, v in SHAPE.items() if k != "vocab_size"})
    with pytest.raises(ModelError, match="rope parameters lack 'low_freq_factor'"):
        table(read(rope_scaling={"rope_type": "llama3", "factor": 2.0}))
