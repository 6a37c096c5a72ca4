"""From prompts to a beam search that is kept, however far it came."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import GenerationInterrupted
from ..results.provenance import Provenance
from ..sampling_params import BeamSearchParams
from .run import droppable_interrupts

if TYPE_CHECKING:
    from ..llm import LLM


def search(
    llm: LLM,
    params: BeamSearchParams,
    *,
    prompts: Sequence[str],
    quiet: bool,
    keep: Callable[..., Any],
) -> Any:
    """Search for the continuations of `prompts`, and return what `keep` makes of it.

    keep: as in `run`; after an interrupt it gets the best so far, and `GenerationInterrupted` is
    raised. quiet: no bar for many prompts.
    """
    provenance = Provenance.of(llm.info(), params, kind="beam", seed_step=0)
    began, interrupted = time.monotonic(), False
    with droppable_interrupts() as drop_interrupts:
        try:
            bar = len(prompts) > 1 and not quiet
            outputs: list[Any] = llm.beam_search(prompts, params, use_tqdm=bar)
        except GenerationInterrupted as interrupt:
            outputs, interrupted = interrupt.outputs, True
        drop_interrupts()
        result = keep(
            interrupted,
            outputs=outputs,
            prompts=prompts,
            provenance=provenance,
            seconds=time.monotonic() - began,
        )
    if interrupted:
        raise GenerationInterrupted(outputs)
    return result
