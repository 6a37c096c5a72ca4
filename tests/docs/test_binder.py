"""Binder's environment, made of the files in binder/ as repo2docker does it, in Binder's 2 GB."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
INDEX = "--extra-index-url https://download.pytorch.org/whl/cpu"
LIMIT = 2 << 30
"""Bytes of memory that Binder gives a session."""
GROUPS = {
    "/sys/fs/cgroup/memory": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
    "/sys/fs/cgroup": ("memory.max", "memory.swap.max"),
}
"""Where Linux limits the memory of processes, for who may: control groups of version 1, and 2."""


def test_the_files_say_what_binder_needs():
    lines = (ROOT / "binder/requirements.txt").read_text().splitlines()
    assert lines.index(INDEX) < lines.index("torch")
    assert (ROOT / "binder/runtime.txt").read_text() == "python-3.11\n"
    assert os.access(ROOT / "binder/postBuild", os.X_OK)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(checkout, environment) after repo2docker's two steps.

    Where torch's index cannot be reached pip says so and takes what the other index has.
    """
    home = tmp_path_factory.mktemp("binder")
    checkout = home / "repo"
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, text=True
    )
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout / name)
    subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JUPYTER", "PYTHON"))
    }
    env |= {
        "HOME": str(home),
        "PATH": f"{home}/venv/bin:{env['PATH']}",
        "PIP_RETRIES": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    pip = ["python", "-m", "pip", "install", "--no-cache-dir", "--quiet"]
    for command in ([*pip, "-r", "binder/requirements.txt"], ["binder/postBuild"]):
        done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True)
        assert not done.returncode, done.stderr
    return checkout, env


@pytest.fixture
def limited():
    """What a subprocess runs first, to be held to LIMIT; None where this user may not limit it."""
    group = next(
        filter(None, (group_below(folder, *names) for folder, names in GROUPS.items())), None
    )
    if group is None:
        yield None
        return
    yield lambda: (group / "cgroup.procs").write_text(str(os.getpid()))
    group.rmdir()


def group_below(folder: str, limit: str, with_swap: str) -> Path | None:
    """A new group of processes with LIMIT and no swap; None where there can be none."""
    group = Path(folder, f"nbllm-{os.getpid()}")
    try:
        group.mkdir()
        (group / limit).write_text(str(LIMIT))
    except OSError:
        with contextlib.suppress(OSError):
            group.rmdir()
        return None
    with contextlib.suppress(OSError):
        (group / with_swap).write_text("0" if "swap.max" in with_swap else str(LIMIT))
    return group


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="measures memory as Linux tells it"
)
def test_the_quick_start_runs_there_in_2_gb(built, limited):
    checkout, env = built
    listed = subprocess.check_output(["python", "-m", "pip", "list", "--format=json"], env=env)
    packages = {package["name"].lower() for package in json.loads(listed)}
    assert {"nbllm", "torch", "jupyterlab", "llguidance"} <= packages
    assert not {p for p in packages if p.startswith(("nvidia", "cuda")) or p == "triton"}

    with lab(checkout, env, limited) as (server, opened):
        assert opened.endswith("/lab/tree/notebooks/01_quick_start.ipynb")
        execute = ["jupyter", "execute", "--output=executed", "notebooks/01_quick_start.ipynb"]
        log = checkout / "execute.log"
        with log.open("wb") as sink:
            client = subprocess.Popen(
                execute, cwd=checkout, env=env, preexec_fn=limited, stderr=sink
            )
        peaks: dict[int, int] = {}
        while client.poll() is None:
            peaks |= high_water(server.pid) | high_water(client.pid)
            time.sleep(0.05)
        assert client.returncode == 0, log.read_text()
    made = json.loads((checkout / "notebooks/executed.ipynb").read_text())
    assert sum(bool(cell.get("outputs")) for cell in made["cells"]) > 10
    # the server, the client and the kernel, each at its worst moment
    assert len(peaks) >= 3
    print(f"peaks: {', '.join(f'{peak >> 20} MiB' for peak in sorted(peaks.values()))}")
    assert sum(peaks.values()) < LIMIT


@contextlib.contextmanager
def lab(folder, env, first):
    """(process of a running JupyterLab, address that it opens)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex()
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    server = subprocess.Popen(
        ["jupyter", "lab", *options, f"--IdentityProvider.token={token}"],
        cwd=folder, env=env, preexec_fn=first, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                url = f"http://127.0.0.1:{port}/?token={token}"
                with urllib.request.urlopen(url, timeout=5) as page:
                    opened = page.url.partition("?")[0]
                break
            assert server.poll() is None
            time.sleep(0.1)
        yield server, opened
    finally:
        server.terminate()
        server.wait(30)


def high_water(pid: int) -> dict[int, int]:
    """Of a process and all below it: number → the most memory that it has had resident, in bytes."""
    found = {}
    with contextlib.suppress(psutil.Error, OSError):
        top = psutil.Process(pid)
        for process in (top, *top.children(recursive=True)):
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    found[process.pid] = int(line.split()[1]) << 10
    return found
