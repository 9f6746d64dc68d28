"""Ctrl-C, SIGTERM and SIGHUP: the exit code says which, the message says how to go on, the last checkpoint is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from bench.reliability.steps import recording, watching
from dqnumba.cli import ending, main
from dqnumba.data import superpixel_sets
from dqnumba.train.checkpoint import read_checkpoint

SIGNALS = {"SIGINT": (130, "interrupted"), "SIGTERM": (143, "terminated"), "SIGHUP": (129, "hung up")}
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has other signals")


def sending(at, name):
    """A real signal to this process at a step; a command without a handler would end the tests, so that is asked."""
    number = getattr(signal, name)

    def act(step):
        if step.number == at:
            assert callable(signal.getsignal(number)), f"nothing catches {name}"
            os.kill(os.getpid(), number)
            time.sleep(1.0)  # the handler raises before this has passed

    return act


@pytest.fixture(autouse=True)
def hang_ups_are_heard():
    """Whoever starts the tests under nohup has them ignore SIGHUP, which the command respects."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def straight(tmp_path_factory, graph_file):
    """Model file and steps of an uninterrupted run, a checkpoint after each of its two epochs."""
    from dqnumba.train.experiment import run_experiment

    run_experiment.__kwdefaults__["save_every"], before = 0.0, run_experiment.__kwdefaults__["save_every"]
    folder, steps = tmp_path_factory.mktemp("straight"), []
    try:
        with watching(folder, recording(steps)):
            assert main.main([*argv_of(graph_file, folder), "--quiet"]) == 0
    finally:
        run_experiment.__kwdefaults__["save_every"] = before
    return (folder / "m.safetensors").read_bytes(), len(steps)


def argv_of(graph_file, folder):
    return ["train", "--graph", str(graph_file), "--hidden", "4", "--epochs", "2", "--out",
            str(folder / "m.safetensors")]  # fmt: skip


@pytest.mark.parametrize("name, stride, first", [("SIGTERM", 5, 1), ("SIGINT", 9, 2), ("SIGHUP", 16, 11)])
def test_a_training_that_is_stopped_keeps_its_checkpoint(
    call, place, left, graph_file, every_epoch, straight, name, stride, first
):
    wanted, steps = straight
    code, word = SIGNALS[name]
    resumed = 0
    for at in range(first, steps + 1, stride):
        for old in left(place):
            (place / old).unlink()
        with watching(place, sending(at, name)):
            stopped = call(*argv_of(graph_file, place))
        assert stopped.code == code and stopped.out == ""
        assert f"dqnumba train: {word}" in stopped.err and "Traceback" not in stopped.err
        files = [name for name in left(place) if not name.startswith(".")]  # the removal of a lock may be the step
        assert set(files) <= {"m.safetensors", "m.train.safetensors"}
        if "m.train.safetensors" in left(place):
            read_checkpoint(place / "m.train.safetensors")
            assert f"`dqnumba train --resume --out {place / 'm.safetensors'}` goes on" in stopped.err
            assert call("train", "--resume", "--out", place / "m.safetensors", "--quiet").code == 0
            assert (place / "m.safetensors").read_bytes() == wanted
            assert left(place) == ["m.safetensors", "m.train.safetensors"]
            resumed += 1
        else:
            assert "no epoch had ended, so nothing was written" in stopped.err
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "the handler outlives the command"
    assert resumed >= 2


def test_what_the_message_says_is_true(call, place, graph_file, every_epoch):
    argv = argv_of(graph_file, place)
    assert call(*argv, "--quiet").code == 0
    path = place / "m.train.safetensors"
    before = path.read_bytes()
    os.utime(path, (time.time() - 3600,) * 2)
    with watching(place, sending(1, "SIGTERM")):
        stopped = call(*argv)
    assert stopped.code == 143 and path.read_bytes() == before
    assert "--resume" not in stopped.err, "that would go on with the earlier run"
    with watching(place, sending(1, "SIGTERM")):
        stopped = call("train", "--resume", "--out", place / "m.safetensors")
    assert "goes on from m.train.safetensors" in stopped.err


def test_without_out_nothing_is_kept_and_that_is_said(call, graph_file, monkeypatch):
    from dqnumba.train import experiment

    def stop(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1.0)

    monkeypatch.setattr(experiment, "fit", stop)
    stopped = call("train", "--graph", graph_file, "--epochs", 1)
    assert stopped.code == 143 and "nothing was kept, for there is no --out" in stopped.err


def test_a_real_process(place, graph_file):
    argv = [sys.executable, "-m", "dqnumba", *argv_of(graph_file, place), "--epochs", "1000000"]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while not (place / "m.train.safetensors").exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, ""), err
    assert "Traceback" not in err and "goes on from m.train.safetensors" in err
    assert sorted(os.listdir(place)) == ["m.train.safetensors"]
    assert read_checkpoint(place / "m.train.safetensors").state.epoch >= 1


def test_an_interruption_before_there_is_a_verb(monkeypatch, capsys):
    def stop():
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "build_parser", stop)
    assert main.main(["data", "list"]) == 130
    assert capsys.readouterr() == ("", "")


def test_handlers_of_others_are_left_alone(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with ending.stoppable():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert callable(signal.getsignal(signal.SIGTERM))
    finally:
        signal.signal(signal.SIGHUP, before)
    with ending.stoppable():
        with pytest.raises(ending.Stopped, match="SIGTERM"):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1.0)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "a second one ends the process"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main.main(["data", "list", "--json"])))
    thread.start()  # only the main thread may set handlers; others run without
    thread.join()
    assert codes == [0]


def test_preparing_that_is_interrupted_leaves_whole_runs_only(tmp_path, left, monkeypatch):
    images, labels = np.zeros((12, 8, 8), np.uint8), np.arange(12) % 10
    monkeypatch.setattr(superpixel_sets, "_RUN", 4)
    monkeypatch.setattr(superpixel_sets, "build_graphs", lambda images, **_: packed(len(images)))

    def prepare():
        return superpixel_sets.make_dataset("mnist", images, labels, images[:2], labels[:2], num_val=4).union.x

    cache, steps = tmp_path / "cache", []
    with watching(tmp_path, recording(steps)):
        wanted = prepare()
    whole = {name: (cache / name).read_bytes() for name in left(cache)}
    for step in steps[2::7]:
        for name in left(cache):
            (cache / name).unlink()

        with pytest.raises(KeyboardInterrupt), watching(cache, sending(step.number - 2, "SIGINT")):
            prepare()
        assert all((cache / name).read_bytes() == whole[name] for name in left(cache))
        assert np.array_equal(prepare(), wanted)
        assert left(cache) == sorted(whole)


def packed(count):
    return superpixel_sets.PackedGraphs(
        size=np.full(count, 2, np.uint8), x=np.arange(6 * count, dtype=np.float32).reshape(-1, 3),
        in_degree=np.ones(2 * count, np.uint8), source=np.tile(np.array([1, 0], np.uint8), count),
    )  # fmt: skip
