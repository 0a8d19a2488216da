"""What is claimed under which truth: claims from words, rates by condition, and their association."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from scipy import stats

from levelhead._arrays import ArrayLike, FloatArray, IntArray, codes
from levelhead.diagnose.truth import _resample as resample
from levelhead.errors import InvalidInputError
from levelhead.readers._values import NOTHING

__all__ = [
    "CONDITIONS",
    "Association",
    "ClaimRates",
    "ConditionRate",
    "association",
    "claim_rates",
    "claim_word",
    "codes_of",
    "condition_word",
    "conditions",
    "is_missing",
    "read_claims",
    "unread",
]

MAX_SHOWN = 3

Condition = Literal["Positive", "Negative", "Unknown"]

CONDITIONS: tuple[Condition, ...] = ("Positive", "Negative", "Unknown")

YES = frozenset({"yes", "true", "1"})
NO = frozenset({"no", "false", "0"})

HEDGES = frozenset({
    *("", "abstain", "abstains", "hedge", "hedged", "hedging", "maybe", "n/a", "na", "nan"),
    *("neither", "no answer", "no claim", "no idea", "no explicit claim", "none", "not sure"),
    *("null", "refusal", "refused", "unclear", "uncertain", "unknown", "unsure"),
})  # fmt: skip
"""Words that say: nothing was claimed. Those that begin with No would be taken for a denial."""

CONDITION_WORDS: dict[str, Condition] = {
    **dict.fromkeys(("positive", "pos", "p", "true", "yes", "present", "1", "1.0"), "Positive"),
    **dict.fromkeys(("negative", "neg", "n", "false", "no", "absent", "0", "0.0"), "Negative"),
    **dict.fromkeys(("unknown", "unk", "u"), "Unknown"),
}

FIRST = re.compile(r"[\s\"'`*_(\[]*([A-Za-z]+|[01](?:\.0+)?)(?![A-Za-z0-9])")
"""Quotation marks, brackets and emphasis; then a whole word, or one of the digits 0 and 1."""


@dataclasses.dataclass(frozen=True)
class ConditionRate:
    """What is claimed where the truth is of one kind.

    Attributes:
        condition: `Positive`, `Negative` or `Unknown`.
        n: rows.
        yes: rows that assert the thing.
        no: rows that deny it.
        silent: rows without an explicit claim.
        rate: share of the rows that assert it; None without rows.
        low: lower end of its interval, or None.
        high: upper end, or None.
        deceptive: share of the rows that say as a fact what is not known to be so: of `Negative` the
            assertions, of `Unknown` assertions and denials; None of `Positive` and without rows.
    """

    condition: Condition
    n: int
    yes: int
    no: int
    silent: int
    rate: float | None
    low: float | None
    high: float | None
    deceptive: float | None


@dataclasses.dataclass(frozen=True)
class Association:
    """How strongly two categories hang together.

    Attributes:
        chi2: Pearson's statistic, without continuity correction; None where undefined.
        dof: its degrees of freedom.
        p_value: by permutation, None where undefined or where a prompt has several conditions.
        v: Cramer's V in [0, 1], or None.
        v_corrected: with the bias correction of Bergsma (2013), in [0, 1], or None.
        null: V that independence shows on average (root of its mean square), or None.
        null_high: V that independence exceeds in 5% of the cases (by chi-square), or None.
        n: rows.
    """

    chi2: float | None
    dof: int
    p_value: float | None
    v: float | None
    v_corrected: float | None
    null: float | None
    null_high: float | None
    n: int


@dataclasses.dataclass(frozen=True)
class ClaimRates:
    """Claims by condition.

    Attributes:
        rates: those conditions that occur.
        truth_by_claim: association of the condition with asserting the thing.
        pooled: share of all rows that assert it: what each condition would show if claims ignored
            the truth.
        n_no_condition: rows whose condition is missing; they are left out.
        level: of the intervals.
    """

    rates: tuple[ConditionRate, ...]
    truth_by_claim: Association
    pooled: float | None
    n_no_condition: int
    level: float


def claim_word(text: str | None) -> float:
    """The explicit claim in a judge's words: their first word, strictly.

    Args:
        text: such as `Yes`, `**No.**` or `Unclear`; None where there is none.

    Returns:
        1.0 for yes, true or 1; 0.0 for no, false or 0; NaN for anything else.

    Edge cases: a yes further inside does not count ("I would not say Yes"), nor does a longer word
        ("Yesterday"); "no claim", "no answer" and the like are no denial.

    Example:
        >>> claim_word("Yes, it has one."), claim_word("No."), claim_word("I would not say yes")
        (1.0, 0.0, nan)
    """
    if text is None:
        return math.nan
    plain = " ".join(re.sub(r"[^\w/ ]", " ", text.casefold()).split())
    if plain in HEDGES or any(
        plain.startswith(f"{hedge} ") for hedge in HEDGES if hedge.startswith("no ")
    ):
        return math.nan
    found = FIRST.match(text)
    word = "" if found is None else found.group(1).casefold().partition(".")[0]
    return 1.0 if word in YES else 0.0 if word in NO else math.nan


def read_claims(values: Sequence[Any]) -> tuple[FloatArray, dict[str, int], int | None]:
    """Claims of any kind that a table may hold.

    Args:
        values: (N,) 0, 1, truth values, words as in `claim_word`, or what is missing.

    Returns:
        ((N,) 1, 0 or NaN; the texts that are no hedge and begin with neither yes nor no, and how often
        they occur; the place of the first value that is no claim of any kind, or None).

    Example:
        >>> read_claims(["Yes.", False, None, "It may be"])
        (array([ 1.,  0., nan, nan]), {'It may be': 1}, None)
    """
    out = np.full(len(values), math.nan)
    odd: dict[str, int] = {}
    for i, value in enumerate(values):
        if isinstance(value, str):
            out[i] = claim_word(value)
            if math.isnan(out[i]) and value.strip().casefold() not in HEDGES:
                odd[value] = odd.get(value, 0) + 1
        elif not is_missing(value):
            try:
                number = float(value)
            except (TypeError, ValueError, OverflowError):
                number = math.nan
            if number not in (0.0, 1.0):
                return out, odd, i
            out[i] = number
    return out, odd, None


def unread(claim: FloatArray, odd: dict[str, int]) -> tuple[str, bool]:
    """What to say of claims that are neither yes nor no, and whether nothing else is there.

    Args:
        claim: (N,) as `read_claims` reads them.
        odd: the texts that it does not know.

    Returns:
        (a clause, empty where there are none; whether not one claim was read and half or more of all
        are such texts, which is a column of something else).
    """
    if not odd:
        return "", False
    count = sum(odd.values())
    listed = ", ".join(repr(text[:40]) for text in list(odd)[:MAX_SHOWN])
    words = f"{count:,} of {claim.size:,} claims begin with neither yes nor no"
    if bool(np.isnan(claim).all()) and 2 * count >= claim.size:
        return (
            f"{words}, such as {listed}; the first word must be yes, true or 1, or no, false or 0: let a "
            "judge answer with one of them, or map the texts to them ('no claim' where nothing is "
            "claimed)"
        ), True
    return f"{words} and count as no explicit claim, such as {listed}", False


def is_missing(value: Any) -> bool:
    """Whether a value of a table is none: None, NaN, or the missing value of pandas."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def conditions(values: Sequence[Any]) -> list[str | None]:
    """Conditions with None where there is none, as from a column of a table."""
    return [
        None if is_missing(one) or str(one).strip().casefold() in NOTHING else str(one)
        for one in values
    ]


def condition_word(value: Any) -> Condition | None:
    """The condition that a value names; None where it names none.

    Args:
        value: a text such as `Negative`, `neg` or `unknown`, a truth value, 0 or 1.

    Returns:
        `Positive`, `Negative`, `Unknown`, or None.

    Example:
        >>> condition_word("NEG"), condition_word(True), condition_word("blue")
        ('Negative', 'Positive', None)
    """
    return CONDITION_WORDS.get(str(value).strip().casefold())


def claim_rates(
    condition: Sequence[str | None],
    claim: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    n_boot: int = 1000,
    n_perm: int = 1000,
    seed: int = 0,
) -> ClaimRates:
    """How often a thing is asserted where it is so, where it is not, and where nobody can know.

    rate(g) = #{claim = 1, condition = g} / #{condition = g}: a row without a claim asserts nothing

    Args:
        condition: (N,) `Positive`, `Negative` or `Unknown`, or a word that `condition_word` knows;
            None where it is missing.
        claim: (N,) 1, 0, or NaN for no explicit claim.
        clusters: (N,) labels of the prompts, which are resampled and permuted whole.
        level: of the intervals, in (0, 1).
        n_boot: accepted as elsewhere; no interval here is resampled.
        n_perm: permutations, at least 100.
        seed: of the permutations.

    Returns:
        The rates, and the association of truth and claim.

    Raises:
        InvalidInputError: a condition is none, the lengths differ, or a claim is no 0, 1 or NaN.

    Edge cases: conditions without rows are left out; with one of them only, or with claims that are
        all the same, V is None.
    Properties: intervals are Wilson's; where prompts of several rows are named, with the number of
        independent rows that they are worth.
    Reference: Liang et al. 2025 (arXiv:2507.07484); Wilson 1927; Korn & Graubard 1998 (the number of
        rows that prompts are worth).

    Example:
        >>> found = claim_rates(["Positive", "Negative"] * 50, [1, 0] * 25 + [1, 1] * 25)
        >>> [(one.condition, one.rate) for one in found.rates]
        [('Positive', 1.0), ('Negative', 0.5)]
    """
    y = resample.claims_vector(claim)
    rows = resample.checked(np.full(y.size, 0.5), y, clusters)
    resample.check_settings(level, n_boot, n_perm, seed)
    kind = codes_of(condition, y.size)
    rates: list[ConditionRate] = []
    for code, name in enumerate(CONDITIONS):
        mine = kind == code
        n, yes, no = int(mine.sum()), int((y[mine] == 1.0).sum()), int((y[mine] == 0.0).sum())
        if not n:
            continue
        unit, told = rows.unit[mine], (y[mine] == 1.0).astype(np.float64)
        ends = resample.share_interval(
            np.bincount(unit, told).astype(np.float64), np.bincount(unit).astype(np.float64), level
        )
        deceptive = {"Positive": None, "Negative": yes / n, "Unknown": (yes + no) / n}[name]
        rates.append(ConditionRate(name, n, yes, no, n - yes - no, yes / n, *ends, deceptive))
    kept = kind >= 0
    said = (y[kept] == 1.0).astype(np.int64)
    linked = association(
        kind[kept],
        said,
        clusters=None if clusters is None else rows.unit[kept],
        n_perm=n_perm,
        seed=seed,
    )
    pooled = float(said.mean()) if said.size else None
    return ClaimRates(tuple(rates), linked, pooled, int((~kept).sum()), level)


def association(
    one: ArrayLike,
    other: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    n_perm: int = 1000,
    seed: int = 0,
) -> Association:
    """Chi-square and Cramer's V of two categories, with what independence would show.

    V = sqrt(chi2 / (N min(r - 1, c - 1))); corrected: phi2 = max(0, chi2 / N - (r - 1)(c - 1) / (N - 1)),
    r' = r - (r - 1)^2 / (N - 1), V' = sqrt(phi2 / min(r' - 1, c' - 1));
    null: sqrt((r - 1)(c - 1) / ((N - 1) min(r - 1, c - 1))), the root of E[V^2] under permutation

    Args:
        one: (N,) labels of r kinds.
        other: (N,) labels of c kinds.
        clusters: (N,) labels; `one` is permuted between whole clusters.
        n_perm: permutations for the p-value.
        seed: of the permutations.

    Returns:
        The association; None in place of what is undefined.

    Raises:
        InvalidInputError: the lengths differ.

    Edge cases: with fewer than two kinds of either, V is None. Where a cluster has several kinds of
        `one`, there is no p-value.
    Properties: symmetric but for clusters; V of the population is overestimated by V, less by V'.
        `null` and `null_high` suppose independent rows.
    Reference: Cramer 1946; Bergsma 2013, J. Korean Stat. Soc. 42, 323-328.

    Example:
        >>> found = association([0] * 50 + [1] * 50, [0] * 40 + [1] * 10 + [0] * 10 + [1] * 40)
        >>> round(found.chi2, 6), round(found.v, 6)
        (36.0, 0.6)
    """
    size = len(np.atleast_1d(np.asarray(one)))
    a, b = codes("one", one, size), codes("other", other, size)
    unit = None if clusters is None else codes("clusters", clusters, size)
    r, c = (int(x.max()) + 1 if size else 0 for x in (a, b))
    dof = max(r - 1, 0) * max(c - 1, 0)
    if r < 2 or c < 2:
        return Association(None, dof, None, None, None, None, None, size)
    table = _table(a, b, r, c)
    chi2 = float(_chi2(table[None])[0])
    least = min(r - 1, c - 1)
    phi2 = max(0.0, chi2 / size - dof / (size - 1))
    shrunk = min(k - (k - 1) ** 2 / (size - 1) for k in (r, c)) - 1.0
    corrected = min(math.sqrt(phi2 / shrunk), 1.0) if shrunk > 0.0 else None
    rng = np.random.default_rng([seed, 3])
    return Association(
        chi2=chi2,
        dof=dof,
        p_value=_p_value(a, b, unit, table, chi2, n_perm, rng),
        v=math.sqrt(chi2 / (size * least)),
        v_corrected=corrected,
        null=math.sqrt(dof / ((size - 1) * least)),
        null_high=math.sqrt(float(stats.chi2.ppf(0.95, dof)) / (size * least)),
        n=size,
    )


def codes_of(condition: Sequence[str | None], size: int) -> IntArray:
    """(N,) the place of each condition in `CONDITIONS`, -1 where it is missing.

    Args:
        condition: (N,) words that `condition_word` knows, or None.
        size: how many there must be.

    Returns:
        (N,) codes.

    Raises:
        InvalidInputError: there are more or fewer, or a word is none of them.
    """
    if len(condition) != size:
        raise InvalidInputError(
            f"condition: expected {size} values, one for each claim, got {len(condition)}"
        )
    found: list[int] = []
    for i, value in enumerate(condition):
        name = None if value is None else condition_word(value)
        if value is not None and name is None:
            raise InvalidInputError(
                f"condition: expected Positive, Negative or Unknown, got {value!r} at index {i}"
            )
        found.append(-1 if name is None else CONDITIONS.index(name))
    return np.array(found, dtype=np.int64)


def _table(a: IntArray, b: IntArray, r: int, c: int) -> FloatArray:
    return np.bincount(a * c + b, minlength=r * c).reshape(r, c).astype(np.float64)


def _chi2(tables: FloatArray) -> FloatArray:
    """(B,) Pearson's statistic of (B, r, c) tables; cells whose row or column is empty count 0."""
    rows, columns = tables.sum(axis=2, keepdims=True), tables.sum(axis=1, keepdims=True)
    expected = rows * columns / tables.sum(axis=(1, 2), keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        cells = np.where(expected > 0.0, (tables - expected) ** 2 / expected, 0.0)
    return np.asarray(cells.sum(axis=(1, 2)), dtype=np.float64)


def _p_value(
    a: IntArray,
    b: IntArray,
    unit: IntArray | None,
    table: FloatArray,
    chi2: float,
    n_perm: int,
    rng: np.random.Generator,
) -> float | None:
    r, c = table.shape
    drawn = np.empty((n_perm, r, c))
    if unit is None:
        # Each kind of `other` takes its rows from what is left: the exact law of a permutation.
        left = np.tile(table.sum(axis=1).astype(np.int64), (n_perm, 1))
        for j in range(c - 1):
            total = int(table[:, j].sum())
            taken = np.array([rng.multivariate_hypergeometric(row, total) for row in left])
            drawn[:, :, j], left = taken, left - taken
        drawn[:, :, c - 1] = left
    else:
        n_units = int(unit.max()) + 1
        kind = np.zeros(n_units, dtype=np.int64)
        kind[unit] = a
        if not np.array_equal(kind[unit], a):
            return None
        sums = np.zeros((n_units, c))
        np.add.at(sums, (unit, b), 1.0)
        for k in range(n_perm):
            mixed = rng.permutation(kind)
            for i in range(r):
                drawn[k, i] = sums[mixed == i].sum(axis=0)
    hits = int((_chi2(drawn) >= chi2 * (1.0 - 1e-9)).sum())
    return (1 + hits) / (1 + n_perm)
