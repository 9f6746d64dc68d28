"""From the steps of a program to units of work, and which of them may share a pass over blocks of rows.

A *unit* is what one kernel does: mostly one step, sometimes several (the edge steps of an attention, the last
requantization with the exit). Steps that only rename or place memory (``columns``, ``concat``) vanish: their readers
read the original. A unit that reads the same rows that it writes can run right behind the unit that wrote them, on the
same block; one that reads other rows (neighbours, the nodes of a graph) must wait until all rows are there, and begins
a new *phase*.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..program import Program, Step

__all__ = ["Source", "Unit", "Unplanned", "gathered_edges", "make_units"]


class Unplanned(Exception):
    """The program, on this graph, holds something that the vector kernels do not do; the text says what."""


@dataclass(frozen=True)
class Source:
    """Some channels of a register that a unit reads."""

    register: str
    start: int
    channels: int


@dataclass
class Unit:
    """What one kernel does.

    Attributes
    ----------
    kind : str
        The operation of its first step, or ``"attention"``; own codes that join a sum where it is rounded count as its
        ``"requantize"``.
    steps : list of Step
        In the order of the program.
    reads : list of Source
        Registers whose own row is read, in the order of the step's inputs.
    gathers : list of Source
        Registers of which other rows are read.
    output : str
    phase : int
    """

    kind: str
    steps: list[Step]
    reads: list[Source] = field(default_factory=list)
    gathers: list[Source] = field(default_factory=list)
    phase: int = 0

    @property
    def output(self) -> str:
        """Register that the unit writes."""
        return self.steps[-1].output

    @property
    def rows(self) -> str:
        """Kind of the rows that it writes."""
        return self.steps[-1].rows


_ROW_WISE = ("quantize", "lookup", "matmul", "add_self", "requantize", "head_sum", "add", "dequantize")
_GATHERING = ("neighbor_sum", "pool_sum", "pool_max")
_ATTENTION = ("edge_logits", "requantize", "edge_softmax", "weighted_neighbor_sum")


def make_units(program: Program) -> list[Unit]:
    """Units of a program in the order of its steps, with their phases.

    Raises
    ------
    Unplanned
        If a step has no vector kernel.
    """
    channels = {step.output: step.channels for step in program.steps}
    readers: dict[str, list[Step]] = {}
    for step in program.steps:
        for name in step.inputs:
            readers.setdefault(name, []).append(step)
    aliases: dict[str, list[Source]] = {}

    def sources(name: str) -> list[Source]:
        return aliases.get(name, [Source(name, 0, channels.get(name, 0))])

    def one(name: str) -> Source:
        found = sources(name)
        if len(found) != 1:
            raise Unplanned(f"{name} joins two registers and is read by something else than a matrix product")
        return found[0]

    units: list[Unit] = []
    taken: set[str] = set()
    for step in program.steps:
        if step.output in taken:
            continue
        if step.op == "columns":
            whole = one(step.inputs[0])
            aliases[step.output] = [Source(whole.register, whole.start + step.attributes["start"], step.channels)]
        elif step.op == "concat":
            aliases[step.output] = [one(name) for name in step.inputs]
        elif step.op == "edge_logits":
            chain = _attention_chain(step, readers)
            taken.update(s.output for s in chain)
            scores, values = [one(name) for name in step.inputs], one(chain[-1].inputs[1])
            units.append(Unit("attention", chain, [scores[0]], [scores[1], values]))
        elif step.op in _GATHERING:
            units.append(Unit(step.op, [step], [], [one(step.inputs[0])]))
        elif step.op == "matmul":
            units.append(Unit("matmul", [step], sources(step.inputs[0])))
        elif step.op in _ROW_WISE:
            unit = Unit(step.op, [step], [one(name) for name in step.inputs])
            after = readers.get(step.output, [])
            if _scales_by_shift(step) and len(after) == 1 and after[0].op == "requantize":
                # A node's own codes join the sum where it is rounded: hubs need more than 32 bits there.
                unit.steps.append(after[0])
                unit.kind = "requantize"
                taken.add(after[0].output)
                step, after = after[0], readers.get(after[0].output, [])
            if step.op == "requantize" and len(after) == 1 and after[0].op == "dequantize":
                unit.steps.append(after[0])
                taken.add(after[0].output)
            units.append(unit)
        else:
            raise Unplanned(f"{step.op} has no vector kernel (the layout sites=\"paper\" rounds edge by edge)")
    _number_phases(units)
    return units


def gathered_edges(unit: Unit) -> tuple[str, bool]:
    """Which adjacency of a graph a gathering unit runs over, and whether its kernel adds each node's own row itself:
    a sum with self-loops reads lists without them."""
    if unit.kind != "neighbor_sum":
        return "add", False
    loops = unit.steps[0].attributes["self_loops"]
    return ("remove", True) if loops == "add" else (loops, False)


def _scales_by_shift(step: Step) -> bool:
    """Whether a step is GIN's: own codes and a sum that is multiplied by a power of two, the same for all rows."""
    a = step.attributes
    if step.op != "add_self" or a["row_factor"] is not None:
        return False
    m = a["multiplier"]
    return m > 0 and m & (m - 1) == 0 and m.bit_length() - 1 >= a["shift"]


def _attention_chain(logits: Step, readers: dict[str, list[Step]]) -> list[Step]:
    """The steps from the logits of the edges to the weighted sum, each read by the next one alone."""
    chain = [logits]
    for op in _ATTENTION[1:]:
        after = readers.get(chain[-1].output, [])
        if len(after) != 1 or after[0].op != op:
            raise Unplanned("an attention whose messages are rounded edge by edge has no vector kernel")
        chain.append(after[0])
    return chain


def _number_phases(units: list[Unit]) -> None:
    writer = {unit.output: unit for unit in units}
    for unit in units:
        for source in unit.reads:
            if source.register in writer:
                unit.phase = max(unit.phase, writer[source.register].phase)
        for source in unit.gathers:
            unit.phase = max(unit.phase, writer[source.register].phase + 1)
