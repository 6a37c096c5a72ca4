"""What `%nbllm load`, `use` and `status` say of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..llm import LLM
    from ..outputs import ModelInfo


def headline(name: str, llm: LLM, *, current: bool = False) -> str:
    """What it is, and on what it runs."""
    info = llm.info()
    size = f"{info.num_parameters / 1e6:,.1f}M parameters"
    stored = f", {info.quantization}" if info.quantization else ""
    asleep = "; asleep" if llm.is_sleeping() else ""
    return (
        f"{name}: {info.architecture}, {size}, {info.dtype} on {info.device}{stored}{asleep}"
        + " (current)" * current
    )


def details(llm: LLM) -> str:
    """A line for each thing that a user may want to know, memory first."""
    info = llm.info()
    values = {m.name.removeprefix("nbllm:"): getattr(m, "value", None) for m in llm.get_metrics()}
    used = info.num_pages - info.num_free_pages
    free = info.num_free_pages
    rows = {
        "context": f"{info.max_model_len:,} tokens",
        "weights": gib(info.memory["weights"] + info.memory["tables"]) + _owned(info),
        "KV cache": f"{gib(info.memory['kv_cache'])}{_at_most(info)}",
        "pages": f"{used:,} in use, {free:,} free",
        "prefix cache": _hits(values),
        "requests": f"{info.num_running} running, {info.num_waiting} waiting",
        "generated": f"{values['generation_tokens']:,} tokens, "
        f"{values['tokens_per_second'] or 0:,.0f} tokens/s lately",
        **_memory(info, values),
        "implementation": info.implementation,
        "from": info.path,
    }
    return "\n".join(f"    {label:<15} {value}" for label, value in rows.items())


def gib(count: float) -> str:
    """Bytes, for people."""
    return f"{count / 2**30:,.2f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"


def _owned(info: ModelInfo) -> str:
    """Where the weights are, where it is not clear."""
    if info.fingerprint == "live":
        return " of its own: the weights are those of your model object, no copy"
    return f", and a copy of {gib(info.host_bytes)} on the host" if info.host_bytes else ""


def _at_most(info: ModelInfo) -> str:
    grows = info.kv_bytes > info.memory["kv_cache"]
    return f" now, at most {gib(info.kv_bytes)}" if grows else ""


def _hits(values: dict[str, Any]) -> str:
    asked, hit = values["prefix_cache_queries"] or 0, values["prefix_cache_hits"] or 0
    if not asked:
        return "no prompt yet"
    return f"{100 * hit / asked:.0f} % of {asked:,} prompt tokens were there"


def _memory(info: ModelInfo, values: dict[str, Any]) -> dict[str, str]:
    """Of the device, and of this process on the host."""
    from psutil import Process, virtual_memory

    host = virtual_memory()
    own = gib(Process().memory_info().rss)
    found = {
        "host memory": f"{own} in this process; {gib(host.available)} of {gib(host.total)} free"
    }
    if info.device == "cpu":
        return found
    free, total = values["device_memory_free_bytes"], values["device_memory_total_bytes"]
    return {"device memory": f"{gib(free)} of {gib(total)} free on {info.device}", **found}
