"""What nbllm needs to know of a model's config.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nbllm.errors import ModelError, UnsupportedModelError

from . import families
from .rotary import check_rope, max_length


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
    tie_embeddings: bool
    dtype: str | None
    eos_token_ids: tuple[int, ...]
    windows: tuple[int, ...]  # of each layer, the newest tokens that a query sees; 0: all
    raw: dict[str, Any]  # everything else that one architecture or another reads
    implementation: str = "native"
    """ "native", or "transformers" and why not native."""

    @property
    def norm_eps(self) -> float:
        """What RMSNorm adds to the mean square."""
        return self.raw.get("rms_norm_eps", 1e-6)

    @property
    def native(self) -> bool:
        """Whether the model is one of nbllm's own."""
        return self.implementation == "native"

    def require(self, field: str, *values: Any) -> Any:
        """The field's value, which must be one of `values`; the first one if it is not there."""
        value = self.raw.get(field, values[0])
        if value not in values:
            only = " or ".join(map(repr, values))
            raise UnsupportedModelError(
                f"nbllm's {self.architecture} has {field}={only}, config.json says {value!r}"
            )
        return value

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> ModelConfig:
        """Read a Hugging Face config.

        Raises `ModelError` for what is missing, `UnsupportedModelError` for what nbllm lacks.
        """
        config = families.completed(config)
        check_rope(config)
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
                max_length=max_length(config),
                tie_embeddings=config.get("tie_word_embeddings", False),
                dtype=config.get("dtype") or config.get("torch_dtype"),
                eos_token_ids=as_ids(config.get("eos_token_id")),
                windows=families.windows(config),
                raw=config,
            )
        except KeyError as error:
            raise ModelError(f"config.json lacks {error.args[0]!r}") from None


def as_ids(value: int | list[int] | None) -> tuple[int, ...]:
    """An eos_token_id field: one id, several, or none."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)
