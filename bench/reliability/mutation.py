"""Mutation testing: the code is changed in one place at a time, and some test must notice.

mutmut makes the mutants of a room and runs the room's tests against each, in a copy of the tree below ``--work``. What
was decided stands until the code or a test changes: then a changed function is done again, and so is what survived.
``--fresh`` decides everything again; the record says from how many different trees its verdicts come. Beside mutmut's
mutants of functions and methods there are those of properties; constants of a module, default values of fields and
decorators are not changed.

Exit code 1: a score below 95 %, a survivor that ``survivors.toml`` does not explain, or an explanation of none.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from . import record
from .mutants import OUTCOMES, Mutant, explain, outcome, plain_properties, read_explanations, read_mutants, table

__all__ = ["ROOMS", "Room", "judge", "main", "prepare"]

NAME = "mutation"
ROOT = Path(__file__).parents[2]
EXPLANATIONS = Path(__file__).with_name("survivors.toml")
LOWEST_SCORE = 95.0
_COPIED = ("dqnumba", "tests", "pyproject.toml", "setup.cfg", "README.md")
# Not -m, for mutmut imports its main module by name; and a shell's background job would not hear SIGINT.
_START = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from mutmut.__main__ import cli; cli()"
)
_PYTEST = ["-p", "no:cacheprovider", "--assert=plain"]


@dataclass(frozen=True)
class Room:
    """Patterns of the files that are changed, and the tests that are to notice."""

    files: tuple[str, ...]
    tests: tuple[str, ...]


_CONVERT = ("builder", "layers", "lowering", "softmax_table", "stages")
_CONVERT_TESTS = ("builder", "exit", "stages", "rules", "exponentials", "same_codes", "softmax_table")
ROOMS = {
    "quant": Room(("dqnumba/quant/*.py",), ("tests/quant",)),
    "convert": Room(
        tuple(f"dqnumba/convert/{name}.py" for name in _CONVERT),
        tuple(f"tests/convert/test_{name}.py" for name in _CONVERT_TESTS),
    ),
    "degree_mask": Room(
        ("dqnumba/qat/degree_mask.py",), ("tests/qat/test_degree_ranks.py", "tests/qat/test_degree_mask.py")
    ),
}


def prepare(room: Room, work: Path, *, root: Path = ROOT) -> None:
    """Bring the copy of the tree in ``work`` up to date; files that are equal keep their times.

    If anything is other than the last time, all but the killed mutants of unchanged functions are to be done again.
    """
    wanted = {}
    for name in _COPIED:
        paths = [root / name] if (root / name).is_file() else sorted(p for p in (root / name).rglob("*") if p.is_file())
        for path in paths:
            if "__pycache__" not in path.parts and path.suffix not in (".nbi", ".nbc"):
                wanted[path.relative_to(root)] = path.read_bytes()
    for name, content in wanted.items():
        if any(fnmatch(name.as_posix(), pattern) for pattern in room.files):
            wanted[name] = plain_properties(content.decode()).encode()
    wanted[Path("pyproject.toml")] += _configuration(room).encode()
    for name in _COPIED:
        for path in (work / name).rglob("*"):
            if path.is_file() and path.relative_to(work) not in wanted:
                path.unlink()
    for name, content in wanted.items():
        path = work / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    digest = hashlib.sha256(b"".join(str(n).encode() + hashlib.sha256(c).digest() for n, c in sorted(wanted.items())))
    state = work / "trees.txt"  # one line for each that verdicts come from
    if not state.exists() or state.read_text().split()[-1] != digest.hexdigest():
        shutil.rmtree(work / "mutants" / "tests", ignore_errors=True)  # mutmut copies, and takes nothing away
        (work / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)  # which test runs which function
        _forget(work, keep=("killed",))
        with state.open("a") as lines:
            lines.write(digest.hexdigest() + "\n")
    else:
        _forget(work, keep=OUTCOMES[:-1])


def _forget(work: Path, keep: tuple[str, ...]) -> None:
    """Mutants with another outcome are to be run again."""
    for path in (work / "mutants").rglob("*.py.meta"):
        meta = json.loads(path.read_text(encoding="utf-8"))
        for key, code in meta["exit_code_by_key"].items():
            if outcome(code) not in keep:
                meta["exit_code_by_key"][key] = None
        path.write_text(json.dumps(meta), encoding="utf-8")


def _configuration(room: Room) -> str:
    settings = {
        "source_paths": ["dqnumba"], "only_mutate": list(room.files), "also_copy": list(_COPIED[1:]),
        "pytest_add_cli_args": _PYTEST, "pytest_add_cli_args_test_selection": list(room.tests),
        "timeout_multiplier": 10, "timeout_constant": 3, "use_git_change_detection": False, "track_dependencies": False,
    }  # fmt: skip
    return "\n".join(["", "[tool.mutmut]", *(f"{name} = {json.dumps(value)}" for name, value in settings.items()), ""])


def run(work: Path, seconds: float) -> None:
    """mutmut on the copy in ``work``, one process beside its own, for so long at most."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {
        "NUMBA_DISABLE_JIT": "1", "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_PROFILE": "mutation", "HYPOTHESIS_STORAGE_DIRECTORY": str(work),
    }  # fmt: skip
    command = [sys.executable, "-c", _START, "run", "--max-children", "1"]
    with (work / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=work, env=environment, stdout=log, stderr=log)
        try:
            code = process.wait(seconds)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as stopped:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if isinstance(stopped, KeyboardInterrupt):
                raise
        else:
            if code:
                text = (work / "log.txt").read_text(errors="replace")
                raise RuntimeError(f"mutmut ended with {code}:\n{text[-3000:]}")


def judge(mutants: list[Mutant]) -> tuple[dict[str, Any], list[str]]:
    """What is recorded of a room, and what is wrong with it."""
    files = {name: table(m for m in mutants if m.file == name) for name in sorted({m.file for m in mutants})}
    alive = [m for m in mutants if m.outcome not in ("killed", "unchecked")]
    survivors = [
        {"file": m.file, "function": m.function, "was": m.was, "now": m.now, "outcome": m.outcome, "reason": m.reason}
        for m in sorted(alive, key=lambda m: m.key)
    ]
    content = {**table(mutants), "files": files, "survivors": survivors}
    wrong = [
        f"{m.file}, {m.function} ({m.outcome}):\n  - {m.was}\n  + {m.now}"
        for m in sorted(alive, key=lambda m: m.key)
        if not m.reason
    ]
    if content["score"] is not None and content["score"] < LOWEST_SCORE:
        wrong.append(f"the score is {content['score']} %, and at least {LOWEST_SCORE:g} % is wanted")
    return content, wrong


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m bench.reliability {NAME}", description=__doc__.splitlines()[0])
    parser.add_argument("--room", nargs="+", choices=list(ROOMS), metavar="ROOM", default=list(ROOMS),
                        help=f"{', '.join(ROOMS)} (default: all)")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after so long (default: 60)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="copies and verdicts (default: in the per-user cache)")
    parser.add_argument("--fresh", action="store_true", help="forget the verdicts of earlier sittings")
    parser.add_argument("--no-record", action="store_true", help=f"leave {NAME}.json as it is")
    args = parser.parse_args(argv)
    if importlib.util.find_spec("mutmut") is None:
        print('error: mutation testing needs mutmut: pip install "dqnumba[mutation]"', file=sys.stderr)
        return 2
    from dqnumba.data.registry import cache_folder

    work = (args.work or cache_folder() / NAME).absolute()
    until, reasons, problems = time.monotonic() + 60 * args.minutes, read_explanations(EXPLANATIONS), []
    for name in args.room:
        begun = time.monotonic()
        if begun >= until:
            break
        if args.fresh:
            shutil.rmtree(work / name, ignore_errors=True)
        prepare(ROOMS[name], work / name)
        before = _decided(work / name)
        run(work / name, until - time.monotonic())
        seconds, decided = time.monotonic() - begun, _decided(work / name) - before
        files = {path.relative_to(ROOT / "dqnumba").as_posix() for p in ROOMS[name].files for path in ROOT.glob(p)}
        mine = {key: why for key, why in reasons.items() if key[0] in files}
        mutants, stale = explain(read_mutants(work / name / "mutants"), mine)
        content, wrong = judge(mutants)
        content = {"trees": len((work / name / "trees.txt").read_text().split()), **content}
        wrong += [f"survivors.toml explains what does not survive: {key}" for key in stale]
        problems += [f"{name}: {text}" for text in wrong]
        _show(name, content, seconds)
        if not args.no_record:
            _save(name, content, {"room": name, "decided": decided, "fresh": args.fresh, "seconds": round(seconds, 1)})
    print(*problems, sep="\n", file=sys.stderr)
    return 1 if problems else 0


def _decided(work: Path) -> int:
    folder = work / "mutants"
    return sum(m.outcome != "unchecked" for m in read_mutants(folder)) if folder.exists() else 0


def _show(name: str, content: dict[str, Any], seconds: float) -> None:
    columns = ("mutants", *OUTCOMES, "explained", "score", "score_but_explained")
    rows = [[name, *columns], *([f, *(t[c] for c in columns)] for f, t in content["files"].items())]
    rows.append([f"all, {seconds:.0f} s", *(content[c] for c in columns)])
    rows = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True))))


def _save(name: str, content: dict[str, Any], sitting: dict[str, Any]) -> None:
    rooms = record.read(NAME).get("rooms", {}) | {name: {"tests": list(ROOMS[name].tests), **content}}
    counted = "killed / all that were checked; score_but_explained leaves out survivors whose reason is given"
    whole = {"complete": set(rooms) == set(ROOMS) and not any(r["unchecked"] for r in rooms.values())}
    sitting |= {"mutmut": importlib.metadata.version("mutmut")}
    record.extend(NAME, whole | {"score": counted, "rooms": {n: rooms[n] for n in ROOMS if n in rooms}}, sitting)
