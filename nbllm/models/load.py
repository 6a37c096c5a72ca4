"""From a name to a model with its weights: find the folder, read the config, fill the parameters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from nbllm.errors import ModelError, UnsupportedModelError, did_you_mean

from . import MODELS
from .config import ModelConfig
from .layers import Linear

BUNDLED = {"tiny": Path(__file__).parents[1] / "assets" / "tiny"}
HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model"]
NEEDLESS = (".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")
"""What older checkpoints store although it is computed: rotary frequencies, causal masks."""
DTYPES = {
    "float32": torch.float32,
    "float": torch.float32,
    "float16": torch.float16,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
}


def find(model: str | Path, revision: str | None = None) -> Path:
    """The local folder of a bundled name, a folder, or a hub id (downloaded when not in the cache)."""
    if str(model) in BUNDLED:
        return BUNDLED[str(model)]
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if str(model).count("/") == 1 and not str(model).startswith((".", "/", "~")):
        return _download(str(model), revision)
    hint = did_you_mean(str(model), list(BUNDLED))
    raise ModelError(
        f"no model {str(model)!r}: neither a bundled name ({', '.join(BUNDLED)}), nor a folder, "
        f"nor a hub id of the form owner/name{hint}"
    )


def _download(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=HUB_FILES))
    except Exception as error:
        # the hub's own errors run over many lines; the first one says what happened
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"cannot get {name!r} from the hub, and there is no such folder: {reason}"
        ) from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's object; {} when there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from None


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
    config = ModelConfig.from_hf(raw)
    for field, values in getattr(_class_of(architecture), "REQUIRED", {}).items():
        config.require(field, *values)
    return config


def _foreign_config(raw: dict[str, Any], why: str) -> ModelConfig:
    from .fallback import foreign_config  # imports transformers

    return foreign_config(raw, why)


def build(config: ModelConfig, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """The model with uninitialised parameters of `dtype` on `device`."""
    if not config.native:
        from .fallback import TransformersModel

        return TransformersModel(config, dtype, device)
    model = _class_of(config.architecture)(config)
    made: dict[int, nn.Parameter] = {}  # tied parameters stay one
    for part in model.modules():
        for key, p in part._parameters.items():
            if p is None:
                continue
            if id(p) not in made:
                empty = torch.empty(p.shape, dtype=dtype, device=device)
                made[id(p)] = nn.Parameter(empty, requires_grad=False)
            part._parameters[key] = made[id(p)]
        for key, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[key] = buffer.to(device)
    return model.eval()


def _class_of(architecture: str) -> type[nn.Module]:
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


def fill_dummy(model: nn.Module, seed: int = 0) -> None:
    """Random weights of the usual size: for timing, where the text does not matter."""
    if own := getattr(model, "fill", None):
        own(None)
    for p in model.parameters():
        generator = torch.Generator(p.device).manual_seed(seed)
        p.data.normal_(0.0, 0.02, generator=generator) if p.ndim > 1 else p.data.fill_(1.0)
        seed += 1


def fill(model: nn.Module, folder: Path) -> None:
    """Copy the folder's safetensors into the model; every tensor must be there and be wanted."""
    if own := getattr(model, "fill", None):
        own(folder)
        return
    prefix, transposed = getattr(model, "PREFIX", ""), getattr(model, "TRANSPOSED", ())
    with ExitStack() as stack:
        files = [stack.enter_context(_open(path)) for path in weight_files(folder)]
        stored = {name: file for file in files for name in file.keys()}  # noqa: SIM118
        bare = prefix and not any(name.startswith(prefix) for name in stored)
        where = {(prefix if bare else "") + name: name for name in stored}
        missing, used = [], set()
        for name, sources in _sources(model):
            absent = [s for s in sources if s not in where]
            missing += absent
            if not absent:
                used.update(sources)
                parts = [stored[where[s]].get_tensor(where[s]) for s in sources]
                if name.endswith(".weight") and any(f".{t}." in name for t in transposed):
                    parts = [part.T for part in parts]
                _copy(name, model.get_parameter(name), parts)
        extra = where.keys() - used - _tied(model)
        unexpected = sorted(n for n in extra if not n.endswith(NEEDLESS))
    problems = [
        f"{what} {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
        for what, names in (("lacks", missing), ("has unexpected", unexpected))
        if names
    ]
    if problems:
        raise ModelError(f"the checkpoint in {folder} {' and '.join(problems)}")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors of a folder. Raises `ModelError` when there are none or one is missing."""
    index = read_json(folder / "model.safetensors.index.json")
    names = sorted(set(index.get("weight_map", {}).values()))
    files = [folder / n for n in names] or sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = list(folder.glob("*.bin")) + list(folder.glob("*.pt"))
        why = (
            f" (only {pickled[0].name}: pickled weights can run code, convert them with safetensors)"
            if pickled
            else ""
        )
        raise ModelError(f"{folder} holds no *.safetensors weights{why}")
    if absent := [f.name for f in files if not f.is_file()]:
        raise ModelError(f"{folder} lacks {', '.join(absent)}, which its index names")
    return files


def fingerprint(folder: Path) -> str:
    """Identifies the weights without reading them: a hash of the safetensors' headers and sizes."""
    digest = hashlib.sha256()
    for path in weight_files(folder):
        with path.open("rb") as file:
            length = file.read(8)
            digest.update(length + file.read(int.from_bytes(length, "little")))
        digest.update(path.stat().st_size.to_bytes(8, "little"))
    return digest.hexdigest()[:16]


def _open(path: Path):
    try:
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from None


def _sources(model: nn.Module) -> Iterator[tuple[str, list[str]]]:
    """Each parameter with the checkpoint tensors that it is made of, in order."""
    fused = getattr(model, "FUSED", {})
    for name, _ in model.named_parameters():
        part = next((f for f in fused if f".{f}." in name), None)
        yield name, [name.replace(part, p) for p in fused[part]] if part else [name]


def _copy(name: str, parameter: Tensor, parts: list[Tensor]) -> None:
    rows = sum(len(p) for p in parts)
    if (rows, *parts[0].shape[1:]) != tuple(parameter.shape):
        raise ModelError(
            f"{name} has shape {[rows, *parts[0].shape[1:]]}, config.json says {list(parameter.shape)}"
        )
    for target, source in zip(parameter.data.split([len(p) for p in parts]), parts, strict=True):
        target.copy_(source)


def _tied(model: nn.Module) -> set[str]:
    """Second names of shared parameters: some checkpoints carry them."""
    once = {name for name, _ in model.named_parameters()}
    return {name for name, _ in model.named_parameters(remove_duplicate=False)} - once
