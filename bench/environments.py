"""Environments of their own for what `bench.footprint` compares, and how much of a disk each takes."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from . import report

__all__ = ["Unavailable", "make_environment", "make_wheel", "sizes"]

#: Bytes of each distribution that the named ones need, with them, from what pip recorded. A requirement that is not
#: installed is one of another system or of an extra.
SIZES = """
import importlib.metadata, json, re, sys
todo, found = sys.argv[1:], {}
while todo:
    name = re.sub("[-_.]+", "-", todo.pop()).lower()
    try:
        installed = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        continue
    if name in found:
        continue
    paths = [file.locate() for file in installed.files or []]
    found[name] = {"bytes": sum(path.stat().st_size for path in paths if path.is_file()),
                   "version": installed.version}
    needs = [need for need in installed.requires or [] if "extra ==" not in need]
    todo += [re.match("[A-Za-z0-9._-]+", need).group() for need in needs]
print(json.dumps(found))
"""


class Unavailable(Exception):
    """An environment that cannot be had here, with the reason."""


def _run(*argv: Any, cwd: Path | None = None) -> str:
    done = subprocess.run([str(part) for part in argv], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise Unavailable(lines[-1][:200] if lines else f"{argv[0]} failed")
    return done.stdout


def make_wheel(folder: Path) -> Path:
    """The wheel of this checkout, built from a copy, in ``folder``."""
    import shutil

    root, tree = Path(__file__).parents[1], folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(root / "dqnumba", tree / "dqnumba", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(root / name, tree)
    _run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, tree)
    return next(folder.glob("dqnumba-*-py3-none-any.whl"))


def make_environment(folder: Path, *packages: Any) -> Path:
    """The interpreter of a virtual environment with ``packages``; one that is there already is taken as it is.

    Raises
    ------
    Unavailable
        If pip cannot install them.
    """
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        report.progress(f"making {folder} with {', '.join(map(str, packages))}")
        venv.create(folder, with_pip=True, symlinks=sys.platform != "win32")
        try:
            _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages)
        except Unavailable:
            import shutil

            shutil.rmtree(folder)  # half an environment must not pass for one
            raise
    return python


def sizes(python: Path | str, *distributions: str) -> dict[str, Any]:
    """MB of ``distributions`` and of all that they need in the environment of ``python``: total, and each."""
    each = json.loads(_run(python, "-c", SIZES, *distributions))
    missing = [name for name in distributions if name not in each]
    if missing:
        raise Unavailable(f"{', '.join(missing)} is not installed there")
    parts = sorted(each.items(), key=lambda item: -item[1]["bytes"])
    return {
        "installed_mb": sum(fact["bytes"] for fact in each.values()) / 1e6,
        "parts_mb": {name: fact["bytes"] / 1e6 for name, fact in parts},
        "versions": {name: fact["version"] for name, fact in parts},
    }
