"""Model files: safetensors, the program as one JSON text in the metadata, a checksum over both; no pickle anywhere.

Metadata: ``format`` ("dqnumba.program"), ``format_version``, ``dqnumba_version``, ``program`` (canonical JSON: sorted
keys, no blanks) and ``sha256`` over the canonical text followed by name, dtype, shape and bytes of every tensor in the
order of names. Matrices of codes of at most 4 bits are stored two codes a byte; ``packed`` in the program's text gives
the number of columns of each.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelFormatError
from ..files import whole_file
from ..formats import Malformed, parse_json, read_tensors
from ..quant import pack4, unpack4
from .check import check_program
from .program import Program, Step

__all__ = ["FORMAT_VERSION", "LIMITS", "checksum", "encode_program", "read_program", "write_program"]

FORMAT = "dqnumba.program"
FORMAT_VERSION = 1
#: Far beyond any graph network, and small enough that a file from a stranger cannot fill the memory of a small device.
LIMITS = {"most_bytes": 1 << 31, "most_tensors": 1 << 14, "most_header": 4 << 20, "most_values": 1 << 18}
_MOST_STEPS = 1 << 14


def checksum(text: str, tensors: Mapping[str, NDArray]) -> str:
    """SHA-256 over the program's text and every tensor: name, dtype, shape, bytes (little endian, C order)."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"\0{name}\0{tensor.dtype.str}\0{tensor.shape}\0".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def encode_program(program: Program, *, version: str) -> bytes:
    """The content of the file of ``program``: the same bytes each time."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(t) for name, t in program.tensors.items()}
    packed = {name: t.shape[1] for name, t in tensors.items() if _fits_nibbles(t)}
    tensors |= {name: pack4(tensors[name]) for name in packed}
    text = _canonical({"meta": program.meta, "packed": packed, "steps": [s.to_dict() for s in program.steps]})
    try:
        parse_json(text, most_values=LIMITS["most_values"])  # nothing is written that would not be read
    except Malformed as error:
        raise ModelFormatError(f"Cannot write the model: {error}. Give shorter or other names.") from None
    metadata = {
        "format": FORMAT, "format_version": str(FORMAT_VERSION), "dqnumba_version": version,
        "program": text, "sha256": checksum(text, tensors),
    }  # fmt: skip
    payload = _reproducible(save(tensors, metadata))
    _check_size(program, payload)
    return payload


def write_program(program: Program, path: str | os.PathLike, *, version: str) -> int:
    """Save ``program``; returns the number of bytes written.

    Raises
    ------
    ModelFormatError
        If the folder does not exist or cannot be written, or the disk is full; a model beyond ``LIMITS``.
    """
    payload = encode_program(program, version=version)
    try:
        with whole_file(path) as stream:
            stream.write(payload)
    except OSError as error:
        raise ModelFormatError(
            f"Cannot write {path}: {error.strerror}. "
            "Give a path in a folder that exists and is writable, on a disk with space."
        ) from error
    return len(payload)


def read_program(path: str | os.PathLike) -> Program:
    """Load and check a program.

    Raises
    ------
    ModelFormatError
        If the file is missing, is no dqnumba model, has a newer format, or is damaged.
    """
    metadata, tensors = _read(Path(path))
    if metadata.get("format") != FORMAT:
        hint = " It is a training file: convert it with `dqnumba convert`." if "dqnumba" in metadata else ""
        raise ModelFormatError(
            f"{path} is a safetensors file, but no dqnumba model.{hint} Give a file that IntegerModel.save wrote."
        )
    version = metadata.get("format_version", "")
    if version != str(FORMAT_VERSION):
        raise ModelFormatError(
            f"{path} has format version {version or 'none'}, this dqnumba reads version {FORMAT_VERSION}. "
            "Upgrade dqnumba, or save the model again with this version."
        )
    text = metadata.get("program", "")
    if checksum(text, tensors) != metadata.get("sha256"):
        raise ModelFormatError(
            f"{path} is damaged: its checksum does not fit its content. Copy or save the model again."
        )
    try:
        data = parse_json(text, most_values=LIMITS["most_values"])
        if len(data["steps"]) > _MOST_STEPS:
            raise Malformed(f"it has {len(data['steps']):,} steps, and at most {_MOST_STEPS:,} are read")
        tensors |= {name: _unpacked(tensors[name], columns) for name, columns in data["packed"].items()}
        program = Program(tuple(_step(s) for s in data["steps"]), tensors, dict(data["meta"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFormatError(
            f"{path}: its program cannot be read ({error}). Convert and save the model again."
        ) from error
    try:
        return check_program(program)
    except ModelFormatError as error:
        raise ModelFormatError(f"{path}: {error}") from error


def _fits_nibbles(tensor: NDArray) -> bool:
    """Whether a tensor is a matrix of codes of at most 4 bits."""
    return tensor.dtype == np.int8 and tensor.ndim == 2 and tensor.size > 0 and -8 <= tensor.min() and tensor.max() <= 7


def _unpacked(tensor: NDArray, columns: Any) -> NDArray[np.int8]:
    if tensor.dtype != np.uint8 or type(columns) is not int or columns < 1:
        raise ValueError("a packed matrix is not well formed")
    return unpack4(tensor, columns)


def _step(values: dict[str, Any]) -> Step:
    if not (
        isinstance(values["inputs"], list)
        and isinstance(values["attributes"], dict)
        and isinstance(values["tensors"], dict)
    ):
        raise TypeError("a step is not well formed")
    return Step(
        values["op"], values["output"], tuple(values["inputs"]), values["rows"], values["channels"],
        values["attributes"], values["tensors"], values["site"],
    )  # fmt: skip


def _check_size(program: Program, payload: bytes) -> None:
    """Refuse to write what would not be read."""
    header = int.from_bytes(payload[:8], "little")
    if (
        len(payload) > LIMITS["most_bytes"] or header > LIMITS["most_header"] or len(program.steps) > _MOST_STEPS
        or len(program.tensors) > LIMITS["most_tensors"]
    ):  # fmt: skip
        raise ModelFormatError(
            f"Cannot write the model: it has {len(payload):,} bytes, {header:,} of them in its header, and "
            f"{len(program.steps):,} steps; at most {LIMITS['most_bytes']:,}, {LIMITS['most_header']:,} and "
            f"{_MOST_STEPS:,} are read. Make the model smaller."
        )


def _reproducible(payload: bytes) -> bytes:
    """The same safetensors file with the keys of its header in order: the package writes metadata in an order of
    chance.
    """
    size = int.from_bytes(payload[:8], "little")
    header = json.loads(payload[8 : 8 + size])
    metadata = header.pop("__metadata__")
    text = json.dumps(
        {"__metadata__": dict(sorted(metadata.items())), **header}, separators=(",", ":"), ensure_ascii=False
    )
    encoded = text.encode()
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded + payload[8 + size :]


def _read(path: Path) -> tuple[dict[str, str], dict[str, NDArray]]:
    if not path.is_file():
        raise ModelFormatError(f"There is no file {path}. Give the path of a model that IntegerModel.save wrote.")
    try:
        return read_tensors(path, **LIMITS)
    except (Malformed, OSError, UnicodeDecodeError) as error:
        raise ModelFormatError(
            f"{path} is no model file ({error}). Give a file that IntegerModel.save wrote."
        ) from error


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
