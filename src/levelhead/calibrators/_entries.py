"""Reading a fitted state back from JSON: every entry checked, none missing, none left over."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError

__all__ = ["Entries"]


class Entries:
    """The entries of a state, each taken once by its name; `done` refuses what nobody took."""

    def __init__(self, state: object, owner: str) -> None:
        if not isinstance(state, Mapping):
            raise InvalidInputError(
                f"state: expected the dict of {owner}.state(), got {type(state).__name__}"
            )
        self._state, self._owner = dict(cast("Mapping[str, Any]", state)), owner
        self._taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._state

    def take(self, name: str) -> Any:
        """The entry as it is."""
        if name not in self._state:
            raise InvalidInputError(
                f"state: expected an entry {name!r} for {self._owner}, got "
                f"{self._listed(self._state)}; fit it again"
            )
        self._taken.add(name)
        return self._state[name]

    def number(self, name: str, low: float = -math.inf, high: float = math.inf) -> float:
        """A finite number in [low, high]."""
        value = self.take(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(name, "a number", value)
        if not (math.isfinite(value) and low <= value <= high):
            raise self.wrong(name, f"a finite number in [{low}, {high}]", value)
        return float(value)

    def integer(self, name: str, low: int = 0) -> int:
        """A whole number of at least `low`."""
        value = self.take(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise self.wrong(name, f"a whole number >= {low}", value)
        return value

    def flag(self, name: str) -> bool:
        """True or False."""
        value = self.take(name)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false", value)
        return value

    def text(self, name: str, choices: Sequence[str] | None = None) -> str:
        """A text, one of `choices` where they are given."""
        value = self.take(name)
        if not isinstance(value, str) or (choices is not None and value not in choices):
            raise self.wrong(name, f"one of {', '.join(choices)}" if choices else "a text", value)
        return value

    def text_or_none(self, name: str) -> str | None:
        """A text or None."""
        return self.take(name) if self._state.get(name, "") is None else self.text(name)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self.take(name)
        found = cast("Sequence[Any]", value) if isinstance(value, list | tuple) else (None,)
        if not all(isinstance(one, str) for one in found):
            raise self.wrong(name, "a list of texts", cast("object", value))
        return tuple(found)

    def array(
        self,
        name: str,
        shape: tuple[int | None, ...],
        *,
        low: float = -math.inf,
        high: float = math.inf,
        increasing: bool = False,
    ) -> FloatArray:
        """Finite numbers in [low, high] of a shape (None: any length of at least 1).

        `increasing` wants each number above the one before it (one dimension).
        """
        value = self.take(name)
        wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ",)"
        expected = f"finite numbers of shape {wanted} in [{low}, {high}]"
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise self.wrong(name, expected, value) from error
        plain = array.dtype.kind in "iuf" and array.ndim == len(shape)
        if not plain or any(
            n != size and not (n is None and size > 0)
            for n, size in zip(shape, array.shape, strict=True)
        ):
            raise self.wrong(name, expected, value)
        array = array.astype(np.float64)
        if not bool(np.all(np.isfinite(array) & (array >= low) & (array <= high))):
            raise self.wrong(name, expected, value)
        if increasing and not bool(np.all(np.diff(array) > 0.0)):
            raise self.wrong(name, "numbers that increase", value)
        return array

    def inner(self, name: str) -> Entries:
        """A dict inside of the state, as entries of its own."""
        value = self.take(name)
        if not isinstance(value, Mapping):
            raise self.wrong(name, "a dict", value)
        return Entries(cast("Mapping[str, Any]", value), f"{self._owner} ({name})")

    def done(self) -> None:
        """Refuse entries that no method has read."""
        left = set(self._state) - self._taken
        if left:
            raise InvalidInputError(
                f"state: expected only {self._listed(self._taken)} for {self._owner}, got "
                f"{self._listed(left)} as well; fit it again"
            )

    def wrong(self, name: str, expected: str, value: object) -> InvalidInputError:
        """The error for an entry that is not what it must be, ready to raise."""
        return InvalidInputError(
            f"state: expected {expected} as {name!r} of {self._owner}, got {str(value)[:60]!r}; "
            "fit it again"
        )

    @staticmethod
    def _listed(names: Iterable[str]) -> str:
        return ", ".join(repr(name) for name in sorted(map(str, names))) or "nothing"
