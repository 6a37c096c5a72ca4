"""`--checkpoint FILE`: every prompt that has finished is a line in a file, at once.

The first line says what the run is; each other line is one output. A kernel that is killed loses what
was under way and no more: a last line that is cut off is dropped when the file is read again.
"""

from __future__ import annotations

import json
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError

from .records import from_record, to_record
from .resume import Finished

FORMAT = 1


class Checkpoint(Finished):
    """As `Finished`, in a file too.

    Raises `UsageError` for a file of another run, or of others, and one that cannot be written.
    """

    def __init__(self, identity: dict[str, Any], path: Path, *, fresh: bool):
        super().__init__(json.loads(json.dumps(identity)))
        self.path, self._file = path, None
        if not path.parent.is_dir():
            raise UsageError(f"--checkpoint {path}: there is no folder {str(path.parent)!r}")
        try:
            # before anything runs: a run that cannot be kept is not begun
            path.open("a").close()
            if path.stat().st_size and not fresh:
                self._read()
        except OSError as error:
            raise UsageError(f"--checkpoint {path}: {error.strerror}") from None

    _file: TextIOWrapper | None

    def begin(self, seed: int | None = None) -> None:
        """Write the file anew: what it has already, without what was cut off."""
        super().begin(seed)
        lines = [{"nbllm": FORMAT, "run": self.identity, "seed": seed}]
        lines += [self._line(place, sent, output) for place, (sent, output) in self.rows.items()]
        beside = self.path.with_name(self.path.name + ".new")
        beside.write_text("".join(_dump(line) for line in lines), "utf-8", newline="")
        # in one step: killed here, the old file is still whole
        beside.replace(self.path)
        self._file = self.path.open("a", encoding="utf-8", newline="")

    def add(self, place: int, sent: str, output: Any) -> None:
        super().add(place, sent, output)
        assert self._file is not None
        self._file.write(_dump(self._line(place, sent, output)))
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _line(self, place: int, sent: str, output: Any) -> dict[str, Any]:
        return {"place": place, "sent": sent, **to_record(output)}

    def _read(self) -> None:
        with self.path.open(encoding="utf-8", newline="") as file:
            head = _load(file.readline())
            if not isinstance(head, dict) or head.get("nbllm") != FORMAT or "run" not in head:
                raise UsageError(f"--checkpoint {self.path}: that is no checkpoint of this nbllm")
            self._compare(head["run"])
            self.seed = head.get("seed")
            for line in file:
                if (record := _load(line)) is not None:
                    self.rows[record["place"]] = (
                        record["sent"],
                        from_record(record, head["run"]["kind"]),
                    )

    def _compare(self, there: dict[str, Any]) -> None:
        here = self.identity
        names = [n for n in {**here, **there} if here.get(n) != there.get(n)]
        if names:
            name = names[0]
            raise UsageError(
                f"--checkpoint {self.path} is of another run: {name} is {there.get(name)!r} there, "
                f"{here.get(name)!r} here; choose another file, or --fresh to overwrite it"
            )


def _dump(line: dict[str, Any]) -> str:
    # a model may say half a surrogate pair, which no encoding has: \u escapes carry it
    return json.dumps(line) + "\n"


def _load(line: str) -> Any:
    """None for a line that was cut off."""
    if not line.endswith("\n"):
        return None
    try:
        return json.loads(line)
    except ValueError:
        return None
