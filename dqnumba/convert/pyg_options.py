"""What the shapes of a state dict do not say, as options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ConfigError
from ..nn.options import probability

__all__ = ["ImportOptions"]


@dataclass(frozen=True)
class ImportOptions:
    """How a PyG model was built, where its tensors do not tell.

    Attributes
    ----------
    readout : None, "sum", "mean" or "max"
        Pooling of a graph task; None for a node task.
    act : str
        The activation between layers. Only ``"relu"`` can run on integers here.
    act_first : bool
        Activation before normalization (PyG's name); False is PyG's default.
    bias : bool
        False if the layers were built with ``bias=False``: biases that are absent are zero then.
    concat : bool or None
        Whether the last GATConv of several heads puts them side by side; asked for only where no bias tells.
    order : sequence of str or None
        Convolutions in the order of execution, where their names have no common pattern with a number.
    norm_eps : float
        The eps of the batch normalizations.
    dropout, attention_dropout, head_dropout
        For training on; without effect on predictions.
    """

    readout: str | None = None
    act: str = "relu"
    act_first: bool = False
    bias: bool = True
    concat: bool | None = None
    order: Sequence[str] | None = None
    norm_eps: float = 1e-5
    dropout: float = 0.0
    attention_dropout: float | None = None
    head_dropout: float | None = None

    def __post_init__(self) -> None:
        if self.act != "relu":
            raise ConfigError(
                f"act={self.act!r}: the models of dqnumba have ReLUs between their layers, and so has the integer "
                "program. Train the model with act='relu'."
            )
        if self.readout not in (None, "sum", "mean", "max"):
            raise ConfigError(f'readout={self.readout!r} is not known; use None, "sum", "mean" or "max".')
        for name, allowed in (("act_first", (True, False)), ("bias", (True, False)), ("concat", (True, False, None))):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name}={getattr(self, name)!r}; use one of {', '.join(map(str, allowed))}.")
        if isinstance(self.order, str):
            raise ConfigError(f"order={self.order!r} is one text; give a list of the names of the convolutions.")
        if isinstance(self.norm_eps, bool) or not isinstance(self.norm_eps, float | int) or not 0 < self.norm_eps < 1:
            raise ConfigError(f"norm_eps={self.norm_eps!r}; it must be a number between 0 and 1, such as 1e-5.")
        for name in ("dropout", "attention_dropout", "head_dropout"):
            if getattr(self, name) is not None:
                probability("load_pyg", name, getattr(self, name))
