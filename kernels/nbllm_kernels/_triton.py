"""Triton where there is a GPU to run it on, or its interpreter; elsewhere stand-ins.

Kernels stand beside their references, and `import nbllm_kernels.x` must work, and take no longer,
on machines that cannot run them: there `jit` gives a function back as it is, and nobody calls it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Kernels run as numpy code on CPU tensors. There bfloat16 arithmetic and products are wrong."""

AVAILABLE = find_spec("triton") is not None and (INTERPRETED or torch.cuda.is_available())

if TYPE_CHECKING or AVAILABLE:
    import triton
    import triton.language as tl
    from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait
else:
    triton = tl = None


def jit(function: Callable | None = None, **options: Any) -> Any:
    """`triton.jit`; what varies from launch to launch goes into `do_not_specialize`."""
    if function is None:
        return lambda f: jit(f, **options)
    return triton.jit(function, **options) if AVAILABLE else function


def use_triton(x: Tensor) -> bool:
    """Whether the operation on x runs as a Triton kernel."""
    return AVAILABLE and (INTERPRETED or x.is_cuda)


@jit
def release(PDL: tl.constexpr):
    """The next kernel may start: what it does before its `await_inputs` overlaps with this one."""
    if PDL:
        gdc_launch_dependents()


@jit
def await_inputs(PDL: tl.constexpr):
    """Wait until the kernel before this one has ended, and with it all others before that.

    Every program of a kernel launched with `overlap` calls it, and reads before it only what no
    kernel that calls `release` has written: weights, and what the first kernels of a step make.
    """
    if PDL:
        gdc_wait()


def overlap(x: Tensor) -> dict[str, bool]:
    """Options of a launch that may begin while the kernel before it ends (from Hopper on)."""
    if x.is_cuda and _properties(x.device).major >= 9:
        return {"PDL": True, "launch_pdl": True}
    return {"PDL": False}


def registers(x: Tensor, most: int) -> dict[str, int]:
    """Options of a launch whose threads may have so many registers; 0: the compiler decides."""
    return {"maxnreg": most} if most and x.is_cuda else {}


@cache
def _properties(device: torch.device) -> Any:
    """Those of a GPU; torch looks whether it is ready each time, which takes as long as a launch."""
    return torch.cuda.get_device_properties(device)


def next_power_of_2(n: int) -> int:
    """The smallest power of 2 that is at least n."""
    return 1 << max(n - 1, 0).bit_length()


def require_contiguous(op: str, **tensors: Tensor | None) -> None:
    """Refuse strided tensors: the kernels compute addresses from shapes."""
    for name, t in tensors.items():
        if t is not None and not t.is_contiguous():
            raise ValueError(
                f"{op}: {name} must be contiguous, got shape {tuple(t.shape)} with strides "
                f"{t.stride()}; call .contiguous() first"
            )


def multiprocessors(x: Tensor) -> int:
    """Streaming multiprocessors of the device that x is on."""
    if not x.is_cuda:
        return 4
    return _properties(x.device).multi_processor_count


def in_gluon(x: Tensor) -> bool:
    """Whether kernels written in Gluon for Hopper serve x: with such a GPU, Triton and type."""
    if not x.is_cuda or INTERPRETED or x.element_size() != 2:
        return False
    return _properties(x.device).major == 9 and _has_gluon()


GLUON = (3, 6), (3, 9)
"""The oldest and the newest Triton that these kernels were compiled with: each has another Gluon."""


@cache
def _has_gluon() -> bool:
    version = tuple(int(part) for part in triton.__version__.split(".")[:2])
    return GLUON[0] <= version <= GLUON[1]


def shared_memory(x: Tensor) -> int:
    """Bytes of shared memory that one program may use on the device that x is on."""
    if not x.is_cuda:
        return 1 << 17
    return _properties(x.device).shared_memory_per_block_optin
