"""Named lists of runs, in the order in which they are worth having."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .cells import FOLDS, VARIANTS, Run, has_folds, parse_cell

__all__ = ["PLANS", "cell_runs", "plan_runs"]

_MODELS = ("gcn", "gat", "gin")
_ABLATION = [
    f"{mask}{rest}" for rest in sorted({v.partition("-")[2] for v in VARIANTS}) for mask in ("mask-", "nomask-")
]
_BASELINES = [f"{method}/{bits}/paper" for method in ("qat", "nqat") for bits in (8, 4)]
_CITATION = ["fp32", "dq/8", "dq/4", "dq-plus/4", "dq/8/paper", "dq/4/paper", *_BASELINES]

_Stage = tuple[list[str], Sequence[int]]


def _cells(dataset: str, models: Iterable[str], kinds: Iterable[str]) -> list[str]:
    kinds = list(kinds)
    return [f"{dataset}/{model}/{kind}" for model in models for kind in kinds]


def _citation(dataset: str) -> list[_Stage]:
    return [(_cells(dataset, _MODELS, _CITATION), range(10))]


#: Plan -> stages, each a list of cells with the seeds (or folds) that all of them get. Within a stage every cell has
#: its first seed before any has its second: a plan that is stopped leaves a table with few seeds, not one with holes.
PLANS: dict[str, list[_Stage]] = {
    "cora": _citation("cora"),
    "citeseer": _citation("citeseer"),
    "reddit": [
        (_cells("reddit_binary", ["gin"], ["dq/8", "dq/4", "dq-plus/4"]), range(FOLDS)),
        (_cells("reddit_binary", ["gin"], ["fp32", "qat/8/paper", "qat/4/paper"]), range(3)),
    ],
    "zinc": [
        (_cells("zinc12k", ["gin", "gcn", "gat"], ["dq/8", "dq/4", "fp32", "dq-plus/4"]), [0]),
        (_cells("zinc12k", ["gin", "gcn"], ["dq/8", "dq/4", "fp32"]), [1]),
    ],
    "mnist": [([*_cells("mnist", ["gin", "gcn"], ["dq/8", "dq/4", "fp32"]), "mnist/gat/dq/8"], [0])],
    "cifar10": [(_cells("cifar10", ["gcn"], ["fp32", "dq/8"]), [0])],
    "ablation-cora": [
        (_cells("cora", ["gin", "gcn"], [f"dq/4/paper/{v}" for v in _ABLATION]), range(10)),
        (_cells("cora", ["gin", "gcn"], [f"dq/8/paper/{v}" for v in _ABLATION]), range(10)),
    ],
    "ablation-reddit": [
        (_cells("reddit_binary", ["gin"], [f"dq/4/paper/{v}@60" for v in _ABLATION]), [0]),
        (_cells("reddit_binary", ["gin"], [f"dq/8/paper/{v}@60" for v in _ABLATION]), [0]),
    ],
    # Not in the paper.
    "sage": [
        (
            [c for d in ("cora", "citeseer") for c in _cells(d, ["sage"], ["fp32", "dq/8", "dq/4", "dq-plus/4"])],
            range(10),
        )
    ],
    # For the figures over bits and over bytes; 4 and 8 bits stand in the tables.
    "bits-cora": [
        (
            _cells("cora", _MODELS, [f"{m}/{b}" for m in ("dq", "dq-plus", "qat") for b in ("2", "3", "4", "6", "8")])
            + _cells("cora", _MODELS, ["dq/w4a8", "dq-plus/w4a8"]),
            range(5),
        )
    ],
    # Plain QAT in the fused layout, where weights have a scale a channel.
    "fused-baselines": [
        (
            [c for d in ("cora", "citeseer") for c in _cells(d, _MODELS, ["qat/8", "qat/4", "nqat/8", "nqat/4"])],
            range(10),
        )
    ],
}


def plan_runs(name: str) -> list[Run]:
    """Every run of a plan, in order."""
    return [
        _run(cell, number)
        for cells, numbers in PLANS[name]
        for number in numbers
        for cell in cells
    ]  # fmt: skip


def cell_runs(text: str, seeds: Sequence[int] | None, folds: Sequence[int] | None) -> list[Run]:
    """The runs of one cell: the given seeds, on each of the given folds where the data set has some.

    Without ``seeds``, ten on one graph and one on data sets of many; without ``folds``, all of them.
    """
    cell = parse_cell(text)
    if not has_folds(cell.dataset):
        if folds is not None:
            raise ValueError(f"{cell.dataset} has a split of its own and no folds; leave --folds out.")
        many = cell.dataset in ("zinc12k", "mnist", "cifar10")
        return [Run(cell, seed) for seed in (seeds if seeds is not None else range(1 if many else 10))]
    return [
        Run(cell, seed, fold)
        for seed in (seeds if seeds is not None else [0])
        for fold in (folds if folds is not None else range(FOLDS))
    ]


def _run(text: str, number: int) -> Run:
    cell = parse_cell(text)
    return Run(cell, 0, number) if has_folds(cell.dataset) else Run(cell, number)
