"""What mutmut leaves behind, read: which change of the code was noticed, and why the others need no test.

mutmut writes each changed form of a function into ``mutants/FILE.py`` and the exit code of the tests against it into
``mutants/FILE.py.meta``. A mutant is known here by its file, its function, and the line as it was and as it is, for
numbers move with every edit. ``survivors.toml`` says of those that no test kills why none can or should.
"""

from __future__ import annotations

import ast
import difflib
import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

__all__ = ["OUTCOMES", "Mutant", "explain", "outcome", "plain_properties", "read_explanations", "read_mutants", "table"]

#: A mutant is killed by a test that fails; one that runs out of time, or crashes the process, is counted apart.
OUTCOMES = ("killed", "survived", "timeout", "crashed", "no_tests", "unchecked")
_BY_EXIT_CODE = {
    None: "unchecked", 2: "unchecked",  # pytest was interrupted
    0: "survived", 1: "killed", 3: "killed", 5: "no_tests", 33: "no_tests",
    24: "timeout", -24: "timeout", 36: "timeout", 152: "timeout", 255: "timeout", -9: "timeout",
}  # fmt: skip
_RULES = {"texts": "only the wording of an error changes: the numbers in it, when it is raised and its class do not"}


def outcome(exit_code: int | None) -> str:
    """What the exit code of the tests says of a mutant: one of :data:`OUTCOMES`."""
    return _BY_EXIT_CODE.get(exit_code, "crashed")


@dataclass(frozen=True)
class Mutant:
    """One changed form of one function.

    Attributes
    ----------
    file, function : str
        Path below the package, and the qualified name.
    was, now : str
        The lines that differ, without indentation, joined by a space.
    outcome : str
        One of :data:`OUTCOMES`.
    text_only : bool
        Only text within ``raise`` statements differs.
    reason : str
        Why it may survive; empty where nobody has said.
    """

    file: str
    function: str
    was: str
    now: str
    outcome: str
    text_only: bool = False
    reason: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.file, self.function, self.was, self.now


def read_mutants(folder: Path, package: str = "dqnumba") -> list[Mutant]:
    """All mutants below ``folder``, mutmut's ``mutants/``."""
    found = []
    for meta in sorted((folder / package).rglob("*.py.meta")):
        path = meta.with_suffix("")
        codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        forms = _functions(path.read_text(encoding="utf-8")) if codes else {}
        for key, code in codes.items():
            name = key.rpartition(".")[2]
            mangled = name.partition("__mutmut_")[0]
            function = mangled[2:] if mangled.startswith("x_") else mangled[2:].replace("ǁ", ".")
            plain = function.rpartition(".")[2]
            first, second = (forms[n].replace(n, plain) for n in (f"{mangled}__mutmut_orig", name))
            text_only = _without_texts(first) == _without_texts(second)
            file = path.relative_to(folder / package).as_posix()
            found.append(Mutant(file, function, *_changed(first, second), outcome(code), text_only))
    return found


def _functions(source: str) -> dict[str, str]:
    """Source of each changed form, with the indentation of a module."""
    lines, found = source.splitlines(), {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and "__mutmut_" in node.name:
            body = lines[node.lineno - 1 : node.end_lineno]
            found[node.name] = "\n".join(line[node.col_offset :] for line in body)
    return found


def _changed(first: str, second: str) -> tuple[str, str]:
    """The lines that were taken away, and those that came."""
    diff = [line for line in difflib.ndiff(first.splitlines(), second.splitlines()) if line[0] in "-+"]
    return tuple(" ".join(line[2:].strip() for line in diff if line[0] == sign) for sign in "-+")


def _without_texts(source: str) -> str:
    """The syntax tree, texts inside ``raise`` statements left out."""
    tree = ast.parse(source)
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Raise):
            for node in ast.walk(statement):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    node.value = ""
    return ast.dump(tree)


def plain_properties(source: str) -> str:
    """The same class with ``name = property(name)`` behind each property, for mutmut leaves decorated methods alone."""
    lines = source.splitlines(keepends=True)
    for node in reversed([n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]):
        if [ast.unparse(d) for d in node.decorator_list] == ["property"]:
            lines.insert(node.end_lineno, f"\n{' ' * node.col_offset}{node.name} = property({node.name})\n")
            del lines[node.decorator_list[0].lineno - 1]
    return "".join(lines)


def read_explanations(path: Path) -> dict[tuple[str, str, str, str], str]:
    """Reason of each mutant that may survive, from the committed table; an entry has a line and its changed forms."""
    reasons = {}
    for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", []):
        for now in entry["now"]:
            key = entry["file"], entry["function"], entry["was"], now
            if key in reasons:
                raise ValueError(f"{path.name} explains one mutant twice: {key}")
            reasons[key] = entry["why"]
    return reasons


def explain(
    mutants: Iterable[Mutant], reasons: dict[tuple[str, str, str, str], str]
) -> tuple[list[Mutant], list[tuple[str, str, str, str]]]:
    """Mutants with their reasons, and the explanations of mutants that do not exist or that a test kills."""
    found, alive = [], set()
    for mutant in mutants:
        if mutant.outcome not in ("killed", "unchecked"):
            alive.add(mutant.key)
            mutant = replace(mutant, reason=_RULES["texts"] if mutant.text_only else reasons.get(mutant.key, ""))
        found.append(mutant)
    unchecked = {m.key for m in found if m.outcome == "unchecked"}
    return found, [key for key in reasons if key not in alive and key not in unchecked]


def table(mutants: Iterable[Mutant]) -> dict[str, Any]:
    """Counts of the outcomes and both scores, in percent.

    ``score`` is killed / all that were checked: neither timeouts nor equivalent mutants count as killed.
    ``score_but_explained`` leaves those out whose survival is explained.
    """
    mutants = list(mutants)
    counts = {outcome: sum(m.outcome == outcome for m in mutants) for outcome in OUTCOMES}
    checked = len(mutants) - counts["unchecked"]
    explained = sum(bool(m.reason) for m in mutants)
    score, but_explained = (
        round(100 * counts["killed"] / whole, 2) if whole else None for whole in (checked, checked - explained)
    )
    return {
        "mutants": len(mutants), **counts, "explained": explained, "score": score, "score_but_explained": but_explained,
    }  # fmt: skip
