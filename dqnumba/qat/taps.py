"""Looking at what passes a site of a model, quantized or float, without changing it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from .. import autograd as ag
from .. import nn
from ..nn import Context
from .prepare import QuantizedModel

__all__ = ["Tap", "float_twin", "observed"]

#: Layer, name of the site, and what is called with the value behind it and the context of the pass.
Tap = tuple[nn.Module, str, Callable[[Any, Context], None]]
#: In place of a site: what the layer's ``propagate`` gives.
OUTPUT = "output of propagate"


def float_twin(qmodel: QuantizedModel) -> nn.GNN:
    """The float model of ``qmodel`` with its weights as they are now, which computes in the same order."""
    twin = nn.build_model(qmodel.model.config)
    twin.load_state_dict(qmodel.model.state_dict())
    for conv, original in zip(twin.convs, qmodel.model.convs, strict=True):
        conv.plan = original.plan
    return twin


def observed(model: nn.GNN, graph: Any, taps: Iterable[Tap]) -> None:
    """One evaluation pass of ``model`` over ``graph`` with ``taps``, which copy what they keep: memory is reused."""
    with ag.no_grad(), ag.reuse_memory(), _tapped(taps):
        model.forward(Context(graph))


@contextmanager
def _tapped(taps: Iterable[Tap]) -> Iterator[None]:
    restore: list[Callable[[], Any]] = []
    try:
        for layer, site, see in taps:
            restore.append(_tap_output(layer, see) if site == OUTPUT else _tap_site(layer, site, see))
        yield
    finally:
        for undo in reversed(restore):
            undo()


def _tap_site(layer: nn.Module, site: str, see: Callable[[Any, Context], None]) -> Callable[[], Any]:
    hook = layer.hooks.get(site)

    def tapped(x: Any, ctx: Context, rows: str | None) -> Any:
        y = x if hook is None else hook(x, ctx, rows)
        see(y, ctx)
        return y

    layer.hooks[site] = tapped
    return lambda: layer.hooks.pop(site) if hook is None else layer.hooks.update({site: hook})


def _tap_output(layer: nn.Module, see: Callable[[Any, Context], None]) -> Callable[[], Any]:
    original = layer.propagate

    def tapped(x: Any, ctx: Context) -> Any:
        y = original(x, ctx)
        see(y, ctx)
        return y

    layer.propagate = tapped  # of this one object; the class keeps its method
    return lambda: vars(layer).pop("propagate")
