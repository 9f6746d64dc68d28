"""Whole models on whole graphs: integer programs against PyTorch Geometric and against our own float program.

    python -m bench.models                                # the default set, about four minutes
    python -m bench.models --workloads arxiv --models gcn # a part; its cells replace those of the result file

Timed is a bound graph: float features in memory in, float logits into a given array out, for everybody. A program is
checked before it is timed, and the command fails (exit 1) where a check does not hold:

* integer: the same predictions as the fake-quantized float model on at least 99.5 % of the nodes; the same bits as
  another backend; and predictions of the plain float model on at least the share that ``LEAST_FLOAT_AGREEMENT`` says
  (the weights are random and the ranges post-training, so this only tells a working program from a broken one);
* own float program and PyG: largest deviation from the float model below 1e-3 of its largest output.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import dqnumba as dq

from . import goals, machine, peers, report
from .timing import interleave, ratio
from .workloads import DEFAULT, MODELS, WORKLOADS, build_model

__all__ = ["main", "measure", "table"]

LEAST_AGREEMENT = 0.995
LEAST_FLOAT_AGREEMENT = {8: 0.75, 4: 0.35}
LARGEST_DEVIATION = 1e-3
CONTENDERS = ("int8", "int4", "float", "pyg")


def measure(
    name: str, kind: str, *, bits: tuple[int, ...] = (8,), backend: str | None = None, repeats: int = 15,
    budget: float = 8.0, workload: Any = None,
) -> dict[str, Any]:  # fmt: skip
    """One cell: all contenders of model ``kind`` on workload ``name``, checked, then timed in turns."""
    workload = WORKLOADS[name]() if workload is None else workload
    graph, model = workload.graph, build_model(kind, workload)
    with dq.autograd.no_grad():
        expected = model(graph).data
    shape = {"nodes": graph.num_nodes, "edges": graph.num_edges, "widths": list(workload.widths)}
    runs: dict[str, Callable[[], Any]] = {}
    cell: dict[str, Any] = {"workload": name, "model": kind, **shape, "contenders": {}, "failures": []}
    facts = cell["contenders"]
    for width in bits:
        runs[f"int{width}"], facts[f"int{width}"] = _integer(model, graph, expected, width, backend)
    runs["float"], facts["float"] = _float(model, graph, expected)
    runs["pyg"], facts["pyg"] = _pyg(model, graph, expected)
    cell["failures"] = [f"{who}: {what}" for who, fact in facts.items() for what in fact.pop("failures", ())]
    timed = interleave({who: run for who, run in runs.items() if run is not None}, repeats=repeats, budget=budget)
    for who, times in timed.items():
        facts[who] |= times
    cell["speedup"] = {
        "int8_vs_pyg": ratio(facts["pyg"], facts.get("int8")),
        "int8_vs_float": ratio(facts["float"], facts.get("int8")),
        "int4_vs_int8": ratio(facts.get("int8"), facts.get("int4")),
        "float_vs_pyg": ratio(facts["pyg"], facts["float"]),
    }  # fmt: skip
    if "workspace_bytes" in facts["float"] and "int8" in facts:
        cell["workspace_int8_to_float"] = facts["int8"]["workspace_bytes"] / facts["float"]["workspace_bytes"]
    return cell


def _integer(model: Any, graph: Any, expected: Any, bits: int, backend: str | None) -> tuple[Any, dict[str, Any]]:
    """The bound integer program and what is known of it."""
    qmodel = dq.calibrate(dq.prepare(model, dq.QuantConfig.ptq(bits)), graph)
    bound = dq.convert(qmodel).bind(graph, backend=backend)
    out = np.zeros_like(expected)
    bound(out=out)
    with dq.autograd.no_grad():
        fake = qmodel(graph).data
    agreement = float((out.argmax(1) == fake.argmax(1)).mean())
    with_float = float((out.argmax(1) == expected.argmax(1)).mean())
    name = bound.backend
    other = "numba" if name == "dot" else "reference" if graph.num_edges < 100_000 else None
    failures = []
    if agreement < LEAST_AGREEMENT:
        failures.append(f"agrees with fake quantization on {agreement:.4f} of the nodes, not {LEAST_AGREEMENT}")
    if with_float < LEAST_FLOAT_AGREEMENT.get(bits, 0.0):
        failures.append(f"agrees with the float model on {with_float:.3f} of the nodes")
    if other and not np.array_equal(dq.infer.IntegerModel(bound.program).bind(graph, backend=other)(), out):
        failures.append(f"other bits than the {other} backend")
    return lambda: bound(out=out), {
        "backend": name, "reason": bound.reason, "same_bits_as": other, "agreement_fake_quant": agreement,
        "agreement_float": with_float, "workspace_bytes": workspace_bytes(bound), "program_bytes": bound.program.nbytes,
        "failures": failures,
    }  # fmt: skip


def workspace_bytes(bound: Any) -> int:
    """Bytes of all buffers between input and output: what the program says, or the sum over its registers."""
    known = getattr(bound, "workspace_bytes", None) or getattr(getattr(bound, "_plan", None), "workspace_bytes", None)
    if known is not None:
        return int(known)
    owners = {}
    for register in bound.binding.registers.values():
        array = register.array
        while isinstance(array.base, np.ndarray):
            array = array.base
        owners[id(array)] = array.nbytes
    return sum(owners.values())


def _float(model: Any, graph: Any, expected: Any) -> tuple[Any, dict[str, Any]]:
    from .float_program import FloatProgram

    program, out = FloatProgram.of_model(model, graph), np.zeros_like(expected)
    program(out)
    error = float(np.abs(out - expected).max() / np.abs(expected).max())
    failures = [] if error < LARGEST_DEVIATION else [f"deviates from the float model by {error:.2g}"]
    fact = {"error": error, "workspace_bytes": program.workspace_bytes, "passes": program.describe()}
    return lambda: program(out), fact | {"failures": failures}


def _pyg(model: Any, graph: Any, expected: Any) -> tuple[Any, dict[str, Any]]:
    if peers.pyg_or_none() is None:
        return None, machine.absent("torch_geometric")
    found = peers.pyg_forward(model, graph, expected)
    run = found.pop("run", None)
    return run, found | {"failures": [] if run is None else _wrong_paths(found["errors"], found["other_function"])}


def _wrong_paths(errors: dict[str, float], other_function: list[str]) -> list[str]:
    """What is wrong with PyG's paths: each has to agree with the float model, but for those that are known to compute
    something else; and one of them has to be there to agree."""
    same = {path: error for path, error in errors.items() if path not in other_function}
    wrong = [
        f"{path} deviates from the float model by {error:.2g}"
        for path, error in same.items() if not error < LARGEST_DEVIATION
    ]  # fmt: skip
    return wrong if same else [f"no path computes what the float model does ({', '.join(other_function)} does not)"]


def table(content: dict[str, Any]) -> str:
    """Markdown: a row a cell."""
    rows = []
    for cell in content["cells"].values():
        facts, speed = cell["contenders"], cell["speedup"]
        row = [f"{cell['workload']} {cell['model']}"]
        for who in CONTENDERS:
            fact = facts.get(who, {})
            spread = f" ({report.number(fact['q1_ms'])} - {report.number(fact['q3_ms'])})" if "q1_ms" in fact else ""
            row.append(report.number(fact.get("median_ms")) + spread if "median_ms" in fact else None)
        row += [report.number(speed.get(key), "x") for key in ("int8_vs_pyg", "int8_vs_float", "int4_vs_int8")]
        row += [report.number(speed.get("float_vs_pyg"), "x"), report.number(cell.get("workspace_int8_to_float"))]
        rows.append([*row, goals.of_model(cell)])
    head = ["ms: median (quartiles)", "INT8", "INT4", "own float", "PyG", "INT8 against PyG", "against own float"]
    head += ["INT4 against INT8", "own float against PyG", "workspace INT8 / float", "goals"]
    return report.markdown(head, rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.models", description=__doc__.splitlines()[0])
    report.add_options(parser)
    parser.add_argument("--workloads", nargs="+", choices=tuple(WORKLOADS), default=DEFAULT, metavar="NAME",
                        help=f"of {', '.join(WORKLOADS)} (default: all but reddit)")  # fmt: skip
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, metavar="NAME", help=", ".join(MODELS))
    parser.add_argument("--bits", nargs="+", type=int, choices=(4, 8),
                        help="widths of the integer programs (default: 8, and 4 for GCN)")  # fmt: skip
    parser.add_argument("--backend", metavar="NAME", help="kernels of the integer programs (default: the library's)")
    parser.add_argument("--huge-pages", action="store_true",
                        help="have malloc ask for huge pages (glibc, Linux), which PyG gains from")  # fmt: skip
    args = parser.parse_args()
    if args.huge_pages:
        _with_huge_pages()
    machine.keep_freed_memory()
    threads = machine.set_threads(args.threads)
    name_of_result = "models_huge_pages" if args.huge_pages else "models"
    path = args.results / f"{name_of_result}.json"
    content = report.load(path)
    content.setdefault("cells", {})
    content["machine"], failed = machine.describe(threads), False
    repeats, budget = (3, 1.0) if args.quick else (15, 6.0)
    for name in args.workloads:
        workload = WORKLOADS[name]()
        for kind in args.models:
            started, load = time.perf_counter(), machine.describe(threads)["load_average"]
            bits = tuple(args.bits or ((8, 4) if kind == "gcn" else (8,)))
            cell = measure(
                name, kind, bits=bits, backend=args.backend, repeats=repeats, budget=budget, workload=workload
            )
            when = {"time": content["machine"]["time"], "load_average": load, "threads": threads, "quick": args.quick}
            content["cells"][f"{name} {kind}"] = cell | when
            content["cells"] = dict(sorted(content["cells"].items(), key=_order))
            report.save(path, content)
            shown = {who: report.number(fact.get("median_ms"), " ms") for who, fact in cell["contenders"].items()}
            report.progress(f"{name} {kind}: {shown} ({time.perf_counter() - started:.0f} s)")
            for failure in cell["failures"]:
                report.progress(f"  CHECK FAILED: {failure}")
            failed |= bool(cell["failures"])
    content["machine"]["threading_layer"] = machine.describe(threads)["threading_layer"]
    report.save(path, content)
    report.finish(args, name_of_result, content, table(content))
    return 1 if failed else 0


def _with_huge_pages() -> None:
    """Start this command again under glibc's tunable; it is read once, when a process starts."""
    tunable = "glibc.malloc.hugetlb=1"
    if tunable not in os.environ.get("GLIBC_TUNABLES", ""):
        os.environ["GLIBC_TUNABLES"] = tunable
        os.execv(sys.executable, [sys.executable, "-m", "bench.models", *sys.argv[1:]])


def _order(item: tuple[str, Any]) -> tuple[int, int]:
    name, kind = item[0].split(" ")
    return list(WORKLOADS).index(name), MODELS.index(kind)


if __name__ == "__main__":
    raise SystemExit(main())
