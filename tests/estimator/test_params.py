"""scikit-learn's protocol of an estimator: recorded checks, and live ones where it is installed."""

from __future__ import annotations

import copy
import inspect

import numpy as np
import pytest

import dqnumba as dq
from dqnumba.errors import ConfigError

Classifier = dq.DegreeQuantClassifier


def graph(nodes=60):
    rng = np.random.default_rng(0)
    y = np.arange(nodes) % 3
    x = rng.normal(0, 0.2, (nodes, 4)).astype(np.float32)
    x[np.arange(nodes), y] += 1
    return dq.Graph.from_edge_index(rng.integers(0, nodes, (2, 90)), x, y, nodes)


def cloned(estimator):
    """What sklearn.base.clone does, in our words: copies of the parameters, which the constructor must keep as they
    are."""
    params = {name: copy.deepcopy(value) for name, value in estimator.get_params(deep=False).items()}
    new = type(estimator)(**params)
    kept = new.get_params(deep=False)
    assert all(kept[name] is params[name] for name in params)
    return new


def test_the_parameters_are_the_arguments_of_the_constructor():
    names = set(inspect.signature(Classifier.__init__).parameters) - {"self"}
    assert set(Classifier().get_params()) == names == set(Classifier().get_params(deep=False))
    assert vars(Classifier()) == Classifier().get_params()  # the constructor sets nothing else
    defaults = {name: p.default for name, p in inspect.signature(Classifier).parameters.items()}
    assert Classifier().get_params() == defaults


@pytest.mark.parametrize("name", sorted(Classifier().get_params()))
def test_each_parameter_is_stored_untouched_and_set_again(name):
    value = object()
    assert getattr(Classifier(**{name: value}), name) is value
    estimator = Classifier()
    assert estimator.set_params(**{name: value}) is estimator
    assert estimator.get_params()[name] is value


def test_unknown_parameters_change_nothing():
    estimator = Classifier(bits=4)
    with pytest.raises(ConfigError, match="has no parameter 'depth'; its parameters are model, method, bits"):
        estimator.set_params(bits=8, depth=3)
    with pytest.raises(ValueError, match="has no parameter 'base__bits'"):
        estimator.set_params(base__bits=3)
    assert estimator.bits == 4
    with pytest.raises(TypeError):
        Classifier("gcn", "dq")  # beyond the model, by name only


def test_a_clone_has_the_parameters_and_nothing_learned():
    g = graph()
    fitted = Classifier("gin", epochs=2, hidden_channels=4, graph=g).fit(np.arange(60), g.y)
    new = cloned(fitted)
    assert new.get_params() == fitted.get_params() and new.graph is g
    assert not hasattr(new, "classes_") and not new.__sklearn_is_fitted__() and fitted.__sklearn_is_fitted__()
    np.testing.assert_array_equal(new.fit(np.arange(60), g.y).predict([3, 4]), fitted.predict([3, 4]))


def test_repr_shows_what_differs():
    assert repr(Classifier()) == "DegreeQuantClassifier()"
    assert repr(Classifier("gat", bits=4, lr=0.1)) == "DegreeQuantClassifier(model='gat', bits=4, lr=0.1)"


def test_with_scikit_learn():
    sklearn = pytest.importorskip("sklearn", reason="a live check; the recorded ones above need no scikit-learn")
    from sklearn.base import clone, is_classifier
    from sklearn.exceptions import NotFittedError
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.utils.validation import check_is_fitted

    g = graph()
    estimator = Classifier(epochs=2, hidden_channels=4, graph=g)
    assert clone(estimator).get_params() == estimator.get_params() and is_classifier(estimator), sklearn.__version__
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)
    scores = cross_val_score(estimator, np.arange(60), g.y, cv=3)
    assert scores.shape == (3,) and ((scores >= 0) & (scores <= 1)).all()
    search = GridSearchCV(estimator, {"bits": [4, 8], "model": ["gcn", "sage"]}, cv=2, error_score="raise")
    search.fit(np.arange(60), g.y)
    assert search.best_estimator_.to_integer() is not None and len(search.cv_results_["params"]) == 4
    check_is_fitted(search.best_estimator_)
    rng = np.random.default_rng(1)
    graphs = [dq.Graph.from_edge_index(rng.integers(0, 4, (2, 6)), rng.normal(k % 2, 1, (4, 3)), num_nodes=4)
              for k in range(20)]  # fmt: skip
    words = np.array(["no", "yes"])[np.arange(20) % 2]
    many = cross_val_score(Classifier("gin", epochs=2, hidden_channels=4), graphs, words, cv=2, error_score="raise")
    assert many.shape == (2,)
    assert make_pipeline(estimator).fit(np.arange(60), g.y).predict([0, 1]).shape == (2,)
