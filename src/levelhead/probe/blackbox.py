"""Somebody else's estimator behind checks: what it returns is looked at, what it raises is named."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import itertools
import time
import warnings
from collections.abc import Callable
from types import TracebackType

import numpy as np

from levelhead._arrays import FloatArray, IntArray
from levelhead.errors import InvalidInputError

__all__ = ["BlackBox", "EstimatorError", "Instance", "instances"]

AdvantageFunction = Callable[[FloatArray, IntArray], FloatArray]

CHUNK = 256
"""Groups per call while every combination of rewards is asked for: loops over all pairs stay cheap."""


KEPT = 200
"""Characters of what an estimator prints that are kept for a remark."""


class EstimatorError(InvalidInputError):
    """The estimator cannot be measured: what it did, and with which input."""


class _Naming:
    """Turns whatever a foreign function raises into a sentence about it."""

    def __init__(self, name: str, given: str) -> None:
        self._name, self._given = name, given

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # SystemExit too: a script that ends itself must not end the probe without a word.
        if isinstance(error, Exception | SystemExit) and not isinstance(error, EstimatorError):
            said = " ".join(str(error).split())[:200]
            raise EstimatorError(
                f"{self._name} raises {type(error).__name__}"
                f"{f' ({said})' if said else ''} given {self._given}"
            ) from error


class _Printed(io.TextIOBase):
    """Takes what is printed and keeps the beginning."""

    def __init__(self, box: BlackBox) -> None:
        self._box = box

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        if len(self._box.printed) < KEPT:
            self._box.printed = (self._box.printed + text)[:KEPT]
        return len(text)


@dataclasses.dataclass
class BlackBox:
    """An estimator that is known by what it returns only.

    Attributes:
        name: how the user calls it.
        make: returns an instance without a past; a function without state may return itself.
        known: the name in `levelhead.lab.expectation.NAMES` of the estimator that it is; empty for
            any other.
        dtype: what it returned, e.g. `float32`; empty before the first call.
        writes: whether it changed the arrays that it was given.
        not_finite: the input for which it first returned NaN or an infinity; empty if never.
        largest: the largest advantage in size since this was last set to 0.
        calls: how often it was called.
        seconds: how long these calls took.
        slow: whether it gets the short plan where it must be sampled; None before it was timed.
        printed: the beginning of what it printed, which is shown nowhere else.
    """

    name: str
    make: Callable[[], AdvantageFunction]
    known: str = ""
    dtype: str = ""
    writes: bool = False
    not_finite: str = ""
    largest: float = 0.0
    calls: int = 0
    seconds: float = 0.0
    printed: str = ""
    slow: bool | None = None

    def fresh(self) -> Instance:
        """An instance without a past."""
        with _Naming(self.name, "nothing, while it is made"), self.silent():
            return Instance(self, self.make())

    def silent(self) -> contextlib.AbstractContextManager[object]:
        """Inside, what is printed goes to `printed` and not among our own output."""
        return contextlib.redirect_stdout(_Printed(self))


@dataclasses.dataclass
class Instance:
    """One instance of a black box; calling it returns checked advantages.

    Attributes:
        box: what it is an instance of; keeps the observations.
        function: the estimator itself.
    """

    box: BlackBox
    function: AdvantageFunction

    def raw(self, rewards: FloatArray, groups: IntArray, given: str) -> FloatArray:
        """Advantages of the right shape, NaN and infinities allowed.

        Args:
            rewards: (N,) rewards.
            groups: (N,) group ids.
            given: the input in words, for the sentence about a failure.

        Returns:
            (N,) float64.

        Raises:
            EstimatorError: it raises, or returns something else than one number per reward.
        """
        box, r, g = self.box, rewards.copy(), groups.copy()
        start = time.perf_counter()
        with (
            _Naming(box.name, given),
            np.errstate(all="ignore"),
            warnings.catch_warnings(),
            box.silent(),
        ):
            warnings.simplefilter("ignore")
            got = np.asarray(self.function(r, g))
            if got.shape != rewards.shape:
                raise EstimatorError(
                    f"{box.name} returns shape {got.shape} for {rewards.size} rewards, given "
                    f"{given}; expected one advantage per reward, ({rewards.size},)"
                )
            out = np.array(got, dtype=np.float64)
        box.seconds += time.perf_counter() - start
        box.calls += 1
        box.dtype = box.dtype or str(got.dtype)
        box.writes |= not (np.array_equal(r, rewards, equal_nan=True) and np.array_equal(g, groups))
        return out

    def __call__(
        self, rewards: FloatArray, groups: IntArray, given: str = "ordinary rewards"
    ) -> FloatArray:
        """Finite advantages; what is not finite is noted and counts as 0."""
        out = self.raw(rewards, groups, given)
        bad = ~np.isfinite(out)
        if bad.any():
            self.box.not_finite = self.box.not_finite or given
            out[bad] = 0.0
        self.box.largest = max(self.box.largest, float(np.abs(out).max(initial=0.0)))
        return out

    def in_chunks(self, rewards: FloatArray, groups: IntArray) -> FloatArray:
        """The same for very many groups of one size, a few hundred per call.

        Args:
            rewards: (N,) rewards, the samples of a group next to one another.
            groups: (N,) group ids.

        Returns:
            (N,) advantages.

        Properties: equal to one call where the estimator looks at one group at a time.
        """
        starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
        cuts = [*starts[::CHUNK].tolist(), groups.size]
        parts = [
            self(rewards[a:b], groups[a:b] - groups[a], "every combination of rewards in a group")
            for a, b in itertools.pairwise(cuts)
        ]
        return np.concatenate(parts)


def instances(function: Callable[..., object]) -> Callable[[], AdvantageFunction]:
    """A maker of instances: a class is instantiated, an object copied, a function returned.

    Args:
        function: an estimator, an object that is called, or a class of such objects.

    Returns:
        A function without arguments that returns an estimator without a past, as far as that can
        be had: what a function keeps in global variables stays.

    Example:
        >>> instances(abs)() is abs
        True
    """
    if isinstance(function, type):
        return function

    def copied() -> AdvantageFunction:
        try:
            return copy.deepcopy(function)  # pyright: ignore[reportReturnType]
        except (TypeError, AttributeError, ValueError):
            return function  # pyright: ignore[reportReturnType]

    return copied
