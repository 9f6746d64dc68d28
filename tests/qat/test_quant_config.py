"""The configuration: every bad field is refused with what is allowed, and the presets have the paper's numbers."""

import json

import numpy as np
import pytest

from dqnumba.errors import ConfigError
from dqnumba.qat import METHODS, QuantConfig

BAD = {
    "method": ("dq2", "dq-plus"), "weight_bits": (9, "2 to 8"), "activation_bits": (1, "2 to 8"),
    "sites": ("all", "fused, paper"), "range_rule": ("max", "minmax, ema, percentile, percentile_ema"),
    "percentile": (0.5, r"\[0, 0\.5\)"), "momentum": (0.0, r"\(0, 1\]"),
    "weight_range": ("percentile_ema", "current, minmax, ema, percentile"),
    "weight_granularity": ("per_row", "per_tensor, per_channel"), "weight_symmetric": ("yes", "True or False"),
    "weight_narrow": (2, "True or False"), "gradient": ("pass", "ste, clip, clip_inclusive"),
    "mask_low": (-0.1, r"\[0, 1\]"), "mask_high": (1.5, r"\[mask_low, 1\]"), "mask_mlp": (None, "True or False"),
    "mask_per_layer": ("x", "True or False"), "weight_noise": (0, r"\(0, 1\]"),
    "dropout_order": ("after", "inside, before"), "input_bits": (17, "2 to 16"),
    "collapse_fallback": (0, "True or False"), "learned_range": (1, "True or False"),
    "delay": (-1, "training passes, 0 or more"), "mask_until": (1.5, r"\[0, 1\]"),
}  # fmt: skip
MASK = {"mask_low": 0.1, "mask_high": 0.2}


def test_every_field_has_a_bad_value_here():
    assert set(BAD) == set(QuantConfig().to_dict())


@pytest.mark.parametrize("name", BAD)
def test_bad_values_name_what_is_allowed(name):
    value, allowed = BAD[name]
    good = MASK if name.startswith("mask_") else {}
    with pytest.raises(ConfigError, match=rf"{name}={value!r}.*{allowed}"):
        QuantConfig(**(good | {name: value}))
    if name not in ("percentile", "weight_noise", "input_bits", "mask_low", "mask_high"):
        with pytest.raises(ConfigError, match=name):
            QuantConfig(**(good | {name: None}))


@pytest.mark.parametrize("name", ["weight_bits", "activation_bits", "input_bits"])
@pytest.mark.parametrize("value", ["8", 7.5, True, float("nan")])
def test_bits_are_whole_numbers(name, value):
    with pytest.raises(ConfigError, match=rf"{name}=.*whole number"):
        QuantConfig(**{name: value})


@pytest.mark.parametrize("name", ["percentile", "momentum", "mask_low", "mask_high", "mask_until", "weight_noise"])
@pytest.mark.parametrize("value", ["x", float("nan"), float("inf"), [0.1], True])
def test_shares_are_numbers(name, value):
    with pytest.raises(ConfigError, match=name):
        QuantConfig(**(MASK | {name: value}))


def test_combinations():
    with pytest.raises(ConfigError, match="give both or neither"):
        QuantConfig(mask_low=0.1)
    with pytest.raises(ConfigError, match=r"mask_high=0\.1.*\[mask_low, 1\]"):
        QuantConfig(mask_low=0.2, mask_high=0.1)
    for change in ({"weight_symmetric": False}, {"weight_range": "ema"}):
        with pytest.raises(ConfigError, match=r'weight_granularity="per_tensor"'):
            QuantConfig(**change)
        QuantConfig(weight_granularity="per_tensor", **change)
    with pytest.raises(ConfigError, match=r'learned_range=True needs gradient="clip" or "ste"'):
        QuantConfig(learned_range=True, gradient="clip_inclusive")
    with pytest.raises(ConfigError, match=r"delay=2\.5"):
        QuantConfig(delay=2.5)
    with pytest.raises(ConfigError, match=r"'bit'.*'weight_bits'"):
        QuantConfig.from_dict({"bit": 8})
    with pytest.raises(ConfigError, match="ptq, qat, nqat, dq, dq-plus"):
        QuantConfig.preset("dq2")
    with pytest.raises(ConfigError, match="whole number"):
        QuantConfig.degree_quant("8")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("sites", ["fused", "paper"])
def test_round_trip_through_json(method, bits, sites):
    config = QuantConfig.preset(method, np.int64(bits), sites=sites)
    again = QuantConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config and again.sites == sites
    assert (config.weight_bits, config.activation_bits, config.method) == (bits, bits, method)
    changed = config.with_options(momentum=0.5)
    assert changed.momentum == 0.5 and changed != config
    mixed = QuantConfig.preset(method, bits, weight_bits=3, activation_bits=6, sites=sites)
    assert (mixed.weight_bits, mixed.activation_bits) == (3, 6)


@pytest.mark.parametrize("sites", ["fused", "paper"])
def test_degree_quant_has_the_papers_numbers(sites):
    wide, narrow = (0.0, 0.1, 0.001), (0.1, 0.2, 0.01)  # the official runs are of 8 and of 4 bits
    for bits, (low, high, cut) in ((8, wide), (5, wide), (4, narrow), (2, narrow)):
        config = QuantConfig.degree_quant(bits, sites=sites)
        assert (config.mask_low, config.mask_high, config.cut) == (low, high, cut)
        assert config.range_rule == "percentile" and config.masked and not config.mask_mlp
        assert not config.mask_per_layer and config.weight_noise is None
    assert QuantConfig.degree_quant(8, sites="paper").gradient == "clip_inclusive"
    assert QuantConfig.degree_quant(8).gradient == "clip"


@pytest.mark.parametrize("sites", ["fused", "paper"])
def test_the_baselines_are_ste_mom_without_a_mask(sites):
    for config in (QuantConfig.qat(8, sites=sites), QuantConfig.nqat(4, sites=sites)):
        assert (config.range_rule, config.momentum, config.gradient) == ("ema", 0.01, "ste")
        assert config.mask_low is None and not config.masked
    assert QuantConfig.qat(8).weight_noise is None and 0 < QuantConfig.nqat(8).weight_noise < 1
    assert not QuantConfig.ptq(8, sites=sites).masked


def test_paper_layout_is_the_official_code_and_fused_is_ours():
    paper, ours = QuantConfig.degree_quant(8, sites="paper"), QuantConfig.degree_quant(8)
    assert (paper.weight_granularity, paper.weight_symmetric, paper.weight_range) == ("per_tensor", False, "percentile")
    assert paper.dropout_order == "before" and not paper.collapse_fallback
    assert QuantConfig.qat(8, sites="paper").weight_range == "ema"
    assert (ours.weight_granularity, ours.weight_symmetric, ours.weight_range) == ("per_channel", True, "current")
    assert ours.dropout_order == "inside" and ours.collapse_fallback


def test_frozen():
    with pytest.raises(AttributeError):
        QuantConfig().weight_bits = 4
