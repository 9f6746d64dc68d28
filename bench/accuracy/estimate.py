"""How long runs take: from the records so far, and from the costs that ``--probe`` measured."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dqnumba.train.settings import RunSettings

from . import records
from .cells import Run

__all__ = ["COSTS", "Costs", "duration", "planned_epochs"]

COSTS = "costs.json"
#: Epochs after which the plateau rule of the long recipes is taken to end, until records say better.
TYPICAL_PLATEAU = 200


def duration(seconds: float) -> str:
    """``42 s``, ``12 min`` or ``3.4 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def planned_epochs(settings: RunSettings) -> int:
    """Epochs of the recipe; of a recipe that a plateau ends, what is usual."""
    train = settings.recipe(many_graphs=False).train
    plateau = train.get("schedule", {}).get("kind") == "plateau"
    return min(train["epochs"], TYPICAL_PLATEAU) if plateau else train["epochs"]


class Costs:
    """Seconds of runs.

    A run's cost is the median of the records of its cell; without one, seconds an epoch (of a probe, or of the same
    data set, model and layout) times the planned epochs.
    """

    def __init__(self) -> None:
        self.runs: dict[str, list[float]] = defaultdict(list)
        self.epochs: dict[tuple, list[float]] = defaultdict(list)
        self.lengths: dict[tuple, list[int]] = defaultdict(list)
        self.probed: dict[str, float] = {}

    @classmethod
    def load(cls, folder: Path) -> Costs:
        """From the records and the probe's file under ``folder``."""
        costs = cls()
        for record in records.load_all(folder):
            costs.add(record)
        path = folder / COSTS
        if path.exists():
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            costs.probed = {name: cell["epoch_seconds"] for name, cell in cells.items()}
        return costs

    def add(self, record: dict[str, Any]) -> None:
        """Take in one record."""
        self.runs[record["cell"]].append(record["seconds"])
        key = record["dataset"], record["model"], record["sites"]
        self.epochs[key].append(record["epoch_seconds"])
        if "@" not in record["cell"]:
            self.lengths[key[:2]].append(record["epochs"])

    def of(self, run: Run) -> float | None:
        """Seconds that a run is likely to take; None where nothing is known."""
        cell = run.cell
        if self.runs.get(cell.name):
            return statistics.median(self.runs[cell.name])
        epoch = self.epoch_seconds(run)
        if epoch is None:
            return None
        lengths = self.lengths.get((cell.dataset, cell.model))
        return epoch * (statistics.median(lengths) if lengths and not cell.epochs else planned_epochs(run.settings()))

    def epoch_seconds(self, run: Run) -> float | None:
        """Seconds an epoch; None where nothing is known."""
        cell = run.cell
        plain = cell.name.split("@")[0].removesuffix(f"/{cell.variant}" if cell.variant else "")
        if plain in self.probed:
            return self.probed[plain]
        known = self.epochs.get((cell.dataset, cell.model, cell.sites))
        if known:
            return statistics.median(known)
        similar = [s for name, s in self.probed.items() if _alike(name, cell)]
        return statistics.median(similar) if similar else None

    def total(self, runs: Iterable[Run]) -> tuple[float, int]:
        """Seconds of the runs with a known cost, and how many have none."""
        costs = [self.of(run) for run in runs]
        return sum(cost for cost in costs if cost is not None), sum(cost is None for cost in costs)

    def remaining(self, runs: Iterable[Run]) -> str:
        """The estimate as text."""
        runs = list(runs)
        seconds, unknown = self.total(runs)
        if not runs:
            return "Nothing is left."
        about = f"about {duration(seconds)} left for {len(runs) - unknown} runs" if unknown < len(runs) else ""
        return ", ".join(filter(None, [about, f"{unknown} runs of unknown cost" if unknown else ""]))


def _alike(name: str, cell: Any) -> bool:
    dataset, model, _, *rest = name.split("/")
    return (dataset, model, rest[1] if len(rest) > 1 else None) == (cell.dataset, cell.model, cell.sites)
