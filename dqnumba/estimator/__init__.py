"""Degree-Quant for people of scikit-learn habits; scikit-learn itself is not needed."""

from __future__ import annotations

from .classifier import DegreeQuantClassifier

__all__ = ["DegreeQuantClassifier"]
