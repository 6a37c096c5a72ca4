"""Hub ids against a local stand-in for the hub, each download in a process with a cache of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import COMMIT, serving
from tiny_models import write_model

FIND = """
import sys
from nbllm.errors import ModelError
from nbllm.models.hub import find
try:
    print(find(sys.argv[1], *sys.argv[2:]))
except ModelError as error:
    print("ModelError:", error)
"""
GENERATE = """
import sys
from nbllm import LLM, SamplingParams
params = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True)
with LLM(sys.argv[1], device="cpu") as llm:
    print(llm.name, llm.generate([[1, 2, 3]], params, use_tqdm=False)[0].outputs[0].token_ids)
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    write_model("llama", folder, hidden_size=480, intermediate_size=2048)  # some 25 MB
    for name in ("pytorch_model.bin", "consolidated.safetensors", "README.md"):
        (folder / name).write_bytes(b"not wanted")
    return folder


@pytest.fixture
def hub(repository):
    with serving(repository) as hub:
        yield hub


@pytest.fixture
def ask(hub, tmp_path):
    """Run code with a name (and a revision) and give what it printed: (stdout, stderr)."""

    def run(*args: str, code: str = FIND, **env: str) -> tuple[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        clean |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), **env}
        clean["HF_HUB_DISABLE_TELEMETRY"] = "1"
        done = subprocess.run(
            [sys.executable, "-c", code, *args], capture_output=True, text=True, env=clean
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().splitlines()[-1], done.stderr

    return run


def gets(hub) -> list[str]:
    """Names of the files that were downloaded."""
    return [
        p.rpartition("/")[2] for method, p, _ in hub.log if method == "GET" and "/api/" not in p
    ]


def same_weights(a, b) -> bool:
    first, second = (Path(f, "model.safetensors").read_bytes() for f in (a, b))
    return first == second


def test_download_with_progress_then_the_cache(hub, ask, repository):
    folder, shown = ask("owner/model")
    assert f"snapshots/{COMMIT}" in folder
    assert "100%" in shown
    names = set(os.listdir(folder))
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not names & {"pytorch_model.bin", "consolidated.safetensors", "README.md"}
    assert same_weights(folder, repository)
    hub.log.clear()
    assert ask("owner/model")[0] == folder
    assert not gets(hub)
    hub.log.clear()
    assert ask("owner/model", HF_HUB_OFFLINE="1")[0] == folder
    assert not hub.log


def test_it_generates(ask, repository):
    with_hub = ask("owner/model", code=GENERATE)[0]
    assert with_hub == ask(str(repository), code=GENERATE)[0].replace(repository.name, "model")


def test_a_broken_connection_is_resumed(hub, ask, repository):
    size = (repository / "model.safetensors").stat().st_size
    hub.breaks["model.safetensors"] = size * 2 // 3  # the hub's client keeps pieces of 10 MiB
    folder, _ = ask("owner/model")
    ranges = [r for m, p, r in hub.log if m == "GET" and p.endswith("model.safetensors")]
    assert len(ranges) == 2
    assert int(ranges[1].removeprefix("bytes=").partition("-")[0]) > size // 3
    assert same_weights(folder, repository)


def test_revisions(hub, ask):
    assert ask("owner/model", COMMIT)[0].endswith(COMMIT)
    said, _ = ask("owner/model", "v9")
    assert said.startswith("ModelError: 'owner/model' has no revision 'v9'")
    assert "a branch, a tag or a commit" in said


def test_gated(hub, ask):
    hub.gated = True
    said, _ = ask("owner/model")
    assert said.startswith("ModelError: 'owner/model' is gated: accept its terms at")
    assert f"{hub.url}/owner/model" in said
    assert "HF_TOKEN" in said
    assert "snapshots" in ask("owner/model", HF_TOKEN="hf_of_a_test")[0]


def test_what_is_not_there(hub, ask):
    said, _ = ask("owner/other")
    assert said.startswith("ModelError: there is no folder 'owner/other', and no such model on")
    said, _ = ask("owner/model", HF_HUB_OFFLINE="1")
    assert said.startswith("ModelError: 'owner/model' is not in the local cache")
    assert "offline mode" in said


def test_a_repository_of_pickles(tmp_path, ask, hub, repository):
    old = tmp_path / "old"
    old.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(repository / name, old)
    (old / "pytorch_model.bin").write_bytes(b"a pickle")
    hub.folder = old
    code = GENERATE.replace("with LLM", "import nbllm.errors as e\ntry:\n  with LLM", 1).replace(
        "    print(llm.name", "      print(llm.name"
    )
    said, _ = ask("owner/model", code=code + "\nexcept e.ModelError as error: print(error)")
    assert "no *.safetensors weights" in said
    assert "a revision or a conversion that has them" in said
