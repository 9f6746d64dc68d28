"""The tables of the accuracy harness: published numbers, goals, what is missing, and the pictures."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("bench.accuracy", reason="bench/ stands beside the package, in a checkout only")
from bench import readme
from bench.accuracy import ablation, figures, goals, published, records, runner, tables
from bench.accuracy.cells import Run, parse_cell
from bench.accuracy.goals import Goal
from bench.accuracy.statistic import Sample


def record_of(name, value, seed=0, fold=None):
    cell = parse_cell(name)
    run = Run(cell, seed, fold)
    is_float = cell.method == "fp32"
    return run, {
        "format": records.FORMAT, "cell": cell.name, "dataset": cell.dataset, "model": cell.model,
        "method": cell.method, "bits": 32 if is_float else 8, "sites": cell.sites, "seed": seed, "fold": fold,
        "epochs": 5, "epoch_seconds": 0.1,
        "test_float": value if is_float else None, "test_integer": None if is_float else value,
        "test_fake_quant": None if is_float else value, "agreement": None if is_float else 1.0, "file_bytes": 1000,
        "weight_bits": cell.widths[0], "activation_bits": cell.widths[1], "seconds": 1.0, "ablation": cell.variant,
        "configuration": runner.configured(run), "curve": {"val_accuracy": [0.1, value], "val_mae": [0.9, value]},
    }  # fmt: skip


def write(folder, name, values):
    cell = parse_cell(name)
    for number, value in enumerate(values):
        fold = number if cell.dataset == "reddit_binary" else None
        run, record = record_of(name, value, 0 if fold is not None else number, fold)
        records.save(records.record_path(folder, run), record)


def test_the_readme_has_a_row_for_each_model_that_was_run(tmp_path):
    write(tmp_path, "cora/gin/fp32", [0.78, 0.80])
    write(tmp_path, "cora/gin/dq/8", [0.79])
    write(tmp_path, "cora/gin/dq/4/paper", [0.5])  # not the default layout
    write(tmp_path, "zinc12k/gcn/dq-plus/4", [0.43219])
    head, _, *lines = readme.accuracy_table(tmp_path).splitlines()
    assert head.startswith("|  | FP32 | INT8 | INT4 | INT4 plus |")
    assert lines == [
        "| cora gin | 79.0 ± 1.0 | 79.0 | - | - | 77.9 / 78.7 / 69.9 | 1-2 |",
        "| zinc12k gcn | - | - | - | 0.432 | 0.450 / 0.434 / 0.536 | 1 |",
    ]
    for path in (tmp_path / "records").rglob("*.json"):
        record = json.loads(path.read_text())
        record["configuration"]["recipe"]["train"]["lr"] = 0.5
        path.write_text(json.dumps(record))
    assert "| 79.0 (old recipe) |" in readme.accuracy_table(tmp_path)


def test_published_numbers_are_of_cells_and_have_a_source():
    for source in published.sources():
        for short in published._content()[source]:
            assert parse_cell(short).short == short
            assert {p.status for p in published.of_cell(short)} <= set(published.STATUSES)
        for status in published.STATUSES:
            listed = published._content()["source"][source].get(status, [])
            assert set(listed) <= set(published._content()[source]), "a mark on a number that is not there"
    found = {p.source: p for p in published.of_cell("reddit_binary/gin/dq/4")}
    assert (found["official_log"].mean, found["official_log"].status) == (86.2, "confirmed")
    assert (found["paper"].mean, found["rerun"].mean) == (81.3, 83.40)
    assert published.of_cell("cora/gin/dq-plus/4") == []


@pytest.mark.parametrize(
    ("cell", "values"),
    [
        ("cora/gcn/dq/8/paper", [81.2, 82.5]), ("cora/gat/dq/8/fused", [82.2, 82.5]), ("cora/gin/dq/4/paper", [69.9]),
        ("cora/gin/dq/4/fused", []), ("citeseer/gin/dq-plus/4/fused", [81.5]), ("reddit_binary/gin/dq/8/fused", [91.8]),
        ("reddit_binary/gin/dq/4/paper", [86.2]), ("reddit_binary/gin/dq-plus/4/fused", [89.0]),
        ("zinc12k/gat/dq/4/fused", [0.520]), ("mnist/gin/dq/8/fused", []), ("cora/gcn/qat/8/paper", []),
        ("cora/gcn/dq/8/paper/mask-ste-ema", []), ("zinc12k/gat/dq/4/fused@3", []), ("cora/gcn/dq/6/fused", []),
    ],
)  # fmt: skip
def test_goals(cell, values):
    found = goals.goals_of(parse_cell(cell), published.paper(), Sample((83.0,)))
    assert [goal.value for goal in found] == pytest.approx(values)


def test_without_our_fp32_only_the_published_goals_are_left():
    for fp32 in (None, Sample(())):
        found = goals.goals_of(parse_cell("cora/gcn/dq/8"), published.paper(), fp32)
        assert [goal.source for goal in found] == ["paper - 0.5"]


def test_the_rule():
    few = Sample((80.0, 82.0))  # mean 81, standard error 1
    assert few.error == pytest.approx(1.0) and Sample((5.0,)).error == 0.0
    assert goals.holds("cora", few, Goal(83.0, "")) and not goals.holds("cora", few, Goal(83.1, ""))
    error = Sample((0.40, 0.42))
    assert goals.holds("zinc12k", error, Goal(0.391, "")) and not goals.holds("zinc12k", error, Goal(0.389, ""))
    assert goals.binding("cora", [Goal(1, "a"), Goal(2, "b")]).source == "b"
    assert goals.binding("zinc12k", [Goal(1, "a"), Goal(2, "b")]).source == "a"
    assert goals.binding("cora", []) is None

    def verdict(*cells):
        return goals.table_verdict("cora", [(Sample(tuple(v)), Goal(g, "")) for v, g in cells])

    assert verdict(([80.0], 79.0), ([80.0], 80.5), ([81.0], 79.0)).endswith(": held")
    assert verdict(([80.0], 80.5), ([80.0], 80.5), ([99.0], 79.0)).endswith(": not held")  # two miss
    assert verdict(([80.0], 82.0), ([80.0], 79.9)).endswith(": not held")  # one misses, the mean does too
    assert "1 cells have no run yet" in verdict(([80.0], 79.0), ([], 79.0))
    assert verdict(([], 79.0)) == "none of 1 cells with a goal has been run"


def test_empty_tables_show_what_is_missing(tmp_path):
    text = tables.render(tmp_path)
    for title, _, _ in tables.TABLES.values():
        assert f"## {title}" in text
    line = next(line for line in text.splitlines() if line.startswith("| gin | dq | 4 | paper |"))
    assert "missing" in line and "69.9 ± 3.4" in line
    assert (tmp_path / "tables.md").read_text(encoding="utf-8").startswith("# Accuracy")


def test_tables_of_records(tmp_path):
    write(tmp_path, "cora/gcn/fp32", [0.82, 0.84])
    write(tmp_path, "cora/gcn/dq/8/paper", [0.80, 0.80])
    write(tmp_path, "cora/gcn/dq-plus/4", [0.82])
    write(tmp_path, "cora/sage/dq/6", [0.5])
    write(tmp_path, "reddit_binary/gin/dq/4", [0.8, 0.9, 0.95])
    write(tmp_path, "zinc12k/gcn/dq/8", [0.41])
    write(tmp_path, "cora/gin/dq/4/paper/nomask-ste-ema", [0.3, 0.4])
    text = tables.render(tmp_path)
    lines = text.splitlines()

    def row(start, section="Cora"):
        first = next(n for n, line in enumerate(lines) if line.startswith(f"## {section}"))
        return next(line for line in lines[first:] if line.startswith(start))

    assert "| 83.00 ± 1.00 | 2 |" in row("| gcn | fp32 |")
    missed = row("| gcn | dq | 8 | paper |")
    assert "| 80.00 ± 0.00 | 2 | 80.00 |" in missed and missed.endswith("| missed |")
    assert "81.2 (paper - 0.5); 82.5 (our fp32 - 0.5)" in missed
    assert row("| gcn | dq-plus |").endswith("81.5 (our fp32 - 1.5) | held |")
    assert "| 50.00 | 1 |" in row("| sage | dq | 6 |")  # run, though no plan has it
    assert "86.2 ± 3.2" in row("| gin | dq | 4 | fused", "REDDIT") and "| 88.33 ± 4.41 † | 3 |" in text
    zinc = row("| gcn | dq | 8 | fused", "ZINC")
    assert "| 0.410 † | 1 |" in zinc and zinc.endswith("| 0.434 (paper) | held |")
    assert "another draw" in text
    assert "| straight-through, ema | 35.0 ± 5.0 (2) | missing |" in text


def test_findings_belong_to_a_table_or_figure_and_take_their_numbers_from_records(tmp_path):
    found = tables.findings()
    assert found["tables"].keys() <= tables.TABLES.keys() | {"ablation"}
    assert found.get("figures", {}).keys() <= set(figures.NAMES)
    write(tmp_path, "cora/gin/qat/4/paper", [0.25, 0.26])
    text = tables.render(tmp_path)
    assert "appears with GIN (25.5) but not with GAT, which keeps (missing)" in text


def test_stale_records_are_marked(tmp_path):
    run, record = record_of("cora/gcn/fp32", 0.8)
    record["configuration"]["recipe"]["train"]["lr"] = 7.0
    records.save(records.record_path(tmp_path, run), record)
    assert "1 (1 of an older recipe)" in tables.render(tmp_path)


def test_ablation_has_every_variant():
    text = "\n".join(ablation.tables({}))
    assert text.count("### cora") == 4 and text.count("60 epochs, fold 0") == 2
    assert text.count("missing") == 6 * 12


def test_picture(tmp_path):
    pytest.importorskip("matplotlib")
    write(tmp_path, "cora/gcn/dq/8", [0.80, 0.83])
    tables.render(tmp_path)
    assert (tmp_path / "tables.png").read_bytes().startswith(b"\x89PNG")
