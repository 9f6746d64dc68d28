"""The accuracy harness: names, plans, runs that stop and go on, records that repeat."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import time

import pytest

pytest.importorskip("bench.accuracy", reason="bench/ stands beside the package, in a checkout only")
from bench.accuracy import __main__ as command
from bench.accuracy import estimate, plans, probe, records, rerun, runner
from bench.accuracy.cells import VARIANTS, Cell, Run, has_folds, parse_cell
from dqnumba.errors import ConfigError
from dqnumba.qat import QuantConfig
from dqnumba.train.build import quant_config
from dqnumba.train.checkpoint import read_checkpoint, train_file_of, write_checkpoint
from dqnumba.train.recipe import load_recipe

QUICK = Run(parse_cell("synthetic/gcn/dq/4@4"), seed=1)


def make(folder, **options):
    said = []
    made = runner.Runner(folder, folder / "unfinished", threads=1, progress=said.append, **options)
    return made, said


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run in one piece: its folder and its record."""
    folder = tmp_path_factory.mktemp("straight")
    assert make(folder)[0].run_all([QUICK]) == 0
    return folder, records.load(records.record_path(folder, QUICK))


@pytest.mark.parametrize(
    "text",
    ["cora/gcn/fp32", "cora/gcn/dq/8/fused", "citeseer/gat/nqat/4/paper", "cora/gin/dq/w4a8/fused",
     "zinc12k/gin/fp32@3", *(f"reddit_binary/gin/dq/4/paper/{variant}@60" for variant in VARIANTS)],
)  # fmt: skip
def test_a_cell_is_its_name(text):
    cell = parse_cell(text)
    assert cell.name == text
    assert cell.short == "/".join(text.split("@")[0].split("/")[:4])
    settings = cell.settings(3, None)
    assert settings.seed == 3 and settings.overrides.get("epochs") == cell.epochs


def test_short_names():
    assert parse_cell("reddit/gin/dq/8") == Cell("reddit_binary", "gin", "dq", "8", "fused")
    assert parse_cell("zinc/gcn/fp32/32").name == "zinc12k/gcn/fp32"
    assert parse_cell("cora/gcn/dq/w4a8").widths == (4, 8)
    assert has_folds("reddit_binary") and not has_folds("cora") and not has_folds("synthetic")


@pytest.mark.parametrize(
    ("text", "match"),
    [("cora/gcn", "names no cell"), ("cora/gcn/dq", "bits"), ("cora/gcn/dq/9", "bits"),
     ("nowhere/gcn/dq/8", "data set"), ("cora/tree/dq/8", "model"), ("cora/gcn/fp32/8", "fp32"),
     ("cora/gcn/dq/8/both", "sites"), ("cora/gcn/x/8", "method"),
     ("cora/gcn/qat/8/paper/mask-ste-ema", "variant"), ("cora/gcn/dq/8@0", "names no cell")],
)  # fmt: skip
def test_what_is_no_cell(text, match):
    with pytest.raises(ConfigError, match=match):
        parse_cell(text)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("sites", ["paper", "fused"])
def test_variants_replace_their_fields_only(variant, sites):
    cell = parse_cell(f"cora/gcn/dq/4/{sites}/{variant}")
    settings = cell.settings(0, None)
    config = quant_config(settings, settings.recipe(many_graphs=False))
    mask, gradient, rule = variant.split("-")
    assert config.range_rule == rule and config.masked == (mask == "mask")
    assert config.gradient == {"ste": "ste", "clip": "clip_inclusive" if sites == "paper" else "clip"}[gradient]
    assert config.weight_range == (rule if sites == "paper" else "current")
    faithful = QuantConfig.degree_quant(4, sites=sites).to_dict()
    changed = {key for key, value in config.to_dict().items() if value != faithful[key]}
    assert changed <= {"range_rule", "weight_range", "gradient", "mask_low", "mask_high"}
    assert (not changed) == (variant == "mask-clip-percentile")


@pytest.mark.parametrize("name", plans.PLANS)
def test_plans(name):
    runs = plans.plan_runs(name)
    assert len(set(runs)) == len(runs)
    assert len({run.name for run in runs}) == len(runs), "two runs would share a record"
    for run in {run.cell: run for run in runs}.values():
        assert has_folds(run.cell.dataset) == (run.fold is not None)
        assert load_recipe(run.cell.model, run.cell.dataset).name == f"{run.cell.dataset}_{run.cell.model}"


def test_the_issue_s_cells_are_in_the_plans():
    names = {run.cell.name for run in plans.plan_runs("cora")}
    for model in ("gcn", "gat", "gin"):
        assert f"cora/{model}/fp32" in names
        assert {f"cora/{model}/{m}/{b}/paper" for m in ("qat", "nqat", "dq") for b in (8, 4)} <= names
        assert {f"cora/{model}/dq/{b}/fused" for b in (8, 4)} <= names
    assert {run.fold for run in plans.plan_runs("reddit") if run.cell.method == "dq-plus"} == set(range(10))
    with pytest.raises(ValueError, match="no folds"):
        plans.cell_runs("cora/gcn/fp32", None, [0])
    assert [run.fold for run in plans.cell_runs("reddit/gin/fp32", None, [2, 4])] == [2, 4]


def test_a_record_says_everything(straight):
    folder, record = straight
    assert record["cell"] == "synthetic/gcn/dq/4/fused@4" and record["ablation"] is None
    assert record["seed"] == 1 and record["epochs"] == 4 and record["bits"] == 4
    assert 1 <= record["best_epoch"] <= 4
    assert [len(curve) for curve in record["curve"].values()] == [4] * 3
    assert record["configuration"]["recipe"]["train"]["epochs"] == 4
    assert record["configuration"]["quant_config"] == QuantConfig.degree_quant(4).to_dict()
    part = record["parts"][-1]
    assert (part["first_epoch"], part["last_epoch"]) == (1, 4) and part["packages"]["numpy"] and part["threads"] == 1
    assert record["seconds"] >= part["seconds"] > 0
    assert not [p for p in (folder / "unfinished").rglob("*") if p.is_file() and p.suffix != ".lock"]


def test_done_runs_are_not_run_again(straight):
    folder, _ = straight
    again, said = make(folder)
    assert again.run_all([QUICK]) == 0
    assert said == ["1 of 1 runs are there; Nothing is left."]


def test_a_stopped_run_goes_on_to_the_same_record(straight, tmp_path):
    stopped, said = make(tmp_path, deadline=time.monotonic() - 1)
    with pytest.raises(runner.OutOfTime):
        stopped.run(QUICK)
    assert runner.state_of(QUICK, tmp_path, tmp_path / "unfinished").kind == "begun"
    assert stopped.run_all([QUICK]) == 1 and "budget" in said[-1]
    assert make(tmp_path)[0].run_all([QUICK]) == 0
    record, whole = records.load(records.record_path(tmp_path, QUICK)), straight[1]
    assert [(p["first_epoch"], p["last_epoch"]) for p in record["parts"]] == [(1, 1), (2, 4)]
    for key in record.keys() - {"seconds", "epoch_seconds", "parts"}:
        assert record[key] == whole[key], key


def test_a_train_file_from_before_an_option_came_goes_on(tmp_path):
    stopped, _ = make(tmp_path, deadline=time.monotonic() - 1)
    with pytest.raises(runner.OutOfTime):
        stopped.run(QUICK)
    path = train_file_of(tmp_path / "unfinished" / f"{QUICK.name}.safetensors")
    found = read_checkpoint(path)
    del found.settings["config"], found.settings["source"]["limit"], found.quant_config["delay"]
    write_checkpoint(found, path)
    again, said = make(tmp_path)
    assert again.run_all([QUICK]) == 0 and "anew" not in " ".join(said)
    assert records.load(records.record_path(tmp_path, QUICK))["parts"][1]["first_epoch"] == 2


def test_a_damaged_or_foreign_train_file_is_put_away(straight, tmp_path):
    out = tmp_path / "unfinished" / f"{QUICK.name}.safetensors"
    out.parent.mkdir(parents=True)
    train_file_of(out).write_bytes(b"not a train file")
    made, said = make(tmp_path)
    assert made.run_all([QUICK]) == 0 and "begins anew" in " ".join(said)
    assert records.score(records.load(records.record_path(tmp_path, QUICK))) == records.score(straight[1])


def test_a_run_in_other_hands_is_left_alone(tmp_path):
    lock = tmp_path / "unfinished" / f"{QUICK.name}.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert make(tmp_path)[0].run_all([QUICK]) == 1
    assert not records.record_path(tmp_path, QUICK).exists()


def test_a_run_that_fails_does_not_end_the_plan(tmp_path, monkeypatch):
    made, said = make(tmp_path)
    other = dataclasses.replace(QUICK, seed=2)
    good = made.run

    def run(which):
        if which == QUICK:
            raise ConfigError("The training loss became nan in epoch 3; use a lower lr (--lr).")
        return good(which)

    monkeypatch.setattr(made, "run", run)
    assert made.run_all([QUICK, other]) == 1
    assert records.record_path(tmp_path, other).exists() and any("FAILED" in line for line in said)


def test_records_of_other_numbers_are_stale(straight, tmp_path):
    _, record = straight
    path = records.record_path(tmp_path, QUICK)
    for change in ({"lr": 0.5}, {"dropout": 0.25}):
        old = json.loads(json.dumps(record))
        for part in old["configuration"]["recipe"].values():
            part.update({key: value for key, value in change.items() if key in part})
        records.save(path, old)
        state = runner.state_of(QUICK, tmp_path, tmp_path)
        assert state.kind == "stale" and state.changed == list(change)
    old = json.loads(json.dumps(record))
    del old["configuration"]["quant_config"]["input_bits"]  # a field that came later and is at its default
    assert records.differences(old, runner.configured(QUICK)) == []
    old["configuration"]["quant_config"]["momentum"] = 0.5
    assert records.differences(old, runner.configured(QUICK)) == ["momentum"]


def test_a_file_that_is_no_record(tmp_path):
    for text in ("{", "[]", '{"format": 99}'):
        (tmp_path / "r.json").write_text(text)
        with pytest.raises(ValueError, match="no record"):
            records.load(tmp_path / "r.json")


def test_rerun_repeats(straight, capsys, monkeypatch):
    folder, record = straight
    path = records.record_path(folder, QUICK)
    monkeypatch.setattr("bench.machine.set_threads", lambda threads: threads)  # the tests share one process
    said = []
    assert rerun.main(path, said.append) == 0, said
    assert "DIFFERENT" not in capsys.readouterr().out
    again = record | {"test_integer": record["test_integer"] + 0.004}
    assert rerun.compare(record, again, ["numpy"]) == []
    assert rerun.compare(record, again, []) != []
    assert rerun.compare(record, record | {"test_integer": record["test_integer"] - 0.006}, ["cpu"]) != []
    assert quant_config(QUICK.settings(), rerun.recipe_of(record)).to_dict() == record["configuration"]["quant_config"]


def test_costs(straight):
    folder, record = straight
    costs = estimate.Costs.load(folder)
    assert costs.of(QUICK) == record["seconds"]
    sibling = Run(parse_cell("synthetic/gcn/qat/8@8"))
    assert costs.of(sibling) == pytest.approx(8 * record["epoch_seconds"])
    unknown = Run(parse_cell("cora/gcn/fp32"))
    assert costs.of(unknown) is None
    assert "unknown cost" in costs.remaining([QUICK, unknown]) and "left for 1 run" in costs.remaining([QUICK, unknown])
    assert [estimate.duration(s) for s in (3, 600, 9000)] == ["3 s", "10 min", "2.5 h"]


def test_probe(tmp_path):
    table = probe.measure([QUICK, dataclasses.replace(QUICK, seed=2)], tmp_path, 1, lambda text: None)
    found = json.loads((tmp_path / estimate.COSTS).read_text())["cells"]["synthetic/gcn/dq/4/fused"]
    assert found["epoch_seconds"] > 0 and found["batches"] == 1
    row, total = (line for line in table.splitlines()[2:])
    assert "synthetic/gcn/dq/4/fused" in row and row.endswith(f"| {estimate.duration(8 * found['epoch_seconds'])} |")
    assert total.startswith("| all |") and total.endswith(row.rpartition("|")[0].rpartition("|")[2] + "|")
    assert estimate.Costs.load(tmp_path).of(QUICK) == pytest.approx(4 * found["epoch_seconds"])


def test_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bench.machine.set_threads", lambda threads: threads)  # the tests share one process
    where = ["--results", str(tmp_path), "--threads", "1"]
    cell = ["--cell", "synthetic/gcn/qat/8@1", "--seeds", "0,2-3", *where]
    assert command.main([*cell, "--list"]) == 0
    assert capsys.readouterr().out.count("missing") == 3
    assert command.main(cell) == 0
    assert len(list(tmp_path.rglob("seed*.json"))) == 3 and "seed 2" in capsys.readouterr().out
    assert command.main(["--plan", "nowhere", *where]) == 2 and "unknown plan" in capsys.readouterr().err
    assert command.main(["--rerun", str(tmp_path / "no.json"), *where]) == 2
    with pytest.raises(SystemExit):
        command.main(["--cell", "cora/gcn/fp32", "--seeds", "x"])
