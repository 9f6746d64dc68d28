"""Single kernels against their peers and against the limits of the machine, measured in the same run.

    python -m bench.kernels                   # all, about three minutes
    python -m bench.kernels --only product    # a part: limits, product, sum, requantize, attention

Products are given as a share of the int8 peak (dot instructions out of registers, AMX tiles out of L1), neighbour sums
as a share of the rate at which this machine reads random lines out of a table of that size, twice: of uniformly drawn
rows, and of the graph's own rows in their order, whose hubs stay in the cache.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from . import goals, kernel_cases, limits, machine, report
from .timing import interleave, ratio
from .workloads import WORKLOADS, power_law

__all__ = ["main", "product_table", "run_case", "sum_table"]

SHAPES = ((170_016, 128, 128), (3840, 3840, 3840), (19_776, 500, 64), (2712, 1432, 64))
PARTS = ("product", "sum", "requantize", "attention")


def run_case(case: Any, *, repeats: int, budget: float) -> dict[str, Any]:
    """Times of a case's contenders, and what is known of it."""
    found = case.facts | {"name": case.name, "failures": case.failures, "absent": case.absent}
    found["contenders"] = interleave(case.runs, repeats=repeats, budget=budget) if case.runs else {}
    for fact in found["contenders"].values():
        fact["gops"] = case.facts["operations"] / fact["median_ms"] / 1e6
    return found


def products(backend: str, peak: dict[str, Any], repeats: int, budget: float) -> list[dict[str, Any]]:
    """The matrix product's four shapes."""
    rows = []
    for shape in SHAPES:
        row = run_case(kernel_cases.product_case(*shape, backend), repeats=repeats, budget=budget)
        times = row["contenders"]
        theirs = [times[n] for n in ("torch._int_mm", "torch._int_mm, columns first") if n in times]
        best = min(theirs, key=lambda t: t["median_ms"]) if theirs else None
        row["int8_vs_int_mm"], row["int8_vs_numpy"] = (
            ratio(best, times["int8"]),
            ratio(times["numpy float32"], times["int8"]),
        )
        row["share_of_peak"] = times["int8"]["gops"] / peak["int8_gops"] if peak["int8_gops"] else None
        row["float_share_of_peak"] = times["own float32 tile"]["gops"] / peak["fp32_gflops"]
        report.progress(f"product {row['name']}: {_shown(row)}")
        rows.append(row)
    return rows


def graphs() -> dict[str, tuple[Any, Any, tuple[int, ...]]]:
    """CSR and widths of the neighbour sums: real molecules, power laws, and edges without any order."""
    found = {}
    try:
        zinc = WORKLOADS["zinc10k"]().graph.adjacency("add")
        found["zinc10k with loops"] = (zinc.indptr, zinc.indices, (64,))
    except Exception as reason:  # the data set is not at hand: the others need no files
        report.progress(f"zinc10k is left out: {reason}")
    found["arxiv-like power law"] = (*power_law(169_343, 2_300_000), (64, 128, 256))
    found["50k nodes, 7.9 M edges, power law"] = (*power_law(50_000, 7_900_000), (64,))
    found["reddit10 power law"] = (*power_law(23_000, 11_000_000), (128,))
    rng = np.random.default_rng(0)
    degree = np.bincount(rng.integers(0, 169_343, 2_300_000), minlength=169_343)
    indptr = np.append(0, np.cumsum(degree))
    found["arxiv-sized, uniform"] = (indptr, rng.integers(0, 169_343, 2_300_000, dtype=np.int32), (64, 128))
    return found


def sums(backend: str, threads: int, repeats: int, budget: float) -> list[dict[str, Any]]:
    """Neighbour sums, each with the two rates of lines that bound it."""
    rows = []
    for name, (indptr, indices, widths) in graphs().items():
        for width in widths:
            case = kernel_cases.sum_case(name, indptr, indices, width, backend, packed=width >= 128)
            lines, mib = case.facts["lines_a_row"], case.facts["table_bytes"] / 2**20
            case.add("limit: the graph's rows, only read", lambda c=case, i=indices: limits.reader(
                threads, c.facts["nodes"], i, c.facts["lines_a_row"]))  # fmt: skip
            row = run_case(case, repeats=repeats, budget=budget)
            row["uniform_lines"] = limits.line_rates(threads, (mib,), lines=lines, repeats=5)[mib]
            own = row["contenders"].pop("limit: the graph's rows, only read")
            row["own_lines"] = len(indices) * lines / own["median_ms"] / 1e3
            for fact in row["contenders"].values():
                fact["lines"] = len(indices) * lines / fact["median_ms"] / 1e3
            row["float_over_int8"] = ratio(row["contenders"].get("own float32"), row["contenders"]["int8"])
            rows.append(row)
            report.progress(f"sum {row['name']}: {_shown(row)}")
    return rows


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: report.number(fact["median_ms"], " ms") for name, fact in row["contenders"].items()}


def product_table(rows: list[dict[str, Any]]) -> str:
    """GOP/s of everybody, ratios and shares."""
    names = (
        "int8",
        "torch._int_mm",
        "torch._int_mm, columns first",
        "numpy float32",
        "torch float32",
        "own float32 tile",
    )
    body = []
    for row in rows:
        rates = [report.number(row["contenders"].get(name, {}).get("gops")) for name in names]
        best = row["int8_vs_int_mm"]
        body.append([row["name"], *rates, report.number(best, "x"), report.number(row["int8_vs_numpy"], "x"),
                     report.number(row["share_of_peak"]), report.number(row["float_share_of_peak"]),
                     goals.met("matmul_vs_int_mm", "", best)])  # fmt: skip
    head = ["GOP/s", "our int8", *names[1:], "int8 against _int_mm", "against NumPy", "share of int8 peak"]
    text = report.markdown([*head, "tile's share of float peak", "goal"], body)
    ratios = [row["int8_vs_numpy"] for row in rows if row["int8_vs_numpy"]]
    if ratios:
        mean = float(np.exp(np.mean(np.log(ratios))))
        text += f"\n\nAgainst NumPy float32, geometric mean: {mean:.1f}x ({goals.met('matmul_vs_numpy', '', mean)})."
    return text


def sum_table(rows: list[dict[str, Any]]) -> str:
    """Milliseconds of everybody, and the shares of the limits."""
    names = ("int8", "int8, into the cache", "int8, rounded to int8", "int4", "own float32",
             "torch CSR float32", "scipy float32")  # fmt: skip
    body = []
    for row in rows:
        times = row["contenders"]
        best = max(times[n]["lines"] for n in names[:3] if n in times)
        body.append([
            row["name"], *(report.number(times.get(name, {}).get("median_ms")) for name in names),
            report.number(row["uniform_lines"]), report.number(row["own_lines"]),
            report.number(times["int8"]["lines"] / row["own_lines"]), report.number(best / row["own_lines"]),
            report.number(best / row["uniform_lines"]), goals.met("share_of_lines", "", best / row["uniform_lines"]),
        ])  # fmt: skip
    head = ["ms", *names, "M lines/s, uniform", "M lines/s, own rows", "int8 share, own rows"]
    head += ["best int8 share, own rows", "best int8 share, uniform", "goal"]
    return report.markdown(head, body)


def plain_table(rows: list[dict[str, Any]], copy_gb_s: float) -> str:
    """Milliseconds, and bytes moved as a share of a copy's."""
    names = sorted({name for row in rows for name in row["contenders"]})
    body = [
        [row["name"], *(report.number(row["contenders"].get(name, {}).get("median_ms")) for name in names),
         *(report.number(row["bytes"] / row["contenders"][name]["median_ms"] / 1e6 / copy_gb_s)
           if name in row["contenders"] else None for name in names)]
        for row in rows
    ]  # fmt: skip
    return report.markdown(["ms", *names, *(f"{name}: bytes against a copy" for name in names)], body)


def limits_table(found: dict[str, Any]) -> str:
    """The limits as text."""
    every = (
        ", ".join(f"{how} {report.number(rate)}" for how, rate in found["int8_all_gops"].items())
        or "no dot instructions"
    )
    rates = ["million random lines a second", *map(report.number, found["lines"].values())]
    lines = report.markdown(["table, MiB", *map(str, found["lines"])], [rates])
    return (
        f"Peaks: int8 {every} GOP/s; float32 {report.number(found['fp32_gflops'])} GFLOP/s; copy "
        f"{report.number(found['copy_gb_s'])} GB/s (read and written).\n\n{lines}"
    )


def render(content: dict[str, Any]) -> str:
    """All tables of a result file."""
    parts = ["## Limits", limits_table(content["limits"])] if "limits" in content else []
    if content.get("product"):
        parts += ["## int8 matrix product, int32 out", product_table(content["product"])]
    if content.get("sum"):
        parts += ["## Neighbour sum", sum_table(content["sum"])]
    for name, title in (("requantize", "## Requantize int32 to int8"), ("attention", "## GAT behind its product")):
        if content.get(name):
            parts += [title, plain_table(content[name], content["limits"]["copy_gb_s"])]
    missing = {
        f"{name}: {why}" for part in PARTS for row in content.get(part, ()) for name, why in row["absent"].items()
    }
    return "\n\n".join([*parts, *([] if not missing else ["Absent: " + "; ".join(sorted(missing)) + "."])])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.kernels", description=__doc__.splitlines()[0])
    report.add_options(parser)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to run (default: all)")
    parser.add_argument("--backend", default="dot", metavar="NAME", help="our kernels: dot or numba (default: dot)")
    args = parser.parse_args()
    machine.keep_freed_memory()
    threads = machine.set_threads(args.threads)
    path = args.results / "kernels.json"
    content = report.load(path) | {"machine": machine.describe(threads), "quick": args.quick}
    repeats, budget = (3, 0.5) if args.quick else (15, 4.0)
    content["limits"] = limits.measure(threads, repeats=3 if args.quick else 9)
    report.progress(f"limits: {content['limits']}")
    arxiv = power_law(169_343, 2_300_000)
    make = {
        "requantize": [
            lambda shape=shape: kernel_cases.requantize_case(*shape, args.backend)
            for shape in ((231_489, 64), (169_343, 256), (2708, 16))
        ],
        "attention": [
            lambda width=width: kernel_cases.attention_case("arxiv-like", *arxiv, 4, width, args.backend)
            for width in (16, 64)
        ],
    }
    steps = {
        "product": lambda: products(args.backend, content["limits"], repeats, budget),
        "sum": lambda: sums(args.backend, threads, repeats, budget),
        **{
            name: lambda cases=cases: [run_case(case(), repeats=repeats, budget=budget) for case in cases]
            for name, cases in make.items()
        },
    }
    for part in args.only:
        content[part] = steps[part]()
        report.save(path, content)
    try:
        from .roofline import draw

        draw(content, args.results / "roofline.png")
    except ImportError as reason:
        report.progress(f"no roofline picture: {reason}")
    report.finish(args, "kernels", content, render(content))
    failures = [failure for part in PARTS for row in content.get(part, ()) for failure in row["failures"]]
    for failure in failures:
        report.progress(f"CHECK FAILED: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
