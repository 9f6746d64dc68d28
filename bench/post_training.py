"""Post-training quantization of trained models: accuracy of the integer programs against the float models.

python -m bench.post_training                        # Cora and CiteSeer, our four models and PyG's GCN, seeds 0 to 2
python -m bench.post_training --datasets cora --models gin --seeds 1

Ours are trained with their recipes (``dqnumba train --method fp32``), PyG's GCN by
``tests/convert/golden/make_trained.py``, where torch and PyG are installed. Trained models are kept in ``--work``.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numba

import dqnumba as dq
from dqnumba.qat import quantize_trained
from dqnumba.train.experiment import run_experiment
from dqnumba.train.initial import load_float
from dqnumba.train.settings import RunSettings
from dqnumba.train.source import Source

from . import machine, report
from .accuracy import tables

__all__ = ["COLUMNS", "main", "measure", "table"]

NAME = "post_training"
ROOT = Path(__file__).parents[1]
MODELS = ("pyg-gcn", "gcn", "gat", "gin", "sage")
#: Heading -> bits and the choices of ``quantize_trained`` that are not its defaults.
COLUMNS: dict[str, dict[str, Any]] = {
    "8 bits, default": {"bits": 8},
    "8 bits, `mse`": {"bits": 8, "ranges": "mse"},
    "4 bits, default": {"bits": 4},
    "4 bits, without bias correction": {"bits": 4, "bias_correction": False},
    "4 bits, `mse`": {"bits": 4, "ranges": "mse"},
    "4 bits, `--weights mse`": {"bits": 4, "weights": "mse"},
}


#: Of PyG's models only: Degree-Quant for some epochs from their weights on.
TUNED = {f"4 bits, 20 epochs of `dq` on, lr {lr}": {"epochs": 20, "lr": lr} for lr in (0.001, 0.01)}


def trained(dataset: str, model: str, seed: int, work: Path, graph: Any) -> Path:
    """File of the float model, which is trained unless it is in ``work``."""
    stem = work / f"{dataset}_{model}_{seed}"
    if model == "pyg-gcn":
        path = stem.with_suffix(".safetensors")
        if not path.exists():
            script = ROOT / "tests" / "convert" / "golden" / "make_trained.py"
            subprocess.run([sys.executable, str(script), dataset, str(path), str(seed)], check=True, stdout=sys.stderr)
        return path
    path = stem.with_suffix(".train.safetensors")
    if not path.exists():
        settings = RunSettings(Source(dataset=dataset, seed=seed), model=model, method="fp32", seed=seed)
        run_experiment(settings, data=graph, out=stem.with_suffix(".safetensors"))
    return path


def measure(path: Path, graph: Any) -> dict[str, float]:
    """Test accuracy of the float model and of its integer program for each column, in percent."""
    model = load_float(path)
    found = {"float": 100 * dq.evaluate(model, graph)["accuracy"]}
    for name, choices in COLUMNS.items():
        program = dq.convert(quantize_trained(model, graph, **choices))
        found[name] = 100 * dq.evaluate(program, graph)["accuracy"]
    return found


def tune(path: Path, dataset: str, seed: int, graph: Any) -> dict[str, float]:
    """Test accuracy of integer programs that Degree-Quant made from these weights, in percent."""
    found = {}
    for name, numbers in TUNED.items():
        settings = RunSettings(Source(dataset=dataset, seed=seed), model="gcn", method="dq", bits=4, seed=seed,
                               init=str(path), overrides=numbers)  # fmt: skip
        found[name] = 100 * dq.evaluate(run_experiment(settings, data=graph).integer_model, graph)["accuracy"]
    return found


def table(content: dict[str, Any], folder: Path) -> str:
    """A row a model: means over the seeds; beside them Degree-Quant at 4 bits, of the records of ``bench.accuracy``.

    Below, of PyG's models, Degree-Quant from their weights on.
    """
    first, *others = COLUMNS
    head = ["", "float", first, "worst seed against float", *others, "4 bits, `dq`"]
    by_cell, _ = tables.collect(folder)
    rows, tuned = [], []
    for name, cell in content.get("cells", {}).items():
        means = {key: f"{statistics.fmean(values):.2f}" for key, values in cell.items()}
        worst = min(q - f for q, f in zip(cell[first], cell["float"], strict=True))
        dataset, model = name.split()
        records = [r for r in by_cell.get(f"{dataset}/{model}/dq/4/fused", []) if r["seed"] < len(cell["float"])]
        dq4 = f"{100 * statistics.fmean(r['test_integer'] for r in records):.2f}" if records else None
        rows.append([name, means["float"], means[first], f"{worst:+.1f}", *(means[key] for key in others), dq4])
        if model == "pyg-gcn":
            tuned.append([name, means["4 bits, default"], *(means[key] for key in TUNED)])
    both = [report.markdown(head, rows)]
    if tuned:
        both.append(report.markdown(["", "4 bits, default", *TUNED], tuned))
    return "\n\n".join(both)


def main(argv: Sequence[str] | None = None) -> int:
    """Run; exit code 1 if an 8-bit program of the defaults loses more than a point against its float model."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{NAME}", description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", nargs="+", default=["cora", "citeseer"], metavar="NAME", help="node tasks")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="NAME", help=str(MODELS))
    parser.add_argument("--seeds", type=int, default=3, help="0 to one less than this (default: 3)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="trained models are kept there (default: nowhere)")
    parser.add_argument("--results", type=Path, default=report.RESULTS, metavar="DIR", help="folder of the results")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout and nothing else")
    args = parser.parse_args(argv)
    path = args.results / f"{NAME}.json"
    content = report.load(path) or {"cells": {}}
    with tempfile.TemporaryDirectory() as passing:
        work = args.work or Path(passing)
        work.mkdir(parents=True, exist_ok=True)
        for dataset in args.datasets:
            graph = dq.data.load(dataset)
            for model in args.models:
                if model == "pyg-gcn" and importlib.util.find_spec("torch_geometric") is None:
                    report.progress("pyg-gcn: left out, torch_geometric is not installed")
                    continue
                runs = []
                for seed in range(args.seeds):
                    path_of_model = trained(dataset, model, seed, work, graph)
                    runs.append(measure(path_of_model, graph))
                    if model == "pyg-gcn":
                        runs[-1] |= tune(path_of_model, dataset, seed, graph)
                cell = content["cells"][f"{dataset} {model}"] = {key: [run[key] for run in runs] for key in runs[0]}
                means = ", ".join(f"{key} {statistics.fmean(values):.2f}" for key, values in cell.items())
                report.progress(f"{dataset} {model}: {means}")
                content["machine"] = machine.describe(numba.get_num_threads())
                report.save(path, content)
    report.finish(args, NAME, content, table(content, args.results / "accuracy"))
    lost = [name for name, cell in content["cells"].items()
            if statistics.fmean(cell["8 bits, default"]) < statistics.fmean(cell["float"]) - 1]  # fmt: skip
    for name in lost:
        report.progress(f"{name}: 8 bits lose more than a point")
    return int(bool(lost))


if __name__ == "__main__":
    raise SystemExit(main())
