"""Units, phases and homes of real programs: who may share a block, who must wait, who shares which bytes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from small_models import random_batch, random_graph, trained

from dqnumba.infer.binding import Binding
from dqnumba.infer.execute import build_step
from dqnumba.infer.plan.layout import SPARE_ROWS, Layout
from dqnumba.infer.plan.tables import Edges
from dqnumba.infer.plan.units import Unit, Unplanned, gathered_edges, make_units
from dqnumba.infer.program import Step
from dqnumba.kernels.dot.gather_vectors import PREFETCH_PAD

CASES = [
    (model, readout, residual, kind, bits)
    for model, readout, (residual, kind, bits) in itertools.product(
        ("gcn", "gat", "gin", "sage"), (None, "sum", "max"),
        ((True, "dense", (8, 8)), (False, "embedding", (4, 4)), (True, "sparse", (8, 4)), (False, "dense", (6, 6))),
    )
]  # fmt: skip


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(map(str, case)))
def planned(request):
    model, readout, residual, kind, bits = request.param
    data = random_batch(3, kind)[0] if readout else random_graph(3, kind=kind)
    program = trained(data, epochs=0, model=model, readout=readout, residual=residual, kind=kind, bits=bits,
                      hidden=4 if kind == "sparse" else 16)[1].program  # fmt: skip
    bound = Binding(program, data, None)
    for step in program.steps:
        build_step(bound, step)
    units = make_units(program)
    return program, bound, units, Layout(units, bound, {})


def test_every_step_is_in_one_unit(planned):
    program, _, units, _ = planned
    names = [step.output for unit in units for step in unit.steps]
    assert len(names) == len(set(names))
    missing = {step.op for step in program.steps if step.output not in names}
    assert missing <= {"columns", "concat"}, "only steps that name memory may vanish"
    assert units[-1].steps[-1] is program.steps[-1]


def test_who_gathers_waits_for_all_rows(planned):
    _, _, units, layout = planned
    writer = {unit.output: unit for unit in units}
    for k, unit in enumerate(units):
        for source in unit.reads:
            if source.register in writer:
                before = writer[source.register]
                assert units.index(before) < k and before.phase <= unit.phase and before.rows == unit.rows
        for source in unit.gathers:
            assert writer[source.register].phase < unit.phase
            assert not layout.homes[source.register].local, "other rows than a block's own are read"


def test_local_registers_stay_within_their_block(planned):
    _, _, units, layout = planned
    writer = {unit.output: unit for unit in units}
    for unit in units:
        for source in unit.reads + unit.gathers:
            if source.register in writer and layout.homes[source.register].local:
                assert layout.group(writer[source.register]) == layout.group(unit)


def spans(units, layout, bound, local):
    """(group or None, offset, end, first moment, last moment) of every register."""
    moment = {unit.output: (k if local else unit.phase) for k, unit in enumerate(units)}
    for unit in units:
        home = layout.homes.get(unit.output)
        if home is None or home.local != local:
            continue
        uses = [moment[u.output] for u in units for s in u.reads + u.gathers if s.register == unit.output]
        sparse = home.kind.startswith("sparse")
        whole = len(bound.registers[unit.output].array) if sparse else bound.count(unit.rows)
        rows = layout.block_rows[layout.group(unit)] if local else whole
        size = (rows + (0 if sparse else SPARE_ROWS)) * home.row_bytes
        yield layout.group(unit) if local else None, home.offset, home.offset + size, moment[unit.output], max(uses)


@pytest.mark.parametrize("local", [True, False])
def test_registers_needed_together_share_no_byte(planned, local):
    """Spare rows included; a unit never writes over what it reads."""
    _, bound, units, layout = planned
    found = list(spans(units, layout, bound, local))
    limit = layout.scratch_bytes if local else layout.workspace_bytes
    for a, b in itertools.combinations(found, 2):
        if a[0] == b[0] and a[3] <= b[4] and b[3] <= a[4]:
            assert a[2] <= b[1] or b[2] <= a[1]
    assert all(end <= limit and offset % 64 == 0 for _, offset, end, _, _ in found)


def test_shared_rows_hold_the_vectors_that_are_written(planned):
    """A vector that reached into the next row could meet another thread's block; products copy to the byte instead."""
    _, _, units, layout = planned
    size = {"int4": 0.5, "int8": 1, "int16": 2, "int32": 4}
    for unit in units:
        home = layout.homes.get(unit.output)
        if home is not None and not home.local and unit.kind not in ("matmul", "quantize"):
            assert home.row_bytes >= -(-unit.steps[-1].channels // 16) * 16 * size[home.kind]


def test_the_paper_layout_has_units_that_nothing_does():
    program = trained(random_graph(0), epochs=0, model="gcn", sites="paper")[1].program
    with pytest.raises(Unplanned, match="paper"):
        make_units(program)


@pytest.mark.parametrize("loops", ["keep", "add", "remove"])
def test_edges_of_a_graph(loops):
    graph = random_graph(5)
    step = Step("neighbor_sum", "q", ("x",), "node", 1, {"zero_in": 0, "self_loops": loops})
    assert gathered_edges(Unit("neighbor_sum", [step])) == (("remove", True) if loops == "add" else (loops, False))
    assert gathered_edges(Unit("attention", [step])) == ("add", False)
    listed, summed = Edges(graph, loops, False), Edges(graph, *gathered_edges(Unit("neighbor_sum", [step])))
    expected = graph.adjacency(loops)
    degree = np.diff(expected.indptr)
    assert np.array_equal(listed.terms, degree) and np.array_equal(summed.terms, degree)
    for edges in (listed, summed):
        assert len(edges.indices) == edges.indptr[-1] + PREFETCH_PAD and edges.indices.max() < graph.num_nodes
    assert np.array_equal(listed.indices[: listed.indptr[-1]], expected.indices)
