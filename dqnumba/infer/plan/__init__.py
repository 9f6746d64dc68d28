"""A program on one graph as phases of vector kernels, with one workspace: what the ``dot`` backend runs."""

from .plan import Plan, plan_bytes
from .units import Unplanned

__all__ = ["Plan", "Unplanned", "plan_bytes"]
