"""What is done of a run over a file: a line in a journal for every row, at once.

The first line says what the run is. A process that is killed loses what was under way and no more: a
last line that is cut off does not count.
"""

from __future__ import annotations

import hashlib
import json
from io import BufferedRandom
from pathlib import Path
from typing import Any

from ...errors import ParamError

FORMAT = 1


class Journal:
    """Rows by number; only where each is in the file is kept in memory.

    Raises `ParamError` for the journal of another run, unless `fresh` says to begin again.
    """

    def __init__(self, path: Path, run: dict[str, Any], *, fresh: bool):
        self.path, self.run = path, json.loads(json.dumps(run, default=repr))
        self._at: dict[int, tuple[int, str]] = {}  # where a row's line begins, and what was sent
        if fresh:
            path.unlink(missing_ok=True)
        new = not path.exists()
        try:
            self._file: BufferedRandom = path.open("w+b" if new else "r+b")
        except OSError as error:
            raise ParamError(f"cannot write {path}: {error.strerror}") from None
        self.seed = None if new else self._read()

    seed: int | None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._at)

    def begin(self, seed: int | None) -> None:
        """The first line, if there is none; seed: the one that the run has drawn."""
        if self._file.seek(0, 2) == 0:
            self.seed = seed
            self._append({"nbllm": FORMAT, "run": self.run, "seed": seed})

    def has(self, row: int, sent: Any) -> bool:
        """Whether a row is done, and what is sent for it is what was sent then."""
        return row in self._at and self._at[row][1] == _key(sent)

    def add(self, row: int, sent: Any, outputs: list[dict[str, Any]]) -> None:
        """A row is done."""
        key = _key(sent)
        self._at[row] = self._file.seek(0, 2), key
        self._append({"row": row, "sent": key, "outputs": outputs})

    def outputs(self, row: int) -> list[dict[str, Any]]:
        """What came of a row. Raises `ParamError` for one that was not there when rows were read."""
        if row not in self._at:
            raise ParamError("the input has got more rows meanwhile; the same command does them")
        self._file.seek(self._at[row][0])
        return json.loads(self._file.readline())["outputs"]

    def remove(self) -> None:
        """It is not needed any more."""
        self._file.close()
        self.path.unlink()

    def _append(self, line: dict[str, Any]) -> None:
        # \u escapes carry half a surrogate pair, which no encoding has
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()

    def _read(self) -> int | None:
        head = _load(self._file.readline())
        if head is None and not self._file.read(1):
            self._file.truncate(0)  # killed before its first line was whole
            return None
        if not isinstance(head, dict) or head.get("nbllm") != FORMAT:
            raise ParamError(f"{self.path} is no journal of this nbllm; --fresh writes over it")
        self._compare(head["run"])
        end = self._file.tell()
        while (line := _load(self._file.readline())) is not None:
            self._at[line["row"]] = end, line["sent"]
            end = self._file.tell()
        self._file.truncate(end)
        return head["seed"]

    def _compare(self, there: dict[str, Any]) -> None:
        here = self.run
        for name in {**here, **there}:
            if here.get(name) != there.get(name):
                raise ParamError(
                    f"{self.path} is of another run: {name} is {there.get(name)!r} there, "
                    f"{here.get(name)!r} here; choose another --out, or --fresh to begin again"
                )


def _key(sent: Any) -> str:
    said = json.dumps(sent, sort_keys=True, default=repr)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _load(line: bytes) -> Any:
    """None for a line that was cut off, or is none."""
    if not line.endswith(b"\n"):
        return None
    try:
        return json.loads(line)
    except ValueError:
        return None
