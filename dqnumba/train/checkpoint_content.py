"""What the text of a train file must hold: right types, a random state that NumPy takes, widths that its tensors bear
out.

The checksum of a train file tells damage, not intent. So every part is checked before anything is built of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..formats import Malformed
from .recipe_schema import check_flat

__all__ = ["SECTIONS", "check_content", "check_fits"]

SECTIONS = ("last", "best", "optimizer", "model")
_MOST_LAYERS = 1 << 12


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_rank(value: Any) -> bool:
    return value is None or (isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)))


def _is_history(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict) and all(v is None or _is_number(v) for v in entry.values()) for entry in value
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 53


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _is_dict_or_none(value: Any) -> bool:
    return value is None or isinstance(value, dict)


_PARTS: dict[str, Callable[[Any], bool]] = {
    "model_config": _is_dict, "quant_config": _is_dict_or_none, "settings": _is_dict, "recipe": _is_dict,
    "record": _is_dict_or_none, "state": _is_dict,
}  # fmt: skip
_STATE: dict[str, Callable[[Any], bool]] = {
    "epoch": _is_count, "schedule": _is_dict, "rng": _is_dict, "history": _is_history,
    "seconds": lambda value: isinstance(value, list) and all(map(_is_number, value)),
    "best_epoch": _is_count, "best_value": lambda value: value is None or _is_number(value), "best_rank": _is_rank,
}  # fmt: skip
_RECIPE = {"model", "train", "quant"}


def check_content(content: Mapping[str, Any]) -> None:
    """Raise Malformed unless every part is there, of its type, and nothing else beside it in the state."""
    for parts, values in ((_PARTS, content), (_STATE, content.get("state"))):
        for name, fits in parts.items():
            if not isinstance(values, dict) or name not in values or not fits(values[name]):
                raise Malformed(f"{name} is missing or of another type")
    state, recipe = content["state"], content["recipe"]
    if set(state) != set(_STATE) or set(recipe) != _RECIPE or not all(map(_is_dict, recipe.values())):
        raise Malformed("the state or the recipe has other parts than it should")
    if not all(v is None or isinstance(v, bool) or _is_number(v) for v in state["schedule"].values()):
        raise Malformed("schedule holds something that is no number")
    try:
        check_flat(recipe["model"] | recipe["train"], "of the run")
    except ConfigError as error:
        raise Malformed(str(error)) from None
    try:
        np.random.default_rng(0).bit_generator.state = state["rng"]
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError) as error:
        raise Malformed(f"rng is no state of a generator ({error})") from None


def check_fits(config: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Raise Malformed where a model of ``config`` would have larger matrices than the file holds: memory is taken for
    a model before its weights are compared with those of the file.
    """
    held = sum(array.size for array in state.values())
    layers = config.get("num_layers", 2)
    if type(layers) is not int or layers > min(_MOST_LAYERS, len(state)):
        raise Malformed(f"a model of {layers!r} layers does not belong to {len(state)} tensors")
    for rows, columns in _matrices(config, layers):
        if any(type(n) is int and n > held for n in (rows, columns)) or (
            type(rows) is type(columns) is int and rows * columns > held
        ):
            raise Malformed(f"a model with a matrix of {rows} x {columns} does not belong to {held} stored numbers")


def _matrices(config: Mapping[str, Any], layers: int) -> Iterator[tuple[Any, Any]]:
    """Rows and columns of the matrices of a model; what is no number is refused when the model is built."""
    hidden, outputs, readout = config.get("hidden_channels"), config.get("out_channels"), config.get("readout")
    own = config.get("layers")
    own = own if isinstance(own, list) and len(own) == layers and all(map(_is_dict, own)) else [{}] * max(layers, 0)
    width = config.get("in_channels")
    if config.get("embedding"):
        yield width, hidden
        yield config.get("embedding"), hidden
        width = hidden
    for layer, options in enumerate(own):
        last = layer == layers - 1 and readout is None
        out = options.get("channels", outputs if last else hidden)
        middle = options.get("mlp", hidden) if config.get("kind") == "GIN" else out
        heads = options.get("heads", config.get("heads", 1)) if config.get("kind") == "GAT" else 1
        concat = options.get("concat", not last)
        yield from itertools.pairwise((width, middle, out) if config.get("kind") == "GIN" else (width, out))
        if not concat and type(heads) is type(out) is int:
            yield width, heads * out
        else:
            yield heads, 1
        width = out
    if readout is not None:
        yield width, hidden
        yield hidden, outputs
