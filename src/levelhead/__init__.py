"""levelhead: measure, explain, prevent and repair the overconfidence that RL puts into language models.

Submodules load when they are first used, so `import levelhead` costs nothing:

    >>> import levelhead
    >>> round(levelhead.metrics.ece([0.9, 0.9, 0.6], [1, 0, 1]), 6)
    0.4
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0.dev0"

_SUBMODULES = frozenset(
    {
        "adapters",
        "advantages",
        "audit",
        "calibrators",
        "elicitation",
        "errors",
        "guard",
        "lab",
        "metrics",
        "predict",
        "probe",
        "readers",
        "recalibration",
        "records",
        "rewards",
        "scoring",
        "testing",
    }
)

__all__ = ["__version__"]


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return importlib.import_module(f"levelhead.{name}")
    raise AttributeError(f"module 'levelhead' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBMODULES])
