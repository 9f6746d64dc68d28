"""Recipes: the shipped ones are complete and well formed, exceptions apply narrowest last, mistakes are named."""

from __future__ import annotations

import pytest

from dqnumba.errors import ConfigError, DataError
from dqnumba.train.recipe import METHODS, MODELS, load_recipe, parse_recipe, read_recipe, recipe_names
from dqnumba.train.schedule import schedule_from_config

NEEDED = (
    [f"{data}_{model}" for data in ("cora", "citeseer", "synthetic", "zinc12k") for model in MODELS]
    + [f"{data}_{model}" for data in ("mnist", "cifar10") for model in ("gcn", "gat", "gin")]
    + ["reddit_binary_gin", "mutag_gin", "imdb_binary_gin", "ptc_mr_gin"]
    + [f"generic{kind}_{model}" for kind in ("", "_graphs") for model in MODELS]
)

TEXT = """
[model]
hidden_channels = 16
[train]
lr = 0.01
epochs = 10
[quant]
momentum = 0.1
[method.fp32]
lr = 0.5
[method.dq]
lr = 0.02
dropout = 0.1
[method.dq.bits4]
lr = 0.03
quant = {percentile = 0.02}
[method.dq.paper]
weight_decay = 1e-3
[method.dq.paper.bits4]
lr = 0.04
"""


def test_all_needed_recipes_ship():
    assert set(NEEDED) <= set(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_can_be_used(name):
    data, _, model = name.rpartition("_")
    recipe = load_recipe(model, data)
    assert recipe.name == name
    for method in METHODS:
        for bits in (4, 8):
            resolved = recipe.resolve(method, bits, "fused").with_overrides({})
            assert {"hidden_channels", "num_layers", "dropout"} <= resolved.model.keys()
            assert {"lr", "epochs", "weight_decay"} <= resolved.train.keys()
            schedule_from_config(resolved.train.get("schedule"))


def test_narrower_tables_win():
    recipe = parse_recipe(TEXT, "t")
    assert recipe.resolve("qat", 8, "fused").train["lr"] == 0.01
    assert recipe.resolve("ptq", 8, "fused").train["lr"] == 0.5  # trains as fp32 does
    wide = recipe.resolve("dq", 8, "fused")
    assert (wide.train["lr"], wide.model["dropout"], wide.quant) == (0.02, 0.1, {"momentum": 0.1})
    four = recipe.resolve("dq", 4, "fused")
    assert (four.train["lr"], four.quant) == (0.03, {"momentum": 0.1, "percentile": 0.02})
    paper = recipe.resolve("dq", 4, "paper")
    assert (paper.train["lr"], paper.train["weight_decay"]) == (0.04, 1e-3)
    assert recipe.train == {"lr": 0.01, "epochs": 10}  # resolving leaves the recipe as it was


def test_overrides_and_configs():
    recipe = parse_recipe(TEXT, "t")
    changed = recipe.resolve("dq", 8, "fused").with_overrides({"lr": 1.0, "epochs": None, "hidden_channels": 4})
    assert (changed.train["lr"], changed.train["epochs"], changed.model["hidden_channels"]) == (1.0, 10, 4)
    merged = recipe.merged_with(parse_recipe("[method.dq.bits4]\nlr = 9.0", "mine"))
    assert merged.resolve("dq", 4, "fused").train["lr"] == 9.0
    assert merged.resolve("dq", 8, "fused").train["lr"] == 0.02
    with pytest.raises(ConfigError, match="learning_rate"):
        recipe.with_overrides({"learning_rate": 1.0})


def test_a_cosine_falls_over_all_epochs_unless_told():
    recipe = parse_recipe("[train]\nepochs = 10\nschedule = {kind = 'cosine', floor = 0.1}", "t")
    assert recipe.with_overrides({}).train["schedule"] == {"kind": "cosine", "floor": 0.1, "over": 10}
    shorter = recipe.with_overrides({"epochs": 4})
    assert shorter.train["schedule"]["over"] == 4
    longer = shorter.with_overrides({"epochs": 20})  # a run that goes on after its end keeps the fall it had
    assert longer.train["schedule"]["over"] == 4
    steps = parse_recipe("[train]\nepochs = 10\nschedule = {kind = 'step', every = 5}", "t")
    assert steps.with_overrides({}).train["schedule"] == {"kind": "step", "every": 5}
    assert "over" not in recipe.train["schedule"]


def test_a_data_set_without_recipe_falls_back():
    assert load_recipe("gcn", "nobody_knows").name == "generic_gcn"
    assert load_recipe("gin", None, many_graphs=True).name == "generic_graphs_gin"
    with pytest.raises(ConfigError, match="gcn, gat, gin, sage"):
        load_recipe("mlp")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[modell]", "modell"),
        ("[model]\nwidth = 3", "width"),
        ("[train]\nlr = 'fast'", "lr"),
        ("[train]\nepochs = true", "epochs"),
        ("[train]\nepochs = 1.5", "epochs"),
        ("[method.dqq]", "dqq"),
        ("[method.dq.bits4]\nrate = 1", "rate"),
        ("[method.dq.paper.fused]\nlr = 1", "fused"),
        ("[method]\ndq = 3", "table"),
        ("[train", "TOML"),
    ],
)
def test_mistakes_are_named(text, named):
    with pytest.raises(ConfigError, match=named):
        parse_recipe(text, "mine.toml")


def test_reading_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[train]\nlr = 0.25\n")
    assert read_recipe(path).train == {"lr": 0.25}
    with pytest.raises(DataError, match=r"none\.toml"):
        read_recipe(tmp_path / "none.toml")
