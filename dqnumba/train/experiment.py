"""A whole run: data, recipe, training, conversion, and the record of what came out.

The command line, the benchmarks and the reproduction scripts all come through :func:`run_experiment`, so that one set
of options means one run everywhere.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save as to_bytes

from ..convert import convert
from ..qat import prepare
from .build import build_float, calibrated, quant_config
from .checkpoint import Checkpoint, train_file_of, write_checkpoint
from .initial import initial_model
from .loop import EpochEnd, fit
from .output import check_output, claimed
from .recipe import Recipe
from .schedule import schedule_from_config
from .scoring import Scorer, blank_record
from .settings import QUANTIZED_WHILE_TRAINING, RunSettings
from .source import SourceData, load_source
from .state import FitResult

__all__ = ["RunResult", "check_output", "run_experiment"]


@dataclass
class RunResult:
    """What a run leaves in memory.

    Attributes
    ----------
    record : dict
        What ``dqnumba train --json`` prints.
    model : Module or QuantizedModel
        Float for ``fp32``, else with its quantizers.
    integer_model : IntegerModel or None
        None for ``fp32``.
    fit : FitResult
    source : SourceData
    seconds : float
        From loading the data to the last prediction.
    recipe : Recipe
        The numbers of the run, exceptions and overrides applied.
    """

    record: dict[str, Any]
    model: Any
    integer_model: Any
    fit: FitResult
    source: SourceData
    seconds: float
    recipe: Recipe


def run_experiment(
    settings: RunSettings,
    *,
    data: Any = None,
    out: str | Path | None = None,
    resume: Checkpoint | None = None,
    backend: str | None = None,
    progress: Callable | None = None,
    save_every: float = 60.0,
    recipe: Recipe | None = None,
    callback: Callable[[EpochEnd], None] | None = None,
) -> RunResult:
    """Train, convert and score one model.

    Parameters
    ----------
    settings : RunSettings
    data : Graph or GraphDataset, optional
        Already loaded data of ``settings.source``.
    out : path, optional
        Model file to write; the train file goes beside it, also while training (after the
        first epoch, then about every ``save_every`` seconds).
    resume : Checkpoint, optional
        Continue this run; ``settings`` must be those of its first part, apart from a larger number of epochs.
    backend : str, optional
        Of the integer model.
    progress : callable, optional
        As in :func:`~dqnumba.train.loop.fit`.
    save_every : float
    recipe : Recipe, optional
        Take these numbers and not those of the recipe that ``settings`` name: to run an old record again.
    callback : callable, optional
        Called with an :class:`~dqnumba.train.loop.EpochEnd` after every epoch. An exception from it ends the run; the
        train file then holds that epoch.

    Returns
    -------
    RunResult

    Raises
    ------
    DataError
        ``out`` cannot be written, or another process trains into it.
    """
    if out is not None:
        check_output(out)
    with claimed(out):
        return _run(settings, data, out, resume, backend, progress, save_every, recipe, callback)


def _run(
    settings: RunSettings, data: Any, out: Any, resume: Checkpoint | None, backend: str | None, progress: Any,
    save_every: float, recipe: Recipe | None, callback: Any,
) -> RunResult:  # fmt: skip
    started = time.perf_counter()
    given = Recipe(**resume.recipe) if resume else recipe
    recipe = _recipe(settings, given)  # fails on a wrong option before anything is downloaded
    source = load_source(settings.source, default_fold=recipe.train.get("fold", 0), data=data, progress=progress)
    recipe = _recipe(settings, given, many_graphs=source.many_graphs)
    options = dict(recipe.train)
    for key in ("fold", "calibration"):
        options.pop(key, None)
    options["schedule"] = schedule_from_config(options.get("schedule"))

    if settings.init is None:
        model = build_float(settings, recipe, source)
    else:
        model = initial_model(settings, recipe, resume)
    config = quant_config(settings, recipe)
    trained = prepare(model, config) if settings.method in QUANTIZED_WHILE_TRAINING else model
    names = source.class_names(model.config["out_channels"])
    saver = _TrainFile(out, model.config, config, settings, recipe, names, save_every, callback)
    result = fit(
        trained, source.data, splits=source.splits, seed=settings.seed, progress=progress, callback=saver,
        state=resume.state if resume else None, **options,
    )  # fmt: skip

    record = blank_record(settings, source, config, result)
    scorer = Scorer(source, batch_size=options.get("batch_size", 128), backend=backend)
    if settings.method in ("fp32", "ptq"):
        record["test_float"] = scorer.metrics(scorer.outputs(trained)).get("test")
    if settings.method == "ptq":
        trained = calibrated(model, config, source, recipe)
    saver.write(result.state, model=trained.state_dict())
    if settings.method == "fp32":
        record["file_bytes"] = _float_bytes(model)
        integer = None
    else:
        integer = convert(trained).with_class_names(saver.blank.class_names)
        record |= scorer.compare(trained, integer)
        record["file_bytes"] = len(integer.to_bytes()) if out is None else integer.save(out)
    saver.write(result.state, model=trained.state_dict(), record=record)
    return RunResult(record, trained, integer, result, source, time.perf_counter() - started, recipe)


def _float_bytes(model: Any) -> int:
    """What the float weights take as a file: the measure that integer files are compared with."""
    return len(to_bytes({name: np.ascontiguousarray(array) for name, array in model.state_dict().items()}))


def _recipe(settings: RunSettings, given: Recipe | None, *, many_graphs: bool = False) -> Recipe:
    if given is None:
        return settings.recipe(many_graphs=many_graphs)
    # The numbers that the run began with, and if need be more epochs.
    return given.with_overrides({"epochs": settings.overrides.get("epochs")})


class _TrainFile:
    """Writes the train file: now and then while training, and at the end."""

    def __init__(
        self, out: Any, model_config: Any, config: Any, settings: RunSettings, recipe: Recipe,
        class_names: tuple[str, ...] | None, every: float, callback: Callable[[EpochEnd], None] | None,
    ) -> None:  # fmt: skip
        self.path = None if out is None else train_file_of(out)
        self.callback = callback
        # The first epoch is written at once: from then on --resume goes on with this run, not with an earlier one.
        self.every, self.last = every, -math.inf
        self.blank = Checkpoint(
            model_config=model_config, quant_config=None if config is None else config.to_dict(), model=None,
            state=None, settings=settings.to_dict(),
            recipe={"model": recipe.model, "train": recipe.train, "quant": recipe.quant},
            class_names=class_names,
        )  # fmt: skip

    def __call__(self, end: EpochEnd) -> None:
        if self.path is not None and time.monotonic() - self.last >= self.every:
            self.write(end.capture())
            self.last = time.monotonic()
        if self.callback is not None:
            try:
                self.callback(end)
            except BaseException:
                self.write(end.capture())
                raise

    def write(self, state: Any, *, model: Any = None, record: Any = None) -> None:
        if self.path is not None:
            write_checkpoint(replace(self.blank, state=state, model=model, record=record), self.path)
