"""The loop on a toy model: learning, selection on validation, resuming to the same bits, and mistakes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dqnumba import nn
from dqnumba.autograd import Tensor, dropout, neighbor_sum, segment_mean
from dqnumba.errors import ConfigError, GraphError
from dqnumba.graph import Graph, GraphDataset, batch
from dqnumba.train import Plateau, StepDecay, evaluate, fit, predict


class Toy:
    """One layer of neighbour sums, dropout, and a buffer that training passes change: all that resuming must carry."""

    def __init__(self, width, out, seed=0):
        rng = np.random.default_rng(seed)
        self.weight = Tensor(rng.normal(0, 0.3, (width, out)).astype(np.float32), requires_grad=True)
        self.bias = Tensor(np.zeros(out, np.float32), requires_grad=True)
        self.low = np.zeros(1, np.float32)

    def parameters(self):
        return {"weight": self.weight, "bias": self.bias}

    def state_dict(self):
        return {"weight": self.weight.data, "bias": self.bias.data, "low": self.low}  # live arrays, on purpose

    def load_state_dict(self, state):
        for name, array in self.state_dict().items():
            array[...] = state[name]

    def __call__(self, graph, *, training=False, rng=None):
        x = Tensor(graph.x)
        if training:
            x = dropout(x, 0.3, rng)
            self.low += 0.1 * (x.data.min() - self.low)
        out = neighbor_sum(graph.adjacency("add"), x @ self.weight) + self.bias + Tensor(0.01 * self.low)
        return out if graph.graph_ptr is None else segment_mean(out, graph.graph_ptr)


def node_graph(seed=0, nodes=60, **changes):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, nodes)
    x = rng.normal(0, 1, (nodes, 5)).astype(np.float32)
    x[np.arange(nodes), y] += 1.5
    part = rng.permutation(nodes)
    masks = {name: np.isin(np.arange(nodes), part[a:b]) for name, a, b in
             (("train_mask", 0, 25), ("val_mask", 25, 40), ("test_mask", 40, nodes))}  # fmt: skip
    fields = dict(x=x, y=y, num_nodes=nodes, **masks) | changes
    return Graph.from_edge_index(rng.integers(0, nodes, (2, 90)), **fields)


class ToySet:
    """The part of GraphDataset that training uses, over a list of graphs."""

    name, task, num_classes = "toys", "regression", 0

    def __init__(self, count=30, seed=0):
        rng = np.random.default_rng(seed)
        self.graphs = []
        for _ in range(count):
            n = int(rng.integers(2, 7))
            x = rng.normal(0, 1, (n, 3)).astype(np.float32)
            self.graphs.append(batch([Graph.from_edge_index(rng.integers(0, n, (2, 2 * n)), x=x, num_nodes=n,
                                                            y=x[:, :1].mean(0))]))  # fmt: skip
        self.y = np.concatenate([g.y for g in self.graphs])
        order = np.arange(count)
        self.splits = {"train": order[:18], "val": order[18:24], "test": order[24:]}

    def __len__(self):
        return len(self.graphs)

    def batches(self, indices, batch_size, rng=None):
        indices = np.asarray(indices)
        if rng is not None:
            indices = rng.permutation(indices)
        for start in range(0, len(indices), batch_size):
            yield batch([self.graphs[i] for i in indices[start : start + batch_size]])


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_it_learns_and_loads_the_best_epoch_back():
    graph, model = node_graph(), Toy(5, 3)
    before = evaluate(model, graph, split="train")["loss"]
    result = fit(model, graph, epochs=40, lr=0.05)
    assert evaluate(model, graph, split="train")["loss"] < 0.7 * before
    assert len(result.history) == result.epochs == 40
    assert result.selected_by == "val_accuracy"
    assert same(model.state_dict(), result.best_state)
    scores = evaluate(model, graph, split="val")
    assert scores["accuracy"] == result.best_value == max(e["val_accuracy"] for e in result.history)
    best = [e for e in result.history if e["val_accuracy"] == result.best_value]
    assert result.best_epoch == min(best, key=lambda e: (e["val_loss"], e["epoch"]))["epoch"]
    assert scores["loss"] == result.history[result.best_epoch - 1]["val_loss"]


@pytest.mark.parametrize("kind", ["node", "graph"])
def test_one_seed_gives_one_result(kind):
    def run(seed):
        data, model = (node_graph(), Toy(5, 3)) if kind == "node" else (ToySet(), Toy(3, 1))
        return fit(model, data, epochs=6, lr=0.05, batch_size=5, seed=seed)

    first, second, other = run(0), run(0), run(1)
    assert first.history == second.history
    assert same(first.state.model, second.state.model)
    assert not same(first.state.model, other.state.model)


@pytest.mark.parametrize("kind", ["node", "graph"])
def test_stopping_and_resuming_gives_the_same_bits(kind):
    def parts():
        data, model = (node_graph(), Toy(5, 3)) if kind == "node" else (ToySet(), Toy(3, 1))
        schedule = StepDecay(every=3) if kind == "node" else Plateau(patience=1)
        return model, data, {"lr": 0.05, "weight_decay": 1e-3, "batch_size": 7, "seed": 3, "schedule": schedule}

    model, data, options = parts()
    whole = fit(model, data, epochs=12, **options)

    class Stop(Exception):
        pass

    taken = []

    def stop_after_five(end):
        if end.epoch == 5:
            taken.append(end.capture())
            raise Stop

    model, data, options = parts()
    with pytest.raises(Stop):
        fit(model, data, epochs=12, callback=stop_after_five, **options)
    model, data, options = parts()
    resumed = fit(model, data, epochs=12, state=taken[0], **options)

    assert taken[0].epoch == 5  # the resumed part did not write into the state it was given
    assert resumed.history == whole.history
    assert (resumed.best_epoch, resumed.best_value) == (whole.best_epoch, whole.best_value)
    for field in ("model", "best_model", "optimizer"):
        assert same(getattr(resumed.state, field), getattr(whole.state, field))
    assert resumed.state.rng == whole.state.rng
    assert len(resumed.state.seconds) == 12


@pytest.mark.parametrize(("kind", "passes"), [("node", 3), ("graph", 15)])
def test_the_model_is_told_how_many_passes_are_planned(kind, passes):
    class Counting(Toy):
        planned, passes = None, 0

        def plan_passes(self, passes):
            self.planned = passes

        def __call__(self, graph, *, training=False, rng=None):
            self.passes += training
            return super().__call__(graph, training=training, rng=rng)

    data, model = (node_graph(), Counting(5, 3)) if kind == "node" else (ToySet(), Counting(3, 1))
    fit(model, data, epochs=3, batch_size=4)
    assert model.planned == model.passes == passes


def test_regression_selects_the_smallest_error():
    data, model = ToySet(), Toy(3, 1)
    result = fit(model, data, epochs=15, lr=0.05, batch_size=6)
    assert result.selected_by == "val_mae"
    assert result.best_value == min(e["val_mae"] for e in result.history)
    assert evaluate(model, data, split="val", batch_size=4)["mae"] == pytest.approx(result.best_value, rel=1e-6)
    assert result.history[-1]["loss"] < result.history[0]["loss"]


def test_patience_counts_epochs_after_the_best():
    result = fit(Toy(5, 3), node_graph(), epochs=500, lr=0.05, patience=4)
    assert result.epochs == result.best_epoch + 4


def test_a_finished_schedule_ends_the_run():
    result = fit(Toy(5, 3), node_graph(), epochs=500, lr=0.01, schedule=Plateau(factor=0.1, patience=0, min_lr=0.005))
    assert result.epochs < 500
    assert all(entry["lr"] == 0.01 for entry in result.history)


def test_without_validation_the_last_epoch_is_taken():
    result = fit(Toy(5, 3), node_graph(val_mask=None), epochs=3)
    assert (result.selected_by, result.best_epoch, result.best_value) == (None, 3, None)
    assert same(result.best_state, result.state.model)


def test_the_test_split_is_never_read():
    """Wrong labels on the test nodes change nothing."""
    graph = node_graph()
    twisted = graph.replace(y=np.where(graph.test_mask, (graph.y + 1) % 3, graph.y))
    first, second = (fit(Toy(5, 3), g, epochs=8, lr=0.05) for g in (graph, twisted))
    assert first.history == second.history
    assert same(first.state.model, second.state.model)


def test_splits_replace_masks():
    graph = node_graph(train_mask=None, val_mask=None)
    index = {"train": np.arange(30), "val": np.arange(30, 50)}
    assert fit(Toy(5, 3), graph, epochs=2, splits=index).selected_by == "val_accuracy"
    with pytest.raises(ConfigError, match="split"):
        fit(Toy(5, 3), graph, epochs=2)


def test_a_split_may_be_a_mask_and_names_items_that_are_there():
    graph = node_graph()
    masks = {"train": graph.train_mask, "val": graph.val_mask}
    index = {name: np.flatnonzero(mask) for name, mask in masks.items()}
    ours, theirs = (fit(Toy(5, 3), graph, epochs=2, splits=splits) for splits in (masks, index))
    assert ours.history == theirs.history
    assert evaluate(Toy(5, 3), graph, split="val", splits=masks) == evaluate(Toy(5, 3), graph, split="val")
    for wrong in ([0, 60], [-1, 0], [0.5, 1.0], graph.train_mask[:-1], 3):
        with pytest.raises(ConfigError, match="'train'"):
            fit(Toy(5, 3), graph, epochs=1, splits={"train": wrong})


def test_labels_must_fit_what_the_model_predicts():
    nodes, graphs = node_graph(), ToySet()
    classes = GraphDataset.from_graphs([Graph.from_edge_index([[0, 1], [1, 0]], np.eye(2), [k % 2]) for k in range(4)],
                                       splits={"train": [0, 1], "val": [2], "test": [3]})  # fmt: skip
    cases = [
        (nn.GCN(5, 4, 3, readout="sum"), nodes, "label a node"),
        (nn.GCN(5, 4, 2), nodes, "out_channels=3"),
        (nn.GCN(5, 4, 3), nodes.replace(y=np.zeros(60)), "out_channels=1"),
        (nn.GCN(2, 4, 2), classes, "label a graph"),
        (nn.GCN(2, 4, 1, readout="sum"), classes, "out_channels=2"),
        (nn.GIN(3, 4, 2, readout="mean"), graphs, "out_channels=1"),
    ]
    for model, data, says in cases:
        for verb in (fit, evaluate):
            with pytest.raises(GraphError, match=says):
                verb(model, data)
    wider = nn.GCN(2, 4, 5, readout="max")  # more classes than these data show are no mistake
    assert fit(wider, classes, epochs=1).epochs == 1
    with pytest.raises(GraphError, match="from_graphs"):
        fit(wider, [classes[0]])
    with pytest.raises(ConfigError, match="prepare"):
        fit(lambda graph: graph, nodes)


def test_no_epoch_leaves_the_model_as_it_was():
    model = Toy(5, 3)
    before = {k: v.copy() for k, v in model.state_dict().items()}
    result = fit(model, node_graph(), epochs=0)
    assert same(model.state_dict(), before)
    assert (result.best_epoch, result.epoch_seconds) == (0, None)


def test_progress_gets_the_epochs_that_are_left():
    seen = []

    def progress(iterable, desc, total):
        seen.append((desc, total))
        return iterable

    half = fit(Toy(5, 3), node_graph(), epochs=2)
    fit(Toy(5, 3), node_graph(), epochs=5, state=half.state, progress=progress)
    assert seen == [("epochs", 3)]


def test_prediction_in_batches_is_prediction():
    data, model = ToySet(), Toy(3, 1)
    whole = predict(model, data)
    assert whole.shape == (30, 1)
    np.testing.assert_allclose(predict(model, data, batch_size=4), whole, rtol=1e-6)
    np.testing.assert_allclose(predict(model, data, np.array([7, 2]), batch_size=1), whole[[7, 2]], rtol=1e-6)
    with pytest.raises(ConfigError, match="empty"):
        predict(model, data, np.array([], int))


def test_mistakes_are_told():
    graph = node_graph()
    for options in ({"epochs": -1}, {"epochs": 1.5}, {"patience": 0}, {"selected_by": "val_mae"}, {"lr": -1.0},
                    {"selected_by": "test_accuracy"}, {"seed": -1}):  # fmt: skip
        with pytest.raises(ConfigError):
            fit(Toy(5, 3), graph, **options)
    with pytest.raises(ConfigError, match="validation"):
        fit(Toy(5, 3), node_graph(val_mask=None), selected_by="val_loss")
    with pytest.raises(GraphError, match="labels"):
        fit(Toy(5, 3), graph.replace(y=None))
    with pytest.raises(ConfigError, match="batch_size"):
        fit(Toy(3, 1), ToySet(), batch_size=0)
    with pytest.raises(ConfigError, match="no 'test' split"):
        evaluate(Toy(5, 3), node_graph(test_mask=None))
    unsplit = ToySet()
    unsplit.splits = None
    with pytest.raises(ConfigError, match="fold"):
        fit(Toy(3, 1), unsplit)
    broken = Toy(5, 3)
    broken.weight.data[0, 0] = math.nan
    with pytest.raises(ConfigError, match="--lr"):
        fit(broken, graph, epochs=1)
