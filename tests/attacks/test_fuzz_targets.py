"""What the fuzzer runs, run here over its seeds and a few changed files, without atheris."""

from __future__ import annotations

import importlib.util
import random
import time
from pathlib import Path

import pytest

from bench.reliability import __main__ as command
from bench.reliability import fuzz, fuzz_target
from bench.reliability.fuzz_target import Target, ran_out_of_memory
from bench.reliability.mutators import mutate
from bench.reliability.readers import READERS, Reader
from dqnumba.errors import DataError

SEEDS = fuzz.seed_contents()
CHANGED = 60  # files of each reader
SLOW_SEED = 1 << 12  # bytes; the attacks themselves are run by test_attacks.py


def plain(rng):
    """A poor man's libFuzzer: a byte changed, put in, or taken away."""

    def change(data):
        out = bytearray(data or b"\0")
        at = rng.randrange(len(out))
        choice = rng.randrange(3)
        out[at : at + (choice != 1)] = b"" if choice == 2 else bytes([rng.randrange(256)])
        return bytes(out)

    return change


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("reader", READERS)
def test_seeds_and_their_neighbours_have_allowed_outcomes(reader):
    rng = random.Random(reader)
    seeds = [seed for seed in SEEDS[reader] if len(seed) <= SLOW_SEED]
    changed = [mutate(reader, rng.choice(SEEDS[reader][:6]), rng, plain(rng)) for _ in range(CHANGED)]
    assert len(set(changed)) > CHANGED // 2
    with Target(reader) as target:
        for content in [*seeds, *changed]:
            assert target(content) is None, content
    assert target.executions == len(seeds) + CHANGED


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("reader", ["model", "train", "weights", "graph", "zinc", "planetoid", "tu", "idx", "archive"])
def test_changes_that_keep_the_frame_reach_behind_it(reader, monkeypatch):
    """Of changed files a good part is still read whole: a checksum or a frame that is broken would stop all."""
    rng, read, entry = random.Random(0), [], READERS[reader]
    whole = Reader(lambda path: read.append(entry.read(path)), entry.name, entry.errors, entry.modules)
    monkeypatch.setitem(READERS, reader, whole)
    with Target(reader) as target:
        for _ in range(60):
            target(mutate(reader, SEEDS[reader][0], rng, plain(rng)))
    assert len(read) >= 3


@pytest.mark.parametrize(
    ("fault", "wrong"),
    [
        (lambda path: {}["x"], "KeyError"),
        (lambda path: _memory(), "DataError"),
        (lambda path: (_ for _ in ()).throw(DataError("a\nb\nc\nd")), "many lines"),
        (lambda path: 1 // 0, "ZeroDivisionError"),
        (lambda path: path.read_bytes(), None),
        (lambda path: (_ for _ in ()).throw(DataError("said")), None),
    ],
)
def test_a_planted_fault_is_a_finding_and_is_kept_once(tmp_path, monkeypatch, fault, wrong):
    monkeypatch.setitem(READERS, "note", Reader(fault, "note", (DataError,), ()))
    with Target("note", tmp_path / "found") as target:
        outcomes = [target(content) for content in (b"one", b"two")]
    assert all(outcome is None if wrong is None else wrong in outcome for outcome in outcomes)
    kept = [path.read_bytes() for path in (tmp_path / "found").glob("*") if path.suffix != ".txt"]
    assert kept == ([] if wrong is None else [b"one"])


def _memory():
    try:
        raise MemoryError("unable to allocate")
    except MemoryError as error:
        raise DataError("cannot be read") from error


def test_an_error_that_stands_for_too_much_memory_is_seen():
    with pytest.raises(DataError) as raised:
        _memory()
    assert ran_out_of_memory(raised.value) and not ran_out_of_memory(DataError("x"))


def test_without_atheris_it_says_what_to_install(monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "atheris" else found(name))
    assert command.main(["fuzz", "--reader", "note"]) == 2
    assert 'pip install "dqnumba[fuzz]"' in capsys.readouterr().err


def test_sittings_add_up(tmp_path, monkeypatch):
    from bench.reliability import record

    monkeypatch.setattr(record, "FOLDER", tmp_path)
    found = [{"file": "a", "what": "x"}]
    result = {"executions": 1000, "seconds": 30.0, "cpu_seconds": 15.0, "corpus": 7, "findings": found}
    fuzz._add("note", result, 0.5)
    fuzz._add("note", result | {"executions": 5, "corpus": 9}, 0.5)
    fuzz._add("idx", result, 0.5)
    kept = record.read("fuzz")
    expected = {"executions": 1005, "minutes": 1.0, "cpu_minutes": 0.5, "findings": found, "inputs_kept": 9}
    assert kept["readers"]["note"] == expected
    assert [s["reader"] for s in kept["sittings"]] == ["note", "note", "idx"]
    assert Path(tmp_path / "fuzz.json").exists()


def test_what_works_for_long_is_slow_and_what_waits_is_not(monkeypatch):
    """A busy machine makes everything wait."""

    def work(path):
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass

    for read, wrong in ((work, "slow"), (lambda path: time.sleep(0.1), None)):
        monkeypatch.setattr(fuzz_target, "SLOW", 0.05)
        monkeypatch.setitem(READERS, "note", Reader(read, "note", (DataError,), ()))
        with Target("note") as target:
            assert target(b"") == wrong
