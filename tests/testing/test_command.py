"""``python -m dqnumba.testing``."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dqnumba.testing import __main__ as command
from dqnumba.testing.planted import PLANTED, right


def targets():
    return {"good": right(), "bad": PLANTED["floor"].quantizer}


ONE = right("one")
FAULT = [PLANTED["floor"], PLANTED["wraps"]]


def test_right_ones_and_faults(capsys):
    assert command.main(["test_command:ONE", "test_command:FAULT", "--examples", "40"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("holds  one") and "16 properties" in lines[0]
    assert lines[1].startswith("caught floor") and "by bounded_error within" in lines[1]
    assert err == "3 of 3 as they should be\n"


def test_a_broken_one_is_reported(capsys):
    assert command.main(["test_command:targets", "--examples", "5", "--json"]) == 1
    good, bad = map(json.loads, capsys.readouterr().out.splitlines())
    assert good["as_it_should_be"] and not bad["as_it_should_be"]
    assert "bounded_error" in bad["failed"] and "smallest case" in bad["report"]


def test_a_fault_that_slips_through_is_reported(capsys, monkeypatch):
    monkeypatch.setattr("test_command.FAULT", [replace(PLANTED["floor"], quantizer=right())])
    assert command.main(["test_command:FAULT", "--examples", "5"]) == 1
    assert "MISSED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["nonsense"], "not of the form module:name"),
        (["test_command:nothing"], "was not found"),
        (["no_such_module_here:x"], "was not found"),
        (["json:__name__"], "it must give Quantizer objects"),
        (["test_command:ONE", "--examples", "0"], "at least 1"),
    ],
)
def test_wrong_use(argv, words, capsys):
    assert command.main(argv) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_without_a_target_it_runs_ours_and_the_planted(capsys, monkeypatch):
    monkeypatch.setattr(command, "ours", lambda: [right("ours")])
    monkeypatch.setattr(command, "PLANTED", {"floor": PLANTED["floor"]})
    assert command.main(["--examples", "20"]) == 0
    assert capsys.readouterr().err == "2 of 2 as they should be\n"
