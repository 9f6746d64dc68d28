"""Whole runs: sources and splits, interruption at any moment, and the record's meaning."""

from __future__ import annotations

import numpy as np
import pytest

from dqnumba.convert.verify import agreement
from dqnumba.errors import ConfigError, DataError
from dqnumba.graph import Graph, GraphDataset, save_npz
from dqnumba.train.build import restore_model
from dqnumba.train.checkpoint import read_checkpoint
from dqnumba.train.evaluate import evaluate
from dqnumba.train.experiment import check_output, run_experiment
from dqnumba.train.settings import RunSettings
from dqnumba.train.source import Source, load_source


def node_graph(nodes=90, **changes):
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, nodes)
    x = rng.normal(0, 0.5, (nodes, 6)).astype(np.float32)
    x[np.arange(nodes), y] += 1
    part = rng.permutation(nodes) % 3
    masks = {"train_mask": part == 0, "val_mask": part == 1, "test_mask": part == 2}
    return Graph.from_edge_index(
        rng.integers(0, nodes, (2, 250)), **({"x": x, "y": y, "num_nodes": nodes} | masks | changes)
    )


def graph_set(count=40, regression=False, splits=True):
    rng = np.random.default_rng(2)
    graphs = []
    for k in range(count):
        n = int(rng.integers(3, 8))
        x = rng.integers(0, 5, n).astype(np.int32)
        y = np.array([x.mean()], np.float32) if regression else np.array([k % 2])
        graphs.append(Graph.from_edge_index(rng.integers(0, n, (2, 2 * n)), x=x, y=y, num_nodes=n, num_categories=5,
                                            num_classes=0 if regression else 2))  # fmt: skip
    order = np.arange(count)
    parts = {"train": order[:20], "val": order[20:30], "test": order[30:]} if splits else None
    return GraphDataset.from_graphs(graphs, name="set", splits=parts)


SOURCE = Source(graph="toy.npz")
QUICK = {"epochs": 6, "hidden_channels": 8, "batch_size": 8}


def settings(**changes):
    return RunSettings(**({"source": SOURCE, "overrides": QUICK} | changes))


def test_masks_and_random_splits():
    graph = node_graph()
    fixed = load_source(SOURCE, data=graph)
    assert np.array_equal(fixed.splits["val"], np.flatnonzero(graph.val_mask))
    assert fixed.fold is None
    one, two, three = (load_source(Source(graph="g", split="random", seed=s), data=graph).splits for s in (0, 0, 1))
    assert all(np.array_equal(one[k], two[k]) for k in one)
    assert not np.array_equal(one["train"], three["train"])
    assert sorted(np.concatenate(list(one.values()))) == list(range(90))
    limited = load_source(Source(graph="g", limit=4), data=graph).splits
    assert np.array_equal(limited["train"], fixed.splits["train"][:4])
    assert np.array_equal(limited["test"], fixed.splits["test"])
    with pytest.raises(ConfigError, match="one graph"):
        load_source(Source(graph="g", fold=1), data=graph)


def test_folds():
    data = graph_set(splits=False)
    first = load_source(SOURCE, data=data)
    assert first.fold == 0
    assert all(np.array_equal(first.splits[k], data.fold(0)[k]) for k in ("train", "val", "test"))
    third = load_source(Source(graph="g", fold=3, limit=6), data=data)
    assert third.fold == 3
    assert len(third.splits["train"]) == 6
    assert np.array_equal(third.splits["test"], data.fold(3)["test"])
    assert load_source(SOURCE, data=data, default_fold=None).splits == {}
    with pytest.raises(ConfigError, match="--fold"):
        load_source(Source(graph="g", fold=3, split="random"), data=data)


def test_wrong_sources():
    for options in (
        {},
        {"dataset": "a", "graph": "b"},
        {"dataset": "a", "split": "mine"},
        {"dataset": "a", "limit": 0},
    ):
        with pytest.raises(ConfigError):
            Source(**options)


def test_a_graph_file_with_labels_of_graphs_is_a_data_set(tmp_path):
    data = graph_set()
    save_npz(data.union, tmp_path / "set.npz")
    loaded = load_source(Source(graph=str(tmp_path / "set.npz")))
    assert loaded.many_graphs
    assert len(loaded.data) == len(data)
    save_npz(node_graph(), tmp_path / "one.npz")
    assert not load_source(Source(graph=str(tmp_path / "one.npz"))).many_graphs


def test_synthetic_data_do_not_change_with_the_seed():
    one, two = (load_source(Source(dataset="synthetic", seed=s)).data for s in (0, 5))
    assert np.array_equal(one.indices, two.indices)


def test_the_record_is_what_the_models_score(tmp_path):
    graph = node_graph()
    result = run_experiment(settings(model="gin"), data=graph)
    scores = evaluate(result.model, graph, split="test"), evaluate(result.integer_model, graph, split="test")
    assert result.record["test_fake_quant"] == scores[0]["accuracy"]
    assert result.record["test_integer"] == scores[1]["accuracy"]
    assert result.record["val_fake_quant"] == evaluate(result.model, graph, split="val")["accuracy"]
    assert result.record["val_fake_quant"] == result.fit.best_value
    assert result.record["file_bytes"] == result.integer_model.save(tmp_path / "m.safetensors")


def test_post_training_quantization_trains_the_float_model():
    graph = node_graph()
    plain = run_experiment(settings(method="fp32"), data=graph)
    ptq = run_experiment(settings(method="ptq"), data=graph)
    assert plain.record["test_float"] == ptq.record["test_float"]
    assert plain.fit.history == ptq.fit.history
    assert plain.record["bits"] == 32
    assert ptq.record["agreement"] is not None


@pytest.mark.parametrize("regression", [False, True])
def test_graph_tasks_with_integer_codes(regression):
    data = graph_set(regression=regression)
    result = run_experiment(settings(model="gcn"), data=data)
    assert result.model.model.config["embedding"] == 5
    assert result.record["selected_by"] == ("val_mae" if regression else "val_accuracy")
    name = "mae" if regression else "accuracy"
    assert result.record["test_integer"] == pytest.approx(evaluate(result.integer_model, data)[name], rel=1e-6)


@pytest.mark.parametrize("method", ["dq", "ptq"])
def test_an_interrupted_run_goes_on_to_the_same_result(method, tmp_path, monkeypatch):
    data, out = node_graph(), tmp_path / "m.safetensors"
    run = settings(method=method, overrides=QUICK | {"epochs": 9, "dropout": 0.3})
    whole = run_experiment(run, data=data)

    def pull_the_plug(iterable, desc, total):
        for k, item in enumerate(iterable):
            if k == 4:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        run_experiment(run, data=data, out=out, progress=pull_the_plug, save_every=0.0)
    half = read_checkpoint(tmp_path / "m.train.safetensors")
    assert (half.state.epoch, half.model, half.record) == (4, None, None)
    assert not out.exists()
    with pytest.raises(ConfigError, match="--resume"):
        restore_model(half)
    assert RunSettings.from_dict(half.settings) == run

    # A recipe that changes in between, with a newer version for instance, does not change the run.
    monkeypatch.setattr(RunSettings, "recipe", lambda *a, **k: pytest.fail("the recipe was read again"))
    resumed = run_experiment(RunSettings.from_dict(half.settings), data=data, out=out, resume=half)
    assert {**resumed.record, "epoch_seconds": 0} == {**whole.record, "epoch_seconds": 0}
    assert resumed.fit.history == whole.fit.history
    restored = restore_model(read_checkpoint(tmp_path / "m.train.safetensors")).state_dict()
    for name, array in whole.model.state_dict().items():
        assert np.array_equal(array, restored[name])


def test_an_exception_from_the_callback_leaves_its_epoch_in_the_train_file(tmp_path):
    data, out = node_graph(), tmp_path / "m.safetensors"
    seen = []

    def stop(end):
        seen.append(end.epoch)
        if end.epoch == 3:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        run_experiment(settings(), data=data, out=out, callback=stop)  # long before a minute has passed
    half = read_checkpoint(tmp_path / "m.train.safetensors")
    assert seen == [1, 2, 3] and half.state.epoch == 3
    resumed = run_experiment(settings(), data=data, resume=half)
    assert resumed.fit.history == run_experiment(settings(), data=data).fit.history


def test_a_recipe_that_is_given_is_the_one_that_is_used():
    data = node_graph()
    first = run_experiment(settings(overrides=QUICK | {"lr": 0.003, "dropout": 0.2}), data=data)
    again = run_experiment(settings(overrides={}), data=data, recipe=first.recipe)
    assert again.fit.history == first.fit.history and again.recipe == first.recipe
    assert again.recipe.train["lr"] == 0.003 and again.recipe.model["dropout"] == 0.2
    assert settings(overrides={}).recipe(many_graphs=False).train["lr"] != 0.003


def test_agreement():
    fake, exact = np.array([[0.0, 1.0], [2.0, 1.0]], np.float32), np.array([[0.5, 0.4], [3.0, 1.0]], np.float32)
    assert agreement(fake, exact, None) == 0.5
    assert agreement(fake[:, :1], exact[:, :1], 0.5) == 0.5
    assert agreement(fake[:, :1], exact[:, :1], 1.0) == 1.0


def test_check_output(tmp_path):
    check_output(tmp_path / "new.safetensors")
    assert list(tmp_path.iterdir()) == []
    for path in (tmp_path, tmp_path / "none" / "m.safetensors"):
        with pytest.raises(DataError, match="writ"):
            check_output(path)
