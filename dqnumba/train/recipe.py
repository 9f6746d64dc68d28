"""Recipes: every hyper-parameter of a data set and model in one TOML file, ``recipes/<dataset>_<model>.toml``.

A recipe has a ``[model]`` table (arguments of the model class), a ``[train]`` table (arguments of ``fit``), an optional
``[quant]`` table (overrides of the preset's fields), and tables of exceptions::

    [method.dq]             # for one method
    [method.dq.bits4]       # for one method at one bit width
    [method.dq.paper]       # for one method and site layout; again with .bits4 below
    lr = 0.001              # keys of [model] and [train] stand side by side here
    quant = {momentum = 0.05}

The narrower table wins. ``ptq`` trains as ``fp32`` does, so it takes ``[method.fp32]`` first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import ConfigError, DataError
from ..formats import Malformed, read_bytes
from .recipe_schema import METHODS, MODEL_KEYS, MODELS, TRAIN_KEYS, check_flat, parse_toml

__all__ = ["METHODS", "MODELS", "Recipe", "load_recipe", "parse_recipe", "read_recipe", "recipe_names"]

_MOST_BYTES = 1 << 16  # of a recipe; the longest shipped one has 2 kB


@dataclass(frozen=True)
class Recipe:
    """The hyper-parameters of one run.

    Attributes
    ----------
    model, train, quant : dict
        Arguments of the model class, of ``fit``, and fields of the quantization preset. In ``train`` two keys are not
        arguments of ``fit``: ``fold`` (the fold that a data set without a fixed split is run on unless told) and
        ``calibration`` (how many training items post-training quantization looks at; all without it).
    exceptions : dict
        The ``[method...]`` tables, applied by :meth:`resolve`.
    name : str
        File name without suffix.
    """

    model: dict[str, Any]
    train: dict[str, Any]
    quant: dict[str, Any] = field(default_factory=dict)
    exceptions: dict[str, Any] = field(default_factory=dict)
    name: str = ""

    def resolve(self, method: str, bits: int, sites: str) -> Recipe:
        """The recipe of one method, width and layout: exceptions applied, none left."""
        merged = Recipe(dict(self.model), dict(self.train), dict(self.quant), {}, self.name)
        for name in ("fp32", "ptq") if method == "ptq" else (method,):
            table = self.exceptions.get(name, {})
            layout = table.get(sites, {})
            for part in (table, table.get(f"bits{bits}", {}), layout, layout.get(f"bits{bits}", {})):
                merged._apply(part)
        return merged

    def with_overrides(self, overrides: Mapping[str, Any]) -> Recipe:
        """A copy with keys of ``[model]`` and ``[train]`` (and a dict ``quant``) replaced; None leaves a value.

        A cosine schedule that does not say over how many epochs it falls then falls over all of them.

        Raises
        ------
        ConfigError
            A key that no recipe has.
        """
        given = {key: value for key, value in overrides.items() if value is not None}
        check_flat(given, "overrides")
        merged = Recipe(dict(self.model), dict(self.train), dict(self.quant), self.exceptions, self.name)
        merged._apply(given)
        schedule = merged.train.get("schedule", {})
        if schedule.get("kind") == "cosine" and "over" not in schedule and "epochs" in merged.train:
            merged.train["schedule"] = schedule | {"over": merged.train["epochs"]}
        return merged

    def merged_with(self, other: Recipe) -> Recipe:
        """This recipe with everything that ``other`` (a user's ``--config``) says put over it, exceptions included."""
        return Recipe(
            self.model | other.model,
            self.train | other.train,
            self.quant | other.quant,
            _merge(self.exceptions, other.exceptions),
            other.name,
        )

    def _apply(self, table: Mapping[str, Any]) -> None:
        for key, value in table.items():
            if key in MODEL_KEYS:
                self.model[key] = value
            elif key in TRAIN_KEYS:
                self.train[key] = value
            elif key == "quant":
                self.quant.update(value)


def recipe_names() -> list[str]:
    """Names of the recipes that ship with dqnumba."""
    folder = resources.files(__package__) / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_recipe(model: str, dataset: str | None = None, *, many_graphs: bool = False) -> Recipe:
    """The shipped recipe of a data set and model; where there is none, the generic one of the model.

    Parameters
    ----------
    model : {"gcn", "gat", "gin", "sage"}
    dataset : str, optional
        Name of a registered data set; None for a graph of the user's own.
    many_graphs : bool
        Which generic recipe to fall back to: predictions per graph instead of per node.

    Raises
    ------
    ConfigError
        Unknown model.
    """
    if model not in MODELS:
        raise ConfigError(f"Unknown model {model!r}; choose one of {', '.join(MODELS)}.")
    folder = resources.files(__package__) / "recipes"
    fallback = f"generic_graphs_{model}" if many_graphs else f"generic_{model}"
    for name in ([f"{dataset}_{model}"] if dataset else []) + [fallback]:
        file = folder / f"{name}.toml"
        if file.is_file():
            return parse_recipe(file.read_text(encoding="utf-8"), name)
    raise ConfigError(f"No recipe {fallback!r} is installed; reinstall dqnumba, its files are incomplete.")


def read_recipe(path: str | Path) -> Recipe:
    """A recipe of the user's own (``--config FILE.toml``); tables may be absent.

    Raises
    ------
    DataError
        No such file.
    ConfigError
        Not TOML, or unknown keys.
    """
    path = Path(path)
    try:
        text = read_bytes(path, _MOST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"Cannot read the recipe {path}: {error.strerror}; give a TOML file.") from None
    except Malformed as error:
        raise DataError(f"Cannot read the recipe {path}: {error}; give a TOML file.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"The recipe {path} is not UTF-8 text; give a TOML file.") from None
    return parse_recipe(text, str(path))


def parse_recipe(text: str, name: str) -> Recipe:
    """A recipe from its TOML text; ConfigError as :func:`~dqnumba.train.recipe_schema.parse_toml` says."""
    return Recipe(**parse_toml(text, name), name=name)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping) and key != "schedule"
        merged[key] = _merge(merged[key], value) if both else value
    return merged
