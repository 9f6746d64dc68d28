"""Types as a user's checker sees them: public names are annotated whole; a typed program and README's are accepted."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import dqnumba as dq

ROOT = Path(__file__).parents[1]
needs_mypy = pytest.mark.skipif(find_spec("mypy") is None, reason='needs mypy: pip install "dqnumba[lint]"')


def public():
    """Name and object of everything callable that a user reaches: the package's names, and those of the rooms."""
    rooms = [name for name in dq._ROOMS if name != "errors"]
    found = {f"dqnumba.{name}": getattr(dq, name) for name in dq.__all__}
    for room in rooms:
        module = importlib.import_module(f"dqnumba.{room}")
        found |= {f"dqnumba.{room}.{name}": getattr(module, name) for name in module.__all__}
    for name, value in found.items():
        if inspect.isclass(value):
            yield from ((f"{name}.{key}", member) for key, member in methods(value))
        elif inspect.isfunction(value):
            yield name, value


def methods(kind):
    for key, member in vars(kind).items():
        if isinstance(member, property):
            member = member.fget
        elif isinstance(member, classmethod | staticmethod):
            member = member.__func__
        generated = getattr(member, "__qualname__", "").startswith("__create_fn__") or key.startswith("__dataclass")
        shown = not key.startswith("_") or key in ("__init__", "__call__")
        if inspect.isfunction(member) and not generated and shown:
            yield key, member


PUBLIC = dict(public())


def test_there_are_many():
    assert len(PUBLIC) > 150
    assert {"dqnumba.fit", "dqnumba.nn.GCNConv.__init__", "dqnumba.Graph.in_degree"} <= set(PUBLIC)


def test_public_names_are_annotated_whole():
    missing = []
    for name, function in PUBLIC.items():
        signature = inspect.signature(function)
        for index, parameter in enumerate(signature.parameters.values()):
            bare = parameter.annotation is inspect.Parameter.empty
            if bare and not (index == 0 and parameter.name in ("self", "cls", "klass")):
                missing.append(f"{name}({parameter.name})")
        if signature.return_annotation is inspect.Signature.empty and not name.endswith(".__init__"):
            missing.append(f"{name} -> ?")
    assert not missing


def test_names_that_pick_a_type_are_those_of_the_registry():
    from typing import get_args

    from dqnumba.data.load import ManyGraphs, OneGraph
    from dqnumba.data.registry import registry

    planetoid = {name for name, entry in registry().items() if entry["format"] == "planetoid"}
    assert set(get_args(OneGraph)) == {"synthetic", *planetoid}
    assert set(get_args(ManyGraphs)) == set(registry()) - planetoid


@needs_mypy
def test_mypy_is_content_with_the_package_and_a_user(tmp_path):
    """The documented command, and README's program besides."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    program = tmp_path / "readme_program.py"
    program.write_text(code, encoding="utf-8")
    argv = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), "dqnumba", "tests/typed_program.py"]
    done = subprocess.run([*argv, str(program)], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
