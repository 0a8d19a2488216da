"""Classes that extend a class of an optional package, and can be imported and read without it."""

from __future__ import annotations

import functools

__all__ = ["on_top_of"]


@functools.cache
def on_top_of(base: type, cls: type) -> type:
    """`cls` itself where it extends `base` already, else a class of its name that extends both."""
    if issubclass(cls, base):
        return cls
    told = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    return type(cls.__name__, (cls, base), told)
