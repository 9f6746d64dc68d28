"""From the float world to the integer program: lowering rules, and verify. The package is callable:
``dqnumba.convert(qmodel)``.
"""

import sys
from types import ModuleType

from ..infer import IntegerModel
from ..qat import QuantizedModel
from .lowering import convert
from .pyg_weights import load_pyg
from .verify import VerifyReport, verify

__all__ = ["VerifyReport", "convert", "load_pyg", "verify"]


class CallablePackage(ModuleType):
    """Importing this subpackage binds it as ``dqnumba.convert``, the name of the verb; calling it is calling the
    verb.
    """

    def __call__(self, qmodel: QuantizedModel) -> IntegerModel:
        return convert(qmodel)


sys.modules[__name__].__class__ = CallablePackage
