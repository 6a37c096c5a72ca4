"""What is loaded and what its engine does, as one JSON-able dictionary, and as text.

    {"version": 1, "current": str | None, "models": [
        {"name", "architecture", "implementation", "quantization": str | None, "dtype", "device", "path",
         "num_parameters", "max_model_len", "asleep": bool,
         "memory": {"weights", "tables", "kv_cache"}, "weight_bytes", "adopted": bool, "kv_cache_bound",
         "device_memory": {"free", "total"} | {},
         "num_pages", "num_used_pages", "prefix_cache_queries", "prefix_cache_hits",
         "generation_tokens", "tokens_per_second", "num_running", "num_waiting", "num_requests",
         "requests": [{"request_id", "state", "prompt", "num_prompt_tokens", "num_tokens", "max_tokens",
                       "arrival_time"}]}]}

Memory is in bytes: "memory" is what the model holds, without the weights of an "adopted" model object,
"weight_bytes" whoever holds them, "device_memory" that of the whole GPU, or of the host; empty where
nobody tells. The prefix cache is counted in tokens of prompts. "requests" are the first `MAX_REQUESTS`
of `LLM.requests()`, which "num_requests" counts.

`status` may be called from any thread, while a cell generates.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .. import resident
from ..errors import ClosedError, NoModelError

if TYPE_CHECKING:
    from ..llm import LLM

MAX_REQUESTS = 20

Data = dict[str, Any]

_INFO = [
    "architecture",
    "implementation",
    "quantization",
    "dtype",
    "device",
    "path",
    "num_parameters",
    "max_model_len",
    "memory",
    "weight_bytes",
    "host_bytes",
    "device_memory",
    "num_pages",
    "num_running",
    "num_waiting",
]
_METRICS = [
    "prefix_cache_queries",
    "prefix_cache_hits",
    "generation_tokens",
    "tokens_per_second",
]


def status() -> Data:
    """The dictionary above, of every model of this kernel."""
    models = [data for name, llm in resident.loaded().items() if (data := model(name, llm))]
    return {"version": 1, "current": _current(), "models": models}


def _current() -> str | None:
    try:
        current = resident.current()
    except NoModelError:
        return None
    return next((name for name, llm in resident.loaded().items() if llm is current), None)


def model(name: str, llm: LLM) -> Data | None:
    """An entry of "models"; None for one that is unloaded at this moment."""
    try:
        info = llm.info()
        values = {m.name.removeprefix("nbllm:"): m for m in llm.get_metrics()}
        requests = llm.requests()
        asleep = llm.is_sleeping()
    except (ClosedError, AttributeError):
        # its parts go one after the other
        return None
    return {
        "name": name,
        **{field: getattr(info, field) for field in _INFO},
        "adopted": info.fingerprint == "live",
        "asleep": asleep,
        "kv_cache_bound": info.kv_bytes,
        "num_used_pages": info.num_pages - info.num_free_pages,
        **{metric: getattr(values[metric], "value", 0) for metric in _METRICS},
        "num_requests": len(requests),
        "requests": [asdict(request) for request in requests[:MAX_REQUESTS]],
    }


def plain(data: Data) -> str:
    """What `%nbllm status` prints."""
    models = data["models"]
    if not models:
        return "no model is loaded; %nbllm load MODEL loads one"
    several = len(models) > 1
    parts = []
    for each in models:
        current = several and each["name"] == data["current"]
        parts += [headline(each) + " (current)" * current, _details(each)]
    return "\n".join(parts)


def host_memory() -> str:
    """A line about the memory of the machine."""
    from psutil import Process, virtual_memory

    host = virtual_memory()
    free = _free({"free": host.available, "total": host.total})
    return f"host memory: {_bytes(Process().memory_info().rss)} in this process, {free}"


def headline(model: Data) -> str:
    """What it is, in a line."""
    size = f"{model['num_parameters'] / 1e6:,.1f}M parameters"
    stored = f", {model['quantization']}" if model["quantization"] else ""
    where = f"{model['dtype']} on {model['device']}"
    asleep = "; asleep" if model["asleep"] else ""
    return f"{model['name']}: {model['architecture']}, {size}, {where}{stored}{asleep}"


def _details(model: Data) -> str:
    rows = {
        "context": f"{model['max_model_len']:,} tokens",
        "weights": _weights(model),
        "KV cache": _cache(model),
        "pages": f"{model['num_used_pages']:,} of {model['num_pages']:,} in use",
        "requests": f"{model['num_running']:,} running, {model['num_waiting']:,} waiting",
        "prefix cache": _prefix_cache(model),
        "generated": f"{model['generation_tokens']:,} tokens, "
        f"{model['tokens_per_second']:,.0f} tokens/s lately",
        "implementation": model["implementation"],
        "from": model["path"],
    }
    if model["device"] != "cpu":
        rows["device memory"] = f"{_free(model['device_memory'])} on {model['device']}"
    if model["asleep"]:
        rows["asleep"] = "%nbllm wake, or the next generation, wakes it"
    return "\n".join(f"    {label:<15} {value}" for label, value in rows.items())


def _weights(model: Data) -> str:
    """How much of the device they take now, and where they are, where that is not clear."""
    if model["adopted"]:
        own = model["memory"]["weights"] + model["memory"]["tables"]
        return f"{_bytes(own)} of its own: the weights are those of your model object, no copy"
    if model["host_bytes"]:
        return f"{_bytes(0)}, and a copy of {_bytes(model['host_bytes'])} on the host"
    return _bytes(model["weight_bytes"])


def _free(memory: Data) -> str:
    return f"{_bytes(memory['free'])} of {_bytes(memory['total'])} free" if memory else "unknown"


def _cache(model: Data) -> str:
    now, most = model["memory"]["kv_cache"], model["kv_cache_bound"]
    return _bytes(most) if now == most else f"{_bytes(now)} now, at most {_bytes(most)}"


def _prefix_cache(model: Data) -> str:
    asked, hit = model["prefix_cache_queries"], model["prefix_cache_hits"]
    return (
        f"{100 * hit / asked:.0f} % of {asked:,} prompt tokens were there"
        if asked
        else "no prompt yet"
    )


def _bytes(count: int) -> str:
    return f"{count / 2**30:,.2f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"
