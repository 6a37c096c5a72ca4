"""A `transformers` model that is already in this process, served from its own tensors.

Nothing is copied and nothing of the model is changed: its parameters are put, as they are, where
nbllm's own code for the architecture has its own. What that stores fused becomes several linear
layers side by side. Whoever edits a weight in place, a training step for one, edits what generates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nbllm.errors import ModelError, ParamError, UnsupportedModelError

from . import MODELS, load
from .config import ModelConfig
from .fill import fits
from .layers import Linear
from .sources import Source, sources

FILES = "save it with save_pretrained(folder) and load that folder"


class Joined(Linear):
    """Linear layers side by side: [x W1^T + b1, x W2^T + b2, …]."""

    def __init__(self, parts: list[Linear]):
        nn.Module.__init__(self)
        self.parts = nn.ModuleList(parts)
        # in place of one matrix: whatever else a Linear does stays as it is
        self.weight = self.bias = None
        self.packed = lambda x: torch.cat([part(x) for part in parts], -1)

    def ready(self) -> None:
        """Nothing: the weights may change."""

    def tile(self, x: Tensor, gate: bool = False) -> None:
        """None: there is no matrix that one launch could read."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A parameter as it was: `owner[key]`, its address and how often it had been written to."""

    owner: dict[str, Any]
    key: str
    tensor: Tensor
    address: int
    version: int

    @classmethod
    def of(cls, owner: dict[str, Any], key: str) -> Seen:
        tensor = owner[key]
        return cls(owner, key, tensor, tensor.data_ptr(), _version(tensor))

    @property
    def moved(self) -> bool:
        same = self.owner.get(self.key) is self.tensor
        return not same or self.tensor.data_ptr() != self.address

    @property
    def written(self) -> bool:
        return _version(self.tensor) != self.version


class Live:
    """As `origin.Origin`, from a model object. Raises `ModelError` for one that cannot be served."""

    folder: Path | None = None
    quantization: str | None = None
    fingerprint = "live"

    def __init__(self, model: nn.Module):
        self.model, config = model, getattr(model, "config", None)
        if not isinstance(model, nn.Module) or config is None or not hasattr(config, "to_dict"):
            raise ModelError(
                "model must be a name, a folder or a transformers model, got a "
                f"{type(model).__name__}"
            )
        architecture = type(model).__name__
        if architecture not in MODELS:
            raise ModelError(f"nbllm has no code of its own for a {architecture} object; {FILES}")
        raw = {**config.to_dict(), "architectures": [architecture]}
        if raw.get("quantization_config"):
            raise ModelError(f"the weights of this {architecture} are quantised; load its folder")
        try:
            self.config: ModelConfig = load.native_config(architecture, raw)
        except UnsupportedModelError as error:
            raise ModelError(f"{error}; {FILES}") from None
        self.name = str(raw.get("_name_or_path") or architecture).rstrip("/").rpartition("/")[2]
        self.path = f"a {architecture} in this process"
        generation = getattr(model, "generation_config", None)
        self.generation: dict[str, Any] = generation.to_diff_dict() if generation else {}
        self.dtype, self.device = self._placement()
        self._seen: list[Seen] = []

    def build(self, dtype: torch.dtype, device: torch.device) -> nn.Module:
        """nbllm's model around the parameters of the user's, as they are now."""
        del dtype, device  # the model's own
        network = load.model_class(self.config.architecture)(self.config)
        self._seen = [Seen.of(m._parameters, key) for m, key in _parameters(self.model)]
        tensors = dict(self.model.named_parameters(remove_duplicate=False))
        joined: dict[str, dict[str, list[Tensor]]] = {}
        found = {
            id(network.get_parameter(name)): self._live(network, name, parts, tensors)
            for name, parts in sources(network, tensors).items()
        }
        for path, part in network.named_modules():
            for key, p in part._parameters.items():
                if p is None:
                    continue
                if len(parts := found[id(p)]) == 1:
                    part._parameters[key] = nn.Parameter(parts[0], requires_grad=False)
                else:
                    joined.setdefault(path, {})[key] = parts
            for key, buffer in part._buffers.items():
                if buffer is not None:
                    part._buffers[key] = buffer.to(self.device)
        for path, parts in joined.items():
            self._join(network, path, parts)
        return network.eval()

    def weights(self, model: nn.Module) -> load.Stream:
        """They are there."""
        return load.Stream((), self.device)

    def ready(self, model: nn.Module) -> None:
        """Nothing: packed weights would be a copy."""

    @property
    def moved(self) -> bool:
        """Whether a parameter has been replaced, or lies elsewhere, since `build`."""
        return any(seen.moved for seen in self._seen)

    def written(self) -> bool:
        """Whether a parameter has been written to since the last time, as far as torch notices.

        It does not notice what is written through `.data` or under inference_mode.
        """
        if not any(seen.written for seen in self._seen):
            return False
        self._seen = [Seen.of(seen.owner, seen.key) for seen in self._seen]
        return True

    def _placement(self) -> tuple[torch.dtype, torch.device]:
        """The one type and device of all parameters."""
        dtypes = {p.dtype for p in self.model.parameters()}
        devices = {p.device for p in self.model.parameters()}
        if len(dtypes) != 1 or len(devices) != 1:
            shown = sorted(map(str, dtypes if len(dtypes) != 1 else devices))
            raise ModelError(
                f"parameters must be of one type and on one device to be served as they are, these are "
                f"{', '.join(shown)}; {FILES}"
            )
        [dtype], [device] = dtypes, devices
        if device.type not in ("cpu", "cuda") or dtype not in load.DTYPES.values():
            raise ModelError(f"parameters of {dtype} on {device} cannot be served; {FILES}")
        return dtype, device

    def _live(
        self, network: nn.Module, name: str, parts: list[Source], tensors: dict[str, Any]
    ) -> list[Tensor]:
        """The user's tensors that are the parameter `name`."""
        if absent := [s.name for s in parts if s.name not in tensors]:
            raise ModelError(
                f"the model has no {absent[0]}, so it cannot be served as it is; {FILES}"
            )
        live = [_changed(tensors[s.name].detach(), s) for s in parts]
        wanted = network.get_parameter(name).shape
        if not fits(wanted, [tuple(t.shape) for t in live]):
            shown = " + ".join(str(list(t.shape)) for t in live)
            raise ModelError(f"{parts[0].name} has shape {shown}, its config says {list(wanted)}")
        return live

    def _join(self, network: nn.Module, path: str, parts: dict[str, list[Tensor]]) -> None:
        """Put linear layers side by side where `network` has one."""
        if type(network.get_submodule(path)) is not Linear:
            raise ModelError(f"{path} is stored in parts, and cannot be served as it is; {FILES}")
        layers = []
        for i, weight in enumerate(parts["weight"]):
            layer = Linear(weight.shape[1], weight.shape[0])
            layer.weight = nn.Parameter(weight, requires_grad=False)
            if "bias" in parts:
                layer.bias = nn.Parameter(parts["bias"][i], requires_grad=False)
            layers.append(layer)
        parent, _, key = path.rpartition(".")
        setattr(network.get_submodule(parent), key, Joined(layers))


def refuse_for_object(tokenizer: Any, *options: Any) -> None:
    """Options that make no sense with a model object, and the one that it needs."""
    if tokenizer is None:
        raise ParamError(
            "a model object does not know its tokenizer: LLM(model, tokenizer=...), a name, a folder or "
            "a tokenizer"
        )
    if any(option not in (None, {}, "auto") for option in options):
        raise ParamError(
            "a model object is served as it is: revision, hf_overrides and load_format do not apply"
        )


def placed_as(
    live: Live, device: str | torch.device, dtype: str | torch.dtype
) -> tuple[torch.device, torch.dtype]:
    """Where the model is and what it is in; `device` and `dtype` must be "auto" or say so."""
    own = str(live.dtype).removeprefix("torch.")
    asked = str(dtype).removeprefix("torch.")
    if asked != "auto" and load.DTYPES.get(asked) != live.dtype:
        raise ParamError(f"the model object is in {own}, so dtype must be 'auto', got {asked!r}")
    if str(device) not in ("auto", live.device.type, str(live.device)):
        raise ParamError(
            f"the model object is on {live.device}, so device must be 'auto', got {str(device)!r}"
        )
    return live.device, live.dtype


def _changed(tensor: Tensor, source: Source) -> Tensor:
    """The piece that a source gives, as a view."""
    if source.change is None:
        return tensor
    view = source.change(tensor)
    if view.untyped_storage().data_ptr() != tensor.untyped_storage().data_ptr():
        raise ModelError(f"{source.name} is stored in another order, which needs a copy; {FILES}")
    return view


def _parameters(model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    for part in model.modules():
        for key, parameter in part._parameters.items():
            if parameter is not None:
                yield part, key


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
