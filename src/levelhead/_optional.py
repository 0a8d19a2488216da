"""The one way to import something that a plain installation does not have."""

from __future__ import annotations

import importlib
from types import ModuleType

from levelhead.errors import MissingDependencyError

__all__ = ["optional_import"]


def optional_import(module: str, feature: str, extra: str) -> ModuleType:
    """Import an optional dependency at the moment when a feature needs it.

    Args:
        module: dotted name of the module, e.g. `"torch"`.
        feature: what needs it, as a user would say it, e.g. `"reading .man files"`.
        extra: the name of levelhead's extra that installs it.

    Returns:
        The module.

    Raises:
        MissingDependencyError: it is not installed; the message has the command that installs it.

    Edge cases: where the module is there but something that it imports itself is not, that ImportError
    passes through unchanged, because installing the extra again would not help.

    Example:
        >>> optional_import("json", "reading JSON", "train").loads("[1]")
        [1]
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        wanted = module.split(".")
        if error.name not in {".".join(wanted[: i + 1]) for i in range(len(wanted))}:
            raise
        raise MissingDependencyError(feature, extra) from error
