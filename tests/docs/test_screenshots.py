"""The script that takes the README's pictures takes them."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from browser import conftest as browser

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.browser
def test_pictures_are_taken(tmp_path):
    if reason := browser.missing():
        pytest.skip(reason)
    script = [sys.executable, ROOT / "docs/screenshots.py", "--out", tmp_path]
    done = subprocess.run(script, capture_output=True, text=True, timeout=280)
    assert not done.returncode, done.stderr
    committed = {path.name for path in (ROOT / "docs/images").glob("*.png")}
    assert {path.name for path in tmp_path.iterdir()} == committed
    for path in tmp_path.iterdir():
        width, height = struct.unpack(">II", path.read_bytes()[16:24])
        assert width > 600
        assert height > 150
