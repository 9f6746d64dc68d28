"""A program on one graph as phases of vector kernels, with one workspace: what the ``dot`` backend runs."""

from .plan import Plan
from .template import Templates, plan_bytes
from .units import Unplanned

__all__ = ["Plan", "Templates", "Unplanned", "plan_bytes"]
