"""Where a model comes from: files, or a model that is already in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from nbllm.errors import ModelError, ParamError

from . import load
from .config import ModelConfig
from .quantised import entries, scheme

FORMATS = ("auto", "safetensors", "dummy")


class Origin(Protocol):
    """What an `LLM` needs to know of its model before it runs, and how to get its weights."""

    name: str
    path: str
    config: ModelConfig
    generation: dict[str, Any]  # generation_config.json
    quantization: str | None  # what was stored quantised, and what became of it
    fingerprint: str

    @property
    def folder(self) -> Path | None:
        """None: there are no files."""
        ...

    def build(self, dtype: torch.dtype, device: torch.device) -> nn.Module:
        """The model; its weights need not be there yet."""
        ...

    def weights(self, model: nn.Module) -> load.Stream:
        """What fills it; it may be called again."""
        ...

    def ready(self, model: nn.Module) -> None:
        """Called once they are there."""
        ...


class Folder:
    """A bundled model, a folder, or a hub id.

    load_format: "auto" and "safetensors" read the files; "dummy" makes random weights of `seed`.
    quantization: what the files are expected to be stored in; None: anything.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        revision: str | None = None,
        overrides: dict[str, Any] | None = None,
        load_format: str = "auto",
        quantization: str | None = None,
        model_impl: str = "auto",
        seed: int = 0,
    ):
        if load_format not in FORMATS:
            raise ParamError(
                f"load_format must be 'auto', 'safetensors' or 'dummy', got {load_format!r}"
            )
        self.folder = load.find(model, revision)
        self.name, self.path = str(model).rstrip("/").rpartition("/")[2], str(self.folder)
        self.config = load.read_config(self.folder, overrides, model_impl)
        self.generation = load.read_json(self.folder / "generation_config.json")
        self.seed = seed
        self.entries: load.Entries | None = None
        self.fingerprint, self.quantization = "dummy", None
        method = self.config.raw.get("quantization_config", {}).get("quant_method")
        if quantization not in (None, method):
            raise ModelError(
                f"{self.path} is stored {f'quantised by {method}' if method else 'plain'}, and nbllm "
                f"quantises nothing itself; leave quantization={quantization!r} out"
            )
        if load_format != "dummy":
            checkpoint = load.Checkpoint.open(self.folder)
            self.fingerprint = checkpoint.fingerprint
            found = scheme(self.config.raw)
            self.entries = entries(checkpoint.tensors, found) if found else checkpoint.tensors
            self.quantization = found and f"{found.label}, made plain when loaded"

    def build(self, dtype: torch.dtype, device: torch.device) -> nn.Module:
        """See `Origin`."""
        return load.build(self.config, dtype, device)

    def weights(self, model: nn.Module) -> load.Stream:
        """See `Origin`. Raises `ModelError` for tensors that do not fit."""
        own = getattr(model, "fill", None)  # of what runs through transformers
        if self.entries is None:
            load.fill_dummy(model, self.seed)
        elif own is not None:
            own(self.folder)
        else:
            return load.stream(model, self.entries, self.folder)
        return load.Stream((), next(model.parameters()).device)

    def ready(self, model: nn.Module) -> None:
        """See `Origin`."""
        load.ready(model)
