"""The integer model: a program with methods to run, save, load and show it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..graph import Graph
from .backend import choose_backend
from .bound import BoundModel
from .check import check_program
from .file import encode_program, read_program, write_program
from .program import Program

if TYPE_CHECKING:
    from .estimate import Estimate
    from .plan import Templates

__all__ = ["IntegerModel", "load"]


class IntegerModel:
    """A converted model; integers inside, floats only at entry and exit.

    Parameters
    ----------
    program : Program

    Examples
    --------
    ``logits = imodel(graph)``, or for repeated calls on one graph ``bound = imodel.bind(graph)`` and ``bound()``.
    """

    def __init__(self, program: Program) -> None:
        self.program = check_program(program)
        self._templates: Templates | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_templates": None}  # which hold addresses

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the output channels, where the file keeps them."""
        names = self.program.meta.get("class_names")
        return None if names is None else tuple(names)

    def with_class_names(self, names: Sequence[str] | None) -> IntegerModel:
        """The same model with a name for each output channel, which its file will keep; None changes nothing.

        Raises
        ------
        ModelFormatError
            If there is not one name, a text, for each channel.
        """
        if names is None:
            return self
        return IntegerModel(replace(self.program, meta=self.program.meta | {"class_names": list(names)}))

    def bind(self, graph: Graph, *, backend: str | None = None) -> BoundModel:
        """Make all tables and buffers for ``graph`` once; the result is called without arguments, or with other
        features.

        Raises
        ------
        GraphError
            If the graph does not fit the model.
        OverflowRiskError
            If a sum could leave even the exact wide path on this graph.
        MemoryRiskError
            If tables and buffers do not fit into the memory that is free.
        """
        return self._bind(graph, backend, once=False)

    def _bind(self, graph: Graph, backend: str | None, *, once: bool) -> BoundModel:
        kernels = choose_backend(backend)
        if self._templates is None and kernels.__name__.endswith("dot.functions"):
            from .plan import Templates

            self._templates = Templates(self.program)
        return BoundModel(self.program, graph, kernels, self._templates, once=once)

    def estimate(self, graph: Graph, *, backend: str | None = None) -> Estimate:
        """What :meth:`bind` and a call would take on ``graph``: memory, and how far each sum can reach.

        Raises
        ------
        GraphError, OverflowRiskError
            As :meth:`bind`, which besides refuses a graph that does not fit into the memory that is free.
        """
        from .estimate import estimate

        return estimate(self.program, graph, backend)

    def __call__(self, graph: Graph, *, backend: str | None = None) -> NDArray[np.float32]:
        """Logits of ``graph``: float32, (num_nodes, out_channels) or (num_graphs, out_channels)."""
        return self._bind(graph, backend, once=True)()

    @property
    def nbytes(self) -> int:
        """Bytes of the program's constants."""
        return self.program.nbytes

    def save(self, path: str | os.PathLike) -> int:
        """Write the model to ``path`` (safetensors), whole or not at all; returns the number of bytes."""
        from .. import __version__

        return write_program(self.program, path, version=__version__)

    def to_bytes(self) -> bytes:
        """The content of the file that :meth:`save` writes."""
        from .. import __version__

        return encode_program(self.program, version=__version__)

    def to_dict(self) -> dict[str, Any]:
        """The program as JSON types, constants by name, dtype, shape and bytes."""
        return self.program.to_dict() | {"nbytes": self.nbytes}

    def describe(self) -> str:
        """The program as text: each step with shapes, scale, zero point, multiplier, shift and bytes."""
        from .describe import describe

        return describe(self.program)


def load(path: str | os.PathLike) -> IntegerModel:
    """Load a model that :meth:`IntegerModel.save` wrote; nothing in the file is executed.

    Raises
    ------
    ModelFormatError
        If the file is missing, foreign, of a newer format, or damaged.
    """
    return IntegerModel(read_program(path))
