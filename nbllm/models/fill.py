"""From a checkpoint to a model's parameters: what goes where, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from math import prod
from pathlib import Path

import torch
from torch import Tensor, nn

from nbllm.errors import ModelError

from .checkpoint import Stored
from .quantised import Quantised
from .sources import Source, needless, sources
from .stream import Job, Read, Stream

Entries = Mapping[str, Stored | Quantised]
"""What a checkpoint holds, by name."""
NAMED = 3
"""Tensors that an error names, of each kind."""


def stream(model: nn.Module, entries: Entries, folder: Path) -> Stream:
    """The checkpoint's weights on their way into `model`; see `Stream`.

    Raises `ModelError` for tensors that are missing, unexpected or of the wrong shape, before
    anything is read. The parameters must be contiguous.
    """
    return Stream(plan(model, entries, folder), next(model.parameters()).device)


def plan(model: nn.Module, entries: Entries, folder: Path) -> list[Job]:
    """What to copy where."""
    jobs, used, missing, misfits = [], set[str](), [], []
    for name, parts in sources(model, entries).items():
        used.update(s.name for s in parts)
        if absent := [s.name for s in parts if s.name not in entries]:
            missing += absent
            continue
        parameter = model.get_parameter(name)
        shapes = [_shape(s, entries[s.name].shape) for s in parts]
        if fits(parameter.shape, shapes):
            pieces = parameter.data.view(-1).split([prod(shape) for shape in shapes])
            jobs += [_job(p, s, entries) for p, s in zip(pieces, parts, strict=True)]
        else:
            shown = " + ".join(str(list(shape)) for shape in shapes)
            names = " + ".join(s.name for s in parts)
            misfits.append(f"{names} of shape {shown}, where config.json says {[*parameter.shape]}")
    unexpected = entries.keys() - used - needless(model, entries)
    _complain(folder, missing, sorted(unexpected), misfits)
    return jobs


def fits(shape: Sequence[int], parts: list[tuple[int, ...]]) -> bool:
    """Whether the memory of tensors of these shapes makes up a parameter of shape `shape`."""
    if len(parts) == 1:
        return tuple(shape) == parts[0]
    rest = [tuple(shape)[len(shape) - len(p) + 1 :] == p[1:] for p in parts]
    return all(rest) and prod(shape) == sum(map(prod, parts))


def _shape(source: Source, stored: tuple[int, ...]) -> tuple[int, ...]:
    """Of the piece that a source gives."""
    if source.change is None:
        return stored
    return tuple(source.change(torch.empty(stored, device="meta")).shape)


def _job(piece: Tensor, source: Source, entries: Entries) -> Job:
    entry = entries[source.name]
    if isinstance(entry, Stored) and source.change is None:
        return Job(target=piece, source=entry)
    return Job(target=piece, source=partial(_changed, entry, source.change))


def _changed(
    entry: Stored | Quantised, change: Callable[[Tensor], Tensor] | None, read: Read
) -> Tensor:
    made = read(entry) if isinstance(entry, Stored) else entry(read)
    return made if change is None else change(made)


def _complain(
    folder: Path, missing: Collection[str], unexpected: Collection[str], misfits: Collection[str]
) -> None:
    kinds = (("lacks", missing), ("has unexpected", unexpected), ("has", misfits))
    if problems := [f"{what} {_some(list(names))}" for what, names in kinds if names]:
        raise ModelError(f"the checkpoint in {folder} {' and '.join(problems)}")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
