"""What the results were meant to reach: shown beside what was measured, never in its place."""

from __future__ import annotations

from typing import Any

__all__ = ["GOALS", "met", "of_model"]

#: (what, where) -> the least (or, with "<=", the largest) value that was asked for.
GOALS: dict[tuple[str, str], float] = {
    ("int8_vs_pyg", "zinc10k gcn"): 20.0, ("int8_vs_pyg", "zinc10k gin"): 15.0,
    ("int8_vs_pyg", "zinc10k sage"): 12.0, ("int8_vs_pyg", "zinc10k gat"): 12.0,
    ("int8_vs_pyg", "arxiv gcn"): 12.0, ("int8_vs_pyg", "arxiv gin"): 12.0,
    ("int8_vs_pyg", "arxiv sage"): 10.0, ("int8_vs_pyg", "arxiv gat"): 12.0,
    ("int8_vs_float", "zinc10k gcn"): 3.0, ("int8_vs_float", "arxiv gcn"): 4.0, ("int8_vs_float", "reddit10 gcn"): 4.7,
    **{("int8_vs_pyg", f"cora {model}"): 5.0 for model in ("gcn", "gin", "sage", "gat")},
    **{("int8_vs_pyg", f"molecule {model}"): 10.0 for model in ("gcn", "gin", "sage", "gat")},
    ("int4_vs_int8", "reddit10 gcn"): 1.3,
    ("workspace <=", "arxiv gcn"): 0.35, ("workspace <=", "arxiv gin"): 0.35,
    ("workspace <=", "arxiv sage"): 0.35, ("workspace <=", "arxiv gat"): 0.35,
    ("matmul_vs_int_mm", ""): 1.1, ("matmul_vs_numpy", ""): 8.0, ("share_of_lines", ""): 0.9,
    ("dq_vs_fp32 <=", ""): 1.5, ("fp32_vs_pyg <=", ""): 1.0,
    ("startup_cached_s <=", ""): 1.2, ("startup_empty_s <=", ""): 15.0,
}  # fmt: skip


def met(what: str, where: str, value: float | None) -> str | None:
    """Goal and verdict as text, None where nothing was asked for; ``what`` as in the keys."""
    goal = GOALS.get((what, where))
    if goal is None:
        return None
    below = what.endswith("<=")
    if value is None:
        return f"{'<=' if below else '>='} {goal:g}: not measured"
    reached = value <= goal if below else value >= goal
    return f"{'<=' if below else '>='} {goal:g}: {'met' if reached else 'missed'}"


def of_model(cell: dict[str, Any]) -> str | None:
    """The goals of one cell of ``bench.models``."""
    where = f"{cell['workload']} {cell['model']}"
    found = [
        f"{label} {verdict}"
        for label, what, value in (
            ("PyG", "int8_vs_pyg", cell["speedup"].get("int8_vs_pyg")),
            ("float", "int8_vs_float", cell["speedup"].get("int8_vs_float")),
            ("INT4", "int4_vs_int8", cell["speedup"].get("int4_vs_int8")),
            ("workspace", "workspace <=", cell.get("workspace_int8_to_float")),
        )
        if (verdict := met(what, where, value))
    ]
    return "; ".join(found) or None
