"""Every hostile file gets its documented error, within bounded time and memory.

``attack_models.py``, ``attack_graphs.py`` and ``attack_data.py`` are the table of files and errors.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import attack_data
import attack_graphs
import attack_models
import pytest
from findings import FINDINGS, FOUND, TABLE
from samples import SAMPLES

from bench.reliability.readers import READERS, place_of
from dqnumba import errors

ATTACKS = [*attack_models.ATTACKS, *attack_graphs.ATTACKS, *attack_data.ATTACKS]
ALL = {attack.id: attack for attack in [*ATTACKS, *FINDINGS.values()]}
SECONDS = 10


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What one process under limits said to each file; a file that ended the process has no outcome."""
    if sys.platform != "linux":
        pytest.skip("limits of memory are set as Linux knows them")
    root = tmp_path_factory.mktemp("attacks")
    tasks = []
    for number, attack in enumerate(ALL.values()):
        folder = root / f"{number}"
        folder.mkdir()
        path = place_of(attack.reader, folder)
        attack.write(path)
        tasks.append({"id": attack.id, "reader": attack.reader, "path": str(path)})
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, str(here / "attack_run.py")], input="\n".join(map(json.dumps, tasks)), text=True,
        capture_output=True, env=os.environ | {"PYTHONPATH": os.pathsep.join([str(here.parents[1]), *sys.path])},
    )  # fmt: skip
    found = {entry["id"]: entry for entry in map(json.loads, done.stdout.splitlines())}
    if len(found) < len(tasks):
        lost = tasks[len(found)]["id"]
        found[lost] = {"error": f"the process ended with {done.returncode}", "message": done.stderr[-2000:]}
    return found


@pytest.mark.parametrize("name", ALL)
def test_each_file_gets_its_error_within_limits(outcomes, name):
    attack = ALL[name]
    assert name in outcomes, "an earlier file ended the process"
    outcome = outcomes[name]
    assert (outcome["error"] or "read") == (attack.error or "read"), outcome["message"]
    assert re.search(attack.message, outcome["message"], re.DOTALL), outcome["message"]
    assert outcome["message"].count("\n") <= 2, "more than three lines on the command line"
    assert outcome["peak"] <= attack.peak, f"{outcome['peak']:,} bytes at once"
    assert outcome["seconds"] <= SECONDS


def test_the_corpus_is_large_and_reaches_every_reader():
    readers = Counter(attack.reader for attack in ATTACKS)
    assert len(ATTACKS) == len({attack.id for attack in ATTACKS}) >= 60
    assert set(readers) == set(READERS) - {"cache", "note"}  # of our own: what is damaged there is made anew
    for attack in ATTACKS:
        assert issubclass(getattr(errors, attack.error), READERS[attack.reader].errors), attack.id


def test_every_finding_of_the_fuzzer_is_in_the_table():
    files = {(path.parent.name, path.name) for path in FOUND.glob("*/*")}
    assert files == set(TABLE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("reader", SAMPLES)
def test_whole_files_are_read(tmp_path, reader):
    for content in SAMPLES[reader]:
        place_of(reader, tmp_path).write_bytes(content)
        assert READERS[reader].read(place_of(reader, tmp_path)) is not None
