"""Which layers a PyG state dict holds, read from the names and shapes of its tensors.

Names are those of PyG 2.0 to the current release: ``lin.weight`` of GCNConv (``weight`` before 2.0), ``att_src`` and
``att_dst`` of GATConv with ``lin.weight`` (``lin_src.weight`` and ``lin_dst.weight`` until 2.4), ``nn`` and ``eps`` of
GINConv, ``lin_l`` and ``lin_r`` of SAGEConv, ``running_mean`` of a batch normalization (inside PyG's own BatchNorm
under ``module``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import ConfigError, DataError
from .foreign_file import Tensors

__all__ = ["Layout", "at", "find_layers", "left_over", "linear_prefixes", "natural", "norm_prefixes"]

# Parts of names, and what stands behind them: what these layers do has no counterpart here.
_FOREIGN = {
    "att": "GATv2Conv", "att_l": "GATConv before PyG 2.0", "lin_rel": "GraphConv", "lin_root": "GraphConv",
    "lin_key": "TransformerConv", "lin_edge": "edge features (edge_dim)", "att_edge": "edge features (edge_dim)",
    "res": "a GATConv with residual=True", "jk": "a JumpingKnowledge", "mean_scale": "a GraphNorm",
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Prefixes of the layers in the order of execution, and the kind of the convolutions."""

    kind: str
    convs: tuple[str, ...]
    norms: tuple[str, ...]
    linears: tuple[str, ...]


def at(prefix: str, leaf: str) -> str:
    """Name of ``leaf`` in the module ``prefix``, which is empty for the outermost one."""
    return f"{prefix}.{leaf}" if prefix else leaf


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sorting key under which ``conv10`` comes after ``conv2``."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", name)]


def find_layers(tensors: Tensors, order: Sequence[str] | None) -> Layout:
    """The layers of a state dict.

    Parameters
    ----------
    tensors : Tensors
    order : sequence of str or None
        Names of the convolutions in the order of execution; None sorts them by the number in their name.

    Raises
    ------
    DataError
        No convolution that is known here, or of several kinds.
    ConfigError
        The order cannot be read from the names, or ``order`` names others.
    """
    kinds = _convolutions(tensors)
    if not kinds:
        foreign = [what for name in tensors.arrays for part, what in _FOREIGN.items() if part in name.split(".")]
        known = "GCNConv, GATConv, GINConv and SAGEConv"
        seems = f"It seems to hold {foreign[0]}." if foreign else _shown(tensors.arrays)
        raise DataError(f"{tensors.source}: no convolution was found; {known} are read. {seems}")
    if len(set(kinds.values())) > 1:
        (first, a), (second, b) = next(
            (x, y) for x in kinds.items() for y in kinds.items() if x[1] != y[1]
        )  # fmt: skip
        raise DataError(f"{tensors.source}: {first} is a {a} convolution and {second} a {b} one; one kind is needed.")
    convs = _ordered(list(kinds), order)
    inside = tuple(at(prefix, "") for prefix in convs)
    others = [name for name in tensors.arrays if not name.startswith(inside)]
    norms = norm_prefixes(others)
    linears = linear_prefixes(tensors, others)
    return Layout(next(iter(kinds.values())), convs, norms, linears)


def norm_prefixes(names: Iterable[str]) -> tuple[str, ...]:
    """Prefixes of the batch normalizations among ``names``, sorted."""
    ends = (".running_mean", ".running_var")
    found = {name.removesuffix(end) for name in names for end in ends if name.endswith(end)}
    return tuple(sorted(found, key=natural))


def linear_prefixes(tensors: Tensors, names: Iterable[str], *, inside: str = "") -> tuple[str, ...]:
    """Prefixes of the linear layers among ``names``, which are relative to the module ``inside``, sorted.

    One whose weight is missing still has a bias, and is found by that.
    """
    names = set(names)
    weights = {name.removesuffix(".weight") for name in names if name.endswith(".weight")}
    matrices = {p for p in weights if tensors.arrays[at(inside, f"{p}.weight")].ndim == 2}
    biases = {name.removesuffix(".bias") for name in names if name.endswith(".bias")}
    return tuple(sorted(matrices | (biases - weights - set(norm_prefixes(names))), key=natural))


def left_over(tensors: Tensors) -> None:
    """Raise DataError if a tensor was not taken, with its name and, where it is known, what it belongs to."""
    if not tensors.left:
        return
    name = sorted(tensors.left, key=natural)[0]
    foreign = [what for part, what in _FOREIGN.items() if part in name.split(".")]
    reason = f" It belongs to {foreign[0]}, which dqnumba has not." if foreign else ""
    if not foreign and name.endswith((".weight", ".bias")) and tensors.arrays[name].ndim == 1:
        reason = " A normalization without running statistics (LayerNorm, InstanceNorm, GraphNorm) cannot be read."
    more = f" and {len(tensors.left) - 1} more are" if len(tensors.left) > 1 else " is"
    raise DataError(f"{tensors.source}: tensor {name!r}{more} left over: no layer of the model takes it.{reason}")


def _convolutions(tensors: Tensors) -> dict[str, str]:
    """Prefix -> kind of all convolutions."""
    found: dict[str, str] = {}

    def parts(owner: str) -> set[str]:
        head = at(owner, "")
        return {name.removeprefix(head).partition(".")[0] for name in tensors.arrays if name.startswith(head)}

    for name, array in tensors.arrays.items():
        prefix, _, leaf = name.rpartition(".")
        owner, _, part = prefix.rpartition(".")
        if ".nn." in name:
            found[name.partition(".nn.")[0]] = "GIN"
        elif leaf in ("att_src", "att_dst"):
            found[prefix] = "GAT"
        elif part in ("lin_l", "lin_r") and leaf == "weight":
            if not parts(owner) & _FOREIGN.keys():
                found[owner] = "GraphSAGE"
        elif part == "lin" and leaf == "weight" and ("bias" in parts(owner) or _named_as_conv(owner)):
            if not parts(owner) & {"att_src", "att_dst", "lin_l", "lin_r", *_FOREIGN}:
                found[owner] = "GCN"
        elif leaf == "bias" or (leaf == "weight" and array.ndim == 2):
            if _named_as_conv(prefix) and not parts(prefix) & _FOREIGN.keys():
                found.setdefault(prefix, "GCN")
    return {prefix: kind for prefix, kind in found.items() if not _inside(prefix, found)}


def _named_as_conv(prefix: str) -> bool:
    """Whether a module is called a convolution: ``conv1``, ``convs.0``, ``gcn2``; only the last word counts."""
    words = [word for word in prefix.split(".") if not word.isdigit()]
    return bool(words) and re.search(r"conv|gcn", words[-1], re.IGNORECASE) is not None


def _inside(prefix: str, found: dict[str, str]) -> bool:
    return any(prefix != other and prefix.startswith(at(other, "")) for other in found)


def _ordered(prefixes: list[str], order: Sequence[str] | None) -> tuple[str, ...]:
    if order is not None:
        if sorted(order) != sorted(prefixes):
            raise ConfigError(
                f"order={list(order)} must name every convolution once; the file has "
                f"{', '.join(sorted(prefixes, key=natural))}."
            )
        return tuple(order)
    stems = {re.sub(r"\d+", "#", prefix) for prefix in prefixes}
    if len(stems) > 1:
        raise ConfigError(
            f"The order of the convolutions {', '.join(sorted(prefixes, key=natural))} cannot be read from their "
            "names; give it with order=[...] (--order A,B,...)."
        )
    return tuple(sorted(prefixes, key=natural))


def _shown(names: dict) -> str:
    return f"The tensors are {', '.join(sorted(names, key=natural)[:6])}{', ...' if len(names) > 6 else ''}."
