"""The README's examples run as they stand: the Python block, and every ``dqnumba`` line of the shell blocks."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from dqnumba.cli.main import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_python_block_runs_and_its_model_verifies(tmp_path, monkeypatch):
    (code,) = blocks("python")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["report"].passed
    assert names["logits"].shape == (names["graph"].num_nodes, names["graph"].num_classes)
    np.testing.assert_array_equal(names["logits"], names["imodel"](names["graph"]))


def test_commands_of_the_verbs_run_in_order(tmp_path, monkeypatch, capsys):
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("dqnumba ")]
    assert [shlex.split(line)[1] for line in lines] == ["train", "verify", "inspect", "run", "bench"]
    monkeypatch.chdir(tmp_path)
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0, line
        assert capsys.readouterr().out.strip(), f"{line} printed nothing"


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_to_files_lead_somewhere(path):
    assert path.startswith("http") or (Path(__file__).parents[1] / path).exists()


@pytest.mark.parametrize("path", re.findall(r"`((?:dqnumba/)?(?:[a-z_]+/)+[a-z_]+\.py)`", README))
def test_files_named_in_the_text_exist(path):
    root = Path(__file__).parents[1]
    assert (root / path).exists() or (root / "dqnumba" / path).exists()
