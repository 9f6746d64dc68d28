"""``python -m bench.reliability fuzz``: a coverage-guided fuzzer on every reader of bytes from outside.

Each reader gets its minutes, one after the other, in a process of its own (atheris, libFuzzer). The corpus of a reader
grows from call to call in the work folder; executions, minutes and findings add up in
``bench/results/reliability/fuzz.json``. The input of a finding goes to ``tests/attacks/found/READER/``; when its fault
is mended, its row in ``tests/attacks/findings.py`` says what must come of it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import record
from .readers import READERS

ROOT = Path(__file__).parents[2]
ATTACKS = ROOT / "tests" / "attacks"
FOUND = ATTACKS / "found"
#: A reader has had enough when it reached one of them. Minutes of CPU: on a busy machine those of the clock say little.
GOAL_MINUTES, GOAL_EXECUTIONS = 30.0, 5_000_000
_LONGEST_SEED = 1 << 15
_MOST_STARTS = 10
_NOTHING: dict = {"executions": 0, "minutes": 0.0, "cpu_minutes": 0.0, "findings": []}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.reliability fuzz", description=__doc__)
    parser.add_argument("--reader", nargs="+", choices=list(READERS), metavar="NAME", help=", ".join(READERS))
    parser.add_argument("--minutes", type=float, default=1.0, metavar="M", help="for each reader (default: 1)")
    parser.add_argument("--to-goal", action="store_true", help=f"sittings of so many minutes until the record of each "
                        f"reader has {GOAL_MINUTES:g} minutes of CPU or {GOAL_EXECUTIONS:,} executions")  # fmt: skip
    parser.add_argument("--work", type=Path, metavar="DIR", help="corpora that grow (default: in the per-user cache)")
    parser.add_argument("--found", type=Path, default=FOUND, metavar="DIR", help="where inputs of findings go")
    parser.add_argument("--no-record", action="store_true", help="leave fuzz.json as it is")
    args = parser.parse_args(argv)
    if args.to_goal and args.no_record:
        parser.error("--to-goal counts what the record has; leave --no-record out")
    if importlib.util.find_spec("atheris") is None:
        print('error: fuzzing needs atheris (Linux, Python 3.11 to 3.13): pip install "dqnumba[fuzz]"', file=sys.stderr)
        return 2
    from dqnumba.data.registry import cache_folder

    work = args.work or cache_folder() / "fuzz"
    seeds = _seeds(work)
    findings = 0
    for reader in _sittings(args.reader or list(READERS), args.to_goal):
        result = _sitting(reader, work / reader, seeds / reader, args.found / reader, args.minutes * 60)
        findings += len(result["findings"])
        rate = result["executions"] / max(result["cpu_seconds"], 1e-9)
        print(f"{reader:12} {result['executions']:10,} executions, {rate:,.0f} a second of CPU, "
              f"{result['corpus']:,} inputs kept, {len(result['findings'])} findings", flush=True)  # fmt: skip
        if not args.no_record:
            _add(reader, result, args.minutes)
    return 1 if findings else 0


def reached_goal(reader: dict) -> bool:
    """Whether what the record has of a reader is enough."""
    return reader["executions"] >= GOAL_EXECUTIONS or reader["cpu_minutes"] >= GOAL_MINUTES


def _sittings(readers: Sequence[str], to_goal: bool) -> Iterator[str]:
    """Each reader once, or again and again until the record says that it reached the goal."""
    if not to_goal:
        yield from readers
        return
    for reader in readers:
        while not reached_goal(record.read("fuzz").get("readers", {}).get(reader, _NOTHING)):
            yield reader


def _seeds(work: Path) -> Path:
    """Whole files, attacks and findings as files, made in a process of their own: they load what is instrumented."""
    folder = work / "seeds"
    shutil.rmtree(folder, ignore_errors=True)
    code = "import sys; from bench.reliability.fuzz import write_seeds; write_seeds(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, env=_environment())
    return folder


def write_seeds(folder: str) -> None:
    """One folder a reader."""
    seeds = seed_contents()
    seeds["model"] += _models()
    for reader, contents in seeds.items():
        place = Path(folder) / reader
        place.mkdir(parents=True, exist_ok=True)
        for content in contents:
            (place / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)


def seed_contents() -> dict[str, list[bytes]]:
    """Whole files first, then attacks and findings; only small ones, for the others make the fuzzer slow."""
    if str(ATTACKS) not in sys.path:
        sys.path.insert(0, str(ATTACKS))
    import attack_data
    import attack_graphs
    import attack_models
    from samples import SAMPLES

    contents = {reader: list(SAMPLES[reader]) for reader in READERS}
    for attack in [*attack_models.ATTACKS, *attack_graphs.ATTACKS, *attack_data.ATTACKS]:
        if not attack.places and attack.peak <= 64 << 20:
            content = attack.make()
            if content is not None and len(content) <= _LONGEST_SEED:
                contents[attack.reader].append(content)
    for reader in READERS:
        for path in sorted((FOUND / reader).glob("*")):
            contents[reader].append(path.read_bytes())
    return contents


def _models() -> list[bytes]:
    """Programs of every kind of layer, so that the fuzzer need not invent their steps."""
    import warnings

    sys.path.insert(0, str(ROOT / "tests"))
    from small_models import random_batch, random_graph, trained

    from dqnumba.infer.file import encode_program

    cases = (
        {"model": "gcn", "kind": "sparse"}, {"model": "gat"}, {"model": "gat", "sites": "paper"},
        {"model": "gin", "readout": "max", "norm": "batch"}, {"model": "sage", "readout": "mean", "residual": True},
        {"model": "gcn", "sites": "paper", "readout": "sum"}, {"model": "gin", "kind": "embedding", "bits": (4, 4)},
    )  # fmt: skip
    contents = []
    for case in cases:
        kind = case.get("kind", "dense")
        data = random_batch(1, kind, sizes=(5, 1, 3))[0] if "readout" in case else random_graph(1, 9, kind)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = trained(data, epochs=0, hidden=4, num_layers=2, **case)[1].program
        contents.append(encode_program(program, version="0"))
    return contents


def _sitting(reader: str, work: Path, seeds: Path, found: Path, seconds: float) -> dict:
    """Fuzz one reader; a process that was ended by a finding is started again."""
    corpus, new = work / "corpus", work / "found"
    shutil.rmtree(new, ignore_errors=True)
    corpus.mkdir(parents=True, exist_ok=True)
    counter, begun, executions, before = work / "executions", time.monotonic(), 0, _cpu_seconds()
    for _ in range(_MOST_STARTS):
        left = seconds - (time.monotonic() - begun)
        if left < 1:
            break
        counter.write_text("0")
        command = [sys.executable, "-m", "bench.reliability.fuzz_target", reader]
        command += [str(corpus), str(seeds), str(new), str(int(left))]
        with (work / "log.txt").open("wb") as log:
            done = subprocess.run(command, stdout=log, stderr=log, env=_environment(), cwd=ROOT)
        executions += int(counter.read_text())
        text = (work / "log.txt").read_text(errors="replace")
        if done.returncode and not list(new.glob("*")):
            raise RuntimeError(f"the fuzzer of {reader} ended with {done.returncode}:\n{text[-2000:]}")
    findings = []
    for path in sorted(new.glob("*")) if new.exists() else []:
        if path.suffix == ".txt":
            continue
        about = path.with_suffix(".txt")
        what = about.read_text().splitlines()[1] if about.exists() else path.name.split("-")[0]
        name = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        found.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, found / name)
        findings.append({"file": name, "what": what})
        print(f"  {reader}: {what} -> {found / name}", flush=True)
    kept = sum(1 for _ in corpus.iterdir())
    return {"executions": executions, "seconds": time.monotonic() - begun, "cpu_seconds": _cpu_seconds() - before,
            "findings": findings, "corpus": kept}  # fmt: skip


def _add(reader: str, result: dict, minutes: float) -> None:
    """Add a sitting to the record."""
    readers = record.read("fuzz").get("readers", {})
    old = readers.get(reader, _NOTHING)
    readers[reader] = {
        "executions": old["executions"] + result["executions"],
        "minutes": round(old["minutes"] + result["seconds"] / 60, 2),
        "cpu_minutes": round(old["cpu_minutes"] + result["cpu_seconds"] / 60, 2),
        "findings": old["findings"] + [f for f in result["findings"] if f not in old["findings"]],
        "inputs_kept": result["corpus"],
    }
    sitting = {"reader": reader, "asked_minutes": minutes, "executions": result["executions"],
               "seconds": round(result["seconds"], 1), "findings": len(result["findings"])}  # fmt: skip
    record.extend("fuzz", {"readers": dict(sorted(readers.items()))}, sitting)


def _cpu_seconds() -> float:
    """Of all processes that were started and have ended: on a busy machine less than what the clock says."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _environment() -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "NUMBA_NUM_THREADS": "1"}


if __name__ == "__main__":
    sys.exit(main())
