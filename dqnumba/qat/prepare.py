"""``prepare``: put a quantizer at every site of a float model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import autograd as ag
from .. import nn
from ..errors import ConfigError
from ..nn.gin_conv import EPS_BITS
from ..quant import QuantSpec
from .config import QuantConfig
from .degree_mask import draw_mask, protection_probability
from .fake_quantizer import TIE_GUARD, ActivationQuantizer, BiasRounder, GridRounder, WeightQuantizer
from .observers import Observer
from .search_observer import SearchObserver
from .sites import COEFFICIENT_BITS, TIE_NUDGE, WIDE_BITS, Site, choose_plan, layer_sites

__all__ = ["QuantizedModel", "Shared", "prepare"]


class QuantizedModel(nn.Module):
    """A float model with a quantizer at each site; called, trained and saved like the float model.

    Attributes
    ----------
    model : GNN
        The model, a copy of the one given to :func:`prepare`.
    config : QuantConfig
    quantizers : dict
        Dotted site name -> quantizer, in the order of execution. A shared quantizer appears under both names.
    sites : dict
        Dotted site name -> row of the table of sites.
    """

    def __init__(self, model: nn.GNN, config: QuantConfig) -> None:
        super().__init__()
        self.model, self.config = model, config
        self.quantizers: dict[str, Any] = {}
        self.sites: dict[str, Site] = {}
        self._probability: tuple[Any, NDArray] | None = None
        self._passes = np.zeros(1, np.int64)  # of training so far; counted where the configuration asks for it
        self._planned: tuple[int, int] | None = None  # the pass before which training begins, and how many it has

    def parameters(self) -> dict[str, ag.Tensor]:
        """Parameters of the float model, under its own names, and learned ranges as ``quantizer.<site>.log_factor``."""
        factors = {name: getattr(quantizer, "log_factor", None) for name, quantizer in self.quantizers.items()}
        owned = {id(factor): name for name, factor in reversed(factors.items())}  # a shared one under its owner's name
        learned = {
            f"quantizer.{name}.log_factor": factor for name, factor in factors.items()
            if factor is not None and owned[id(factor)] == name
        }  # fmt: skip
        return self.model.parameters() | learned

    def buffers(self) -> dict[str, NDArray]:
        """Buffers of the float model, and the range of every quantizer as ``quantizer.<site>``."""
        ranges = {f"quantizer.{name}": q.state for name, q in self.quantizers.items() if q.state.size}
        if self._counts_passes:
            ranges["quantizer.passes"] = self._passes
        return self.model.buffers() | ranges

    def __call__(self, graph: Any, *, training: bool = False, rng: np.random.Generator | None = None) -> ag.Tensor:
        """Run the model with fake quantization; a training pass draws a fresh degree mask and updates the ranges."""
        if training and rng is None:
            raise ConfigError("A training pass needs a random generator: model(graph, training=True, rng=generator).")
        self.model.check_graph(graph)
        return self.model.forward(self._context(graph, training, rng, observe=training))

    def observe(self, graph: Any) -> None:
        """Update all ranges from one evaluation pass (no mask, no dropout, nothing trained)."""
        self.model.check_graph(graph)
        with ag.no_grad(), ag.reuse_memory():
            self.model.forward(self._context(graph, False, None, observe=True))

    def plan_passes(self, passes: int) -> None:
        """Say how many training passes are to come, which ``mask_until`` is a share of; :func:`dqnumba.fit` does.

        Where nobody says it, as in a loop that knows no end, every pass draws a mask.
        """
        self._planned = (int(self._passes[0]), passes)

    def _context(self, graph: Any, training: bool, rng: np.random.Generator | None, *, observe: bool) -> nn.Context:
        ctx = nn.Context(graph, training, rng, observe=observe)
        if not training:
            return ctx
        passes, config = int(self._passes[0]), self.config
        ctx.rounding = passes >= config.delay
        if config.masked and not self._mask_ended(passes):
            probability = self._protection(graph)
            ctx.protected = draw_mask(probability, rng)
            if self.config.mask_per_layer:
                ctx.fresh_mask = lambda: draw_mask(probability, rng)
        self._passes += self._counts_passes
        return ctx

    @property
    def _counts_passes(self) -> bool:
        return self.config.delay > 0 or self.config.mask_until < 1.0

    def _mask_ended(self, passes: int) -> bool:
        until = self.config.mask_until
        if until == 1.0 or self._planned is None:
            return False
        start, planned = self._planned
        return passes - start >= until * planned

    def _protection(self, graph: Any) -> NDArray[np.float64]:
        if self._probability is None or self._probability[0] is not graph:
            self._probability = (graph, protection_probability(graph, self.config.mask_low, self.config.mask_high))
        return self._probability[1]

    def __deepcopy__(self, memo: dict) -> QuantizedModel:
        twin = prepare(self.model, self.config)
        twin.load_state_dict(self.state_dict())
        twin._planned = self._planned
        return twin


def prepare(model: nn.GNN, config: QuantConfig) -> QuantizedModel:
    """A copy of ``model`` with one quantizer a site.

    Parameters
    ----------
    model : GNN
        A float model, trained or not; it is not changed.
    config : QuantConfig
        For instance ``QuantConfig.degree_quant(bits=8)``.

    Returns
    -------
    QuantizedModel

    Raises
    ------
    ConfigError
        If ``model`` is no float model of this library, or ``config`` no QuantConfig.
    """
    if not isinstance(model, nn.GNN):
        raise ConfigError(f"prepare takes a float model such as dqnumba.nn.GCN, not {type(model).__name__}.")
    if not isinstance(config, QuantConfig):
        raise ConfigError(
            f"prepare takes a QuantConfig such as QuantConfig.degree_quant(bits=8), not {type(config).__name__}."
        )
    qmodel = QuantizedModel(_copy(model), config)
    _choose_plans(qmodel.model, config)
    for prefix, layer, table in _tables(qmodel.model, config.sites):
        for site in table:
            _install(qmodel, prefix, layer, site)
    return qmodel


def _copy(model: nn.GNN) -> nn.GNN:
    twin = nn.build_model(model.config)
    twin.load_state_dict(model.state_dict())
    return twin


def _choose_plans(model: nn.GNN, config: QuantConfig) -> None:
    model.dropout_order = config.dropout_order
    for i, conv in enumerate(model.convs):
        # A residual sum is rounded where it is read, by one addition of codes that has no place for a row factor.
        after_sum = i > 0 and model.residual_of[i - 1] is not None
        keep_input = model.residual_of[i] is not None or after_sum or (i == 0 and model.embedding is not None)
        conv.plan = choose_plan(conv, config.sites, keep_input=keep_input)
        if isinstance(conv, nn.GINConv):
            conv.mlp_rows = "node" if config.mask_mlp else None
    for norm in model.norms:
        norm.after_relu = isinstance(model, nn.GIN)
    if config.dropout_order == "before":
        for module in model.modules():
            if hasattr(module[1], "input_dropout"):
                module[1].input_dropout = 0.0


def _tables(model: nn.GNN, layout: str) -> Iterator[tuple[str, nn.Module, tuple[Site, ...]]]:
    """Dotted prefix, layer and sites in the order of execution."""
    tables = list(_layer_tables(model, layout))
    if model.config["out_channels"] == 1 and layout == "paper":  # the sites that round a regression's output are wide
        prefix, layer, table = tables[-1]
        outputs = {"feature"} if isinstance(layer, nn.Linear) else {"update", "lin2.feature"}
        wide = (replace(s, bits=WIDE_BITS, ours=True) if s.name in outputs else s for s in table)
        tables[-1] = (prefix, layer, tuple(wide))
    yield from tables


def _layer_tables(model: nn.GNN, layout: str) -> Iterator[tuple[str, nn.Module, tuple[Site, ...]]]:
    for i, conv in enumerate(model.convs):
        reads_codes = i > 0 and model.residual_of[i - 1] is None
        yield f"conv{i + 1}.", conv, layer_sites(conv, layout, reads_codes=reads_codes)
        if model.norms and i < len(model.norms):
            yield f"norm{i + 1}.", model.norms[i], layer_sites(model.norms[i], layout)
        if model.residual_of[i] is not None:
            j = model.residual_of[i]
            yield f"residual{j + 1}.", model.residuals[j], layer_sites(model.residuals[j], layout)
    if model.config["readout"]:
        yield "pool.", model.pool, layer_sites(model.pool, layout)
        yield "head1.", model.head1, layer_sites(model.head1, layout)
        yield "head2.", model.head2, layer_sites(model.head2, layout)


def _install(qmodel: QuantizedModel, prefix: str, layer: nn.Module, site: Site) -> None:
    name = prefix + site.name
    *path, leaf = site.name.split(".")
    for part in path:
        layer = getattr(layer, part)
    if site.role == "bias":
        left = hasattr(layer, "weight_l") and layer.plan == "edgewise"
        weight = qmodel.quantizers[name.removesuffix("bias") + ("weight_l" if left else "weight")]
        quantizer = BiasRounder(name, qmodel.quantizers[prefix + site.share], weight, layer.product_weight)
    elif site.share:
        quantizer = qmodel.quantizers[prefix + site.share]
    else:
        quantizer = _quantizer(qmodel, name, site, layer)
    qmodel.sites[name] = site
    qmodel.quantizers[name] = quantizer
    # A site that shares a quantizer rounds with the range of its owner and leaves that range alone.
    layer.hooks[leaf] = Shared(quantizer) if site.share and site.role != "bias" else quantizer


class Shared:
    """A second site of a quantizer: it rounds, and never moves the range.

    A mean of codes, on the grid it is rounded to, sits exactly between two codes wherever the in-degree is even;
    float32's last bit would decide. Both worlds add ``nudge`` of a code first, so that such a tie goes up in both.
    """

    nudge = TIE_NUDGE

    def __init__(self, quantizer: ActivationQuantizer) -> None:
        self.quantizer = quantizer

    def __call__(self, x: Any, ctx: nn.Context, rows: str | None) -> Any:
        if (ctx.observe and self.quantizer.observer.is_empty) or not ctx.rounding:
            return x  # as its owner did: nothing is known about the range yet
        protected = self.quantizer._protected(ctx, rows)
        nudge = np.float32(self.nudge * self.quantizer.qparams().scale)
        return self.quantizer.round(x + (nudge if protected is None else nudge * ~protected[:, None]), protected)


def _quantizer(qmodel: QuantizedModel, name: str, site: Site, layer: nn.Module) -> Any:
    config = qmodel.config
    if site.role == "eps":
        return GridRounder(name, EPS_BITS)
    if site.role == "coefficient":
        return GridRounder(name, COEFFICIENT_BITS)
    if site.role == "weight":
        spec = QuantSpec(
            bits=site.bits or config.weight_bits, symmetric=config.weight_symmetric, narrow=config.weight_narrow,
            granularity=config.weight_granularity,
        )  # fmt: skip
        observer = None if config.weight_range == "current" else _observer(config, name, config.weight_range)
        columns = _columns(layer, site.name.split(".")[-1]) if spec.per_channel else 1
        return WeightQuantizer(
            name, spec, observer, gradient=config.gradient, noise=config.weight_noise,
            learned=columns if config.learned_range else 0,
        )  # fmt: skip
    if site.role == "tensor":
        spec = QuantSpec(bits=config.weight_bits, symmetric=config.weight_symmetric, narrow=config.weight_narrow)
        observer = _observer(config, name, "minmax" if config.weight_range == "current" else config.weight_range)
        if name.endswith("attention") and config.weight_range == "current":
            observer = None
        return WeightQuantizer(name, spec, observer, gradient=config.gradient, noise=None)
    bits = site.bits or config.activation_bits
    if site.role == "input" and name.startswith("conv1.") and site.bits is None:
        single = qmodel.model.convs[0].in_channels == 1
        bits = config.input_bits or (WIDE_BITS if single else config.activation_bits)
    spec = QuantSpec(bits=bits, signed=site.signed)
    rule = config.range_rule
    sparse_input = site.role == "input" and name.startswith("conv1.") and config.sites == "fused"
    wide = bits > 8  # a wide site has codes to spare: it keeps the whole range
    if ((sparse_input or wide) and rule.startswith("percentile")) or (wide and rule == "mse"):
        rule = "minmax"
    entry = name == "conv1.input"
    widen = 0.0 if entry else TIE_GUARD
    observer = _observer(config, name, rule)
    if rule == "mse":
        observer = SearchObserver(name, spec, widen=widen, momentum=config.momentum)
    return ActivationQuantizer(
        name, spec, observer, gradient=config.gradient, masked=config.masked, widen=widen,
        learned=config.learned_range and not entry and not wide,
    )  # fmt: skip


def _columns(layer: nn.Module, leaf: str) -> int:
    """Output channels of the weight that passes the site ``leaf``; some sites' weight is made of two parameters."""
    weight = getattr(layer, leaf, None)
    return (layer.product_weight() if weight is None else weight.data).shape[-1]


def _observer(config: QuantConfig, name: str, rule: str) -> Observer:
    return Observer(name, rule, cut=config.cut, momentum=config.momentum, collapse_fallback=config.collapse_fallback)
