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


def headline(model: Data) -> str:
    """What it is, in a line."""
    size = f"{model['num_parameters'] / 1e6:,.1f}M parameters"
    stored = f", {model['quantization']}" if model["quantization"] else ""
    where = f"{model['dtype']} on {model['device']}"
    return f"{model['name']}: {model['architecture']}, {size}, {where}{stored}"


def _details(model: Data) -> str:
    owner = " of your model object, no copy" if model["adopted"] else ""
    rows = {
        "context": f"{model['max_model_len']:,} tokens",
        "weights": _bytes(model["weight_bytes"]) + owner,
        "KV cache": f"{_cache(model)}, "
        f"{model['num_used_pages']:,} of {model['num_pages']:,} pages in use",
        "requests": f"{model['num_running']:,} running, {model['num_waiting']:,} waiting",
        "prefix cache": _prefix_cache(model),
        "generated": f"{model['generation_tokens']:,} tokens, "
        f"{model['tokens_per_second']:,.0f} tokens/s lately",
        "implementation": model["implementation"],
        "from": model["path"],
    }
    if model["asleep"]:
        rows["asleep"] = "%nbllm wake, or the next generation, wakes it"
    return "\n".join(f"    {label:<15} {value}" for label, value in rows.items())


def _cache(model: Data) -> str:
    now, most = model["memory"]["kv_cache"], model["kv_cache_bound"]
    return _bytes(most) if now == most else f"{_bytes(now)} of at most {_bytes(most)}"


def _prefix_cache(model: Data) -> str:
    asked, hit = model["prefix_cache_queries"], model["prefix_cache_hits"]
    return (
        f"{100 * hit / asked:.0f} % of {asked:,} prompt tokens were there"
        if asked
        else "no prompt yet"
    )


def _bytes(count: int) -> str:
    return f"{count / 2**30:,.2f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"
