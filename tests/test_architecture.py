"""The arrows between the rooms, read from the imports of every file; and what compiled files may use."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dqnumba

ROOT = Path(dqnumba.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in FILES]

# Room -> rooms that it may import. Reaching further than this is a design decision: change it here, with a reason.
_FLOAT = {"errors", "graph", "quant", "kernels"}
ARROWS = {
    "errors": set(),
    "locks": set(),
    "files": {"locks"},
    "formats": set(),  # containers of bytes from outside; their readers make documented errors of what is wrong
    "quant": {"errors"},
    "graph": {"errors", "files", "formats"},
    "kernels": {"errors"},  # arrays in, arrays out
    "infer": {"errors", "files", "formats", "graph", "quant", "kernels"},
    "autograd": {"errors", "kernels", "graph"},
    "nn": _FLOAT | {"autograd"},
    "qat": _FLOAT | {"autograd", "nn"},
    "train": _FLOAT | {"files", "formats", "locks", "autograd", "nn", "qat"},
    "convert": {"errors", "formats", "graph", "quant", "infer", "autograd", "nn", "qat"},
    "data": {"errors", "files", "formats", "locks", "graph"},
    "estimator": {"errors", "graph", "qat", "train", "convert", "infer"},
    # Runs what the others made and shows it; nothing but the command line knows it.
    "report": {"errors", "graph", "infer", "nn", "qat", "train", "convert"},
    "testing": {"errors", "quant", "graph", "infer", "autograd"},  # what it draws, and our quantizers as it sees them
}
# Single files that reach further: what they do is a whole run, from raw data to the record of the integer program.
EXTRA = {
    "kernels/_cache.py": {"files"},
    "kernels/reference.py": {"quant"},  # the single home of requantize
    "train/experiment.py": {"convert"},
    "train/initial.py": {"convert"},  # foreign weights
    "train/scoring.py": {"convert"},
    "train/source.py": {"data"},
}
ALL_ROOMS = set(ARROWS) | {"cli"}
ARROWS["cli"] = ALL_ROOMS
KERNEL_IMPORTS = {"__future__", "math", "numpy", "numba", "dqnumba.kernels._jit", "dqnumba.kernels._twin"}
KERNEL_IMPORTS |= {"dqnumba.kernels.integer_threads"}
KERNEL_IMPORTS |= {"dqnumba.kernels.select_tails"}  # called by the Python part of select, not by what it compiles
# Intrinsics stand beside the kernels that use them, and those are built with LLVM's own vectors.
KERNEL_IMPORTS |= {"llvmlite", "numba.core", "numba.core.registry", "numba.extending"}
KERNEL_IMPORTS |= {"collections.abc", "functools", "typing"}
DECORATORS = {"kernel", "parallel_kernel", "twin"}
# The vector kernels are one room in this: small operations on registers are shared by many kernels, and each entry of
# the cache carries a digest of all files of the folder. So they may call helpers of each other's files, but of no other
# folder's. They are compiled from factories too, hence the decorators are looked for at every depth.
DOT = ROOT / "kernels" / "dot"
DOT_DECORATORS = {"helper", "micro", "driver"}
DOT_FILES = sorted(DOT.glob("*.py"))
# Beside NumPy, Numba and LLVM: what the choice of instructions and the packing of weights need, in plain Python.
DOT_IMPORTS = {
    "__future__", "collections.abc", "ctypes", "dataclasses", "functools", "hashlib", "itertools", "logging", "math",
    "os", "pathlib", "platform", "sys", "threading", "types", "typing", "llvmlite", "numpy", "numpy.typing", "numba",
    "dqnumba.errors", "dqnumba.kernels", "dqnumba.kernels._cache", "dqnumba.kernels._jit", "dqnumba.kernels.integer",
    "dqnumba.kernels.integer_threads", "dqnumba.kernels.reference",
}  # fmt: skip


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports_of(path, tree=None):
    """Every module that a file imports anywhere, absolute; names taken from a package count as its modules too."""
    package = ["dqnumba", *path.relative_to(ROOT).parent.parts]
    found = set()
    for node in ast.walk(tree or tree_of(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found.add(module)
            if module == "dqnumba":  # `from .. import nn`
                found.update(f"{module}.{alias.name}" for alias in node.names)
    return found


def room_of(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "dqnumba" and parts[1] in ALL_ROOMS else None


def decorated(tree):
    """Names of the functions of a file that Numba compiles, with their definitions."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                target = decorator.func if isinstance(decorator, ast.Call) else decorator
                if isinstance(target, ast.Name) and target.id in DECORATORS:
                    found[node.name] = node
    return found


COMPILED = [path for path in FILES if decorated(tree_of(path))]


def test_the_rules_meet_something():
    rooms = {path.relative_to(ROOT).parts[0] for path in FILES if path.parent != ROOT}
    assert rooms <= ALL_ROOMS, f"a room without a rule: {rooms - ALL_ROOMS}"
    assert len(COMPILED) >= 10
    assert set(EXTRA) <= set(NAMES), "an exception for a file that is gone"
    assert sum(bool(imports_of(path)) for path in FILES) > 80


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_imports_follow_the_arrows(path):
    parts = path.relative_to(ROOT).parts
    room = parts[0] if len(parts) > 1 else ("errors" if parts[0] == "errors.py" else "cli")
    allowed = ARROWS[room] | {room} | EXTRA.get("/".join(parts), set())
    wrong = sorted(module for module in imports_of(path) if (room_of(module) or room) not in allowed)
    assert not wrong, f"{room} must not import {wrong}"


@pytest.mark.parametrize("path", COMPILED, ids=lambda p: p.name)
def test_compiled_files_import_numbers_and_numba_only(path):
    assert imports_of(path) <= KERNEL_IMPORTS


@pytest.mark.parametrize("path", COMPILED, ids=lambda p: p.name)
def test_compiled_functions_call_helpers_of_their_own_file_only(path):
    """Numba's cache on disk looks at one file: a helper changed elsewhere would go on running in its old form."""
    tree = tree_of(path)
    functions = decorated(tree)
    foreign = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module not in ("__future__", "numba"):
            foreign.update(alias.asname or alias.name for alias in node.names)
    plain = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} - set(functions)
    for name, function in functions.items():
        used = {node.id for part in function.body for node in ast.walk(part) if isinstance(node, ast.Name)}
        assert not used & foreign, f"{name} uses {used & foreign} of another file"
        assert not used & plain, f"{name} calls {used & plain}, which is not compiled"


def dot_functions(tree):
    """What Numba compiles in a file of the vector kernels: decorated, or handed to `micro` by a factory."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    handed = {
        call.args[0].id for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "micro"
        and call.args and isinstance(call.args[0], ast.Name)
    }  # fmt: skip
    found = []
    for function in functions:
        targets = [d.func if isinstance(d, ast.Call) else d for d in function.decorator_list]
        if {t.id for t in targets if isinstance(t, ast.Name)} & DOT_DECORATORS or function.name in handed:
            found.append(function)
    return found


@pytest.mark.parametrize("path", DOT_FILES, ids=lambda p: p.name)
def test_vector_kernels_import_each_other_and_little_else(path):
    folder = "dqnumba.kernels.dot"
    outside = {m for m in imports_of(path) if m != folder and not m.startswith((f"{folder}.", "numba.", "llvmlite."))}
    assert outside <= DOT_IMPORTS


@pytest.mark.parametrize("path", DOT_FILES, ids=lambda p: p.name)
def test_vector_kernels_call_compiled_code_of_their_own_folder_only(path):
    """The digest over the folder is what lets a kernel call helpers of other files; it does not see other folders."""
    tree = tree_of(path)
    foreign = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level > 1:
            foreign.update(alias.asname or alias.name for alias in node.names)
    for function in dot_functions(tree):
        used = {node.id for part in function.body for node in ast.walk(part) if isinstance(node, ast.Name)}
        assert not used & foreign, f"{function.name} uses {used & foreign} of another folder"


def test_vector_kernels_are_found():
    assert sum(len(dot_functions(tree_of(path))) for path in DOT_FILES) > 60
    assert any("folder_digest" in path.read_text(encoding="utf-8") for path in DOT_FILES)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_files_are_short_and_silent_and_read_no_pickles(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 350, "one idea a file: look for the second one"
    tree = tree_of(path)
    name = str(path.relative_to(ROOT))
    if not name.startswith("cli"):
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
        assert not [n.lineno for n in calls if n.func.id == "print"], "only the command line prints"
    if name != "data/restricted_pickle.py":
        modules = {module.split(".")[0] for module in imports_of(path, tree)}
        assert not modules & {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"}
        assert "allow_pickle=True" not in text.replace(" ", "")


def test_runtime_rooms_import_no_heavy_libraries_at_the_top():
    """Graph, quant, kernels and infer are what a deployment loads."""
    for path in FILES:
        if path.relative_to(ROOT).parts[0] in ("graph", "quant", "kernels", "infer"):
            top = [node for node in tree_of(path).body if isinstance(node, ast.Import | ast.ImportFrom)]
            modules = imports_of(path, ast.Module(top, []))
            assert not {m for m in modules if m.split(".")[0] in ("scipy", "networkx", "tqdm", "safetensors")}, path
