"""The options of one run, and the recipe that fills in what they leave open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import ConfigError, DQError
from .recipe import METHODS, MODELS, Recipe, load_recipe, read_recipe
from .source import Source

__all__ = ["QUANTIZED_WHILE_TRAINING", "RunSettings"]

QUANTIZED_WHILE_TRAINING = ("qat", "nqat", "dq", "dq-plus")


@dataclass(frozen=True)
class RunSettings:
    """The options of one run; what is None comes from the recipe.

    Attributes
    ----------
    source : Source
        Data, split, fold, limit.
    model : {"gcn", "gat", "gin", "sage"}
    method : {"fp32", "ptq", "qat", "nqat", "dq", "dq-plus"}
    bits : int
        Of weights and activations; ``weight_bits`` and ``activation_bits`` override one of them.
    sites : {"fused", "paper"}
    seed : int
        Initial weights, dropout, masks, order of the batches.
    overrides : dict
        Keys of the recipe's tables (``lr``, ``epochs``, ``hidden_channels``, ...) with the values to use instead.
    config : str or None
        A TOML file that is laid over the recipe.
    init : str or None
        A file whose float weights, and widths, the run starts from; see :func:`~dqnumba.train.initial.load_float`.
    """

    source: Source
    model: str = "gcn"
    method: str = "dq"
    bits: int = 8
    weight_bits: int | None = None
    activation_bits: int | None = None
    sites: str = "fused"
    seed: int = 0
    overrides: Mapping[str, Any] = field(default_factory=dict)
    config: str | None = None
    init: str | None = None

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ConfigError(f"Unknown model {self.model!r}; choose one of {', '.join(MODELS)}.")
        if self.method not in METHODS:
            raise ConfigError(f"Unknown method {self.method!r}; choose one of {', '.join(METHODS)}.")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, as it stands in a train file."""
        return asdict(self) | {"overrides": dict(self.overrides)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunSettings:
        """The inverse of :meth:`to_dict`; ConfigError where the values, of a file perhaps, are no settings."""
        try:
            source = values["source"]
            texts = [source.get(name) for name in ("dataset", "graph", "split", "nodes", "features")]
            texts += [values.get(name) for name in ("model", "method", "sites", "config", "init")]
            numbers = [source.get(name) for name in ("seed", "fold", "limit", "directed", "unweighted")]
            numbers += [values.get(name) for name in ("seed", "bits", "weight_bits", "activation_bits")]
            if not all(text is None or isinstance(text, str) for text in texts):
                raise TypeError("a name is no text")
            if not all(number is None or isinstance(number, int) for number in numbers):
                raise TypeError("a number is none")
            return cls(**{**values, "source": Source(**source), "overrides": dict(values.get("overrides", {}))})
        except DQError:
            raise
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise ConfigError(f"The settings of this run cannot be read ({error!r}); train again.") from None

    def recipe(self, *, many_graphs: bool) -> Recipe:
        """The recipe with ``config``, exceptions and overrides applied."""
        recipe = load_recipe(self.model, self.source.dataset, many_graphs=many_graphs)
        if self.config is not None:
            recipe = recipe.merged_with(read_recipe(self.config))
        return recipe.resolve(self.method, self.bits, self.sites).with_overrides(self.overrides)
