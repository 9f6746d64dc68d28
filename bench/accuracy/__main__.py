"""``python -m bench.accuracy``: run cells, resume them, and render the tables; see ``bench/accuracy/README.md``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "results" / "accuracy"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--plan", nargs="+", metavar="NAME", help="run what is missing of the named plans, in order")
    what.add_argument("--cell", nargs="+", metavar="D/M/METHOD/BITS", help="run single cells, e.g. cora/gcn/dq/8/paper")
    what.add_argument("--table", action="store_true", help="render tables and picture from the records")
    what.add_argument(
        "--figures", nargs="*", metavar="NAME", help="make the figures that explain (all, or those named)"
    )
    what.add_argument("--rerun", type=Path, metavar="RECORD", help="run a record again and compare")
    parser.add_argument("--remeasure", action="store_true", help="with --figures: measure again what is there")
    parser.add_argument("--seeds", type=_numbers, metavar="0-9", help="with --cell: seeds, such as 0-9 or 0,3,5")
    parser.add_argument("--folds", type=_numbers, metavar="0-9", help="with --cell: folds")
    parser.add_argument("--list", action="store_true", help="with --plan or --cell: say what is there, run nothing")
    parser.add_argument(
        "--probe", action="store_true", help="with --plan or --cell: measure seconds an epoch, run nothing"
    )
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="stop after so long; the next call goes on")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="so many processes share the runs")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of each process (default: cores / jobs)")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)  # one of the processes of --jobs
    parser.add_argument("--results", type=Path, default=FOLDER, metavar="DIR", help="records, tables, figures")
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="train files of runs that have not ended (default: unfinished/ there)"
    )
    args = parser.parse_args(argv)
    if args.jobs < 1 or (args.threads is not None and args.threads < 1):
        parser.error("--jobs and --threads are at least 1")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if args.rerun is not None:
        args.threads = _threads_of(args.rerun)
    args.threads = args.threads or max(1, cores // args.jobs)
    args.work = args.work or args.results / "unfinished"
    workers: list[subprocess.Popen] = []
    if args.jobs > 1 and (args.plan or args.cell) and not (args.list or args.probe):
        workers = _start_workers(argv if argv is not None else sys.argv[1:], args)
    # Before NumPy is loaded: the BLAS reads it then, and its threads would be a second set beside Numba's.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(args.threads))
    from dqnumba.errors import DQError

    try:
        return _run(args, workers)
    except (DQError, ValueError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        print("Stopped; the same command goes on.", file=sys.stderr)
        return 130
    finally:
        for worker in workers:
            worker.terminate()


def _run(args: argparse.Namespace, workers: list[subprocess.Popen]) -> int:
    if args.table:
        from . import tables

        print(tables.render(args.results))
        return 0
    from .. import machine

    if args.figures is not None:
        from . import figures

        machine.set_threads(args.threads)
        for path in figures.make(args.results, args.figures or None, say=_say, again=args.remeasure):
            print(path)
        return 0
    if args.rerun is not None:
        from . import rerun

        return rerun.main(args.rerun, _say)
    from . import plans, probe, records, runner

    if args.plan:
        unknown = [name for name in args.plan if name not in plans.PLANS]
        if unknown:
            raise ValueError(f"unknown plan {unknown[0]!r}; choose of {', '.join(plans.PLANS)}")
        runs = [run for name in args.plan for run in plans.plan_runs(name)]
    else:
        runs = [run for cell in args.cell for run in plans.cell_runs(cell, args.seeds, args.folds)]
    runs = list(dict.fromkeys(runs))  # plans overlap
    if args.list:
        for run in runs:
            state = runner.state_of(run, args.results, args.work)
            print(f"{state.kind:8}{run}" + (f" ({', '.join(state.changed)})" if state.changed else ""))
        return 0
    machine.set_threads(args.threads)
    if args.probe:
        print(probe.measure(runs, args.results, args.threads, _say))
        return 0
    for worker in workers:
        worker.wait()
    if workers:
        left = sum(runner.state_of(run, args.results, args.work).kind != "done" for run in runs)
    else:
        deadline = None if args.budget is None else time.monotonic() + 60 * args.budget
        left = runner.Runner(args.results, args.work, threads=args.threads, deadline=deadline).run_all(runs)
    for run in runs if args.cell and not args.worker else ():
        path = records.record_path(args.results, run)
        if path.exists():
            print(f"{records.score(records.load(path)):.4f} {run} {path}")
    return 1 if left and not args.worker else 0


def _start_workers(argv: list[str], args: argparse.Namespace) -> list[subprocess.Popen]:
    """The same command in several processes, which take the runs from each other by locks."""
    command = [sys.executable, "-m", "bench.accuracy", *argv]
    command += ["--worker", "--jobs", "1", "--threads", str(args.threads)]  # the last one given counts
    return [subprocess.Popen(command) for _ in range(args.jobs)]


def _threads_of(path: Path) -> int | None:
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["parts"][-1]["threads"])
    except (OSError, ValueError, LookupError, TypeError):  # what is wrong with it is told when it is read
        return None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _numbers(text: str) -> list[int]:
    """``0-9`` and ``0,3,5`` as numbers."""
    found = []
    for part in text.split(","):
        low, dash, high = part.partition("-")
        if not low.isdigit() or (dash and not high.isdigit()):
            raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers; write 0-9 or 0,3,5")
        found += range(int(low), int(high if dash else low) + 1)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
