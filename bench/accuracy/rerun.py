"""A record run again from its own configuration and seed, and held against what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dqnumba.train.experiment import run_experiment
from dqnumba.train.recipe import Recipe
from dqnumba.train.settings import RunSettings

from .. import machine
from . import goals, records

__all__ = ["compare", "main", "recipe_of"]

#: What has to agree elsewhere than on the same CPU type, libraries and threads: half a point, or of an error 2 %.
POINT, SHARE = 0.005, 0.02
_EXACT = ("best_epoch", "val_fake_quant", "test_fake_quant", "test_integer", "test_float", "agreement")
_SAME = ("cpu", "cpu_as_numba_compiles", "features", "threads", "threading_layer", "python")
_LIBRARIES = ("numpy", "numba", "llvmlite", "scipy")


def recipe_of(record: dict[str, Any]) -> Recipe:
    """The numbers of the record: with every field of its quantization, so that a preset may change meanwhile."""
    then = record["configuration"]
    quant = dict(then["quant_config"] or {})
    for name in ("method", "sites", "weight_bits", "activation_bits"):  # these are in the settings
        quant.pop(name, None)
    return Recipe(dict(then["recipe"]["model"]), dict(then["recipe"]["train"]), quant, {}, "record")


def same_machine(record: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """What differs between this machine and that of the record's last part: nothing, if results must repeat."""
    there = record["parts"][-1]
    found = [name for name in _SAME if there.get(name) != here.get(name)]
    return found + [name for name in _LIBRARIES if there["packages"].get(name) != here["packages"].get(name)]


def compare(record: dict[str, Any], again: dict[str, Any], differs: list[str]) -> list[str]:
    """What contradicts the record; empty where it stands."""
    if not differs:
        return [f"{name}: {record[name]} then, {again[name]} now" for name in _EXACT if record[name] != again[name]]
    then, now = records.score(record), records.score(again)
    allowed = SHARE * then if record["dataset"] in goals.ERRORS else POINT
    return [] if abs(then - now) <= allowed else [f"test metric: {then} then, {now} now, {allowed:g} allowed"]


def main(path: Path, say: Callable[[str], None]) -> int:
    """Run a record again; 0 where it stands, 1 where it does not."""
    record = records.load(path)
    threads = machine.set_threads(record["parts"][-1]["threads"])
    settings = RunSettings.from_dict(record["configuration"]["settings"])
    result = run_experiment(settings, recipe=recipe_of(record))
    again = result.record | {"best_epoch": result.fit.best_epoch}
    differs = same_machine(record, machine.describe(threads))
    wrong = compare(record, again, differs)
    if len({part["cpu"] for part in record["parts"]}) > 1:
        say("The record was made on several kinds of machine; only its last one is compared.")
    if differs:
        say(f"Other than when the record was made: {', '.join(differs)}. The test metric may differ a little.")
    print(
        f"{record['cell']}: {records.score(record):.6g} then, {records.score(again):.6g} now, "
        + ("equal in every number" if not differs and not wrong else "close enough" if not wrong else "DIFFERENT")
    )
    for line in wrong:
        print(line)
    return 1 if wrong else 0
