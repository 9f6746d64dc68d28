"""What the fuzzer calls: bytes into a file in memory, the reader on it, and whether the outcome is allowed.

``python -m bench.reliability.fuzz_target READER ...`` is one sitting of libFuzzer; ``fuzz.py`` starts it. The functions
need no atheris, so that the tests run them too.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import pkgutil
import random
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from .mutators import mutate
from .readers import READERS, place_of

__all__ = ["Target", "ran_out_of_memory", "signature"]

SLOW = 5.0
"""Seconds of this process at work; longer is a finding. On a busy machine the clock says nothing of the reader; what
waits without working is ended by the fuzzer's own limit of 30 seconds."""
_ROOM = 1 << 30  # bytes beside what is taken at the begin
_TICK = 256


class Target:
    """One reader, and the findings of this process.

    Parameters
    ----------
    reader : str
    found : path or None
        Folder for inputs of new findings.
    counter : path, optional
        File that says how many inputs were run.
    """

    def __init__(self, reader: str, found: Path | None = None, counter: Path | None = None) -> None:
        memory = Path("/dev/shm")
        self.folder = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None, prefix="dqnumba-fuzz-")
        self.reader, self.found, self.counter = reader, found, counter
        self.place = place_of(reader, self.folder.name)
        self.executions = 0
        self.findings: dict[str, bytes] = {}

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *_: object) -> None:
        self.folder.cleanup()

    def __call__(self, data: bytes) -> str | None:
        """Run one input; the signature of what was wrong, or None."""
        self.executions += 1
        if self.counter is not None and self.executions % _TICK == 0:
            self.counter.write_text(str(self.executions))
        self.place.write_bytes(data)
        begun = time.process_time()
        wrong = None
        try:
            READERS[self.reader].read(self.place)
        except READERS[self.reader].errors as error:
            if ran_out_of_memory(error):
                wrong = signature(error)
            elif str(error).count("\n") > 2:
                wrong = f"message of many lines: {type(error).__name__}"
        except Exception as error:
            wrong = signature(error)
        if wrong is None and time.process_time() - begun > SLOW:
            wrong = "slow"
        if wrong is not None and wrong not in self.findings:
            self.findings[wrong] = data
            self._keep(wrong, data)
        return wrong

    def _keep(self, wrong: str, data: bytes) -> None:
        if self.found is not None:
            self.found.mkdir(parents=True, exist_ok=True)
            name = hashlib.sha256(data).hexdigest()[:12]
            (self.found / name).write_bytes(data)
            (self.found / f"{name}.txt").write_text(f"{self.reader}\n{wrong}\n")
            print(f"FINDING {self.reader} {name}: {wrong}", file=sys.stderr, flush=True)


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error of ours stands for a MemoryError: then a limit came too late."""
    while error is not None:
        if isinstance(error, MemoryError) and "parser" not in str(error):  # of a deeply nested npy header
            return True
        error = error.__cause__ or error.__context__
    return False


def signature(error: BaseException) -> str:
    """Class of an error and where in this library it arose, so that one fault is one finding."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "dqnumba" in f.filename]
    place = f"{Path(frames[-1].filename).name}:{frames[-1].name}:{frames[-1].lineno}" if frames else "?"
    return f"{type(error).__name__} at {place}"


def main(argv: list[str] | None = None) -> None:
    """READER CORPUS SEEDS FOUND SECONDS: fuzz with atheris until the time is over; never returns."""
    reader, corpus, seeds, found, seconds = sys.argv[1:] if argv is None else argv
    import atheris

    chosen = READERS[reader].modules
    # By the name of a top package all of it would be instrumented, and what Numba compiles must not be.
    others = [name for name in _modules() if not name.startswith(chosen)]
    with atheris.instrument_imports(include=list(chosen), exclude=others, enable_loader_override=False):
        for name in chosen:
            _import_all(name)
    warnings.simplefilter("ignore")
    logging.getLogger("dqnumba").setLevel(logging.CRITICAL)
    target = Target(reader, Path(found), Path(corpus).with_name("executions"))
    for file in sorted(Path(seeds).iterdir()):  # imports, and kernels that are to be compiled
        target(file.read_bytes())
    target.executions = 0
    _limit_memory()

    def change(data: bytes, most: int, seed: int) -> bytes:
        return mutate(reader, data, random.Random(seed), lambda part: atheris.Mutate(part, max(most, len(part))))[:most]

    flags = [
        f"-max_total_time={seconds}", "-max_len=32768", "-timeout=30", "-rss_limit_mb=0", "-len_control=0",
        f"-artifact_prefix={found}/", "-print_final_stats=1", "-verbosity=1", "-reload=0",
    ]  # fmt: skip
    Path(found).mkdir(parents=True, exist_ok=True)
    atheris.Setup([sys.argv[0], *flags, corpus, seeds], lambda data: target(data) and None, custom_mutator=change)
    atheris.Fuzz()


def _modules() -> list[str]:
    """Names of all modules of the library, of which none is loaded."""
    import dqnumba

    root = Path(dqnumba.__file__).parent
    names = [".".join(("dqnumba", *path.relative_to(root).with_suffix("").parts)) for path in root.rglob("*.py")]
    return [name.removesuffix(".__init__") for name in names]


def _import_all(name: str) -> None:
    module = importlib.import_module(name)
    for entry in pkgutil.iter_modules(getattr(module, "__path__", [])):
        if not entry.ispkg:
            importlib.import_module(f"{name}.{entry.name}")


def _limit_memory() -> None:
    import resource

    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + _ROOM,) * 2)


if __name__ == "__main__":
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    main()
