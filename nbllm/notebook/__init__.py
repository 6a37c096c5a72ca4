"""`%load_ext nbllm`: the magics, and their completion. No torch is imported until a model is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import IPython

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .magics import Nbllm

OLDEST: tuple[int, ...] = (7, 34)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add the magics to `shell`. Loading twice changes nothing."""
    if IPython.version_info[:2] < OLDEST:
        from IPython.core.error import UsageError

        raise UsageError(
            f"nbllm needs IPython {OLDEST[0]}.{OLDEST[1]}, this is {IPython.__version__}"
        )
    from . import completion
    from .magics import Nbllm

    if _loaded(shell) is not None:
        return
    magics = Nbllm(shell)
    magics.replaced = _entries(shell, magics)
    shell.register_magics(magics)
    shell.events.register("pre_run_cell", magics.runs.stop.begin_cell)
    shell.events.register("post_run_cell", magics.runs.stop.end_cell)
    completion.add(shell, magics)
    magics.control.add(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Remove what loading added, and put back magics of the same names. Loaded models stay."""
    from . import completion, serving

    if (magics := _loaded(shell)) is None:
        return
    serving.stop(magics)
    completion.remove(shell, magics)
    magics.control.remove(shell)
    shell.events.unregister("pre_run_cell", magics.runs.stop.begin_cell)
    shell.events.unregister("post_run_cell", magics.runs.stop.end_cell)
    for kind, names in magics.replaced.items():
        table = shell.magics_manager.magics[kind]
        for name, before in names.items():
            table.pop(name, None)
            if before is not None:
                table[name] = before
    del shell.magics_manager.registry[type(magics).__name__]
    shell.configurables[:] = [each for each in shell.configurables if each is not magics]


def _loaded(shell: InteractiveShell) -> Nbllm | None:
    # not registry["Nbllm"]: newer versions of IPython look for a lazy magic on a miss
    return shell.magics_manager.registry.get("Nbllm")


def _entries(shell: InteractiveShell, magics: Nbllm) -> dict[str, dict[str, object]]:
    """What the names of our magics mean before we take them."""
    tables = shell.magics_manager.magics
    return {
        kind: {name: tables[kind].get(name) for name in ours}
        for kind, ours in magics.magics.items()
    }
