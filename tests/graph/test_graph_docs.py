"""docs/graphs.md runs as it stands, its Python and shell blocks in order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from dqnumba.cli.main import main

PAGE = (Path(__file__).parents[2] / "docs" / "graphs.md").read_text(encoding="utf-8")


def test_every_block_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    blocks = re.findall(r"```(python|sh)\n(.*?)```", PAGE, flags=re.DOTALL)
    assert [language for language, _ in blocks] == ["python", "sh", "python", "python", "sh", "python"]
    for language, text in blocks:
        if language == "python":
            exec(compile(text, "docs/graphs.md", "exec"), names)
            continue
        for line in text.splitlines():
            assert main(shlex.split(line)[1:]) == 0, (line, capsys.readouterr().err)
    assert names["found"].classes == ("baker", "cook") and names["found"].data.num_edges == 6
    assert names["clf"].score(names["graph"], items=names["test"]) > 0.5
