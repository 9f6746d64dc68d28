"""The schema of a recipe file: which tables and keys it may have, and of which type."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError

__all__ = ["METHODS", "MODELS", "MODEL_KEYS", "SITES", "TRAIN_KEYS", "check_flat", "parse_toml"]

METHODS = ("fp32", "ptq", "qat", "nqat", "dq", "dq-plus")
MODELS = ("gcn", "gat", "gin", "sage")
SITES = ("fused", "paper")

_MOST_DOTS = 256  # tomllib takes memory and time by the square of the parts of a key

MODEL_KEYS = {
    "hidden_channels": int,
    "num_layers": int,
    "dropout": float,
    "heads": int,
    "norm": str,
    "residual": bool,
    "readout": str,
    "attention_dropout": float,
    "head_dropout": float,
}
TRAIN_KEYS = {
    "epochs": int,
    "lr": float,
    "weight_decay": float,
    "batch_size": int,
    "schedule": dict,
    "patience": int,
    "selected_by": str,
    "fold": int,
    "calibration": int,
}


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """Read the TOML text of a recipe and check every key and type in it.

    Returns
    -------
    dict
        ``model``, ``train``, ``quant`` and ``exceptions`` (the ``[method...]`` tables).

    Raises
    ------
    ConfigError
        Not TOML, an unknown key, or a value of the wrong type.
    """
    if max((line.count(".") for line in text.splitlines()), default=0) > _MOST_DOTS:
        raise ConfigError(f"The recipe {name} has a line with more than {_MOST_DOTS} dots; no key has so many parts.")
    try:
        content = tomllib.loads(text)
    except ValueError as error:  # of an integer of thousands of digits as well
        raise ConfigError(f"The recipe {name} is not valid TOML: {error}.") from None
    except RecursionError:
        raise ConfigError(f"The recipe {name} is not valid TOML for us: it is nested too deeply.") from None
    unknown = sorted(set(content) - {"model", "train", "quant", "method"})
    if unknown:
        raise ConfigError(f"The recipe {name} has unknown tables {unknown}; allowed: model, train, quant, method.")
    model, train = content.get("model", {}), content.get("train", {})
    _check_keys(model, MODEL_KEYS, f"{name}, [model]")
    _check_keys(train, TRAIN_KEYS, f"{name}, [train]")
    quant, exceptions = content.get("quant", {}), content.get("method", {})
    _check_table(quant, f"{name}, [quant]")
    _check_table(exceptions, f"{name}, [method]")
    unknown = sorted(set(exceptions) - set(METHODS))
    if unknown:
        raise ConfigError(f"The recipe {name} names unknown methods {unknown}; allowed: {', '.join(METHODS)}.")
    for method, table in exceptions.items():
        _check_exceptions(table, f"{name}, [method.{method}]", SITES)
    return {"model": model, "train": train, "quant": quant, "exceptions": exceptions}


def _check_exceptions(table: Mapping[str, Any], where: str, layouts: tuple[str, ...]) -> None:
    _check_table(table, where)
    flat = {}
    for key, value in table.items():
        if key in layouts:
            _check_exceptions(value, f"{where[:-1]}.{key}]", ())
        elif key.startswith("bits") and key[4:].isdigit():
            check_flat(value, f"{where[:-1]}.{key}]")
        else:
            flat[key] = value
    check_flat(flat, where)


def check_flat(table: Mapping[str, Any], where: str) -> None:
    _check_keys(table, MODEL_KEYS | TRAIN_KEYS | {"quant": dict}, where)


def _check_keys(table: Mapping[str, Any], allowed: Mapping[str, type], where: str) -> None:
    _check_table(table, where)
    for key, value in table.items():
        if key not in allowed:
            raise ConfigError(f"The recipe {where}: unknown key {key!r}; allowed: {', '.join(sorted(allowed))}.")
        wanted = allowed[key]
        fits = isinstance(value, (int, float) if wanted is float else wanted)
        if not fits or (isinstance(value, bool) and wanted is not bool):
            raise ConfigError(f"The recipe {where}: {key} must be of type {wanted.__name__}, {value!r} was given.")


def _check_table(table: Any, where: str) -> None:
    if not isinstance(table, Mapping):
        raise ConfigError(f"The recipe {where}: a table is needed, {table!r} was given.")
