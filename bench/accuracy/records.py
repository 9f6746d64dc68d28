"""Records: one JSON file a run, written whole; what is in them, and whether they still are what a cell stands for."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dqnumba.files import whole_file

from .cells import Run

__all__ = [
    "FOLDER",
    "commit",
    "configuration",
    "differences",
    "filled_in",
    "load",
    "load_all",
    "make",
    "record_path",
    "save",
    "score",
]

FOLDER = Path(__file__).parents[1] / "results" / "accuracy"
RECORDS = "records"
FORMAT = 1


def record_path(folder: Path, run: Run) -> Path:
    """Where the record of a run stands."""
    return folder / RECORDS / f"{run.name}.json"


def configuration(settings: Any, recipe: Any, config: Any) -> dict[str, Any]:
    """Everything that decides a run but the code: options, resolved recipe, every field of the quantization."""
    return {
        "settings": settings.to_dict(),
        "recipe": {"model": recipe.model, "train": recipe.train, "quant": recipe.quant},
        "quant_config": None if config is None else config.to_dict(),
    }


def make(
    run: Run, result: Any, configured: dict[str, Any], parts: list[dict[str, Any]], seconds: float
) -> dict[str, Any]:
    """The record of a run that has ended.

    Parameters
    ----------
    run : Run
    result : RunResult
    configured : dict
        Of :func:`configuration`.
    parts : list of dict
        The sittings of the run: machine, first and last epoch, seconds of training.
    seconds : float
        Of the whole run: training, conversion and scoring.
    """
    history = result.fit.history
    names = [name for name in history[0] if name not in ("epoch", "lr")] if history else []
    rates = [[1, history[0]["lr"]]] if history else []
    for entry in history:  # a rate is written down where it changes
        if entry["lr"] != rates[-1][1]:
            rates.append([entry["epoch"], entry["lr"]])
    return {
        "format": FORMAT,
        "cell": run.cell.name,
        **result.record,
        "ablation": run.cell.variant,
        "best_epoch": result.fit.best_epoch,
        "best_value": result.fit.best_value,
        "parameters": int(sum(p.data.size for p in result.model.parameters().values())),
        "seconds": round(seconds, 2),
        "configuration": configured,
        "learning_rates": rates,
        "curve": {name: [_short(entry[name]) for entry in history] for name in names},
        "parts": parts,
    }


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def differences(record: dict[str, Any], configured: dict[str, Any]) -> list[str]:
    """Names of what a record was made with other than a run would be made with now.

    A field of the quantization that the record does not know counts only where it is not at its default now.
    """
    found = []
    then = record["configuration"]
    for part in ("model", "train", "quant"):
        old, new = then["recipe"][part], json.loads(json.dumps(configured["recipe"][part]))
        found += [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    old, new = then["quant_config"], configured["quant_config"]
    if (old is None) != (new is None):
        return [*found, "quant_config"]
    if new is not None:
        old = filled_in(old)
        found += [key for key in old.keys() | new.keys() if key not in new or old[key] != new[key]]
    return sorted(set(found))


def filled_in(quant_config: dict[str, Any]) -> dict[str, Any]:
    """Fields of a quantization as they were recorded, and those that came later at their defaults: how things were."""
    from dqnumba.qat import QuantConfig

    return QuantConfig().to_dict() | quant_config


def save(path: Path, record: dict[str, Any]) -> None:
    """Write a record, whole or not at all: one line a key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in record.items())
    with whole_file(path) as stream:
        stream.write(f"{{\n{lines}\n}}\n".encode())


def load(path: Path) -> dict[str, Any]:
    """Read one record.

    Raises
    ------
    ValueError
        The file is no record, or of a format that this code does not know.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} is no record: {error}") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f"{path} is no record of format {FORMAT}.")
    return record


def load_all(folder: Path) -> Iterator[dict[str, Any]]:
    """Every record under ``folder``, by path."""
    for path in sorted((folder / RECORDS).rglob("*.json")):
        yield load(path)


def score(record: dict[str, Any]) -> float:
    """The test metric: of the integer program, or of the float model of ``fp32``."""
    return record["test_float"] if record["method"] == "fp32" else record["test_integer"]


def commit() -> str | None:
    """The commit of this checkout, with a plus where files differ from it; None outside one."""
    where = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=where, capture_output=True, text=True, check=True
        )
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no", "dqnumba"], cwd=where.parents[1],
            capture_output=True, text=True, check=True, env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
