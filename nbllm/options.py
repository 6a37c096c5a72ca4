"""What `LLM(...)` does with keywords that it does not have itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .errors import ParamError, did_you_mean

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "async_scheduling": (None, False, True),
    "block_size": (None,),
    "compilation_config": (None, {}, 0),
    "config_format": ("auto",),
    "cpu_offload_gb": (0,),
    "data_parallel_size": (1,),
    "disable_custom_all_reduce": (False, True),
    "disable_log_stats": (True, False),
    "distributed_executor_backend": (None, "uni"),
    "enable_chunked_prefill": (None, True),
    "enable_expert_parallel": (False,),
    "enable_lora": (False,),
    "enforce_eager": (False, True),
    "kv_cache_dtype": ("auto",),
    "lora_request": (None,),
    "max_seq_len_to_capture": (None,),
    "mm_processor_kwargs": (None, {}),
    "pipeline_parallel_size": (1,),
    "runner": ("auto", "generate"),
    "skip_tokenizer_init": (False,),
    "speculative_config": (None,),
    "swap_space": (0, 4),
    "tensor_parallel_size": (1,),
    "tokenizer_mode": ("auto", "fast"),
    "tokenizer_revision": (None,),
    "trust_remote_code": (False,),
}
"""vLLM's other keywords, with the values under which they ask for what nbllm does anyway."""


def refuse_unknown(given: dict[str, Any], own: Iterable[str]) -> None:
    """Raise `ParamError` for a keyword nobody knows, or a vLLM keyword with a value nbllm lacks."""
    for name, value in given.items():
        if name not in NEUTRAL:
            near = did_you_mean(name, [*own, *NEUTRAL])
            raise ParamError(f"LLM() has no option {name!r}{near}")
        if not any(
            value is ok or (type(value) is type(ok) and value == ok) for ok in NEUTRAL[name]
        ):
            allowed = " or ".join(map(repr, NEUTRAL[name]))
            raise ParamError(f"nbllm supports {name} only as {allowed}, got {value!r}")
