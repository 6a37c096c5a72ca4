"""The two sizes of the recipe, and everything about a run that is decided beforehand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Sizes of model, corpus, training and evaluation."""

    vocab_size: int = 4096
    hidden_size: int = 256
    num_layers: int = 7
    num_heads: int = 8
    num_kv_heads: int = 4
    intermediate_size: int = 1024
    rope_theta: float = 10_000.0
    max_positions: int = 2048

    documents: int = 8_000_000
    shards: int = 64
    """Units of work of the corpus; fixed, so that the corpus does not depend on the cores."""
    tokenizer_documents: int = 40_000
    row_length: int = 512

    steps: int = 14_000
    rows_per_step: int = 128
    learning_rate: float = 3e-3
    warmup_steps: int = 200
    cooldown: float = 0.35
    """The last part of the steps, over which the learning rate falls to zero."""
    weight_decay: float = 0.1

    items_per_part: int = 240
    seed: int = 1

    @property
    def head_dim(self) -> int:
        """The width of an attention head."""
        return self.hidden_size // self.num_heads


FULL = Settings()
"""For one H200: under eight minutes in all."""

SMALL = Settings(
    hidden_size=128,
    num_layers=4,
    num_heads=4,
    num_kv_heads=2,
    intermediate_size=384,
    documents=120_000,
    shards=4,
    tokenizer_documents=20_000,
    row_length=256,
    steps=4_000,
    rows_per_step=8,
    learning_rate=3e-3,
    warmup_steps=100,
    items_per_part=40,
)
"""For two CPU cores: a model that writes language, in about eight minutes where both are free."""
