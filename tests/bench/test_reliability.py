"""The long runs on small sizes: they find what is planted, and a run that was stopped goes on."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

pytest.importorskip("bench.reliability", reason="bench/ stands beside the package, in a checkout only")
from bench.reliability import corruption, cpu_probe, cpus, fuzz, hubs, legs, record
from dqnumba.infer import file, load


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "FOLDER", tmp_path / "results")
    return tmp_path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return corruption.make_models(tmp_path_factory.mktemp("models"))


def begun(path):
    return corruption._begun(path.read_bytes(), {})


def test_changes_of_a_byte():
    assert corruption.changes(0x00) == [1, 2, 4, 8, 16, 32, 64, 128, 255]
    assert len(corruption.changes(0x41)) == 10 and 0x41 not in corruption.changes(0x41)
    assert corruption.changes(0x40) == [0, 0x41, 0x42, 0x44, 0x48, 0x50, 0x60, 0xC0, 0xFF]


@pytest.mark.parametrize("name", ["sage int4", "train file"])
def test_a_sweep_that_stops_goes_on(models, name):
    path, answer = models[name]
    payload, done, once = path.read_bytes(), begun(path), begun(path)
    corruption.sweep(path, answer, done, until=0.0, stride=211)
    assert done["positions"] == 1 and done["next"] == 211
    corruption.sweep(path, answer, done, until=time.monotonic() + 600, stride=211)
    corruption.sweep(path, answer, once, until=time.monotonic() + 600, stride=211)
    assert done == once and done["positions"] == -(-len(payload) // 211)
    assert done["wrong"] == done["crashed"] == 0 < done["refused"]
    assert path.read_bytes() == payload


def test_a_file_without_its_checksum_gives_wrong_answers(models, monkeypatch):
    """What the sweep would find if the checksum were not looked at: other answers, and no crash."""
    path, answer = models["gcn int8"]
    start = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    done = begun(path) | {"next": start}
    recorded = file._read(path)[0]["sha256"]
    monkeypatch.setattr(file, "checksum", lambda text, tensors: recorded)
    corruption.sweep(path, answer, done, until=time.monotonic() + 600, stride=7)
    assert done["wrong"] > 10 and done["crashed"] == 0
    assert done["findings"][0]["place"] >= start


def test_the_command_keeps_a_record(folder, capsys):
    assert corruption.main(["--stride", "4001", "--minutes", "0"]) == 0
    assert corruption.main(["--stride", "4001"]) == 0
    content = record.read("corruption")
    assert content["complete"] and content["wrong"] == content["crashed"] == 0 and len(content["files"]) == 9
    assert len(content["sittings"]) == 2
    assert sum(s["positions"] for s in content["sittings"]) == content["positions"]
    corruption.main(["--stride", "4001"])
    assert record.read("corruption") == content and "delete it" in capsys.readouterr().err


def test_hashes_see_values_shapes_and_names():
    logits = np.arange(6, dtype=np.float32).reshape(2, 3)
    seen = {
        cpu_probe.hash_logits(a) for a in (logits, logits.T, logits.reshape(3, 2), logits + 1, -logits * 0, logits * 0)
    }
    assert len(seen) == 6
    codes = {"a": np.arange(4, dtype=np.int8)}
    assert cpu_probe.hash_codes(codes) == cpu_probe.hash_codes({"a": codes["a"].astype(np.int16)})
    assert cpu_probe.hash_codes(codes) != cpu_probe.hash_codes({"b": codes["a"]})


def test_what_differs_is_named():
    golden = json.loads((cpus.GOLDEN / "cora.json").read_text(encoding="utf-8"))
    good = {
        name: {b: hashes["logits"] for b in ("reference", "numba", "dot")} | {"codes": hashes["codes"]}
        for name, hashes in golden.items()
    }
    cpu = cpus.CPUS["x86-64 AVX2"]
    assert cpus.compare({"isa": "avx2", "models": good}, golden, cpu) == []
    assert cpus.compare({"isa": "portable", "models": good}, golden, cpu) == ["kernels portable, expected avx2"]
    bad = good | {"cora_gin_4": good["cora_gin_4"] | {"dot": "0"}, "cora_gat_8": good["cora_gat_8"] | {"codes": "1"}}
    found = cpus.compare({"isa": "avx2", "models": bad}, golden, cpu)
    assert found == ["cora_gat_8: codes 1", "cora_gin_4: logits by dot: 0"]
    del good["cora_gcn_8"]
    assert len(cpus.compare({"isa": "avx2", "models": good}, golden, cpu)) == 4


def test_what_a_machine_cannot_run_is_said(monkeypatch):
    monkeypatch.setattr(cpus.shutil, "which", lambda name: None)
    assert cpus.why_not(cpus.CPUS["AArch64 Cortex-A72"]) == "qemu-user-static is not installed"
    assert cpus.why_not(cpus.Cpu(needs=("no-such-thing",))) == "this machine lacks no-such-thing"
    assert cpus.why_not(cpus.CPUS["native"]) == ""


@pytest.mark.parametrize(
    ("kind", "edges"), [("gcn", 250_000), ("gat", 1_000_000), ("gin", 1_000_000), ("sage", 250_000)]
)
def test_a_hub_of_a_million(kind, edges):
    """Ten million by ``python -m bench.reliability hubs``."""
    found = hubs.measure(kind, edges, ("dot",))
    assert found.pop("seconds") > 0
    reason = found.pop("not_planned", "")
    assert found == {"exact": True, "dot": True, "finite": True}
    assert ("a row has 1000001 edges" in reason) == (kind == "gat") == bool(reason)


def test_a_hub_beyond_the_exit_of_gcn_is_refused():
    """The last layer's row scaling keeps 14 bits behind the point, in 32."""
    found = hubs.measure("gcn", 1_000_000)
    assert "beyond int32" in found["refused"] and "smaller largest in-degree" in found["refused"]


@pytest.mark.parametrize("kind", hubs.MODELS)
def test_a_sum_that_is_off_by_one_is_seen(kind, folder):
    bound = hubs.program(kind).bind(hubs.star(300), backend="numba")
    bound()
    assert hubs.exact_hub(bound)
    step = next(s for s in bound.program.steps if s.op in ("neighbor_sum", "weighted_neighbor_sum"))
    bound.binding.registers[step.output].array[0, -1] += 1
    assert not hubs.exact_hub(bound)
    assert hubs.main(["--edges", "300", "--models", kind]) == 0
    assert record.read("hubs")["cells"][f"{kind} 300"]["exact"]


def test_golden_files_are_those_of_the_table():
    names = json.loads((cpus.GOLDEN / "cora.json").read_text(encoding="utf-8"))
    assert {name.split("_")[1] for name in names} == set(hubs.MODELS)
    assert all(load(cpus.GOLDEN / f"{name}.safetensors").program.meta["num_features"] == 1433 for name in names)


@pytest.mark.parametrize("assertion", [True, False])
def test_legs_count_what_pytest_counts(folder, monkeypatch, assertion, tmp_path):
    test = tmp_path / "test_it.py"
    test.write_text(
        "import pytest\n"
        "def test_one(): assert True\n"
        f"def test_two(): assert {assertion}\n"
        "@pytest.mark.skip\n"
        "def test_three(): pass\n"
    )
    script = 'test -d "$1" && "$PYTHON" -m pytest -q -p no:cacheprovider "$0"'
    monkeypatch.setitem(legs.COMMANDS, "bounds", ["bash", "-c", script, str(test)])
    assert legs.main(["--leg", "bounds"]) == (not assertion)
    found = record.read("legs")["legs"]["bounds"]
    failed = int(not assertion)
    assert [found[key] for key in ("exit_code", "passed", "failed", "skipped")] == [failed, 2 - failed, failed, 1]


def test_readers_are_fuzzed_until_they_reach_their_goal(folder, monkeypatch):
    """One is there by its minutes, one gets there by executions in its second sitting, one is new."""
    record.extend("fuzz", {"readers": {"note": fuzz._NOTHING | {"cpu_minutes": 30.0}}}, {})
    results = {"idx": iter([4_999_999, 1]), "zinc": iter([5_000_001])}

    def sitting(reader, *_):
        return {"executions": next(results[reader]), "seconds": 90.0, "cpu_seconds": 60.0, "findings": [], "corpus": 1}

    monkeypatch.setattr(fuzz, "_sitting", sitting)
    monkeypatch.setattr(fuzz, "_seeds", lambda work: work)
    monkeypatch.setattr(fuzz.importlib.util, "find_spec", lambda name: name)
    assert fuzz.main(["--to-goal", "--reader", "note", "idx", "zinc", "--work", str(folder)]) == 0
    readers = record.read("fuzz")["readers"]
    assert readers["idx"] == fuzz._NOTHING | {
        "executions": 5_000_000, "minutes": 3.0, "cpu_minutes": 2.0, "inputs_kept": 1
    }  # fmt: skip
    assert readers["zinc"]["executions"] == 5_000_001 and all(map(fuzz.reached_goal, readers.values()))
    with pytest.raises(SystemExit):
        fuzz.main(["--to-goal", "--no-record"])
