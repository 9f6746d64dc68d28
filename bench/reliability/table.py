"""What the long runs last came to, in one table, which ``python -m bench.readme`` puts into SECURITY.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import report
from . import fuzz, legs, threads

__all__ = ["outcomes"]


def _fuzz(found: dict[str, Any]) -> str:
    readers = found["readers"].values()
    executions, findings = sum(r["executions"] for r in readers), sum(len(r["findings"]) for r in readers)
    reached = sum(map(fuzz.reached_goal, readers))
    return f"{executions:,} executions, {findings} findings open; {reached} of {len(readers)} readers reached the goal"


def _kills(found: dict[str, Any]) -> str:
    findings = sum(len(sitting["findings"]) for sitting in found["sittings"])
    return f"{found['kills']:,} kills, {findings} times something lost or another end"


def _corruption(found: dict[str, Any]) -> str:
    changes, wrong = sum(found[key] for key in ("refused", "unchanged", "wrong", "crashed")), found["wrong"]
    return f"{found['positions']:,} bytes, {changes:,} changes, {wrong} wrong answers, {found['crashed']} crashes"


def _cpus(found: dict[str, Any]) -> str:
    return f"{len(found['golden'])} models, {found['ran']} processors, {found['differing']} differing"


def _hubs(found: dict[str, Any]) -> str:
    cells = found["cells"].values()
    refused, exact = (sum(key in cell for cell in cells) for key in ("refused", "exact"))
    return f"{len(cells)} models: {exact} exact, {refused} refused with the reason, {found['wrong']} wrong"


def _threads(found: dict[str, Any]) -> str:
    return "; ".join(f"{layer}: {_of_layer(found['layers'].get(layer))}" for layer in threads.LAYERS)


def _of_layer(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return "not run yet"
    if "absent" in cell:
        return "absent"
    counts = [cell.get(key, 0) for key in ("predictions", "differing", "died")]
    return "{:,} predictions, {} differing, {} aborts".format(*counts)


def _soak(found: dict[str, Any]) -> str:
    return "; ".join(
        f"{way}: {cell['predictions']:,} predictions, {cell['differing']} differing, {cell['growth_mib']:+.2f} MiB"
        for way, cell in found["ways"].items()
    )


def _legs(found: dict[str, Any]) -> str:
    return "; ".join(f"{leg}: {_of_leg(found['legs'].get(leg))}" for leg in legs.COMMANDS)


def _of_leg(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return "not run yet"
    ended = f" (exit code {cell['exit_code']})" if cell["exit_code"] else ""
    return f"{cell.get('passed', 0):,} passed, {cell.get('failed', 0)} failed{ended}"


def _mutation(found: dict[str, Any]) -> str:
    return "; ".join(
        f"{room}: {cell['score']} % of {cell['mutants']:,} mutants, {sum(not s['reason'] for s in cell['survivors'])} "
        "survivors unexplained" for room, cell in found["rooms"].items()
    )  # fmt: skip


def _coverage(found: dict[str, Any]) -> str:
    totals = found["totals"]
    return (f"{totals['branches']:,} branches, {totals['missing_branches']} not taken; {totals['explained']} places "
            f"explained, {totals['unexplained']} not")  # fmt: skip


#: Name of a run: what it is asked to show (the figure of the goal), and what its record says.
OUTCOMES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "fuzz": ("each reader 30 minutes of CPU or 5 million executions: no crash, no hang, memory within limits", _fuzz),
    "corruption": ("each byte of small model files changed: refused, or the same answer", _corruption),
    "kills": ("300 SIGKILLs at random: nothing half-written is read, the end is the same", _kills),
    "hubs": ("ten million in-edges: exact, or refused", _hubs),
    "cpus": ("the same bits on every processor", _cpus),
    "threads": ("a million predictions over 16 threads under each threading layer: equal, no abort", _threads),
    "mutation": ("of the changes to quantization, lowering and mask, 95 % are noticed, the rest explained", _mutation),
    "coverage": ("each branch of quant/, convert/, infer/ and the mask is taken, or explained", _coverage),
    "legs": ("the tests with bounds checks, with nothing compiled, for any processor, with the oldest versions", _legs),
    "soak": ("a million predictions on changing graphs: equal, at most 1 MiB of growth", _soak),
}


def outcomes(folder: Path) -> str:
    """One row for each run, of the records in ``folder``, as Markdown; "not run yet" where there is none."""
    rows = []
    for name, (goal, tell) in OUTCOMES.items():
        found = report.load(folder / f"{name}.json")
        last = found["sittings"][-1]["machine"]["time"][:10] if found else None
        rows.append([f"`{name}`", goal, tell(found) if found else "not run yet", last])
    return report.markdown(["`python -m bench.reliability ...`", "goal", "last result", "date"], rows).replace(
        "| ---: | ---: | ---: |", "| --- | --- | --- |", 1
    )
