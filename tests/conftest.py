"""What many tests share: a tiny random model, its reference, an engine on it."""

import os
import signal
from functools import cache
from pathlib import Path

import pytest
from tiny_models import write_model

# the models are tiny: a second thread only waits for the first, and starves where cores are shared
os.environ.setdefault("OMP_NUM_THREADS", "1")

# whoever is started in the background of a shell ignores it, and so would all that the tests start
signal.signal(signal.SIGINT, signal.default_int_handler)

ALLOWED_SKIPS = Path(__file__).parents[1] / ".ci" / "allowed-skips"


def pytest_addoption(parser):
    parser.addoption(
        "--device",
        help='what device="auto" means: cpu, cuda, cuda:1, or twin, a CPU with the runner of a GPU',
    )


@pytest.fixture(scope="session", autouse=True)
def device(request):
    """The tests' models are on --device, unless they say where."""
    if (name := request.config.getoption("device")) is None:
        yield
        return
    from nbllm import llm
    from nbllm.engine import build

    pick = llm.pick_device
    with pytest.MonkeyPatch.context() as patch:
        where = "cpu" if name == "twin" else name
        patch.setattr(llm, "pick_device", lambda d: pick(where if d == "auto" else d))
        if name == "twin":
            patch.setattr(build, "has_kernels", lambda kv: True)
        yield


@pytest.fixture(scope="session")
def on_gpu(request) -> bool:
    """Whether the tests' models are on a GPU."""
    return (request.config.getoption("device") or "").startswith("cuda")


def pytest_sessionfinish(session, exitstatus):
    """On CI a skipped test fails the run, unless its reason is listed: a silent skip tests nothing."""
    if not os.environ.get("CI") or exitstatus != pytest.ExitCode.OK:
        return
    allowed = ALLOWED_SKIPS.read_text().splitlines()
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    reasons = {
        str(r.longrepr[2]).removeprefix("Skipped: ") for r in reporter.stats.get("skipped", [])
    }
    if unexpected := reasons - set(allowed):
        reporter.write_line(f"skips that .ci/allowed-skips does not list: {sorted(unexpected)}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    """(folder, transformers model) of a tiny random Llama."""
    folder = tmp_path_factory.mktemp("llama")
    return folder, write_model("llama", folder)


@pytest.fixture(scope="session")
def reference(llama):
    """Greedy tokens as `transformers` makes them: f(token ids, count, eos) -> new token ids."""
    import torch

    _, model = llama

    @cache
    def tokens(ids: tuple[int, ...], count: int, eos: int | None) -> list[int]:
        out = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=count,
            do_sample=False,
            eos_token_id=eos,
            pad_token_id=0,
        )
        return out[0, len(ids) :].tolist()

    def generate(ids: list[int], count: int, eos: int | None = None) -> list[int]:
        return tokens(tuple(ids), count, eos)

    return generate


@pytest.fixture(scope="session")
def llm(llama):
    """An `LLM` on the tiny random Llama, shared: close nothing, leave nothing running."""
    from nbllm import LLM

    with LLM(llama[0]) as llm:
        yield llm


@pytest.fixture(scope="session")
def ascii_llm(tmp_path_factory):
    """As `llm`, with a vocabulary of printable characters: its text has no broken bytes."""
    from nbllm import LLM

    folder = tmp_path_factory.mktemp("ascii")
    write_model("llama", folder, ascii_only=True, bos_token_id=95, eos_token_id=96)
    with LLM(folder) as llm:
        yield llm
