"""What nbllm needs to know of a model's config.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nbllm.errors import ModelError, NotYetError


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Shapes and constants of a decoder, in the field's names."""

    architecture: str
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    hidden_size: int
    intermediate_size: int
    vocab_size: int
    max_length: int
    rope_theta: float
    tie_embeddings: bool
    dtype: str | None
    eos_token_ids: tuple[int, ...]
    raw: dict[str, Any]  # everything else that one architecture or another reads

    @property
    def norm_eps(self) -> float:
        """What RMSNorm adds to the mean square."""
        return self.raw.get("rms_norm_eps", 1e-6)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> ModelConfig:
        """Read a Hugging Face config. Raises `ModelError` for what is missing or contradictory."""
        try:
            heads = config["num_attention_heads"]
            return cls(
                architecture=(config.get("architectures") or ["?"])[0],
                num_layers=config["num_hidden_layers"],
                num_heads=heads,
                num_kv_heads=config.get("num_key_value_heads") or heads,
                head_dim=config.get("head_dim") or config["hidden_size"] // heads,
                hidden_size=config["hidden_size"],
                intermediate_size=config.get("intermediate_size") or config["ffn_dim"],
                vocab_size=config["vocab_size"],
                max_length=config["max_position_embeddings"],
                rope_theta=_rope_theta(config),
                tie_embeddings=config.get("tie_word_embeddings", False),
                dtype=config.get("dtype") or config.get("torch_dtype"),
                eos_token_ids=as_ids(config.get("eos_token_id")),
                raw=config,
            )
        except KeyError as error:
            raise ModelError(f"config.json lacks {error.args[0]!r}") from None


def _rope_theta(config: dict[str, Any]) -> float:
    # transformers 5 writes rope_parameters, earlier versions rope_theta and rope_scaling
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind != "default":
        raise NotYetError(f"rope scaling of type {kind!r} is not supported yet")
    return float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0)


def as_ids(value: int | list[int] | None) -> tuple[int, ...]:
    """An eos_token_id field: one id, several, or none."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)
