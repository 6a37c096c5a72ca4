"""From a model folder to a module with its weights.

`hub` finds the folder, `checkpoint` reads what is in it, `sources` says which tensors a parameter
is made of, `fill` matches the two, `stream` moves the bytes.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nbllm.errors import ModelError, UnsupportedModelError

from . import MODELS
from .checkpoint import Checkpoint, read_json, weight_files
from .config import ModelConfig
from .fill import Entries, stream
from .hub import find
from .layers import Linear
from .stream import Stream

__all__ = [
    "DTYPES",
    "Checkpoint",
    "Entries",
    "Stream",
    "build",
    "fill_dummy",
    "find",
    "let_go",
    "model_class",
    "native_config",
    "read_config",
    "read_json",
    "ready",
    "stream",
    "weight_files",
]

DTYPES = {
    "float32": torch.float32,
    "float": torch.float32,
    "float16": torch.float16,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
}


def read_config(
    folder: Path, overrides: dict[str, Any] | None = None, model_impl: str = "auto"
) -> ModelConfig:
    """The folder's config, for nbllm's own code or for `transformers`': see `LLM(model_impl=…)`.

    Raises `ModelError` for a missing one, or a model that neither can run.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} holds no config.json, so it is no model folder")
    raw = {**read_json(folder / "config.json"), **(overrides or {})}
    if model_impl == "transformers":
        return _foreign_config(raw, "as asked for")
    try:
        return _native_config(folder, raw)
    except UnsupportedModelError as error:
        if model_impl == "native":
            raise
        known = _architecture(raw) in MODELS
        try:
            return _foreign_config(raw, str(error) if known else "nbllm has no code for it")
        except UnsupportedModelError:  # nobody knows it
            raise error from None
        except ModelError as other:
            raise ModelError(f"{error}; {other}" if known else str(other)) from None


def _architecture(raw: dict[str, Any]) -> str | None:
    return (raw.get("architectures") or [None])[0]


def _native_config(folder: Path, raw: dict[str, Any]) -> ModelConfig:
    if (architecture := _architecture(raw)) not in MODELS:
        known = ", ".join(MODELS)
        raise UnsupportedModelError(
            f"{folder} is a {architecture or 'model without an architecture'}; nbllm runs {known}, "
            "and what nbllm.models.register is given"
        )
    return native_config(architecture, raw)


def native_config(architecture: str, raw: dict[str, Any]) -> ModelConfig:
    """For nbllm's own code. Raises `UnsupportedModelError` for what that does not follow."""
    config = ModelConfig.from_hf(raw)
    for field, values in getattr(model_class(architecture), "REQUIRED", {}).items():
        config.require(field, *values)
    return config


def _foreign_config(raw: dict[str, Any], why: str) -> ModelConfig:
    from .fallback import foreign_config  # imports transformers

    return foreign_config(raw, why)


def build(config: ModelConfig, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """The model with parameters of `dtype` on `device`, all zero."""
    if not config.native:
        from .fallback import TransformersModel

        return TransformersModel(config, dtype, device)
    model = model_class(config.architecture)(config)
    made: dict[int, nn.Parameter] = {}  # tied parameters stay one
    for part in model.modules():
        for key, p in part._parameters.items():
            if p is None:
                continue
            if id(p) not in made:
                # finite, so that kernels can be tried on them before the weights are there
                zero = torch.zeros(p.shape, dtype=dtype, device=device)
                made[id(p)] = nn.Parameter(zero, requires_grad=False)
            part._parameters[key] = made[id(p)]
        for key, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[key] = buffer.to(device)
    return model.eval()


def model_class(architecture: str) -> type[nn.Module]:
    """The class that runs an architecture of `MODELS`."""
    found = MODELS[architecture]
    if isinstance(found, str):
        module, name = found.split(":")
        found = getattr(import_module(module), name)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ModelError(f"the model of {architecture} must be an nn.Module class, got {found!r}")
    if lacking := [m for m in ("forward", "compute_logits") if not hasattr(found, m)]:
        raise ModelError(f"{found.__name__} lacks {', '.join(lacking)}: see TextGenerationModel")
    return found


def ready(model: nn.Module) -> None:
    """Called once the weights are in: every part prepares what it computes with."""
    for part in model.modules():
        if isinstance(part, Linear):
            part.ready()


def let_go(model: nn.Module) -> None:
    """Free a model's memory, whoever still holds the model."""
    for part in model.modules():
        part._parameters.clear()
        part._buffers.clear()
        if isinstance(part, Linear):
            part.packed = None


def fill_dummy(model: nn.Module, seed: int = 0) -> None:
    """Random weights of the usual size: for timing, where the text does not matter."""
    if own := getattr(model, "fill", None):
        own(None)
    for p in model.parameters():
        generator = torch.Generator(p.device).manual_seed(seed)
        p.data.normal_(0.0, 0.02, generator=generator) if p.ndim > 1 else p.data.fill_(1.0)
        seed += 1
