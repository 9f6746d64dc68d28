"""Float models that training or quantization starts from: a train file of dqnumba, or a PyG state dict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import nn
from ..convert.pyg_weights import load_pyg
from ..errors import ConfigError, DataError
from ..formats import Malformed, read_metadata
from ..qat import QuantizedModel
from .build import restore_model
from .checkpoint import LIMITS, Checkpoint, read_checkpoint
from .recipe import Recipe
from .settings import RunSettings

__all__ = ["KINDS", "initial_model", "load_float", "short_kind"]

#: What the command line calls a model.
KINDS = {"GCN": "gcn", "GAT": "gat", "GIN": "gin", "GraphSAGE": "sage"}
_DECIDED = {"hidden_channels", "num_layers", "heads", "norm", "residual", "readout"}
_DROPOUTS = ("dropout", "attention_dropout", "head_dropout")


def short_kind(model: nn.GNN) -> str:
    """``"gcn"``, ``"gat"``, ``"gin"`` or ``"sage"``."""
    return KINDS[model.kind]


def load_float(path: str | Path, **options: Any) -> nn.GNN:
    """The float model of a file.

    Parameters
    ----------
    path : path
        A train file of dqnumba (of a quantized model, its float weights), or a PyG state dict as safetensors.
    **options
        For a PyG state dict, see :func:`dqnumba.convert.load_pyg`.

    Raises
    ------
    DataError
        No such file, or one of another content.
    ConfigError
        Options for a train file, which needs none; else as ``load_pyg``.
    """
    path = Path(path)
    metadata = _metadata(path)
    if "program" in metadata:
        raise DataError(f"{path} is an integer program, which has no float weights; give the train file beside it.")
    if "dqnumba" not in metadata:
        return load_pyg(path, **options)
    given = sorted(name for name, value in options.items() if value is not None)
    if given:
        raise ConfigError(f"{path} is a train file of dqnumba, which knows its model; leave {given[0]} out.")
    trained = restore_model(read_checkpoint(path))
    if not isinstance(trained, QuantizedModel):
        return trained
    model = nn.build_model(trained.model.config)
    model.load_state_dict(trained.model.state_dict())
    return model


def initial_model(settings: RunSettings, recipe: Recipe, resume: Checkpoint | None) -> nn.GNN:
    """The model of ``settings.init``, with the recipe's dropout; of a resumed run, one of its widths.

    Raises
    ------
    ConfigError
        The file holds another kind of model, or the options ask for other widths.
    """
    if resume is not None:  # its state has the weights
        return nn.build_model(resume.model_config)
    loaded = load_float(settings.init)
    if short_kind(loaded) != settings.model:
        raise ConfigError(
            f"{settings.init} holds a {loaded.kind}, but the run is of --model {settings.model}; "
            f"use --model {short_kind(loaded)}."
        )
    fixed = sorted(settings.overrides.keys() & _DECIDED)
    if fixed:
        raise ConfigError(f"{fixed[0]} is decided by the weights of {settings.init}; leave the option out.")
    config = loaded.config | {name: recipe.model[name] for name in _DROPOUTS if name in recipe.model}
    model = nn.build_model(config)
    model.load_state_dict(loaded.state_dict())
    return model


def _metadata(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise DataError(
            f"No weights at {path}; give a train file of dqnumba, or a PyG state dict saved with "
            "safetensors.torch.save_file."
        )
    limits = {name: most for name, most in LIMITS.items() if name != "most_tensors"}
    try:
        return read_metadata(path, **limits)
    except (Malformed, OSError, UnicodeDecodeError):
        return {}  # whoever reads the tensors says what is wrong
