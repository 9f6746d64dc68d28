"""Training: optimizer, schedules, the loop, evaluation, recipes, checkpoints and whole runs."""

from __future__ import annotations

from .evaluate import evaluate, predict
from .loop import EpochEnd, fit
from .metrics import accuracy, mae
from .optimizer import Adam
from .schedule import Constant, Cosine, Plateau, Schedule, StepDecay
from .state import FitResult, TrainingState

__all__ = [
    "Adam",
    "Constant",
    "Cosine",
    "EpochEnd",
    "FitResult",
    "Plateau",
    "Schedule",
    "StepDecay",
    "TrainingState",
    "accuracy",
    "evaluate",
    "fit",
    "mae",
    "predict",
]
