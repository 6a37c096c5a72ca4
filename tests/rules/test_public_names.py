"""What a user may rely on. A change here is a change of the API."""

import importlib
import subprocess
import sys

import nbllm

PUBLIC = {
    "LLM",
    "BeamSearchOutput",
    "BeamSearchParams",
    "CompletionOutput",
    "Logprob",
    "RequestOutput",
    "SamplingParams",
    "StructuredOutputsParams",
    "current",
    "last",
    "load",
    "load_ipython_extension",
    "replay",
    "to_frame",
    "unload",
    "unload_ipython_extension",
    "widgets",
}
ADDRESSES = {
    "nbllm.sampling_params": [
        "SamplingParams",
        "BeamSearchParams",
        "StructuredOutputsParams",
        "RequestOutputKind",
    ],
    "nbllm.outputs": ["RequestOutput", "CompletionOutput", "BeamSearchOutput", "Logprob"],
    "nbllm.entrypoints.chat_utils": ["load_chat_template"],
    "nbllm.entrypoints.openai": ["Server", "Options", "Limits"],
    "nbllm.widgets": ["Playground", "EngineStatus", "TokenExplorer", "BeamExplorer", "PromptGrid"],
    "nbllm.errors": ["NbllmError", "GenerationInterrupted"],
}


def test_names():
    assert set(nbllm.__all__) == PUBLIC
    assert set(dir(nbllm)) >= PUBLIC
    assert {name for name in PUBLIC if not hasattr(nbllm, name)} == set()


def test_addresses():
    for module, names in ADDRESSES.items():
        assert not [n for n in names if not hasattr(importlib.import_module(module), n)]


def test_unknown_name():
    assert not hasattr(nbllm, "generate")


def test_importing_is_light():
    code = (
        "import sys, time; t = time.perf_counter(); import nbllm; dir(nbllm);"
        "heavy = {'torch', 'pandas', 'transformers', 'IPython', 'numpy', 'triton'};"
        "print(sorted(heavy & set(sys.modules)), time.perf_counter() - t)"
    )
    runs = [subprocess.check_output([sys.executable, "-c", code], text=True).split() for _ in "abc"]
    assert [heavy for heavy, _ in runs] == ["[]"] * 3
    assert min(float(seconds) for _, seconds in runs) < 0.1  # the others had to wait for a core


def test_params_need_no_torch():
    code = (
        "import sys, nbllm; nbllm.SamplingParams(n=2), nbllm.RequestOutput;"
        "print(sorted({'torch', 'pandas', 'transformers', 'IPython'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_an_llm_needs_neither_jupyter_nor_transformers(llama):
    """Nor the hub's client, nor torch's compiler: the way to a first token is short."""
    code = (
        "import sys, torch; before = set(sys.modules); import nbllm; llm = nbllm.LLM(sys.argv[1]);"
        "llm.generate('a', use_tqdm=False); llm.close();"
        "heavy = {'IPython', 'ipywidgets', 'transformers', 'huggingface_hub', 'pandas', 'sympy',"
        " 'torch._dynamo', 'torch._inductor'};"
        "print(sorted(heavy & (set(sys.modules) - before)))"
    )
    out = subprocess.check_output([sys.executable, "-c", code, str(llama[0])], text=True)
    assert out.strip() == "[]"
