"""`%nbllm sleep`, `wake`, `models`, `config`, `reset` and `verify`."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from IPython.core.error import UsageError

from .. import resident
from ..errors import NbllmError, did_you_mean

if TYPE_CHECKING:
    from ..llm import LLM
    from .magics import Nbllm


def sleep(args: Namespace) -> None:
    """Give the GPU's memory back until the model is used again."""
    for name, llm in _chosen(args.model).items():
        cast(Any, llm).sleep(level=args.level)
        print(f"{name} sleeps; %nbllm wake, or the next generation, wakes it")


def wake(args: Namespace) -> None:
    """Undo `sleep`."""
    for name, llm in _chosen(args.model).items():
        cast(Any, llm).wake_up()
        print(f"{name} is awake")


def _chosen(name: str | None) -> dict[str, LLM]:
    return {name: resident.current(name)} if name else resident.loaded() or _none_loaded()


def _none_loaded() -> dict[str, LLM]:
    print("no model is loaded")
    return {}


def models(args: Namespace) -> None:
    """Print what can be loaded without a download."""
    from huggingface_hub import CacheNotFound, scan_cache_dir

    rows = [("tiny", "bundled", "")]
    try:
        found = scan_cache_dir().repos
    except CacheNotFound:
        found = ()
    for repo in sorted((r for r in found if r.repo_type == "model"), key=lambda r: r.repo_id):
        latest = max(repo.revisions, key=lambda r: r.last_modified, default=None)
        kind = _architecture(latest.snapshot_path) if latest else ""
        rows.append((repo.repo_id, f"{repo.size_on_disk / 2**20:,.1f} MiB", kind))
    width = max(len(name) for name, _, _ in rows)
    print("\n".join(f"{n:<{width}}  {size:>12}  {kind}".rstrip() for n, size, kind in rows))


def _architecture(folder: Path) -> str:
    try:
        names = json.loads((folder / "config.json").read_text("utf-8")).get("architectures") or []
    except (OSError, ValueError):
        return "not complete"
    return ", ".join(names)


def config(args: Namespace) -> None:
    """Print the defaults of the magics, or set some: NAME=VALUE."""
    magics: Nbllm = args.magics
    traits = magics.class_traits(config=True)
    for text in args.settings:
        name, given, value = text.partition("=")
        if name not in traits:
            raise UsageError(f"there is no default {name!r}{did_you_mean(name, list(traits))}")
        if given:
            try:
                setattr(magics, name, traits[name].from_string(value))
            except Exception:
                # traits raise what int(), float() and they themselves raise
                raise UsageError(
                    f"{name}: {value!r} is not a value for it{_bounds(traits[name])}"
                ) from None
    names = [text.partition("=")[0] for text in args.settings] or list(traits)
    for name in names:
        print(f"{name:<12} {getattr(magics, name)!s:<8} {traits[name].help}")


def _bounds(trait: Any) -> str:
    """What a number may be, where that is known."""
    low, high = getattr(trait, "min", None), getattr(trait, "max", None)
    above = f", {low} at least" if low is not None else ""
    return above + (f", {high} at most" if high is not None else "")


def reset(args: Namespace) -> None:
    """Forget conversations, interrupted runs and cached prefixes; models stay loaded."""
    magics: Nbllm = args.magics
    count = len(magics.conversations)
    magics.conversations.clear()
    magics.runs.unfinished = None
    for llm in resident.loaded().values():
        llm.reset_prefix_cache()
    print(f"forgot {count} conversation{'s' * (count != 1)} and what the prefix cache held")


def verify(args: Namespace) -> None:
    """Make every result that a notebook file shows again, and print what is the same."""
    from ..replays import replayed
    from ..replays.notebook import recordings

    path = _notebook(args)
    bad = count = 0
    for number, recording in recordings(path):
        count += 1
        try:
            if isinstance(recording, NbllmError):
                raise recording
            outcome = replayed(recording)
            bad, said = bad + (not outcome.identical), str(outcome)
        except NbllmError as error:
            bad, said = bad + 1, f"not replayed: {error}"
        print(f"code cell {number}: {said}")
    if not count:
        print(f"{path.name} shows no result of nbllm; is it saved?")
    if bad:
        raise UsageError(f"{bad} of {count} results could not be made again")


def _notebook(args: Namespace) -> Path:
    """The file that was named, or that of this kernel's notebook."""
    for said in filter(None, _names(args)):
        path = Path(said).expanduser()
        if path.is_file():
            return path
        if said == args.file:
            raise UsageError(f"there is no file {said!r}")
    raise UsageError("which notebook? this kernel does not know its file: %nbllm verify FILE")


def _names(args: Namespace) -> Iterator[str | None]:
    yield args.file
    # what Jupyter servers and VS Code tell their kernels
    yield os.environ.get("JPY_SESSION_NAME")
    yield args.magics.shell.user_ns.get("__vsc_ipynb_file__")
