"""Picture files of ``--plot``: .svg by our own writer, .png through matplotlib."""

from __future__ import annotations

from pathlib import Path

from ..errors import ConfigError
from ..train.checkpoint import write_atomic
from ..train.experiment import check_output
from .charts import BarChart, Chart
from .png import need_matplotlib, to_png
from .svg import standalone

__all__ = ["check_picture", "save_picture"]


def check_picture(path: str | Path) -> None:
    """Raise unless a picture can be written at ``path``: before the work whose result it shows.

    Raises
    ------
    ConfigError
        The name ends neither in .svg nor in .png.
    MissingExtraError
        A .png without matplotlib.
    DataError
        The place cannot be written.
    """
    kind = Path(path).suffix.lower()
    if kind not in (".svg", ".png"):
        raise ConfigError(f"--plot writes .svg or .png, not {Path(path).name!r}; give a name such as curves.svg.")
    if kind == ".png":
        need_matplotlib()
    check_output(path)


def save_picture(path: str | Path, charts: list[Chart | BarChart], title: str) -> int:
    """Write the charts under one title; returns the size in bytes.

    Raises
    ------
    ConfigError
        There is nothing to draw, or the name has another ending.
    """
    if not charts:
        raise ConfigError("There is nothing to draw: fewer than two epochs have a loss. Train for two epochs or more.")
    check_picture(path)
    png = Path(path).suffix.lower() == ".png"
    return write_atomic(path, to_png(charts, title) if png else standalone(charts, title).encode())
