"""Adam with coupled L2 weight decay."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError
from ..kernels.adam import adam_step

if TYPE_CHECKING:
    from ..autograd import Tensor

__all__ = ["Adam"]


class Adam:
    """Adam (Kingma and Ba, ICLR 2015, algorithm 1), in the form that GNN recipes are written for.

    With ``g`` the gradient plus ``weight_decay`` times the parameter (coupled L2, not AdamW)::

        m = beta1 m + (1 - beta1) g
        v = beta2 v + (1 - beta2) g^2
        p = p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)

    ``eps`` is added after the bias correction of the root, as PyTorch does; a learning rate tuned there means the
    same here.

    Parameters
    ----------
    parameters : mapping of str to Tensor
        Updated in place. One without a gradient is left alone, decay included.
    lr : float
        Learning rate; may be set between steps.
    betas, eps, weight_decay : floats
        As above.
    undecayed : collection of str
        Parameters that ``weight_decay`` does not reach.

    Raises
    ------
    ConfigError
        A hyper-parameter out of range.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        *,
        lr: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        undecayed: Collection[str] = (),
    ) -> None:
        if not (math.isfinite(lr) and lr > 0):
            raise ConfigError(f"lr is {lr}; it must be a positive number, for example 0.01.")
        if not (math.isfinite(weight_decay) and weight_decay >= 0):
            raise ConfigError(f"weight_decay is {weight_decay}; it must be zero or positive, for example 5e-4.")
        if not all(0.0 < beta < 1.0 for beta in betas):
            raise ConfigError(f"betas are {betas}; both must lie between 0 and 1 (usual: 0.9, 0.999).")
        if not eps > 0:
            raise ConfigError(f"eps is {eps}; it must be positive (usual: 1e-8).")
        self.parameters = dict(parameters)
        self.lr = float(lr)
        self.betas = (float(betas[0]), float(betas[1]))
        self.eps = float(eps)
        self.weight_decay = float(weight_decay)
        self.undecayed = frozenset(undecayed)
        self.step_count = 0
        self.mean = {name: np.zeros_like(p.data, order="C") for name, p in self.parameters.items()}
        self.square = {name: np.zeros_like(p.data, order="C") for name, p in self.parameters.items()}

    def zero_grad(self) -> None:
        """Forget the gradients of the last step."""
        for parameter in self.parameters.values():
            parameter.zero_grad()

    def step(self) -> None:
        """Apply the gradients that the parameters hold."""
        self.step_count += 1
        beta1, beta2 = self.betas
        step_size = self.lr / (1.0 - beta1**self.step_count)
        correction = math.sqrt(1.0 - beta2**self.step_count)
        for name, parameter in self.parameters.items():
            if parameter.grad is None:
                continue
            if not parameter.data.flags.c_contiguous:  # a reshaped copy would swallow the update
                parameter.data = np.ascontiguousarray(parameter.data)
            kind = parameter.data.dtype.type
            adam_step(
                parameter.data.reshape(-1),
                np.ascontiguousarray(parameter.grad, dtype=kind).reshape(-1),
                self.mean[name].reshape(-1),
                self.square[name].reshape(-1),
                kind(beta1),
                kind(1.0 - beta1),
                kind(beta2),
                kind(1.0 - beta2),
                kind(step_size),
                kind(correction),
                kind(self.eps),
                kind(0.0 if name in self.undecayed else self.weight_decay),
            )

    def state_dict(self) -> dict[str, np.ndarray]:
        """Moments as ``mean/<name>`` and ``square/<name>``, and ``step``; copies."""
        state = {"step": np.array(self.step_count, dtype=np.int64)}
        state |= {f"mean/{name}": array.copy() for name, array in self.mean.items()}
        state |= {f"square/{name}": array.copy() for name, array in self.square.items()}
        return state

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what :meth:`state_dict` gave.

        Raises
        ------
        ConfigError
            The state belongs to other parameters.
        """
        for prefix, target in (("mean/", self.mean), ("square/", self.square)):
            for name, array in target.items():
                given = state.get(prefix + name)
                if given is None or given.shape != array.shape:
                    found = "missing" if given is None else f"of shape {given.shape}"
                    raise ConfigError(
                        f"The optimizer state of {name!r} is {found}, expected shape {array.shape}: "
                        "it belongs to another model; resume with the model it was saved with."
                    )
                array[...] = given
        step = state.get("step")
        if step is None or step.size != 1 or step.dtype.kind not in "iu" or not 0 <= int(step) < 1 << 53:
            raise ConfigError("The optimizer state has no number of steps; resume with the file that the run wrote.")
        self.step_count = int(step)
