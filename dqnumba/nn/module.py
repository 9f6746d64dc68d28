"""Modules: named parameters, buffers and children, and the hook through which quantization enters.

A layer passes every value that an integer machine would round through :meth:`Module.site`. On a float model the hook
is the identity; ``dqnumba.prepare`` fills it. Layers therefore know nothing about quantization.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd import Tensor
from ..errors import ConfigError

__all__ = ["Context", "Module", "glorot"]


@dataclass
class Context:
    """What one forward pass carries along.

    Attributes
    ----------
    graph : Graph
        The graph, or the disjoint union of a batch of graphs.
    training : bool
        Batch statistics, dropout, range updates and the degree mask are active.
    rng : numpy.random.Generator or None
        Source of all randomness of this pass; needed where ``training`` is True.
    protected : ndarray of bool, shape (num_nodes,), or None
        True where Degree-Quant keeps a node in full precision during this pass (paper, algorithm 1).
    observe : bool
        Quantizers update their ranges from what passes.
    rounding : bool
        False while quantizers only look on (a delay before quantization).
    fresh_mask : callable or None
        Draws another mask, for models whose layers do not share one.
    """

    graph: Any
    training: bool = False
    rng: np.random.Generator | None = None
    protected: NDArray[np.bool_] | None = None
    observe: bool = False
    rounding: bool = True
    fresh_mask: Callable[[], NDArray[np.bool_]] | None = None

    def next_layer(self) -> None:
        """Called before each convolution: draws the mask anew where every layer is to have its own."""
        if self.fresh_mask is not None:
            self.protected = self.fresh_mask()


class Module:
    """Base of all layers and models.

    Attributes that are a :class:`Tensor` with ``requires_grad`` are parameters, names listed in ``buffer_names`` are
    buffers, attributes that are modules (or lists of modules) are children. ``hooks`` maps the name of a site to what
    is done there.
    """

    buffer_names: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.hooks: dict[str, Callable] = {}

    def site(self, name: str, x: Any, ctx: Context, rows: str | None = None) -> Any:
        """Pass ``x`` through the place called ``name``: the identity unless ``prepare`` put a quantizer there.

        Go on with what this gives and not with ``x``, whose memory a quantizer may take over in a training pass.

        ``rows`` says what a row of ``x`` stands for: ``"node"``, ``"edge"`` (masked by its source node), ``"source"``
        or ``"source_without_loops"`` (a node's row which stands for all messages that it sends, along all edges or
        along those to other nodes), or None where no mask applies (weights, pooled graphs).
        """
        hook = self.hooks.get(name)
        return x if hook is None else hook(x, ctx, rows)

    def children(self) -> Iterator[tuple[str, Module]]:
        """Direct children with their names; a list ``convs`` gives ``conv1``, ``conv2``, ..."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, list) and value and all(isinstance(v, Module) for v in value):
                stem = name[:-1] if name.endswith("s") else name
                for i, child in enumerate(value, start=1):
                    yield f"{stem}{i}", child

    def modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, depth first, with dotted names."""
        yield prefix, self
        for name, child in self.children():
            yield from child.modules(f"{prefix}.{name}" if prefix else name)

    def parameters(self) -> dict[str, Tensor]:
        """Trainable tensors by dotted name, in a fixed order."""
        found = {}
        for prefix, module in self.modules():
            for name, value in vars(module).items():
                if isinstance(value, Tensor) and value.requires_grad:
                    found[f"{prefix}.{name}" if prefix else name] = value
        return found

    def buffers(self) -> dict[str, NDArray]:
        """Arrays that are state but not trained (running statistics, ranges) by dotted name."""
        found = {}
        for prefix, module in self.modules():
            for name in module.buffer_names:
                found[f"{prefix}.{name}" if prefix else name] = getattr(module, name)
        return found

    def state_dict(self) -> dict[str, NDArray]:
        """Copies of all parameters and buffers by dotted name."""
        state = {name: tensor.data.copy() for name, tensor in self.parameters().items()}
        state.update((name, array.copy()) for name, array in self.buffers().items())
        return state

    def load_state_dict(self, state: dict[str, NDArray]) -> None:
        """Take over all arrays of ``state``; names and shapes must be those of :meth:`state_dict`.

        Raises
        ------
        ConfigError
            If a name is missing or unknown, or a shape differs. Nothing is changed then.
        """
        own = {name: tensor.data for name, tensor in self.parameters().items()} | self.buffers()
        missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or unknown:
            raise ConfigError(
                f"The state does not fit this model: missing {missing[:3] or 'nothing'}, "
                f"unknown {unknown[:3] or 'nothing'}. "
                "Build the model with the configuration that the state was saved with."
            )
        for name, array in own.items():
            if array.shape != np.shape(state[name]):
                raise ConfigError(
                    f"The state's {name} has shape {np.shape(state[name])}, the model's has {array.shape}. "
                    "Build the model with the configuration that the state was saved with."
                )
        for name, array in own.items():
            array[...] = state[name]


def glorot(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Glorot-uniform values, float32: U(-a, a) with a = sqrt(6 / (rows + columns)) over the last two axes."""
    bound = np.sqrt(6.0 / (shape[-2] + shape[-1]))
    return rng.uniform(-bound, bound, shape).astype(np.float32)
