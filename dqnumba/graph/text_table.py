"""Rows of a text table, each with the number of its line, so that an error can name it."""

from __future__ import annotations

import csv
import itertools
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ConfigError, DataError
from ..formats import Malformed, open_regular

__all__ = ["SUFFIXES", "Row", "TextTable", "columns_of", "header_hint", "notes_of", "parse_number", "read_table"]

SUFFIXES = (".csv", ".tsv", ".txt", ".edges", ".edgelist", ".tab")
_LIMIT = 4 << 30  # bytes
_LONGEST = 1 << 22  # characters of a line
_DELIMITERS = ("\t", ",", ";")

Row = tuple[int, list[str]]


@dataclass
class TextTable:
    """A table that is read row by row.

    Attributes
    ----------
    path : Path
    names : list of str or None
        The header, in lower case; None without one.
    width : int
        Cells of each row.
    rows : iterator of (line number, list of str)
        Cells without the blanks around them. Raises ``DataError`` at a row of another width.
    comments : int
        Lines that begin with # or % above the table, and were passed over.
    """

    path: Path
    names: list[str] | None
    width: int
    rows: Iterator[Row]
    comments: int

    def error(self, line: int, message: str) -> DataError:
        """An error that names the line."""
        return DataError(f"{self.path}, line {line}: {message}")


def read_table(
    path: str | os.PathLike, is_header: Callable[[list[str]], bool], *, may_be_empty: bool = False
) -> TextTable:
    """Open a table of text: commas, semicolons, tabs or blanks between the cells, whichever its first line has.

    Parameters
    ----------
    path
        UTF-8. Lines that are empty, and lines above the first row that begin with # or %, are passed over.
    is_header : callable
        Tells from the cells of the first row, in lower case, whether it holds names.
    may_be_empty : bool
        Take a file without a row as a table of width 0 without rows.

    Raises
    ------
    DataError
        The file is missing, too large, empty or no text; the rows raise it too.
    """
    path = Path(path)
    try:
        with open_regular(path, _LIMIT):
            pass
    except FileNotFoundError as error:
        raise DataError(f"no file {path}; give the path of a table (CSV or TSV)") from error
    except (Malformed, OSError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); tables of up to {_LIMIT} are read, write a larger one as an npz"
        ) from error
    lines = _lines(path)
    comments = 0
    begin = (0, "")
    for line, text in lines:
        if text.strip() and not text.lstrip().startswith(("#", "%")):
            begin = (line, text)
            break
        comments += bool(text.strip())
    text = begin[1]
    tabs_last = path.suffix.lower() == ".csv"
    order = (*_DELIMITERS[1:], "\t") if tabs_last else _DELIMITERS
    delimiter = next((mark for mark in order if mark in text), None)
    rows = _cells(path, itertools.chain([begin], lines), delimiter)
    first = next(rows, None)
    if first is None and may_be_empty:
        return TextTable(path, None, 0, iter(()), comments)
    if first is None:
        raise DataError(f"{path} holds no rows; a table has one edge, or one node, a line")
    names = [cell.lower() for cell in first[1]]
    header = is_header(names)
    if header and len(set(names)) < len(names):
        twice = next(name for k, name in enumerate(names) if name in names[:k])
        raise DataError(f"{path}, line {first[0]}: two columns are named {twice!r}; name each once")
    body = rows if header else itertools.chain([first], rows)
    return TextTable(path, names if header else None, len(names), _checked(path, body, len(names)), comments)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines, from 1; ``DataError`` where the file is no text."""
    line = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line, text in enumerate(iter(lambda: file.readline(_LONGEST), ""), start=1):
                if len(text) == _LONGEST:
                    raise DataError(f"{path}, line {line}: longer than {_LONGEST} characters; this is no table")
                if "\0" in text:
                    raise DataError(f"{path}, line {line}: a zero byte; this is no text file")
                yield line, text
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, line {line + 1} or after: no UTF-8 text ({error.reason}); save it so") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _cells(path: Path, lines: Iterator[tuple[int, str]], delimiter: str | None) -> Iterator[Row]:
    if delimiter is None:
        yield from ((line, text.split()) for line, text in lines if text.strip())
        return
    number = 0

    def texts() -> Iterator[str]:
        nonlocal number
        for line, text in lines:
            number = line
            yield text

    reader = csv.reader(texts(), delimiter=delimiter, strict=True, skipinitialspace=True)
    try:
        for cells in reader:
            if any(cells):
                yield number, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise DataError(f"{path}, line {number}: {error}; check the quotes") from error


def _checked(path: Path, rows: Iterator[Row], width: int) -> Iterator[Row]:
    for line, cells in rows:
        if len(cells) != width:
            raise DataError(
                f"{path}, line {line}: {len(cells)} cells, where the first row has {width}; give each row the same"
            )
        yield line, cells


def parse_number(table: TextTable, line: int, text: str, what: str) -> float:
    """A finite float32 number of a cell, or an error that names the line and what the cell is."""
    try:
        value = float(text)
    except ValueError:
        given = repr(text) if text else "empty"
        raise table.error(line, f"{what} is {given}, and must be a number{header_hint(table)}") from None
    with np.errstate(over="ignore"):
        if not np.isfinite(np.float32(value)):
            raise table.error(line, f"{what} is {text}; it must be a finite float32 number")
    return value


def columns_of(table: TextTable, **kinds: tuple[str, ...]) -> dict[str, int | None]:
    """The column of each kind, by its name; None where there is none."""
    found: dict[str, int | None] = {}
    for kind, names in kinds.items():
        places = [k for k, name in enumerate(table.names or []) if name in names]
        if len(places) > 1:
            both = " and ".join(repr(table.names[k]) for k in places[:2])  # type: ignore[index]
            raise ConfigError(f"{table.path}: the columns {both} both stand for the {kind}; rename one")
        found[kind] = places[0] if places else None
    return found


def notes_of(table: TextTable, used: Collection[int | None] | None = None) -> list[str]:
    """What was passed over: comments, and columns that are not ``used``."""
    notes = [f"{table.comments} comment lines of {table.path.name} left out"] if table.comments else []
    if used is not None and table.names:
        left = [name or "without a name" for k, name in enumerate(table.names) if k not in used]
        notes += [f"columns {', '.join(left)} of {table.path.name} left out"] if left else []
    return notes


def header_hint(table: TextTable) -> str:
    """What to add to an error where a header may have been taken for a row."""
    return "; if this is a header, name a column id (nodes), or source and target (edges)" if not table.names else ""
