"""What a folder's safetensors hold, read from their headers alone.

A file is: the length of its header (8 bytes, little-endian), the header (JSON: name → dtype, shape,
range of bytes), the tensors' bytes. Every range is checked against the file's size, so that a
truncated download is found before anything is loaded.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from nbllm.errors import ModelError

INDEX = "model.safetensors.index.json"
LARGEST_HEADER = 100 << 20
"""Of the format's own specification."""
TORCH_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A tensor in a file."""

    path: Path
    begin: int  # its first byte in the file
    size: int  # bytes
    dtype: torch.dtype
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A folder's tensors by name, and the hash that identifies them."""

    folder: Path
    tensors: dict[str, Stored]
    fingerprint: str

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """Read the headers. Raises `ModelError` for files that are absent, broken or truncated."""
        tensors: dict[str, Stored] = {}
        digest = hashlib.sha256()
        for path in weight_files(folder):
            header, start, size = _read_header(path)
            digest.update(header + size.to_bytes(8, "little"))
            tensors |= _tensors(path, header, start, size)
        return cls(folder=folder, tensors=tensors, fingerprint=digest.hexdigest()[:16])


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's object; {} when there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from None


def weight_files(folder: Path) -> list[Path]:
    """The safetensors of a folder: those of its index, model.safetensors, or all there are.

    Raises `ModelError` when there are none or one is missing.
    """
    names = sorted(set(read_json(folder / INDEX).get("weight_map", {}).values()))
    single = folder / "model.safetensors"
    if names:
        if absent := [n for n in names if not (folder / n).is_file()]:
            raise ModelError(f"{folder} lacks {', '.join(absent)}, which its index names")
        return [folder / n for n in names]
    if files := [single] if single.is_file() else sorted(folder.glob("*.safetensors")):
        return files
    raise ModelError(f"{folder} holds no *.safetensors weights{_instead(folder)}")


def _instead(folder: Path) -> str:
    """What is there instead of safetensors, why it is refused, and the way out."""
    pickled = sorted(p.name for kind in ("*.bin", "*.pt", "*.pth") for p in folder.glob(kind))
    if pickled:
        return (
            f", only {pickled[0]}: a pickle, which can run any code when it is read. If you trust it, "
            "convert it: transformers.AutoModelForCausalLM.from_pretrained(folder)"
            ".save_pretrained(new_folder)"
        )
    if list(folder.glob("*.gguf")):
        return ", only GGUF files, which nbllm does not read; take the original model"
    return "; of a hub model, look for a revision or a conversion that has them"


def _read_header(path: Path) -> tuple[bytes, int, int]:
    """The header, where the tensors begin, and the file's size."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(8)
            length = int.from_bytes(first, "little")
            header = file.read(length) if length <= min(size, LARGEST_HEADER) else b""
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from None
    if first == b"version ":
        raise ModelError(f"{path} is only a pointer of Git LFS; fetch the weights: git lfs pull")
    if size < 8 or not length or len(header) < length:
        raise ModelError(
            f"{path} is no safetensors file, or a truncated one ({size:,} bytes); download it again"
        )
    return header, 8 + length, size


def _tensors(path: Path, header: bytes, start: int, size: int) -> dict[str, Stored]:
    try:
        entries = json.loads(header)
        entries.pop("__metadata__", None)
        found = {
            name: (
                e["dtype"],
                tuple(e["shape"]),
                int(e["data_offsets"][0]),
                int(e["data_offsets"][1]),
            )
            for name, e in entries.items()
        }
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise ModelError(f"{path} is no safetensors file: its header cannot be read") from None
    end = start + max((entry[3] for entry in found.values()), default=0)
    if end > size:
        raise ModelError(
            f"{path} is truncated: {size:,} bytes of {end:,} are there; download it again"
        )
    return {name: _stored(path, name, start, *entry) for name, entry in found.items()}


def _stored(
    path: Path, name: str, start: int, kind: str, shape: tuple[int, ...], begin: int, stop: int
) -> Stored:
    if (dtype := TORCH_DTYPES.get(kind)) is None:
        raise ModelError(f"{path}: {name} is of type {kind}, which nbllm does not read")
    if stop - begin != prod(shape) * dtype.itemsize:
        raise ModelError(f"{path}: {name} has {stop - begin} bytes, not those of {kind} {shape}")
    return Stored(path=path, begin=start + begin, size=stop - begin, dtype=dtype, shape=shape)
