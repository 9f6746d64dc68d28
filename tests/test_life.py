"""The whole life of a model in any order: prepare, calibrate, fit, convert, save, load, run.

A state machine draws the steps. After each one all that must not have changed is looked at again: the float model, the
weights under calibration, and every program that was made before. What is out of order gets the documented error.
"""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from small_models import build, features, random_batch, random_graph

import dqnumba as dq
from dqnumba.infer import load
from dqnumba.qat import ActivationQuantizer

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
SEEDS = st.integers(0, 3)


def bits_of(state):
    """The bytes of a state, to be compared."""
    return {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in state.items()}


def seen_nothing(qmodel):
    """Whether a site has no range yet."""
    quantizers = [q for q in qmodel.quantizers.values() if isinstance(q, ActivationQuantizer)]
    return any(q.observer.is_empty for q in quantizers)


class Made:
    """A program, and what it gave on a graph right after it was made: on its features, and on others."""

    def __init__(self, imodel, graph, other):
        self.imodel, self.graph, self.other = imodel, graph, other
        reference = imodel.bind(graph, backend="reference")
        self.logits, self.codes = reference().tobytes(), reference.site_codes()
        self.others_logits = reference(x=other).tobytes()
        self.bound = imodel.bind(graph)  # lives as long as the program, and is called again and again

    def check(self):
        assert self.imodel(self.graph).tobytes() == self.logits
        assert self.bound(x=self.other).tobytes() == self.others_logits
        assert self.bound().tobytes() == self.logits


class Life(RuleBasedStateMachine):
    """One float model, the quantized models that are made of it, and the programs that are made of those."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.programs = []  # of class Made
        self.files = []  # (path, bytes, index of the program)

    @initialize(
        model=st.sampled_from(("gcn", "gat", "gin", "sage")), sites=st.sampled_from(("fused", "paper")),
        bits=st.sampled_from(((8, 8), (4, 4), (2, 2), (4, 8))), kind=st.sampled_from(("dense", "sparse", "embedding")),
        readout=st.sampled_from((None, None, "sum", "mean", "max")), norm=st.sampled_from((None, "batch")),
        residual=st.booleans(), method=st.sampled_from(("ptq", "qat", "nqat", "dq", "dq-plus")),
        stage=st.sampled_from((4, 3, 2, 1, 0)),
    )  # fmt: skip
    def begin(self, *, kind, stage, **options):
        """The drawn steps alone would seldom come to a program: most lives begin some way along the usual road."""
        options |= {"kind": kind, "num_layers": 2, "hidden": 4}
        self.kind, self.readout = kind, options["readout"]
        prepared = build(**options)
        self.config, self.float_model = prepared.config, copy.deepcopy(prepared.model)
        self.float_bits = bits_of(self.float_model.state_dict())
        self.qmodel = None
        self.number = 0
        road = (self.prepare, lambda: self.calibrate(0, 1), lambda: self.convert(1), lambda: self.save(0))
        for step in road[:stage]:
            step()

    def teardown(self):
        shutil.rmtree(self.folder)

    def data(self, seed):
        """A small graph or batch; the third seed brings values far outside the ranges of the others."""
        if self.readout:
            graph = random_batch(seed, self.kind, sizes=(5, 1, 4))[0]
        else:
            graph = random_graph(seed, 9, self.kind)
        if seed == 3 and self.kind == "dense":
            graph = graph.replace(x=graph.x * np.float32(1e3))
        return graph

    has_qmodel = precondition(lambda self: self.qmodel is not None)
    has_program = precondition(lambda self: self.programs)
    has_file = precondition(lambda self: self.files)

    # What may be done

    @rule()
    def prepare(self):
        self.qmodel = dq.prepare(self.float_model, self.config)
        assert bits_of(self.qmodel.model.state_dict()) == self.float_bits
        assert seen_nothing(self.qmodel)

    @has_qmodel
    @rule(seed=SEEDS, times=st.integers(1, 2))
    def calibrate(self, seed, times):
        """Ranges move, and nothing that is trained does."""
        before = bits_of({name: tensor.data for name, tensor in self.qmodel.parameters().items()})
        buffers = bits_of(self.qmodel.model.buffers())
        for _ in range(times):
            assert dq.calibrate(self.qmodel, self.data(seed)) is self.qmodel
        assert bits_of({name: tensor.data for name, tensor in self.qmodel.parameters().items()}) == before
        assert bits_of(self.qmodel.model.buffers()) == buffers, "calibration is no training"
        assert not seen_nothing(self.qmodel)

    @has_qmodel
    @rule(seed=st.integers(0, 2), epochs=st.integers(0, 2), twice=st.booleans())
    def fit(self, seed, epochs, twice):
        before = bits_of(self.qmodel.state_dict())
        graph, twin = self.data(seed), copy.deepcopy(self.qmodel) if twice else None
        splits = {"train": np.arange(len(graph.y))}
        dq.fit(self.qmodel, graph, epochs=epochs, seed=seed, splits=splits)
        if twin is not None:
            dq.fit(twin, graph, epochs=epochs, seed=seed, splits=splits)
            assert bits_of(twin.state_dict()) == bits_of(self.qmodel.state_dict()), "one seed, one result"
        assert epochs or bits_of(self.qmodel.state_dict()) == before

    @has_qmodel
    @rule(seed=SEEDS)
    def convert(self, seed):
        before = bits_of(self.qmodel.state_dict())
        if seen_nothing(self.qmodel):
            with pytest.raises(dq.NotCalibratedError, match="calibrate"):
                dq.convert(self.qmodel)
            return
        imodel, again = dq.convert(self.qmodel), dq.convert(self.qmodel)
        assert bits_of(self.qmodel.state_dict()) == before
        assert imodel.program.steps == again.program.steps
        assert bits_of(imodel.program.tensors) == bits_of(again.program.tensors)
        graph = self.data(seed)
        report = dq.verify(imodel, self.qmodel, graph)
        assert report.levels["kernels"] and report.levels["sites"], report.to_text()
        self.programs.append(Made(imodel, graph, features(np.random.default_rng(seed), graph.num_nodes, self.kind)))

    @has_qmodel
    @rule()
    def state_moves_into_a_new_model(self):
        """What a train file does: the numbers of one prepared model, loaded into another."""
        twin = dq.prepare(self.float_model, self.config)
        twin.load_state_dict({name: np.array(array) for name, array in self.qmodel.state_dict().items()})
        assert bits_of(twin.state_dict()) == bits_of(self.qmodel.state_dict())
        if not seen_nothing(self.qmodel):
            assert bits_of(dq.convert(twin).program.tensors) == bits_of(dq.convert(self.qmodel).program.tensors)
        self.qmodel = twin

    @has_program
    @rule(which=st.integers(0, 99))
    def save(self, which):
        which %= len(self.programs)
        path = self.folder / f"{self.number}.safetensors"
        self.number += 1
        assert self.programs[which].imodel.save(path) == path.stat().st_size
        self.files.append((path, path.read_bytes(), which))
        assert not [p for p in self.folder.iterdir() if p.suffix != ".safetensors"], "a passing name stayed"

    @has_file
    @rule(which=st.integers(0, 99))
    def load(self, which):
        path, payload, index = self.files[which % len(self.files)]
        loaded, made = load(path), self.programs[index]
        assert loaded.program.steps == made.imodel.program.steps and loaded.describe() == made.imodel.describe()
        assert bits_of(loaded.program.tensors) == bits_of(made.imodel.program.tensors)
        loaded.save(self.folder / "again.safetensors")
        assert (self.folder / "again.safetensors").read_bytes() == payload
        bound = loaded.bind(made.graph, backend="numba")
        assert bound().tobytes() == made.logits
        got = bound.site_codes()
        assert got.keys() == made.codes.keys()
        assert all(np.array_equal(got[site], made.codes[site]) for site in got)
        made.imodel, made.bound = loaded, loaded.bind(made.graph)  # it takes the other's place

    @has_program
    @rule(which=st.integers(0, 99), seed=SEEDS, backend=st.sampled_from(("numba", "dot", None)))
    def run(self, which, seed, backend):
        """On another graph, and with the features of a third: the bits of the reference."""
        imodel, graph = self.programs[which % len(self.programs)].imodel, self.data(seed)
        bound, reference = imodel.bind(graph, backend=backend), imodel.bind(graph, backend="reference")
        first = bound()
        assert first.tobytes() == reference().tobytes()
        other = features(np.random.default_rng(seed), graph.num_nodes, self.kind)
        assert bound(x=other).tobytes() == reference(x=other).tobytes()
        assert bound(out=first) is first and first.tobytes() == reference().tobytes()

    # What may not

    @rule()
    def float_models_are_refused(self):
        with pytest.raises(dq.ConfigError, match="prepare"):
            dq.calibrate(self.float_model, self.data(0))
        with pytest.raises(dq.ConversionError, match="prepare"):
            dq.convert(self.float_model)

    @has_qmodel
    @rule()
    def a_second_preparation_is_refused(self):
        with pytest.raises(dq.ConfigError, match="float model"):
            dq.prepare(self.qmodel, self.config)

    @has_program
    @rule()
    def a_program_is_no_model_to_train(self):
        imodel, graph = self.programs[-1].imodel, self.programs[-1].graph
        with pytest.raises(dq.ConfigError, match="prepare"):
            dq.calibrate(imodel, graph)
        with pytest.raises(dq.ConfigError, match="fit trains"):
            dq.fit(imodel, graph, epochs=1)
        with pytest.raises(dq.ConversionError, match="prepare"):
            dq.convert(imodel)

    @has_program
    @rule()
    def a_program_of_another_configuration_is_no_match(self):
        imodel, graph = self.programs[-1].imodel, self.programs[-1].graph
        other = dq.prepare(self.float_model, self.config.with_options(momentum=0.5))
        with pytest.raises(dq.ConfigError, match="momentum"):
            dq.verify(imodel, other, graph)

    @rule()
    def files_that_nobody_wrote_are_refused(self):
        with pytest.raises(dq.ModelFormatError, match="no file"):
            load(self.folder / "never.safetensors")

    # What must hold after each step

    @invariant()
    def the_float_model_is_as_it_was(self):
        if hasattr(self, "float_bits"):
            assert bits_of(self.float_model.state_dict()) == self.float_bits

    @invariant()
    def every_program_gives_what_it_gave(self):
        for made in self.programs[-3:]:
            made.check()

    @invariant()
    def files_stay(self):
        for path, payload, _ in self.files[-2:]:
            assert path.read_bytes() == payload


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=400 if NIGHTLY else 25, stateful_step_count=40 if NIGHTLY else 12, derandomize=not NIGHTLY,
    deadline=None, database=None,
)  # fmt: skip
