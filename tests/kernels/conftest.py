"""These tests run kernels: on the GPU if there is one, else under Triton's interpreter.

Triton asks for TRITON_INTERPRET when it is imported, and everything after it in the process is then
interpreted. So on a CPU the tests run in a process of their own, started by test_interpreter.py;
`TRITON_INTERPRET=1 pytest tests/kernels` runs them directly. The interpreter takes what a GPU's
compiler refuses: with FRONT_END=1 the same tests only show what they launch to that, see front_end.py.
"""

import os

import pytest
import torch

FRONT_END = os.environ.get("FRONT_END") == "1"
DIRECT = torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET") == "1" or FRONT_END
if FRONT_END:
    from front_end import install

    TRANSLATED = install()


def pytest_ignore_collect(collection_path):
    """test_interpreter.py stands for all others where they cannot run; else it is not needed."""
    if not collection_path.name.startswith("test_"):
        return None
    stand_in = collection_path.name == "test_interpreter.py"
    return stand_in if DIRECT else not stand_in


def pytest_collection_modifyitems(config, items):
    if FRONT_END:
        # Gluon, for a Hopper GPU, has a front end of its own: test_gluon.py
        apart = [item for item in items if "hopper" in item.fixturenames]
        config.hook.pytest_deselected(items=apart)
        items[:] = [item for item in items if item not in apart]
    elif not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if FRONT_END and report.failed:  # nothing has been computed, so only a refusal counts
        from triton.compiler.errors import CompilationError

        if not isinstance(call.excinfo.value, CompilationError):
            report.outcome, report.longrepr = "passed", None
    return report


def pytest_terminal_summary(terminalreporter):
    if FRONT_END:
        terminalreporter.write_line(
            f"translated {len(TRANSLATED)}: {' '.join(sorted({*TRANSLATED}))}"
        )


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
