"""How hard each prompt is for a model, from how many of its samples were right."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from levelhead._arrays import ArrayLike, BoolArray, FloatArray, IntArray, integers, real, vector
from levelhead.errors import InvalidInputError, unknown_name

__all__ = [
    "BANDS",
    "Bands",
    "PassCounts",
    "band_posterior",
    "pass_bands",
    "pass_counts",
]

BANDS = ("impossible", "hard", "medium", "easy", "trivial", "uncertain")
"""The bands from the hardest on; `uncertain` is where the samples do not tell."""

HARD, EASY = 0.2, 0.8
"""Pass rates up to the first are hard, above the second easy. Both are a convention."""

MASS = 0.6
"""Share of the posterior that a band must hold before a prompt is said to be in it."""


@dataclasses.dataclass(frozen=True)
class PassCounts:
    """Right samples of each prompt.

    Attributes:
        prompts: P names, in order of first appearance.
        passed: (P,) samples that were right.
        samples: (P,) samples whose truth is known, each >= 1.
    """

    prompts: tuple[str, ...]
    passed: IntArray
    samples: IntArray

    @property
    def rate(self) -> FloatArray:
        """(P,) the observed pass rates."""
        return self.passed / self.samples


@dataclasses.dataclass(frozen=True)
class Bands:
    """The band of each prompt.

    Attributes:
        counts: what they were told from.
        band: (P,) indices into `BANDS`.
        posterior: (P, 3) posterior mass of a pass rate that is hard, medium, easy.
    """

    counts: PassCounts
    band: IntArray
    posterior: FloatArray

    def names(self) -> list[str]:
        """The band of each prompt, in words."""
        return [BANDS[i] for i in self.band]

    def members(self, *bands: str) -> BoolArray:
        """(P,) which prompts are in one of some bands.

        Args:
            bands: names of `BANDS`.

        Returns:
            (P,) mask.

        Raises:
            InvalidInputError: a name that is no band.
        """
        return np.isin(self.band, [band_index(name) for name in bands])

    def by_prompt(self) -> dict[str, str]:
        """The band of each prompt by its name."""
        return dict(zip(self.counts.prompts, self.names(), strict=True))


def pass_counts(correct: ArrayLike, prompts: Iterable[object]) -> PassCounts:
    """Count right samples by prompt.

    Args:
        correct: (N,) 0 or 1; NaN where the truth is unknown: that sample counts nowhere.
        prompts: (N,) which prompt each is a sample of; read as text.

    Returns:
        The counts; prompts of which no truth is known are left out.

    Raises:
        InvalidInputError: lengths differ, a value is neither 0 nor 1, or no truth is known.

    Example:
        >>> pass_counts([1, 0, 1], ["a", "a", "b"]).passed
        array([1, 1])
    """
    right = vector("correct", correct)
    names = [str(name) for name in prompts]
    if len(names) != right.size:
        raise InvalidInputError(
            f"prompts: expected {right.size} names, one for each of correct, got {len(names)}"
        )
    known = ~np.isnan(right)
    bad = known & (right != 0.0) & (right != 1.0)
    if bad.any():
        i = int(bad.argmax())
        raise InvalidInputError(f"correct: expected 0 or 1, got {right[i]} at index {i}")
    if not known.any():
        raise InvalidInputError(
            "correct: expected at least one sample with a known truth, got none"
        )
    number: dict[str, int] = {}
    for name, told in zip(names, known, strict=True):
        if told:
            number.setdefault(name, len(number))
    code = np.fromiter((number.get(name, -1) for name in names), np.int64, len(names))[known]
    size = len(number)
    return PassCounts(
        tuple(number),
        np.bincount(code, right[known], size).astype(np.int64),
        np.bincount(code, minlength=size).astype(np.int64),
    )


def band_posterior(
    passed: ArrayLike, samples: ArrayLike, *, hard: float = HARD, easy: float = EASY
) -> FloatArray:
    """How likely a pass rate is hard, medium or easy, after some samples.

    p | c, n ~ Beta(1 + c, 1 + n - c), from a uniform prior

    Args:
        passed: (P,) right samples c, 0 to n.
        samples: (P,) samples n, each >= 0.
        hard: a rate is hard up to this, in (0, 1).
        easy: and easy above this, in (hard, 1).

    Returns:
        (P, 3) masses of (0, hard], (hard, easy] and (easy, 1); rows sum to 1.

    Raises:
        InvalidInputError: counts or edges outside their range.

    Edge cases: without samples it is the prior: the three widths.
    Properties: exact, by the incomplete beta function; does not depend on the order of prompts.

    Example:
        >>> band_posterior([0, 5], [8, 10]).round(3)
        array([[0.866, 0.134, 0.   ],
               [0.012, 0.977, 0.012]])
    """
    n = integers("samples", samples, np.size(samples))
    c = integers("passed", passed, n.size)
    if (c > n).any():
        i = int((c > n).argmax())
        raise InvalidInputError(
            f"passed: expected at most the number of samples, {n[i]}, got {c[i]} at index {i}"
        )
    if not 0.0 < real("hard", hard) < real("easy", easy) < 1.0:
        raise InvalidInputError(
            f"hard and easy: expected 0 < hard < easy < 1, got {hard} and {easy}"
        )
    below = stats.beta.cdf(np.array([[hard], [easy]]), 1 + c, 1 + n - c)
    return np.stack([below[0], below[1] - below[0], 1.0 - below[1]], axis=1)


def pass_bands(
    counts: PassCounts, *, mass: float = MASS, hard: float = HARD, easy: float = EASY
) -> Bands:
    """Which band each prompt is in, or that its samples do not tell.

    A prompt with 0 < c < n is hard, medium or easy where the posterior holds `mass` of that band.
    With c = 0 it is impossible where the mass of hard rates reaches `mass`, with c = n trivial where
    that of easy rates does.

    Args:
        counts: right samples by prompt.
        mass: in (0.5, 1].
        hard: a rate is hard up to this.
        easy: and easy above this.

    Returns:
        The band of each prompt.

    Raises:
        InvalidInputError: an option outside its range.

    Edge cases: with fewer than four samples nothing is ever impossible or trivial: one failure says
        next to nothing. Impossible means never solved in n samples; the rate may be up to about 3 / n.
    Properties: swapping right and wrong mirrors the bands.
    Reference: difficulty and what too hard samples teach: arXiv:2605.28388; the edges are ours.

    Example:
        >>> counts = pass_counts([0] * 8 + [1, 0] * 8 + [1], ["a"] * 8 + ["b"] * 16 + ["c"])
        >>> pass_bands(counts).by_prompt()
        {'a': 'impossible', 'b': 'medium', 'c': 'uncertain'}
    """
    if not 0.5 < real("mass", mass) <= 1.0:
        raise InvalidInputError(f"mass: expected a number in (0.5, 1], got {mass}")
    posterior = band_posterior(counts.passed, counts.samples, hard=hard, easy=easy)
    band = np.full(len(counts.prompts), BANDS.index("uncertain"), np.int64)
    never, always = counts.passed == 0, counts.passed == counts.samples
    between = ~(never | always)
    for who, k, name in (
        (never, 0, "impossible"),
        (between, 0, "hard"),
        (between, 1, "medium"),
        (between, 2, "easy"),
        (always, 2, "trivial"),
    ):
        band[who & (posterior[:, k] >= mass)] = BANDS.index(name)
    return Bands(counts, band, posterior)


def band_index(name: str) -> int:
    """The index of a band; an unknown name is an error that lists them."""
    if name not in BANDS:
        raise unknown_name("band", name, BANDS)
    return BANDS.index(name)


def column_of(rows: Mapping[str, Sequence[Any]], name: str) -> list[Any]:
    """A column of a batch; a dotted name goes into nested records, as `extra_info.index`."""
    if isinstance(rows, list | tuple | str):
        raise InvalidInputError(
            f"rows: expected a batch of columns by name, got a {type(rows).__name__}; leave out "
            "input_columns"
        )
    there = list(getattr(rows, "column_names", rows))
    head, _, rest = name.partition(".")
    if name in there:
        return _listed(rows[name])
    if head not in there:
        listed = ", ".join(map(str, there)) or "no columns"
        raise InvalidInputError(f"column: expected one of {listed}, got {name!r}")
    values = _listed(rows[head])
    for part in rest.split("."):
        missing = [i for i, v in enumerate(values) if not isinstance(v, Mapping) or part not in v]
        if missing:
            raise InvalidInputError(
                f"column: expected records with {part!r} in {name!r}, got none in row {missing[0]}"
            )
        values = [value[part] for value in values]
    return [_plain(value) for value in values]


def _listed(values: Any) -> list[Any]:
    """The values of a column, whatever holds it: a list, an array, a tensor, a column of Arrow."""
    if hasattr(values, "to_pylist"):
        return values.to_pylist()
    return [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    """A number where an array or a tensor holds just one: its text would not be that of the number."""
    return value.item() if getattr(value, "shape", None) == () else value
