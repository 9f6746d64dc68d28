"""What is built from this tree, without network: the wheel's and the sdist's files and what they say of themselves."""

from __future__ import annotations

import email
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import dqnumba

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CACHES = ("__pycache__", "*.pyc", "*.nbi", "*.nbc", "*.egg-info", "results", "_build", ".*_cache")
BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, sys.argv[1])(sys.argv[2]))
"""
USE = """
import sys
sys.path.insert(0, sys.argv[1])
import dqnumba
from dqnumba.cli.main import main
from dqnumba.data.registry import registry
from dqnumba.report.svg import chart_css
from dqnumba.train.recipe import load_recipe
assert dqnumba.__file__.startswith(sys.argv[1]), dqnumba.__file__
assert load_recipe("gcn", "synthetic") and "cora" in registry() and chart_css()
sys.exit(main(["data", "list", "--json"]))
"""


def setuptools_is_old():
    try:
        return int(version("setuptools").split(".")[0]) < 77
    except PackageNotFoundError:
        return True


pytestmark = pytest.mark.skipif(setuptools_is_old(), reason='building needs setuptools of 77 or newer: extra "test"')


def build(what: str, tree: Path, out: Path) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-c", BUILD, f"build_{what}", str(out)]
    done = subprocess.run(argv, cwd=tree, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of what could go into a distribution, so that building leaves nothing in the checkout."""
    copy = tmp_path_factory.mktemp("tree") / "dqnumba"
    copy.mkdir()
    for name in ("dqnumba", "tests", "bench", "docs", "datasets"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns(*CACHES))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(tree, tmp_path_factory):
    return build("wheel", tree, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tree, tmp_path_factory):
    return build("sdist", tree, tmp_path_factory.mktemp("sdist"))


def package_files(tree: Path) -> set[str]:
    return {str(path.relative_to(tree)) for path in (tree / "dqnumba").rglob("*") if path.is_file()}


def info_of(wheel: Path) -> str:
    return f"dqnumba-{dqnumba.__version__}.dist-info/"


def test_the_wheel_is_pure_and_holds_the_package_and_nothing_else(wheel, tree):
    assert wheel.name == f"dqnumba-{dqnumba.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
        text = opened.read(info_of(wheel) + "WHEEL").decode()
    inside = {name for name in names if not name.startswith(info_of(wheel))}
    assert inside == package_files(tree), "every file of the package, and no other"
    kinds = {Path(name).suffix or Path(name).name for name in inside}
    assert {".toml", ".css", ".typed"} <= kinds and "dqnumba/py.typed" in inside
    assert "Root-Is-Purelib: true" in text and "Tag: py3-none-any" in text


def test_the_wheel_says_what_pyproject_says(wheel):
    with zipfile.ZipFile(wheel) as opened:
        said = email.message_from_bytes(opened.read(info_of(wheel) + "METADATA"))
        entries = opened.read(info_of(wheel) + "entry_points.txt").decode()
        licence = opened.read(info_of(wheel) + "licenses/LICENSE").decode()
    project = PROJECT["project"]
    assert (said["Name"], said["Version"], said["Summary"]) == ("dqnumba", dqnumba.__version__, project["description"])
    assert (said["Requires-Python"], said["License-Expression"]) == (project["requires-python"], "BSD-3-Clause")
    needs = [need for need in said.get_all("Requires-Dist") if "extra ==" not in need]
    assert sorted(needs) == sorted(project["dependencies"])
    assert set(said.get_all("Provides-Extra")) == set(project["optional-dependencies"])
    assert "dqnumba = dqnumba.cli.main:main" in entries
    assert "Redistribution" in licence
    assert said.get_payload().startswith("# dqnumba")


def test_an_unpacked_wheel_finds_its_data(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path / "site")
    argv = [sys.executable, "-I", "-c", USE, str(tmp_path / "site")]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert '"cora"' in done.stdout


def test_the_sdist_holds_what_a_wheel_is_built_from(sdist, wheel, tree, tmp_path):
    with tarfile.open(sdist) as opened:
        opened.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    names = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert package_files(tree) <= names
    assert {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO"} <= names
    assert not {name.split("/")[0] for name in names} & {"bench", "datasets", "docs"}
    with zipfile.ZipFile(build("wheel", unpacked, tmp_path / "again")) as again, zipfile.ZipFile(wheel) as first:
        assert set(again.namelist()) == set(first.namelist())
