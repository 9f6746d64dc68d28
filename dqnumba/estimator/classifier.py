"""``DegreeQuantClassifier``: fit, predict, score, and the integer program behind them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..convert import convert
from ..errors import ConfigError
from ..graph import Graph, GraphDataset
from ..infer import IntegerModel
from ..qat import prepare
from ..train.build import build_float, calibrated, quant_config
from ..train.evaluate import is_dataset, predict, split_indices
from ..train.loop import fit
from ..train.schedule import schedule_from_config
from ..train.settings import QUANTIZED_WHILE_TRAINING, RunSettings
from ..train.source import Source, SourceData
from .inputs import UNLABELLED, as_data, as_items, node_numbers, training_data
from .params import Parameters

__all__ = ["DegreeQuantClassifier"]

_RECIPE = ("hidden_channels", "num_layers", "dropout", "heads", "epochs", "lr", "weight_decay", "batch_size")
_BATCH = 128


class DegreeQuantClassifier(Parameters):
    """A quantized graph neural network as a classifier of nodes or of graphs.

    ``fit`` trains with fake quantization and converts; ``predict`` then runs the integer program, the one that
    ``to_integer`` gives away. With one graph its nodes are the items; with many graphs, they are.

    Parameters
    ----------
    model : {"gcn", "gat", "gin", "sage"}
    method : {"dq", "dq-plus", "qat", "nqat", "ptq", "fp32"}
        ``fp32`` stays float and has no integer program.
    bits : int
        2 to 8, of weights and activations; ``weight_bits`` and ``activation_bits`` override one of them.
    sites : {"fused", "paper"}
    hidden_channels, num_layers, dropout, heads, epochs, lr, weight_decay, batch_size : optional
        Default: the generic recipe of the model, as for ``dqnumba train --graph``.
    validation_fraction : float
        Share of the training items that chooses the epoch, where no validation items are given; 0 takes the last epoch.
    graph : Graph, optional
        The graph whose nodes ``X`` numbers, for tools that cut ``X`` and ``y`` (``cross_val_score``, ``GridSearchCV``).
    backend : str, optional
        Of the integer program.
    random_state : int or None
        Seed of everything random; None draws one.

    Attributes
    ----------
    classes_ : (C,) array
        Labels in the order of the columns of ``predict_proba``.
    model_ : Module or QuantizedModel
        As trained, in floats.
    integer_model_ : IntegerModel or None
    n_features_in_, n_iter_, best_epoch_ : int
    history_ : list of dict
        Loss and validation scores an epoch.

    Examples
    --------
    >>> import dqnumba as dq
    >>> graph = dq.data.load("synthetic")
    >>> clf = dq.DegreeQuantClassifier("gcn", bits=8, epochs=3).fit(graph)
    >>> clf.predict(graph).shape == (graph.num_nodes,)
    True
    """

    _estimator_type = "classifier"

    def __init__(
        self,
        model: str = "gcn",
        *,
        method: str = "dq",
        bits: int = 8,
        weight_bits: int | None = None,
        activation_bits: int | None = None,
        sites: str = "fused",
        hidden_channels: int | None = None,
        num_layers: int | None = None,
        dropout: float | None = None,
        heads: int | None = None,
        epochs: int | None = None,
        lr: float | None = None,
        weight_decay: float | None = None,
        batch_size: int | None = None,
        validation_fraction: float = 0.1,
        graph: Graph | None = None,
        backend: str | None = None,
        random_state: int | None = 0,
    ) -> None:
        # Stored as they are: scikit-learn's clone demands it, and fit checks them.
        self.model = model
        self.method = method
        self.bits = bits
        self.weight_bits = weight_bits
        self.activation_bits = activation_bits
        self.sites = sites
        self.hidden_channels = hidden_channels
        self.num_layers = num_layers
        self.dropout = dropout
        self.heads = heads
        self.epochs = epochs
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.graph = graph
        self.backend = backend
        self.random_state = random_state

    def fit(
        self, X: Any, y: ArrayLike | None = None, *, train: ArrayLike | None = None, val: ArrayLike | None = None
    ) -> Self:
        """Train, and convert to integers.

        Parameters
        ----------
        X : Graph, GraphDataset, list of Graph, or int (n,) or (n, 1)
            One graph: its nodes are classified. Many graphs (a batch with a label a graph is one of these): they are.
            Node numbers, with the parameter ``graph``: exactly these nodes are trained on.
        y : (n,) array, optional
            Labels, numbers or words, one a node or graph; default those that ``X`` carries. -1 means unlabelled.
        train, val : int array or boolean mask, optional
            Items to learn from, and to choose the epoch by. Default: the masks or splits of ``X``, else every item with
            a label that is in neither of the others. Without ``val`` a share of ``train`` is held back.

        Returns
        -------
        self

        Raises
        ------
        ConfigError
            A parameter, an ``X``, a ``y`` or a split that cannot be used.
        GraphError
            Graphs that do not go together, or have no features.
        """
        seed = np.random.SeedSequence().entropy % 2**31 if self.random_state is None else self.random_state
        overrides = {name: getattr(self, name) for name in _RECIPE if getattr(self, name) is not None}
        settings = RunSettings(
            Source(graph="estimator"), model=self.model, method=self.method, bits=self.bits,
            weight_bits=self.weight_bits, activation_bits=self.activation_bits, sites=self.sites, seed=seed,
            overrides=overrides,
        )  # fmt: skip
        given = training_data(
            X, y, graph=self.graph, train=train, val=val, fraction=self.validation_fraction, seed=seed
        )
        source = SourceData(given.data, given.splits, None)
        recipe = settings.recipe(many_graphs=source.many_graphs)
        options = {key: value for key, value in recipe.train.items() if key not in ("fold", "calibration")}
        options["schedule"] = schedule_from_config(options.get("schedule"))
        if "val" not in given.splits:  # the rule of the recipe needs one
            options.pop("selected_by", None)

        model, config = build_float(settings, recipe, source), quant_config(settings, recipe)
        trained = prepare(model, config) if self.method in QUANTIZED_WHILE_TRAINING else model
        result = fit(trained, source.data, splits=source.splits, seed=seed, **options)
        if self.method == "ptq":
            trained = calibrated(model, config, source, recipe)
        self.integer_model_ = None if self.method == "fp32" else convert(trained)
        self.model_ = trained
        self.classes_ = given.classes
        self.n_features_in_ = given.data.num_features
        self.n_iter_, self.best_epoch_, self.history_ = result.epochs, result.best_epoch, result.history
        self._own_labels, self._of_graphs = y is None, source.many_graphs
        return self

    def predict(self, X: Any) -> NDArray:
        """The class of each node or graph of ``X``, which is of one of the kinds that ``fit`` takes; (n,)."""
        outputs = self._outputs(X)
        return self.classes_[np.argmax(outputs, axis=1)]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Softmax of the outputs, (n, C): the columns are those of ``classes_``, the rows sum to 1."""
        outputs = self._outputs(X).astype(np.float64)
        shares = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    def score(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None, *, items: Any = None
    ) -> float:
        """Accuracy of ``predict``.

        Parameters
        ----------
        X, y
            As in ``fit``; items whose ``y`` is -1 are left out.
        sample_weight : (n,) array, optional
            One an item of ``X``.
        items : int array or boolean mask, optional
            The nodes or graphs to score. Default: the test mask or test split that ``X`` carries, else all.

        Raises
        ------
        ConfigError
            Not fitted, no labels, or nothing to score.
        """
        predictions = self.predict(X)
        if y is None and not self._own_labels:
            raise ConfigError("score needs y: the classes were given to fit, and the labels of X may be other ones")
        nodes = node_numbers(X, self.graph)
        data = None if nodes is not None else as_data(X, y)[0]
        wanted = np.asarray(y) if y is not None else data.y if data is not None else None
        if wanted is None or wanted.shape != predictions.shape:
            raise ConfigError(f"y has shape {None if wanted is None else wanted.shape}; it must be "
                              f"{predictions.shape}, one label an item")  # fmt: skip
        chosen = np.arange(len(wanted))
        if items is not None:
            chosen = chosen[np.asarray(items)]
        elif data is not None and not (is_dataset(data) and data.splits is None):
            chosen = split_indices(data).get("test", chosen)
        if y is not None and wanted.dtype.kind in "iu":
            chosen = chosen[wanted[chosen] != UNLABELLED]
        if len(chosen) == 0:
            raise ConfigError("there is nothing to score: no item of the test part has a label")
        right = predictions[chosen] == wanted[chosen]
        return float(np.average(right, weights=None if sample_weight is None else np.asarray(sample_weight)[chosen]))

    def to_integer(self) -> IntegerModel:
        """The integer program, to ``save`` or to run without this class.

        Raises
        ------
        ConfigError
            Not fitted, or a float model.
        """
        self._check_fitted()
        if self.integer_model_ is None:
            raise ConfigError("method fp32 trains a float model, which has no integer program; fit with method='dq'")
        return self.integer_model_

    def _outputs(self, X: Any) -> NDArray[np.float32]:
        self._check_fitted()
        model = self.model_ if self.integer_model_ is None else self.integer_model_
        nodes = node_numbers(X, self.graph)
        if nodes is not None:
            return predict(model, self.graph, nodes, backend=self.backend)
        if not isinstance(X, Graph) and not self._of_graphs:
            raise ConfigError("this classifier was fitted to nodes of one graph, and X is many graphs; give one Graph")
        if isinstance(X, Graph | GraphDataset):
            return predict(model, X, backend=self.backend)
        parts = [as_items(X[k : k + _BATCH]) for k in range(0, len(X), _BATCH)]
        return np.concatenate([predict(model, part, backend=self.backend) for part in parts])

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise ConfigError("this DegreeQuantClassifier is not fitted yet; call fit first")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "classes_")

    def __sklearn_tags__(self) -> Any:
        # Only scikit-learn calls this, so it is there.
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier", target_tags=TargetTags(required=False), transformer_tags=None,
            classifier_tags=ClassifierTags(), regressor_tags=None, input_tags=InputTags(two_d_array=False),
        )  # fmt: skip
