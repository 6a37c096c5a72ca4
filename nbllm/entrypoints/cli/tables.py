"""Files of rows, read and written a part at a time: Parquet, CSV, JSON lines, plain text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from ...errors import ParamError

CHUNK = 1024
"""Rows that are in memory at a time."""
KINDS = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "txt"}


def kind_of(path: Path, *, writing: bool = False) -> str:
    """The format that a file's name stands for. Raises `ParamError` for any other name."""
    kind = KINDS.get(path.suffix.lower())
    if kind is None or (writing and kind == "txt"):
        known = ", ".join(k for k in KINDS if not writing or k != ".txt")
        raise ParamError(f"{path}: the name of the file has to end in one of {known}")
    if kind == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise ParamError(
                "Parquet needs pyarrow, which is not installed: pip install 'nbllm[parquet]'"
            ) from None
    return kind


def read(path: Path) -> Iterator[pd.DataFrame]:
    """The rows of a file, `CHUNK` at a time. Raises `ParamError` for what cannot be read."""
    reader = {"parquet": _parquet, "csv": _csv, "jsonl": _jsonl, "txt": _txt}[kind_of(path)]
    try:
        yield from reader(path)
    except (OSError, ValueError) as error:  # pyarrow's and pandas' errors are ValueErrors
        reason = str(getattr(error, "strerror", None) or error).splitlines()[0]
        raise ParamError(f"cannot read {path}: {reason}") from None


def count(path: Path) -> int | None:
    """How many rows there are, where that is known without reading them."""
    if kind_of(path) != "parquet":
        return None
    from pyarrow.parquet import read_metadata

    return read_metadata(path).num_rows


def _parquet(path: Path) -> Iterator[pd.DataFrame]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        for batch in file.iter_batches(CHUNK):
            # Arrow's own types: what is not looked at is written as it was read
            yield batch.to_pandas(types_mapper=pd.ArrowDtype)


def _csv(path: Path) -> Iterator[pd.DataFrame]:
    # text as it is: no 007 that becomes 7, no NA that becomes nothing
    with pd.read_csv(path, chunksize=CHUNK, dtype=str, keep_default_na=False) as chunks:
        yield from chunks


def _jsonl(path: Path) -> Iterator[pd.DataFrame]:
    def row(number: int, line: str) -> dict[str, Any]:
        value = json.loads(line)
        if not isinstance(value, dict):
            raise ValueError(f"line {number} is not a JSON object")
        return value

    yield from _frames(path, row)


def _txt(path: Path) -> Iterator[pd.DataFrame]:
    yield from _frames(path, lambda number, line: {"prompt": line.removesuffix("\n")})


def _frames(path: Path, row: Callable[[int, str], dict[str, Any]]) -> Iterator[pd.DataFrame]:
    """A frame for every `CHUNK` lines that are not empty."""
    rows = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                rows.append(row(number, line))
            if len(rows) == CHUNK:
                yield pd.DataFrame(rows, dtype=object)
                rows = []
    if rows:
        yield pd.DataFrame(rows, dtype=object)


@contextmanager
def writer(path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    """Takes frames; the file is there, whole, when the block has ended without an error."""
    kind, beside = kind_of(path, writing=True), path.with_name(path.name + ".new")
    with ExitStack() as stack:
        write = _parquet_writer(beside, stack) if kind == "parquet" else _lines(beside, kind, stack)
        yield write
    beside.replace(path)


def _lines(path: Path, kind: str, stack: ExitStack) -> Callable[[pd.DataFrame], None]:
    # half a surrogate pair, which no encoding has, is written as JSON writes it
    file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
    stack.enter_context(file)

    def write(frame: pd.DataFrame) -> None:
        if kind == "csv":
            frame.to_csv(file, index=False, header=file.tell() == 0)
        else:
            plain = frame.astype(object).where(frame.notna(), None)
            for record in plain.to_dict("records"):
                file.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")

    return write


def _parquet_writer(path: Path, stack: ExitStack) -> Callable[[pd.DataFrame], None]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    parts: list[ParquetWriter] = []

    def write(frame: pd.DataFrame) -> None:
        try:
            if not parts:
                schema = pa.Schema.from_pandas(frame, preserve_index=False)
                # a column that is empty so far may get text
                known = [
                    f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in schema
                ]
                parts.append(stack.enter_context(ParquetWriter(path, pa.schema(known))))
            parts[0].write_table(pa.Table.from_pandas(frame, parts[0].schema, preserve_index=False))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ParamError(
                f"the rows do not fit one Parquet schema: {str(error).splitlines()[0]}; "
                "write them to a .jsonl file"
            ) from None

    return write
