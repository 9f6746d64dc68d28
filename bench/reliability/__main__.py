"""``python -m bench.reliability NAME [options]``: one long run; ``NAME --help`` lists its options."""

from __future__ import annotations

import importlib
import sys

#: Name of a run, which is also the name of its module here and of its record, and what it does.
RUNS = {
    "fuzz": "a coverage-guided fuzzer on every reader of bytes from outside (needs atheris)",
    "kills": "SIGKILL at every step of training, saving, preparing, downloading and cache writing",
    "corruption": "every byte of small model files changed: refused, or the same answer",
    "mutation": "quant/, the lowering rules and the degree mask changed in one place at a time: a test notices",
    "hubs": "one node with ten million in-edges: equal on every backend, and to Python integers",
    "cpus": "eight models on Cora whole: the same bits for every processor that this machine can run or emulate",
    "threads": "a million predictions over 16 Python threads under each of Numba's threading layers",
    "legs": "the tests with bounds checks, interpreted, for a generic processor, with the oldest versions",
    "coverage": "branch coverage of quant/, convert/, infer/ and the degree mask (needs coverage.py)",
    "soak": "a million predictions on ever new graphs: equal answers, flat memory",
}


def main(argv: list[str] | None = None) -> int:
    """Hand the options to ``main(argv)`` of the module of that name."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] not in RUNS:
        print(__doc__, "", *(f"  {name:12} {what}" for name, what in RUNS.items()), sep="\n", file=sys.stderr)
        return 0 if argv and argv[0] in ("-h", "--help") else 2
    return importlib.import_module(f".{argv[0]}", __package__).main(argv[1:])


if __name__ == "__main__":
    sys.exit(main())
