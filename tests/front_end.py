"""Triton's front end without a GPU: what it refuses of a kernel, the interpreter runs all the same.

`install` makes operations launch on tensors of a CPU; a launch is specialised and translated to
Triton's own code for a Hopper GPU, where types are settled, and then nothing runs.
"""

from types import SimpleNamespace

import torch

TARGET = "cuda", 90, 32


class Driver:
    """What a launch asks of a GPU's driver before it compiles."""

    def get_current_device(self):
        return 0

    def get_current_stream(self, device=None):
        return 0

    def get_current_target(self):
        from triton.backends.compiler import GPUTarget

        return GPUTarget(*TARGET)


def install() -> list[str]:
    """From now on launches are translated; the names of those that were, one for each variant."""
    torch.cuda.is_available = lambda: True
    torch.cuda.current_device = lambda: 0
    from nbllm_kernels import _triton

    torch.cuda.is_available = lambda: False
    _triton.INTERPRETED = True  # tensors of a CPU will do
    import triton.compiler
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    driver.set_active(Driver())
    translated, run = [], JITFunction.run

    def translate(source, target, options, **_):
        from triton._C.libtriton import ir
        from triton.compiler.compiler import make_backend

        backend, context = make_backend(target), ir.context()
        options = backend.parse_options(options)
        ir.load_dialects(context)
        backend.load_dialects(context)
        of = backend.get_codegen_implementation(options), backend.get_module_map()
        source.make_ir(target, options, *of, context)
        translated.append(source.name)
        return SimpleNamespace()

    def launch(self, *args, grid, warmup, **options):
        return run(self, *args, grid=grid, warmup=True, **options)

    triton.compiler.compile, JITFunction.run = translate, launch
    # what is not written stays as it was, and nothing may depend on it: zeros, not garbage
    torch.empty, torch.empty_like = torch.zeros, torch.zeros_like
    return translated
