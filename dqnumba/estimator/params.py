"""What scikit-learn's tools ask of an estimator, without scikit-learn.

The protocol: the constructor stores its arguments and does nothing else; ``get_params`` gives them back, ``set_params``
changes them, and ``clone`` builds an equal estimator that has learned nothing from them.
"""

from __future__ import annotations

import inspect
from typing import Any, Self

from ..errors import ConfigError

__all__ = ["Parameters"]


class Parameters:
    """The parameters of an estimator are the arguments of its constructor."""

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor by name; ``deep`` changes nothing, for no parameter is an estimator."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Self:
        """Change parameters; what was learned stays until the next ``fit``.

        Raises
        ------
        ConfigError
            A name that is no parameter; none is changed then.
        """
        unknown = sorted(set(params) - set(self._names()))
        if unknown:
            raise ConfigError(
                f"{type(self).__name__} has no parameter {unknown[0]!r}; its parameters are {', '.join(self._names())}"
            )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = [
            f"{name}={value!r}" for name, value in self.get_params().items()
            if value is not defaults[name].default and repr(value) != repr(defaults[name].default)
        ]  # fmt: skip
        return f"{type(self).__name__}({', '.join(changed)})"
