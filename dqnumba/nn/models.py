"""Whole models: GCN, GAT, GIN and GraphSAGE for node tasks and for graph tasks."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import autograd as ag
from ..errors import ConfigError, GraphError
from ..graph import Graph
from .batch_norm import BatchNorm
from .functional import dropout
from .gat_conv import GATConv
from .gcn_conv import GCNConv
from .gin_conv import GINConv
from .linear import Linear
from .module import Context, Module
from .options import layer_options, probability, whole_number
from .pooling import Pool, Residual
from .sage_conv import SAGEConv

__all__ = ["GAT", "GCN", "GIN", "GNN", "GraphSAGE", "build_model"]


class GNN(Module):
    """A stack of graph convolutions of one kind; base of the four models.

    Parameters
    ----------
    in_channels : int
        Number of input features, or of categories where ``embedding`` is given.
    hidden_channels : int
        Width between layers; for GAT the total over its heads.
    out_channels : int
        Number of classes, or 1 for a regression.
    num_layers : int
        Number of convolutions.
    dropout : float
        Probability of dropping an entry of a layer's input.
    heads : int
        Attention heads (GAT only).
    norm : None or "batch"
        Batch normalization: before the ReLU, but after it in GIN, as in the code of the Degree-Quant paper.
    residual : bool
        Add a layer's input to its output wherever the widths are equal.
    readout : None, "sum", "mean" or "max"
        None for a node task: the last convolution gives the output. Otherwise a graph task: all convolutions are
        hidden, the nodes of a graph are pooled, and two linear layers with a ReLU between them give the output.
    embedding : int or None
        Number of categories of an integer input (atom types): row ``x[i]`` of a learned table is the feature of node i.
    attention_dropout : float or None
        Dropout of GAT's coefficients; None takes ``dropout``.
    head_dropout : float or None
        Dropout between the two linear layers of a graph task; None takes ``dropout``.
    layers : list of dict or None
        Where convolutions differ from this pattern (models made elsewhere), one mapping for each, empty where it does
        not: ``channels`` (width of its output), GAT's ``heads`` and ``concat``, GIN's ``mlp`` (width between its two
        linears).
    seed : int
        Fixes the initial weights.

    Shapes
    ------
    graph with N nodes -> Tensor (N, out_channels), or (num_graphs, out_channels) with a readout, which
    takes one bare graph as a batch of one
    """

    kind = ""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        num_layers: int = 2,
        dropout: float = 0.0,
        heads: int = 1,
        norm: str | None = None,
        residual: bool = False,
        readout: str | None = None,
        embedding: int | None = None,
        attention_dropout: float | None = None,
        head_dropout: float | None = None,
        layers: list[dict[str, Any]] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if embedding is not None:
            embedding = whole_number(self.kind, "embedding", embedding, 1)
        if attention_dropout is not None:
            attention_dropout = probability(self.kind, "attention_dropout", attention_dropout)
        if head_dropout is not None:
            head_dropout = probability(self.kind, "head_dropout", head_dropout)
        self.config = {
            "kind": self.kind,
            "in_channels": whole_number(self.kind, "in_channels", in_channels, 1),
            "hidden_channels": whole_number(self.kind, "hidden_channels", hidden_channels, 1),
            "out_channels": whole_number(self.kind, "out_channels", out_channels, 1),
            "num_layers": whole_number(self.kind, "num_layers", num_layers, 1),
            "dropout": probability(self.kind, "dropout", dropout),
            "heads": whole_number(self.kind, "heads", heads, 1),
            "norm": norm, "residual": residual, "readout": readout, "embedding": embedding,
            "attention_dropout": attention_dropout, "head_dropout": head_dropout,
            "seed": whole_number(self.kind, "seed", seed, 0),
        }  # fmt: skip
        own = [{}] * num_layers if layers is None else layer_options(self.kind, layers, num_layers)
        if layers is not None:
            self.config["layers"] = own
        self._check()
        rng = np.random.default_rng(seed)
        self.dropout = float(dropout)
        self.head_dropout = self.dropout if head_dropout is None else head_dropout
        # "inside": after the layer's input quantizer (our presets); "before": the order of the official code.
        self.dropout_order = "inside"
        width = hidden_channels if embedding else in_channels
        self.embedding = None
        if embedding:
            table = rng.standard_normal((embedding, hidden_channels), dtype=np.float32)
            self.embedding = ag.Tensor(table, requires_grad=True)
        self.convs: list[Any] = []
        self.norms: list[BatchNorm] = []
        self.residuals: list[Residual] = []
        self.residual_of: list[int | None] = []  # which of ``residuals`` follows a layer; None where the widths differ
        for layer in range(num_layers):
            last = layer == num_layers - 1 and readout is None
            out = own[layer].get("channels", out_channels if last else hidden_channels)
            if last and out != out_channels:
                raise ConfigError(f"{self.kind}: the last of layers has {out} channels; out_channels={out_channels}.")
            self.convs.append(self._conv(width, out, last, rng, own[layer]))
            if norm == "batch" and not last:
                self.norms.append(BatchNorm(out))
            self.residual_of.append(len(self.residuals) if residual and not last and width == out else None)
            if self.residual_of[-1] is not None:
                self.residuals.append(Residual())
            width = out
        if readout is not None:
            self.pool = Pool(readout)
            self.head1 = Linear(width, hidden_channels, rng=rng)
            self.head2 = Linear(hidden_channels, out_channels, input_dropout=self.head_dropout, rng=rng)

    def _check(self) -> None:
        c = self.config
        if c["norm"] not in (None, "batch"):
            raise ConfigError(f'{self.kind}: norm={c["norm"]!r}; use None or "batch".')
        if c["residual"] not in (True, False):
            raise ConfigError(f"{self.kind}: residual={c['residual']!r}; use True or False.")
        c["residual"] = bool(c["residual"])  # of a NumPy boolean too: the configuration is stored as JSON
        if c["embedding"] not in (None, c["in_channels"]):
            raise ConfigError(
                f"{self.kind}: embedding={c['embedding']} is the number of categories of the input, and so is "
                f"in_channels={c['in_channels']}; give both the same value, or leave embedding out for float features."
            )

    def _conv(
        self, in_channels: int, out_channels: int, last: bool, rng: np.random.Generator, own: dict[str, Any]
    ) -> Module:
        raise NotImplementedError

    def __call__(self, graph: Any, *, training: bool = False, rng: np.random.Generator | None = None) -> ag.Tensor:
        """Run the model; ``rng`` is needed where ``training`` is True."""
        if training and rng is None:
            raise ConfigError("A training pass needs a random generator: model(graph, training=True, rng=generator).")
        self.check_graph(graph)
        return self.forward(Context(graph, training, rng))

    def check_graph(self, graph: Any) -> None:
        """Raise GraphError where ``graph`` does not fit the model."""
        if not isinstance(graph, Graph):
            raise GraphError(
                f"The model runs on a Graph, not {type(graph).__name__}; join graphs with dqnumba.graph.batch([...]), "
                "or take some of a data set with dataset.batch(indices)."
            )
        features = "integer codes" if _is_codes(graph.x) else "features"
        if graph.x is None:
            raise GraphError(
                "This graph has no features x, which the model needs. Give it some with graph.replace(x=...)."
            )
        if bool(self.embedding) != _is_codes(graph.x):
            wanted = "integer codes (an embedding)" if self.embedding else "features"
            raise GraphError(f"The model expects {wanted}, the graph has {features}. Use the model's kind of graph.")
        if self.embedding:
            known = self.config["in_channels"]  # a graph may lack some of the categories, not know others
            if graph.x.size and int(graph.x.max()) >= known:
                raise GraphError(
                    f"The graph holds the category {int(graph.x.max())}, the model's table knows 0 to {known - 1}. "
                    "Build a model with embedding=in_channels=graph.num_features."
                )
        elif graph.num_features != self.config["in_channels"]:
            raise GraphError(
                f"The graph has {graph.num_features} {features}, the model was built for {self.config['in_channels']}. "
                "Use the data set that the model was trained on, or build a model with in_channels=graph.num_features."
            )

    def forward(self, ctx: Context) -> ag.Tensor:
        """The stack of layers; ``ctx`` carries the graph, the random generator and the degree mask."""
        x: Any = ctx.graph.x
        if self.embedding is not None:
            x = ag.embedding(self.embedding, x)
        for layer in range(len(self.convs)):
            if self.dropout_order == "before":
                x = dropout(x, self.dropout, ctx)
            ctx.next_layer()
            x_in = self.convs[layer].enter(x, ctx)
            x = self.convs[layer].propagate(x_in, ctx)
            if layer == len(self.convs) - 1 and not self.config["readout"]:
                return self._after_last(x, ctx)
            x = self._activate(x, layer, ctx)
            if self.residual_of[layer] is not None:
                x = self.residuals[self.residual_of[layer]](x, x_in, ctx)
        x = self.head1(self.pool(x, ctx), ctx, relu=True)
        if self.dropout_order == "before":
            x = dropout(x, self.head_dropout, ctx)
        return self.head2(x, ctx)

    def _after_last(self, x: ag.Tensor, ctx: Context) -> ag.Tensor:
        return x

    def _activate(self, x: ag.Tensor, layer: int, ctx: Context) -> ag.Tensor:
        """What follows a hidden convolution: batch normalization, then ReLU."""
        return ag.relu(self.norms[layer](x, ctx) if self.norms else x, in_place=True)


class GCN(GNN):
    """Stack of :class:`GCNConv`; see :class:`GNN` for the parameters."""

    kind = "GCN"

    def _conv(
        self, in_channels: int, out_channels: int, last: bool, rng: np.random.Generator, own: dict[str, Any]
    ) -> Module:
        return GCNConv(in_channels, out_channels, input_dropout=self.dropout, rng=rng)


class GAT(GNN):
    """Stack of :class:`GATConv`; hidden layers concatenate their heads, the last of a node task averages as many."""

    kind = "GAT"

    def _check(self) -> None:
        super()._check()
        if "layers" not in self.config and self.config["hidden_channels"] % self.config["heads"]:
            raise ConfigError(
                f"GAT: hidden_channels={self.config['hidden_channels']} is the total over the heads and must be a "
                f"multiple of heads={self.config['heads']}."
            )

    def _conv(
        self, in_channels: int, out_channels: int, last: bool, rng: np.random.Generator, own: dict[str, Any]
    ) -> Module:
        heads, attention = own.get("heads", self.config["heads"]), self.config["attention_dropout"]
        concat = own.get("concat", not last)
        if concat and out_channels % heads:
            raise ConfigError(f"GAT: a layer's {out_channels} channels are no multiple of its {heads} heads.")
        return GATConv(
            in_channels, out_channels // heads if concat else out_channels, heads=heads, concat=concat,
            dropout=self.dropout if attention is None else attention, input_dropout=self.dropout, rng=rng,
        )  # fmt: skip


class GIN(GNN):
    """Stack of :class:`GINConv`, MLPs of two linear layers; batch normalization comes after the ReLU."""

    kind = "GIN"

    def _conv(
        self, in_channels: int, out_channels: int, last: bool, rng: np.random.Generator, own: dict[str, Any]
    ) -> Module:
        hidden = own.get("mlp", self.config["hidden_channels"])
        return GINConv(in_channels, hidden, out_channels, input_dropout=self.dropout, rng=rng)

    def _activate(self, x: ag.Tensor, layer: int, ctx: Context) -> ag.Tensor:
        x = ag.relu(x, in_place=True)
        x = self.norms[layer](x, ctx) if self.norms else x
        # The official code's update quantizer sits behind the whole MLP, its ReLU and batch normalization included.
        return self.convs[layer].site("update", x, ctx, "node")

    def _after_last(self, x: ag.Tensor, ctx: Context) -> ag.Tensor:
        return self.convs[-1].site("update", x, ctx, "node")


class GraphSAGE(GNN):
    """Stack of :class:`SAGEConv` with the mean aggregator."""

    kind = "GraphSAGE"

    def _conv(
        self, in_channels: int, out_channels: int, last: bool, rng: np.random.Generator, own: dict[str, Any]
    ) -> Module:
        return SAGEConv(in_channels, out_channels, input_dropout=self.dropout, rng=rng)


MODELS = {model.kind: model for model in (GCN, GAT, GIN, GraphSAGE)}


def build_model(config: dict[str, Any]) -> GNN:
    """Build the model that ``model.config`` describes.

    Raises
    ------
    ConfigError
        If the kind or an option is unknown.
    """
    options = dict(config)
    kind = options.pop("kind", None)
    if not isinstance(kind, str) or kind not in MODELS:
        raise ConfigError(f"Model kind {kind!r} is not known; use one of {sorted(MODELS)}.")
    try:
        return MODELS[kind](**options)
    except TypeError as error:
        raise ConfigError(f"{kind} cannot be built from {sorted(options)}: {error}.") from error


def _is_codes(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.ndim == 1 and np.issubdtype(x.dtype, np.integer)
