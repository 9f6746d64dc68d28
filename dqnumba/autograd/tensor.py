"""The tape: a `Tensor` remembers how it was made, and ``backward`` walks that memory from the newest result back.

An operation computes its result with NumPy or a kernel and hands it to `record` with its parents and a function that
turns the gradient of the result into the gradients of the parents. That is all; every operation of this package, and
any of yours, is written so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import memory
from .recording import is_recording

__all__ = ["Tensor", "as_tensor", "record"]

Backward = Callable[[np.ndarray], "Sequence[np.ndarray | None]"]

_births = itertools.count()


class Tensor:
    """An array of floats that can have a gradient.

    Parameters
    ----------
    data : array_like
        float32 and float64 arrays are kept as they are, without a copy; everything else becomes float32.
    requires_grad : bool
        True for a leaf that is trained: ``backward`` then adds to its ``grad``.
    name : str
        For error messages.

    Attributes
    ----------
    data : ndarray
    grad : ndarray or None
        Filled for leaves only; the gradients of intermediate results are dropped as soon as they are used.
    spare : bool
        A recorded result of which its own gradient has no need: what is told that it is used no more may overwrite it.
    before_relu : Tensor or None
        Of the recorded result of a ReLU, its input: an operation that keeps its sign elsewhere may go on from there.
    """

    __slots__ = ("_birth", "_node", "before_relu", "data", "grad", "name", "requires_grad", "spare")
    __array_ufunc__ = None  # so that ndarray + Tensor calls Tensor.__radd__

    def __init__(self, data: Any, requires_grad: bool = False, name: str = "") -> None:
        self.data = data if _is_float_array(data) else np.asarray(data, dtype=_float_dtype(data))
        self.grad: np.ndarray | None = None
        self.requires_grad = requires_grad
        self.name = name
        self._node: _Node | None = None
        self._birth = next(_births)
        self.before_relu: Tensor | None = None
        self.spare = False

    def __reduce__(self) -> tuple:
        # A copy is a leaf born now: births order the tape, and a copied one would mix up the gradients of two tensors.
        return Tensor, (self.data, self.requires_grad, self.name)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    def __repr__(self) -> str:
        made = f", made by {self._node.operation}" if self._node else ""
        name = f" {self.name!r}" if self.name else ""
        return f"Tensor{name}(shape={self.shape}, {self.dtype}, requires_grad={self.requires_grad}{made})"

    def detach(self) -> Tensor:
        """The same values (shared memory) without a past."""
        return Tensor(self.data)

    def item(self) -> float:
        """The only element, as a Python float."""
        return float(self.data.item())

    def keep(self) -> Tensor:
        """This tensor, whose memory nothing may take over any more: it will be used again."""
        self.spare, self.before_relu = False, None
        return self

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def backward(self, grad: np.ndarray | None = None) -> None:
        """Add the gradient of this tensor, weighted by ``grad``, to ``.grad`` of every leaf that requires one.

        A result is always born after its parents, so newest first is an order in which every gradient is complete
        before it is passed on; no recursion, whatever the depth. The graph is freed on the way.

        Parameters
        ----------
        grad : ndarray of this shape, optional
            1 for a tensor of one element; required for any other.

        Raises
        ------
        RuntimeError
            No recorded past, a past that an earlier ``backward`` has freed, or a missing ``grad``.
        """
        pending = {self._birth: self._seed_gradient(grad)}
        owned: set[int] = set()  # sums made here, which nobody else holds: these may be added to in place
        order = _oldest_first(self)
        while order:  # popped, not iterated: what is behind us can be freed
            tensor = order.pop()
            gradient = pending.pop(tensor._birth, None)
            node, tensor._node = tensor._node, _FREED if tensor._node else None
            if gradient is None:
                continue
            if node is None:
                tensor.grad = gradient.copy() if tensor.grad is None else tensor.grad + gradient
                continue
            for parent, share in zip(node.parents, node.gradients(gradient), strict=True):
                if share is None or not parent.requires_grad:
                    continue
                node.check(parent, share)
                key = parent._birth
                if key not in pending:
                    pending[key] = share
                elif key in owned:
                    pending[key] += share
                else:
                    pending[key] = np.add(pending[key], share, out=memory.empty(share.shape, share.dtype))
                    owned.add(key)

    def _seed_gradient(self, grad: np.ndarray | None) -> np.ndarray:
        if not self.requires_grad:
            raise RuntimeError(
                f"backward() on {self!r}: nothing behind it requires a gradient, or it was made under no_grad(); "
                "give the parameters requires_grad=True and run the forward pass outside no_grad()"
            )
        if grad is None:
            if self.size != 1:
                raise RuntimeError(
                    f"backward() on a tensor of shape {self.shape} needs grad=, an array of that shape; "
                    "it may be left out for one element only: reduce with .mean() or .sum(), or use a loss"
                )
            return np.ones_like(self.data)
        grad = np.asarray(grad, dtype=self.dtype)
        if grad.shape != self.shape:
            raise RuntimeError(f"backward() got grad of shape {grad.shape} for a tensor of shape {self.shape}")
        return grad

    # The operators live in arithmetic.py with their gradients; here they only get their symbols.

    def __add__(self, other: Any) -> Tensor:
        return arithmetic.add(self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Tensor:
        return arithmetic.subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return arithmetic.subtract(as_tensor(other, self.dtype), self)

    def __mul__(self, other: Any) -> Tensor:
        return arithmetic.multiply(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Tensor:
        return arithmetic.divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return arithmetic.divide(as_tensor(other, self.dtype), self)

    def __neg__(self) -> Tensor:
        return arithmetic.negative(self)

    def __matmul__(self, other: Any) -> Tensor:
        return arithmetic.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return arithmetic.matmul(as_tensor(other, self.dtype), self)

    def reshape(self, *shape: Any) -> Tensor:
        return arithmetic.reshape(self, shape[0] if len(shape) == 1 else shape)

    @property
    def T(self) -> Tensor:
        return arithmetic.transpose(self)

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        return arithmetic.sum(self, axis, keepdims)

    def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        return arithmetic.mean(self, axis, keepdims)


class _Node:
    """How a tensor was made: its parents, and the function from its gradient to theirs."""

    __slots__ = ("backward", "parents")

    def __init__(self, parents: tuple[Tensor, ...], backward: Backward | None) -> None:
        self.parents = parents
        self.backward = backward

    @property
    def operation(self) -> str:
        """Name of the operation: the function in which ``backward`` was defined (``relu.<locals>.backward``)."""
        return "a freed graph" if self.backward is None else ("?.?." + self.backward.__qualname__).split(".")[-3]

    def gradients(self, grad: np.ndarray) -> Sequence[np.ndarray | None]:
        shares = self.backward(grad)
        if len(shares) != len(self.parents):
            raise RuntimeError(
                f"backward of {self.operation} returned {len(shares)} gradients for {len(self.parents)} parents; "
                "return one array or None for each, in order"
            )
        return shares

    def check(self, parent: Tensor, share: np.ndarray) -> None:
        if share.shape != parent.shape or share.dtype != parent.dtype:
            raise RuntimeError(
                f"backward of {self.operation} returned a gradient of shape {share.shape} and {share.dtype} for a "
                f"parent of shape {parent.shape} and {parent.dtype}; both must be equal"
            )


_FREED = _Node((), None)


def record(data: np.ndarray, parents: Sequence[Tensor], backward: Backward, *, spare: bool = False) -> Tensor:
    """Make the result of an operation.

    Parameters
    ----------
    data : ndarray
        The value.
    parents : sequence of Tensor
        What it was computed from.
    backward : callable
        From the gradient of the result to a sequence with the gradient of each parent (its shape and dtype) or None. It
        must not write to the array it is given, which others may hold too. It may skip a parent without
        ``requires_grad``.
    spare : bool
        ``data`` is memory of this result alone, and ``backward`` does not read it.

    Returns
    -------
    Tensor
        With a past if recording is on and a parent requires a gradient; otherwise a plain value.

    Examples
    --------
    >>> def square(x):
    ...     def backward(grad):
    ...         return (2 * x.data * grad,)
    ...     return record(x.data ** 2, (x,), backward)
    >>> x = Tensor([3.0], requires_grad=True)
    >>> square(x).backward()
    >>> float(x.grad[0])
    6.0
    """
    out = Tensor(data)
    if is_recording() and any(parent.requires_grad for parent in parents):
        out.requires_grad = True
        out._node = _Node(tuple(parents), backward)
        out.spare = spare
    return out


def as_tensor(value: Any, dtype: np.dtype | None = None) -> Tensor:
    """``value`` itself if it is a Tensor, else a constant of ``dtype``: a number never widens the tensor it meets."""
    if isinstance(value, Tensor):
        return value
    return Tensor(np.asarray(value, dtype=dtype if dtype is not None else _float_dtype(value)))


def _oldest_first(root: Tensor) -> list[Tensor]:
    """Every tensor on which ``root`` depends and that requires a gradient, in the order of birth."""
    found = {root._birth: root}
    stack = [root]
    while stack:
        tensor = stack.pop()
        if tensor._node is _FREED:
            raise RuntimeError(
                "backward() a second time through the same graph: the first call freed it; run the forward pass again, "
                "or add the losses and call backward() once"
            )
        for parent in tensor._node.parents if tensor._node else ():
            if parent.requires_grad and parent._birth not in found:
                found[parent._birth] = parent
                stack.append(parent)
    return [found[birth] for birth in sorted(found)]


def _is_float_array(data: Any) -> bool:
    return isinstance(data, np.ndarray) and data.dtype in (np.float32, np.float64)


def _float_dtype(data: Any) -> type:
    return np.float64 if getattr(data, "dtype", None) == np.float64 else np.float32


from . import arithmetic  # noqa: E402  last, since arithmetic needs Tensor and record
