"""A planned program against the reference: on any number of threads, in any order of its blocks."""

from __future__ import annotations

import numba
import numpy as np

from dqnumba.infer.plan.plan import Plan
from dqnumba.infer.plan.template import LinkedPlan
from dqnumba.kernels.dot.executor import run_serial
from dqnumba.kernels.dot.launch import aligned
from dqnumba.kernels.dot.ranges import RangeLaunch, run_ranges_serial

__all__ = ["backwards", "check", "on_threads"]


def on_threads(count, call):
    before = numba.get_num_threads()
    numba.set_num_threads(min(count, before))
    try:
        return call()
    finally:
        numba.set_num_threads(before)


def backwards(plan):
    """Run a plan again with the blocks of each phase from the last to the first: threads may finish them in any order,
    and a block that writes into the rows of its neighbour shows at once."""
    launch = plan.launch
    if isinstance(launch, RangeLaunch):
        # The phases of a range keep their order; ranges do not.
        for r in reversed(range(len(launch._ranges) - 1)):
            memory = aligned(1, launch._scratch_bytes)
            memory[:] = 0x55  # what a kernel reads before it is written would be seen
            part = launch._ranges[r : r + 2]
            run_ranges_serial(launch._phases, launch.ops, launch._bounds, part, memory, launch._before)
        return
    tables = [
        (first, last, entry + b, 1) for first, last, entry, count in launch._phases for b in reversed(range(count))
    ]
    run_serial(np.array(tables, np.int64).reshape(-1, 4), launch.ops, launch._bounds, aligned(1, launch._scratch_bytes))


def check(imodel, data, *, x=None, repeats=2):
    """Bytes of the reference on 1 and 2 threads, by the plan for this graph and by one for all of its levels; the bound
    model."""
    bound = imodel.bind(data, backend="dot")
    want = imodel.bind(data, backend="reference")(x=x).tobytes()
    for threads in (1, 2):
        for _ in range(repeats):
            assert on_threads(threads, lambda: bound(x=x)).tobytes() == want, f"{threads} threads"
    if bound.backend == "dot" and x is None:  # the graph's own features are kept, others may be a copy that is gone
        out, plans = bound(), [bound._plan]
        if isinstance(bound._plan, LinkedPlan):
            plans.append(Plan(imodel.program, data))
        for plan in plans:
            out[:] = np.nan
            plan.run(data.x, out)
            assert out.tobytes() == want, type(plan).__name__
            out[:] = np.nan
            backwards(plan)
            assert out.tobytes() == want, "blocks that do not keep to their own rows"
    return bound
