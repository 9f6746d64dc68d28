"""One change to a JSON value: another number or text, a part gone, twice, or in another place."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

__all__ = ["change_json"]

_NUMBERS = (
    0, 1, -1, 2, 3, 7, 62, 63, 64, 127, 128, -129, 255, 65535, 65536, 2**31 - 1, 2**31, -(2**31), 2**40, 2**62, 10**30,
)  # fmt: skip
_VALUES = (
    *_NUMBERS, 0.5, 1e300, 1e-300, -1.0, -0.0, True, False, None, "", "x", "gcn", "gcn2", "mean", "pool_mean", "node",
    "edge", "graph", "keep", "add", "remove", "q", "m", "r", "GAT", "GIN", "batch", "F64", "BOOL", "I8", "BF16",
    "fused", "paper", [], [1], [[]], {}, [0, 0], {"": 0},
)  # fmt: skip
_OPERATIONS = (
    "quantize", "lookup", "matmul", "neighbor_sum", "add_self", "columns", "concat", "requantize", "edge_norm",
    "edge_product", "edge_sum", "edge_logits", "edge_softmax", "weighted_neighbor_sum", "head_sum", "add", "pool_sum",
    "pool_max", "dequantize",
)  # fmt: skip


def change_json(value: Any, rng: random.Random) -> Any:
    """A changed copy of a value."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = list(_places(value))
        if not places:
            return rng.choice(_VALUES)
        parent, key = rng.choice(places)
        _change(parent, key, rng, [parent[key] for parent, key in places])
    return value


def _change(parent: Any, key: Any, rng: random.Random, others: list[Any]) -> None:
    choice, old = rng.random(), parent[key]
    if choice < 0.35 and type(old) in (int, float):
        parent[key] = rng.choice((old + 1, old - 1, -old, old * 2, type(old)(0), *_NUMBERS))
    elif choice < 0.55:
        parent[key] = copy.deepcopy(rng.choice(_VALUES))
    elif choice < 0.75:
        parent[key] = copy.deepcopy(rng.choice(others))
    elif choice < 0.85:
        del parent[key]
    elif isinstance(parent, list):
        parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(old))
    elif isinstance(old, str):
        parent[key] = rng.choice((*_OPERATIONS, old + "x", old[:-1]))
    else:
        parent[rng.choice(("x", "", str(key) + "x", *map(str, parent)))] = copy.deepcopy(old)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every part of a value, as where it is."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])
