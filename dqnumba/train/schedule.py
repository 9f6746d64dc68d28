"""Learning-rate schedules: steps after a fixed number of epochs, half a cosine, steps when validation stalls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError

__all__ = ["Constant", "Cosine", "Plateau", "Schedule", "StepDecay", "schedule_from_config"]


class Schedule:
    """Base class: ``lr`` holds the rate of the coming epoch, ``done`` says that training should end."""

    lr: float
    done: bool = False

    def start(self, lr: float) -> None:
        """Begin at ``lr``; called once by ``fit``."""
        self.lr = float(lr)
        self.done = False

    def after_epoch(self, epoch: int, value: float | None) -> None:
        """Set ``lr`` for the next epoch, given the number of epochs done and the validation loss of the last one."""

    def state_dict(self) -> dict[str, Any]:
        """What changes while training, as JSON-able values."""
        return {"lr": self.lr, "done": self.done}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        for key in self.state_dict():
            if key not in state:
                raise ConfigError(
                    f"The saved schedule has no {key!r}: it was of another kind than {type(self).__name__}; "
                    "resume with the schedule that the run began with."
                )
            setattr(self, key, state[key])


class Constant(Schedule):
    """The same rate throughout."""


class StepDecay(Schedule):
    """Multiply the rate by ``factor`` after every ``every`` epochs."""

    def __init__(self, *, factor: float = 0.5, every: int = 50) -> None:
        _check_factor(factor)
        if int(every) != every or every < 1:
            raise ConfigError(f"every is {every}; StepDecay needs a whole number of epochs, at least 1.")
        self.factor, self.every = float(factor), int(every)

    def after_epoch(self, epoch: int, value: float | None) -> None:
        if epoch % self.every == 0:
            self.lr *= self.factor


class Cosine(Schedule):
    """Half a wave of the cosine from the rate at the start down to ``floor`` times it, over ``over`` epochs."""

    def __init__(self, *, over: int, floor: float = 0.0) -> None:
        if int(over) != over or over < 1:
            raise ConfigError(f"over is {over}; Cosine needs a whole number of epochs, at least 1.")
        if not 0.0 <= floor < 1.0:
            raise ConfigError(f"floor is {floor}; Cosine needs a share of the rate, at least 0 and below 1.")
        self.over, self.floor = int(over), float(floor)

    def start(self, lr: float) -> None:
        super().start(lr)
        self.full = self.lr

    def after_epoch(self, epoch: int, value: float | None) -> None:
        # The last epoch still learns: the wave reaches the floor one epoch after it.
        share = 0.5 + 0.5 * math.cos(math.pi * min(epoch / self.over, 1.0))
        self.lr = self.full * (self.floor + (1.0 - self.floor) * share)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"full": self.full}


class Plateau(Schedule):
    """Multiply the rate by ``factor`` when the validation loss has not improved for more than ``patience`` epochs.

    An improvement is a fall by more than one part in ten thousand of the best value. Training ends once the rate falls
    below ``min_lr``. The rule of PyTorch's ReduceLROnPlateau with its defaults, as Benchmarking-GNNs uses it.
    """

    threshold = 1e-4

    def __init__(self, *, factor: float = 0.5, patience: int = 10, min_lr: float = 1e-5) -> None:
        _check_factor(factor)
        if patience < 0:
            raise ConfigError(f"patience is {patience}; Plateau needs zero or more epochs.")
        self.factor, self.patience, self.min_lr = float(factor), int(patience), float(min_lr)

    def start(self, lr: float) -> None:
        super().start(lr)
        self.best: float | None = None
        self.bad_epochs = 0

    def after_epoch(self, epoch: int, value: float | None) -> None:
        if value is None or math.isnan(value):
            raise ConfigError("Plateau follows the validation loss and there is none; give a val split.")
        # |best|, so that a negative loss cannot make the bar unreachable; here they are positive.
        if self.best is None or value < self.best - self.threshold * abs(self.best):
            self.best, self.bad_epochs = float(value), 0
        else:
            self.bad_epochs += 1
        if self.bad_epochs > self.patience:
            self.lr *= self.factor
            self.bad_epochs = 0
        self.done = self.lr < self.min_lr

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"best": self.best, "bad_epochs": self.bad_epochs}


_KINDS: dict[str, type[Schedule]] = {
    "constant": Constant,
    "step": StepDecay,
    "cosine": Cosine,
    "plateau": Plateau,
}


def schedule_from_config(config: Mapping[str, Any] | None) -> Schedule:
    """Build a schedule from a recipe's table, e.g. ``{kind = "step", factor = 0.5, every = 50}``.

    Raises
    ------
    ConfigError
        Unknown kind or unknown option.
    """
    options = dict(config or {"kind": "constant"})
    kind = options.pop("kind", None)
    if kind not in _KINDS:
        raise ConfigError(f"Unknown schedule kind {kind!r}; choose one of {', '.join(_KINDS)}.")
    try:
        return _KINDS[kind](**options)
    except TypeError:
        allowed = {"constant": "none", "step": "factor, every", "cosine": "over, floor",
                   "plateau": "factor, patience, min_lr"}[kind]  # fmt: skip
        raise ConfigError(f"Schedule {kind!r} got options {sorted(options)}; allowed: {allowed}.") from None


def _check_factor(factor: float) -> None:
    if not 0.0 < factor < 1.0:
        raise ConfigError(f"factor is {factor}; a schedule multiplies the rate by a number between 0 and 1, e.g. 0.5.")
