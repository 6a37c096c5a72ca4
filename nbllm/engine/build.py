"""From a model with weights to an engine with a KV cache of a sensible size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from nbllm.errors import OutOfMemoryError, ParamError
from nbllm.models.batch import PAGE_SIZE
from nbllm.models.config import ModelConfig
from nbllm.models.load import DTYPES
from nbllm_kernels._triton import use_triton

from .cuda_memory import Mapper, mapper
from .cuda_runner import MOST_AHEAD, CudaRunner
from .engine import NOWHERE, Engine
from .host_memory import host_bytes
from .kv_memory import MappedMemory, PlainMemory, mib
from .pages import PagePool, pages_for
from .rows import Rows
from .runner import Runner, page_bytes, page_shape
from .sampler import Sampler
from .scheduler import Scheduler
from .uniform_runner import UniformRunner
from .weights import Weights

DEFAULT_KV_BYTES = 1 << 30
"""Of a cache that cannot grow: on a CPU, and on a GPU whose driver cannot map memory."""
HOST_SHARE = 8
"""On a CPU the cache has no more than one part in so many of the memory that there is."""


@dataclass(slots=True, kw_only=True, frozen=True)
class Limits:
    """How much may be in flight at once. None: as much as is sensible."""

    max_model_len: int | None
    max_num_seqs: int
    max_num_batched_tokens: int | None
    kv_cache_memory_bytes: int | None
    gpu_memory_utilization: float
    enable_prefix_caching: bool

    def __post_init__(self) -> None:
        for name in (
            "max_model_len",
            "max_num_seqs",
            "max_num_batched_tokens",
            "kv_cache_memory_bytes",
        ):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int) or value < 1
            ):
                raise ParamError(f"{name} must be a positive integer, got {value!r}")
        if not 0 < self.gpu_memory_utilization <= 1:
            raise ParamError(
                f"gpu_memory_utilization must lie in (0, 1], got {self.gpu_memory_utilization!r}"
            )


def new_engine(
    model: nn.Module,
    config: ModelConfig,
    dtype: torch.dtype,
    device: torch.device,
    limits: Limits,
    *,
    refill: Callable[[nn.Module], None] | None = None,
    owned: bool = True,
    processed_logprobs: bool = False,
    deterministic: bool = False,
) -> tuple[Engine, int]:
    """An engine for `model`, and the longest sequence it takes (prompt and output together).

    refill: reads the weights of the model again, after they were given up; None: they are kept.
    owned: whether the weights are the engine's; those of others stay while it sleeps.
    Raises `ParamError` for a max_model_len beyond the model's, `OutOfMemoryError` when the cache
    cannot hold one sequence of the max_model_len that was asked for.
    """
    if (asked := limits.max_model_len) is not None and asked > config.max_length:
        raise ParamError(
            f"max_model_len {asked} exceeds the model's context of {config.max_length} tokens"
        )
    size, can_map = page_bytes(config, dtype), mapper(device)
    wanted = asked or config.max_length
    bound, now = _kv_bytes(can_map, limits, device)
    num_pages = 1 + min(bound // size, limits.max_num_seqs * pages_for(wanted))
    max_len = min(wanted, (num_pages - 1) * PAGE_SIZE, now // size * PAGE_SIZE)
    if max_len < (asked or PAGE_SIZE):
        need = pages_for(asked or PAGE_SIZE) * size
        raise OutOfMemoryError(
            f"the KV cache has room for {max_len} tokens; {asked or PAGE_SIZE} need "
            f"kv_cache_memory_bytes={need} ({mib(need)}){_free(can_map, limits)}"
        )
    memory = _memory(can_map, num_pages, page_shape(config), dtype, device, limits)
    assert memory.kv is not None, "new memory has a cache"
    pages = PagePool(num_pages, reuse=limits.enable_prefix_caching, memory=memory)
    rows = Rows(limits.max_num_seqs, pages_for(max_len))
    budget = limits.max_num_batched_tokens or (2048 if device.type == "cpu" else 16384)
    kind, ahead = (CudaRunner, MOST_AHEAD) if has_kernels(memory.kv) else (Runner, 0)
    if ahead and deterministic:
        kind = UniformRunner
    scheduler = Scheduler(pages, rows, max(budget, limits.max_num_seqs), ahead)
    sampler = Sampler(rows, device, processed=processed_logprobs)
    home = torch.cuda.device(memory.kv.device) if device.type == "cuda" else NOWHERE
    with home:
        runner = kind(model, config, rows, memory.kv, sampler)
    weights = Weights(model, refill) if owned else None
    return Engine(runner, scheduler, weights=weights, home=home), max_len


has_kernels = use_triton
"""Whether the runner of a GPU runs beside this cache."""


def _kv_bytes(can_map: Mapper | None, limits: Limits, device: torch.device) -> tuple[int, int]:
    """(bytes that the cache may grow to, bytes that it could have now)."""
    if can_map is None or limits.kv_cache_memory_bytes is not None:
        bound = limits.kv_cache_memory_bytes or default_kv_bytes(device)
        return bound, bound
    can_map.reclaim()
    free, total = can_map.room()
    keep = int(total * (1 - limits.gpu_memory_utilization))
    return total - keep, max(0, free - keep)


def default_kv_bytes(device: torch.device) -> int:
    """Of a cache that cannot grow. On a small machine the rest of the process needs memory, too."""
    there = host_bytes() if device.type == "cpu" else None
    return DEFAULT_KV_BYTES if there is None else min(DEFAULT_KV_BYTES, there // HOST_SHARE)


def _memory(
    can_map: Mapper | None,
    num_pages: int,
    page: tuple[int, ...],
    dtype: torch.dtype,
    device: torch.device,
    limits: Limits,
) -> MappedMemory | PlainMemory:
    if can_map is None:
        return PlainMemory(num_pages, page, dtype, device)
    exact = limits.kv_cache_memory_bytes is not None
    return MappedMemory(
        can_map, num_pages, page, dtype, 0.0 if exact else 1 - limits.gpu_memory_utilization
    )


def _free(can_map: Mapper | None, limits: Limits) -> str:
    if can_map is None:
        return ""
    free, total = can_map.room()
    used = f"gpu_memory_utilization={limits.gpu_memory_utilization}"
    return f"; {mib(free)} of {mib(total)} are free, with {used}"


def pick_device(device: str | torch.device) -> torch.device:
    """ "auto" is the first GPU, where there is one, else the CPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ParamError(
            f"device must be 'auto', 'cpu', 'cuda' or 'cuda:N', got {device!r}"
        ) from None
    if found.type not in ("cpu", "cuda"):
        raise ParamError(f"device must be a CPU or a CUDA GPU, got {device!r}")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ParamError(
            f"device {device!r}: this machine has {torch.cuda.device_count()} CUDA GPUs"
        )
    if found.type == "cuda" and (has := torch.cuda.get_device_capability(found)) < OLDEST:
        raise ParamError(
            f"device {device!r} has compute capability {has[0]}.{has[1]}; its kernels need "
            f"{OLDEST[0]}.{OLDEST[1]} (Turing) or newer: use device='cpu'"
        )
    return found


OLDEST, BFLOAT16 = (7, 5), (8, 0)
"""Compute capabilities: of the oldest GPU that Triton's kernels run on, and that has bfloat16."""


def pick_dtype(asked: str | torch.dtype, own: str | None, device: torch.device) -> torch.dtype:
    """ "auto" is float32 on a CPU, the checkpoint's `own` on a GPU, float16 where that has no bfloat16.

    Raises `ParamError` for another word, and for bfloat16 on a GPU that has none.
    """
    lacks = device.type == "cuda" and torch.cuda.get_device_capability(device) < BFLOAT16
    if isinstance(asked, torch.dtype):
        asked = str(asked).removeprefix("torch.")
    if asked == "auto":
        if device.type == "cpu":
            return torch.float32
        asked = own or "bfloat16"
        if asked == "bfloat16" and lacks:
            asked = "float16"
    if asked not in DTYPES:
        raise ParamError(f"dtype must be 'auto' or one of {', '.join(DTYPES)}, got {asked!r}")
    if asked == "bfloat16" and lacks:
        raise ParamError(
            "dtype 'bfloat16' needs a GPU of compute capability 8.0 (Ampere) or newer; this one "
            "takes 'float16'"
        )
    return DTYPES[asked]
