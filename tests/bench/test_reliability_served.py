"""The runs with many predictions: they count what they say, and they see what is wrong."""

from __future__ import annotations

import itertools
import mmap

import pytest

pytest.importorskip("bench.reliability", reason="bench/ stands beside the package, in a checkout only")
from bench.reliability import record, served, soak, threads


@pytest.fixture
def one_model(monkeypatch):
    models = dict(itertools.islice(served.make_models().items(), 1))
    monkeypatch.setattr(served, "make_models", lambda: models)
    return next(iter(models.values()))


def test_threads_count_their_predictions(one_model, monkeypatch):
    monkeypatch.setattr(threads, "_LARGE_NODES", 300)
    found = threads.serve(256, threads=4, graphs=3)
    assert (found["predictions"], found["own"], found["shared"], found["fresh"]) == (256, 128, 64, 64)
    assert found["large"] == 4 and found["differing"] == 0
    assert found["threading_layer"] in threads.LAYERS


def test_a_wrong_answer_is_counted(one_model, monkeypatch):
    monkeypatch.setattr(threads, "_LARGE_NODES", 300)
    call, number = type(one_model).__call__, itertools.count()

    def sometimes_wrong(self, graph, *, backend=None):
        logits = call(self, graph, backend=backend)
        return logits + (backend is None and next(number) % 8 == 0)

    monkeypatch.setattr(type(one_model), "__call__", sometimes_wrong)
    assert threads.serve(256, threads=4, graphs=3)["differing"] == 8
    found = soak.soak(64, pool=False, graphs=3, samples=2)
    assert (found["predictions"], found["differing"]) == (64, 8)


@pytest.mark.parametrize("pool", [False, True])
def test_a_soak_counts_and_measures(one_model, pool):
    found = soak.soak(60, pool=pool, graphs=4, samples=3)
    assert (found["predictions"], found["differing"], found["graphs"], found["models"]) == (60, 0, 4, 1)
    assert len(found["resident_mib"]) == 4
    first, *_, last = found["resident_mib"]
    assert abs(found["growth_mib"] - (last - first)) < 0.016  # each of the three is rounded to hundredths


def test_memory_that_is_kept_shows(one_model, monkeypatch):
    kept, call = [], type(one_model).__call__

    def keeps(self, graph, *, backend=None):
        kept.append(mmap.mmap(-1, 1 << 18))  # not of the heap, which may have room from before
        kept[-1].write(bytes(1 << 18))
        return call(self, graph, backend=backend)

    monkeypatch.setattr(type(one_model), "__call__", keeps)
    assert soak.soak(60, pool=False, graphs=4, samples=3)["growth_mib"] > 10


def test_a_second_sitting_adds_to_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "FOLDER", tmp_path)
    outcomes = iter(
        [{"predictions": 5, "differing": 0}, {"predictions": 7, "differing": 1}, {"died": 1, "exit_code": "-6"}]
    )
    monkeypatch.setattr(threads, "_in_a_process", lambda *_: next(outcomes))
    assert [threads.main(["--layers", "omp"]) for _ in range(3)] == [0, 1, 1]
    found = record.read("threads")
    assert found["layers"]["omp"]["predictions"] == 12 and found["layers"]["omp"]["died"] == 1
    assert len(found["sittings"]) == 3
