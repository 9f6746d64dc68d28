"""The train file ``F.train.safetensors``: all that ``convert``, ``verify`` and ``--resume`` need, no pickle.

A safetensors file whose tensors stand in sections (``model/``, ``best/``, ``last/``, ``optimizer/``) and whose
metadata hold one JSON text (format and version, the configuration of the model and of the quantizers, the settings of
the run, random state, history) and a SHA-256 over that text and the tensor bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save as to_bytes

from ..errors import DataError, ModelFormatError
from ..files import whole_file
from ..formats import Malformed, parse_json, read_tensors
from .checkpoint_content import SECTIONS, check_content, check_fits
from .state import TrainingState

__all__ = ["LIMITS", "Checkpoint", "read_checkpoint", "train_file_of", "write_atomic", "write_checkpoint"]

_FORMAT = "dqnumba-train"
_VERSION = 1
#: Bytes, tensors, and what the header may hold: a history of half a million epochs.
LIMITS = {"most_bytes": 4 << 30, "most_tensors": 1 << 14, "most_header": 64 << 20, "most_values": 1 << 22}


@dataclass
class Checkpoint:
    """One train file in memory.

    Attributes
    ----------
    model_config : dict
        For ``nn.build_model``.
    quant_config : dict or None
        For ``QuantConfig.from_dict``; None for a float model.
    model : dict of arrays or None
        Weights, buffers and ranges of the model that ``convert`` takes; None while training has not ended.
    state : TrainingState
        Where training stands.
    settings : dict
        The options of the run, JSON-able.
    recipe : dict
        ``model``, ``train`` and ``quant`` as they were resolved when the run began: it goes on with these, also after a
        recipe file has changed.
    record : dict or None
        What ``train --json`` printed; None while training has not ended.
    class_names : sequence of str or None
        A name for each output, for the model file.
    """

    model_config: dict[str, Any]
    quant_config: dict[str, Any] | None
    model: dict[str, np.ndarray] | None
    state: TrainingState
    settings: dict[str, Any]
    recipe: dict[str, Any]
    record: dict[str, Any] | None = None
    class_names: Sequence[str] | None = None


def train_file_of(path: str | Path) -> Path:
    """``F.train.safetensors`` for a model file ``F.safetensors`` (or ``F``); a train file stays as it is."""
    path = Path(path)
    if path.name.endswith(".train.safetensors"):
        return path
    stem = path.name.removesuffix(".safetensors")
    return path.with_name(f"{stem}.train.safetensors")


def write_checkpoint(checkpoint: Checkpoint, path: str | Path) -> int:
    """Write the file in one piece (a temporary file is renamed onto it); returns its size in bytes.

    Raises
    ------
    DataError
        The folder is missing or cannot be written.
    """
    state = checkpoint.state
    sections = {"last": state.model, "best": state.best_model, "optimizer": state.optimizer}
    if checkpoint.model is not None:
        sections["model"] = checkpoint.model
    tensors = {f"{section}/{name}": _plain(a) for section, arrays in sections.items() for name, a in arrays.items()}
    text = json.dumps(
        {
            "format": _FORMAT,
            "version": _VERSION,
            "model_config": checkpoint.model_config,
            "quant_config": checkpoint.quant_config,
            "settings": checkpoint.settings,
            "recipe": checkpoint.recipe,
            "record": checkpoint.record,
            "class_names": checkpoint.class_names,
            "state": {
                "epoch": state.epoch,
                "schedule": state.schedule,
                "rng": state.rng,
                "history": state.history,
                "seconds": state.seconds,
                "best_epoch": state.best_epoch,
                "best_value": state.best_value,
                "best_rank": state.best_rank,
            },
        },
        sort_keys=True,
    )
    return write_atomic(path, to_bytes(tensors, metadata={"dqnumba": text, "sha256": _digest(text, tensors)}))


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a train file back.

    Raises
    ------
    DataError
        There is no such file.
    ModelFormatError
        The file is no train file, is damaged, or has a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"No train file at {path}; `dqnumba train --out F.safetensors` writes it beside F.safetensors.")
    try:
        metadata, tensors = read_tensors(path, **LIMITS)
    except (Malformed, OSError, UnicodeDecodeError) as error:
        raise ModelFormatError(f"{path} is no safetensors file, or it is damaged ({error}); train again.") from None
    if "dqnumba" not in metadata or "sha256" not in metadata:
        raise ModelFormatError(
            f"{path} is no train file of dqnumba; give the F.train.safetensors that `dqnumba train --out` wrote."
        )
    if metadata["sha256"] != _digest(metadata["dqnumba"], tensors):
        raise ModelFormatError(f"{path} is damaged: its checksum does not fit its content; copy it or train again.")
    try:
        content = parse_json(metadata["dqnumba"], most_values=LIMITS["most_values"], constants=True)
        if not isinstance(content, dict):
            raise Malformed("no dict")
        if content.get("format") != _FORMAT or content.get("version") != _VERSION:
            raise ModelFormatError(
                f"{path} has format {content.get('format')!r} version {content.get('version')!r}; this dqnumba reads "
                f"{_FORMAT!r} version {_VERSION}. Use the dqnumba that wrote it, or train again."
            )
        check_content(content)
        sections: dict[str, dict[str, np.ndarray]] = {name: {} for name in SECTIONS}
        for name, array in tensors.items():
            section, _, rest = name.partition("/")
            if section not in sections:
                raise Malformed(f"the tensor {name!r} belongs to no section")
            sections[section][rest] = array
        check_fits(content["model_config"], sections["model"] or sections["last"])
    except Malformed as error:
        raise ModelFormatError(f"{path}: its content cannot be read ({error}); train again.") from None
    return Checkpoint(
        model_config=content["model_config"],
        quant_config=content["quant_config"],
        model=sections["model"] or None,
        state=TrainingState(
            model=sections["last"], best_model=sections["best"], optimizer=sections["optimizer"], **content["state"]
        ),
        settings=content["settings"],
        recipe=content["recipe"],
        record=content["record"],
        class_names=content.get("class_names"),  # of older files: none
    )


def write_atomic(path: str | Path, content: bytes) -> int:
    """Write ``content`` to ``path``, whole or not at all; returns the size.

    Raises
    ------
    DataError
        The folder is missing or cannot be written.
    """
    try:
        with whole_file(path) as stream:
            stream.write(content)
    except OSError as error:
        raise DataError(
            f"Cannot write {path}: {error.strerror}; free some space or choose another folder that is writable."
        ) from None
    return len(content)


def _plain(array: Any) -> np.ndarray:
    return np.array(array, order="C")  # keeps a 0-d array 0-d, which np.ascontiguousarray does not


def _digest(text: str, tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
