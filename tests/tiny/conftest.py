"""The bundled model, and the engine that generates with it."""

from pathlib import Path

import pytest

import nbllm.assets

FOLDER = Path(nbllm.assets.__path__[0]) / "tiny"


@pytest.fixture(scope="session")
def folder() -> Path:
    """The folder of the bundled model."""
    return FOLDER


@pytest.fixture(scope="session")
def engine():
    """The one place that says which engine the evaluation runs on: beams are nbllm's."""
    from nbllm import LLM, BeamSearchParams
    from nbllm.assets.recipe.engine import TransformersEngine
    from nbllm.assets.recipe.evaluate import Completion

    class Engine(TransformersEngine):
        def generate(self, prompts, *, max_tokens, num_beams=1, temperature=0.0):
            if num_beams == 1:
                return super().generate(prompts, max_tokens=max_tokens, temperature=temperature)
            ids = [self.tokenizer.encode(p, add_special_tokens=False).ids for p in prompts]
            # the rules that the figures of the model's card were made with
            params = BeamSearchParams(
                beam_width=num_beams, max_tokens=max_tokens, early_stopping=False
            )
            return [
                Completion(best.generated_text, best.finish_reason == "stop")
                for output in llm.beam_search(ids, params)
                for best in output.sequences[:1]
            ]

    with LLM(FOLDER) as llm:
        yield Engine(FOLDER)
