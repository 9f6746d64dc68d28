"""Seconds an epoch of every cell of a plan, from a few training steps: what machine time a plan needs."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dqnumba.autograd import reuse_memory
from dqnumba.qat import prepare
from dqnumba.train.build import build_float, quant_config
from dqnumba.train.optimizer import Adam
from dqnumba.train.source import Source, load_source
from dqnumba.train.task import make_task

from .. import machine, report
from .cells import Cell, Run
from .estimate import COSTS, duration, planned_epochs

__all__ = ["measure", "seconds_of_an_epoch"]

#: Graphs of the superpixel sets that a probe builds, against those of an epoch (training, validation).
PARTS = {"mnist": (1000, 55000, 5000), "cifar10": (1000, 9000, 1000)}


def seconds_of_an_epoch(cell: Cell, sources: dict[str, Any], *, steps: int = 8) -> dict[str, Any]:
    """Time ``steps`` training steps after two that warm up, and one validation after one."""
    limit, _, _ = PARTS.get(cell.dataset, (None, 0, 0))
    settings = cell.settings(0, None)
    if cell.dataset not in sources:
        sources[cell.dataset] = load_source(Source(dataset=cell.dataset, limit=limit))
    source = sources[cell.dataset]
    recipe = settings.recipe(many_graphs=source.many_graphs)
    model, config = build_float(settings, recipe, source), quant_config(settings, recipe)
    trained = model if config is None else prepare(model, config)
    batch_size = recipe.train.get("batch_size", 128)
    task = make_task(source.data, source.splits, batch_size=batch_size)
    optimizer, rng = Adam(trained.parameters(), lr=1e-3), np.random.default_rng(0)
    seconds: list[float] = []
    with reuse_memory():
        while len(seconds) < steps + 2:
            losses = task.losses(trained, rng)
            started = time.perf_counter()
            for loss, _ in losses:
                loss.item()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                seconds.append(time.perf_counter() - started)
                if len(seconds) == steps + 2:
                    break
                started = time.perf_counter()
        task.validate(trained)
        started = time.perf_counter()
        task.validate(trained)
        validation = time.perf_counter() - started
    step = statistics.median(seconds[2:])
    batches = 1
    if source.many_graphs:
        _, train, val = PARTS.get(cell.dataset, (None, len(source.splits["train"]), len(source.splits["val"])))
        batches = math.ceil(train / batch_size)
        validation *= val / len(source.splits["val"])
    return {
        "step_seconds": step, "batches": batches, "validation_seconds": validation,
        "epoch_seconds": step * batches + validation, "epochs": planned_epochs(settings),
        "parameters": int(sum(p.data.size for p in model.parameters().values())),
    }  # fmt: skip


def measure(runs: Sequence[Run], folder: Path, threads: int, say: Callable[[str], None]) -> str:
    """Probe every kind of run once, write the costs under ``folder``, and give the plan of machine time as Markdown."""
    path = folder / COSTS
    content = report.load(path) or {"cells": {}}
    sources: dict[str, Any] = {}
    kinds: dict[Cell, list[Run]] = {}
    for run in runs:
        plain = replace(run.cell, variant=None, epochs=None)
        kinds.setdefault(plain, []).append(run)
    for cell in kinds:
        fact = seconds_of_an_epoch(cell, sources)
        content["cells"][cell.name] = fact
        say(f"{cell.name}: {fact['epoch_seconds']:.3g} s an epoch")
    content["machine"] = machine.describe(threads)
    report.save(path, content)
    rows, total = [], 0.0
    for cell, its_runs in kinds.items():
        fact = content["cells"][cell.name]
        # What was measured now: the records may come from a busy machine.
        seconds = fact["epoch_seconds"] * sum(planned_epochs(run.settings()) for run in its_runs)
        total += seconds
        rows.append(
            [cell.name, f"{fact['step_seconds'] * 1e3:.1f}", fact["batches"], f"{fact['epoch_seconds']:.3g}",
             fact["epochs"], len(its_runs), duration(seconds)]
        )  # fmt: skip
    rows.append(["all", None, None, None, None, len(runs), duration(total)])
    head = ["cell", "ms a step", "steps", "s an epoch", "epochs", "runs", "time"]
    return report.markdown(head, rows)
