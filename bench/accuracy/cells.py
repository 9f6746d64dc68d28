"""Cells and runs: their names, their settings, and the variants of the ablation.

A cell is named ``dataset/model/method[/bits[/sites[/variant]]][@epochs]``::

    cora/gcn/fp32                                    no bits, no sites
    cora/gcn/dq/8                                    the fused layout
    citeseer/gin/dq/4/paper                          the paper's
    cora/gcn/dq/w4a8                                 weights of 4 bits, activations of 8
    reddit_binary/gin/dq/4/paper/nomask-ste-ema@60   a variant, 60 epochs in place of the recipe's

A run is a cell with a seed, and with a fold where the data set has no split of its own.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any

from dqnumba.data.registry import registry
from dqnumba.errors import ConfigError
from dqnumba.train.settings import RunSettings
from dqnumba.train.source import Source

__all__ = ["ALIASES", "VARIANTS", "Cell", "Run", "has_folds", "parse_cell"]

ALIASES = {"reddit": "reddit_binary", "zinc": "zinc12k"}
FOLDS = 10
_GRADIENTS = {"ste": "ste", "clip": "clip"}

#: Variants of the ablation: the mask (on or off) x the gradient rule x the range rule.
VARIANTS = tuple(
    "-".join(parts) for parts in itertools.product(("mask", "nomask"), _GRADIENTS, ("minmax", "ema", "percentile"))
)


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes
    ----------
    dataset, model, method : str
    bits : str
        ``"8"``, ``"4"``, ``"w4a8"``; ``"32"`` for ``fp32``.
    sites : str or None
        None for ``fp32``.
    variant : str or None
        One of ``VARIANTS``.
    epochs : int or None
        In place of the recipe's number.
    """

    dataset: str
    model: str
    method: str
    bits: str = "32"
    sites: str | None = None
    variant: str | None = None
    epochs: int | None = None

    @property
    def name(self) -> str:
        parts = [self.dataset, self.model, self.method]
        if self.method != "fp32":
            parts += [self.bits, self.sites]
        return "/".join(parts + ([self.variant] if self.variant else [])) + (f"@{self.epochs}" if self.epochs else "")

    @property
    def short(self) -> str:
        """Data set, model, method and bits: what published numbers are filed under."""
        return "/".join(self.name.split("@")[0].split("/")[:4])

    @property
    def widths(self) -> tuple[int, int]:
        """Bits of weights and activations."""
        mixed = re.fullmatch(r"w(\d+)a(\d+)", self.bits)
        return (int(mixed[1]), int(mixed[2])) if mixed else (int(self.bits), int(self.bits))

    def settings(self, seed: int, fold: int | None) -> RunSettings:
        """The options of one run; everything else comes from the recipe."""
        overrides: dict[str, Any] = {"epochs": self.epochs} if self.epochs else {}
        if self.variant:
            overrides["quant"] = variant_options(self.variant, self.sites)
        weights, activations = self.widths
        mixed = self.bits.startswith("w")
        return RunSettings(
            Source(dataset=self.dataset, fold=fold), model=self.model, method=self.method, seed=seed,
            bits=8 if self.method == "fp32" else activations, weight_bits=weights if mixed else None,
            activation_bits=activations if mixed else None, sites=self.sites or "fused", overrides=overrides,
        )  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One run of a cell."""

    cell: Cell
    seed: int = 0
    fold: int | None = None

    @property
    def name(self) -> str:
        """Where its record stands, relative to the folder of records, without suffix."""
        dataset, model, *rest = self.cell.name.replace("@", "/e").split("/")
        where = f"seed{self.seed}" if self.fold is None else f"fold{self.fold}-seed{self.seed}"
        return f"{dataset}/{model}/{'-'.join(rest)}/{where}"

    def __str__(self) -> str:
        return f"{self.cell.name} seed {self.seed}" + ("" if self.fold is None else f" fold {self.fold}")

    def settings(self) -> RunSettings:
        return self.cell.settings(self.seed, self.fold)


def variant_options(variant: str, sites: str | None) -> dict[str, Any]:
    """Fields of the quantization preset ``dq`` that a variant replaces.

    In the paper's layout the weights follow the range rule too, and ``clip`` is the official code's, which cuts the end
    codes as well.
    """
    mask, gradient, rule = variant.split("-")
    options: dict[str, Any] = {"range_rule": rule, "gradient": gradient}
    if sites == "paper":
        options["weight_range"] = rule
        options["gradient"] = "clip_inclusive" if gradient == "clip" else gradient
    if mask == "nomask":
        options |= {"mask_low": None, "mask_high": None}
    return options


def has_folds(dataset: str) -> bool:
    """Whether the data set has no split of its own and is run by folds."""
    return registry().get(dataset, {}).get("format") in ("gin", "tu")


def parse_cell(text: str) -> Cell:
    """Read a cell's name.

    Raises
    ------
    ConfigError
        The text names no cell.
    """
    head, at, epochs = text.partition("@")
    parts = head.split("/")
    if not 3 <= len(parts) <= 6 or (at and not (epochs.isdigit() and int(epochs) > 0)):
        raise ConfigError(f"{text!r} names no cell; write dataset/model/method/bits[/sites[/variant]][@epochs].")
    parts[0] = ALIASES.get(parts[0], parts[0])
    if parts[0] not in ("synthetic", *registry()):
        raise ConfigError(f"Unknown data set {parts[0]!r}; choose one of synthetic, {', '.join(registry())}.")
    number = int(epochs) if at else None
    if parts[2] == "fp32":
        if len(parts) > 4 or parts[3:] not in ([], ["32"]):
            raise ConfigError(f"{text!r}: fp32 has 32 bits and no sites; write {'/'.join(parts[:3])}.")
        cell = Cell(*parts[:3], epochs=number)
    else:
        bits, sites, variant = (*parts[3:], *[None] * (6 - len(parts)))
        if not re.fullmatch(r"[2-8]|w[2-8]a[2-8]", bits or ""):
            raise ConfigError(f"{text!r}: the bits are 2 to 8, or w4a8 for weights of 4 and activations of 8.")
        if sites not in (None, "fused", "paper"):
            raise ConfigError(f"{text!r}: unknown sites {sites!r}; choose fused or paper.")
        if variant is not None and (variant not in VARIANTS or parts[2] != "dq"):
            raise ConfigError(f"{text!r}: unknown variant {variant!r} of {parts[2]}; dq has {', '.join(VARIANTS)}.")
        cell = Cell(*parts[:3], bits, sites or "fused", variant, number)
    cell.settings(0, None)  # a wrong model or method is told here
    return cell
