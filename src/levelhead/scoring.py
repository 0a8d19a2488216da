"""Scoring rules as losses: what a stated probability costs once the outcome is known.

Every rule is a function `(confidence, outcome, *, options) -> (N,) float64`, lower is better. It is
*proper* if stating the true probability costs least on average, *strictly proper* if nothing else
costs as little. Two rules with an optimum elsewhere are here too, declared improper.

A fractional outcome is an expected one: its loss is `y * loss(q, 1) + (1 - y) * loss(q, 0)`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, paired
from levelhead.errors import InvalidInputError

__all__ = [
    "TABLE",
    "ScoringRule",
    "brier_loss",
    "class_weighted_loss",
    "linear_loss",
    "log_loss",
    "spherical_loss",
    "trust_loss",
    "weighted_loss",
]

# Panels of the quadrature halve their width towards 0 and 1, down to 2**-DEPTH, so that a weight
# with a power-law singularity at an end is as smooth in the last panel as in the first.
DEPTH = 40
NODES = 12  # Gauss-Legendre points in each panel: 1/t on [a, 2a] to 1e-18
CHUNK = 1 << 15  # confidences at a time, so that the nodes stay in cache
DIVERGENT_RATIO = 0.999  # panels that halve but do not shrink belong to an integral without a limit


def _outcomes(confidence: ArrayLike, outcome: ArrayLike) -> tuple[FloatArray, FloatArray]:
    q, y, _ = paired(confidence, outcome, names=("confidence", "outcome"))
    return q, y


def _mixture(y: FloatArray, if_one: FloatArray, if_zero: FloatArray) -> FloatArray:
    """Expected loss; an infinite loss of an outcome that cannot happen does not count."""
    with np.errstate(invalid="ignore"):
        return np.where(y > 0.0, y * if_one, 0.0) + np.where(y < 1.0, (1.0 - y) * if_zero, 0.0)


def log_loss(confidence: ArrayLike, outcome: ArrayLike, *, eta: float = 0.01) -> FloatArray:
    """Logarithmic loss of a prediction that is clipped to [eta, 1 - eta].

    L(q, 1) = -ln q',  L(q, 0) = -ln(1 - q'),  q' = min(max(q, eta), 1 - eta)

    The prediction is clipped, never the loss: a cap of -ln 0.01 on the loss makes q = 0 the best
    answer to every p below 0.0268, while a clipped prediction stays proper.

    Args:
        confidence: (N,) probabilities in [0, 1] of outcome 1.
        outcome: (N,) in [0, 1], 0 or 1, or an expected outcome.
        eta: in [0, 0.5); 0 does not clip.

    Returns:
        (N,) float64 in [-ln(1 - eta), -ln eta], nats.

    Raises:
        InvalidInputError: a value outside its range, or lengths that differ.

    Edge cases: with eta = 0 a certain prediction that fails costs infinity.
    Properties: strictly proper on [eta, 1 - eta], proper elsewhere (flat beyond the clip).
    Reference: Good 1952; Gneiting and Raftery 2007, section 3.

    Example:
        >>> log_loss([0.9, 1.0], [1, 0]).round(4)
        array([0.1054, 4.6052])
    """
    if not 0.0 <= eta < 0.5:
        raise InvalidInputError(f"eta: expected a number in [0, 0.5), got {eta}")
    q, y = _outcomes(confidence, outcome)
    clipped = np.clip(q, eta, 1.0 - eta)
    with np.errstate(divide="ignore"):
        return _mixture(y, -np.log(clipped), -np.log1p(-clipped))


def brier_loss(confidence: ArrayLike, outcome: ArrayLike) -> FloatArray:
    """Quadratic loss of a prediction.

    L(q, y) = y (1 - q)^2 + (1 - y) q^2, which is (q - y)^2 for y in {0, 1}

    Args:
        confidence: (N,) probabilities in [0, 1] of outcome 1.
        outcome: (N,) in [0, 1], 0 or 1, or an expected outcome.

    Returns:
        (N,) float64 in [0, 1].

    Raises:
        InvalidInputError: a value outside [0, 1], or lengths that differ.

    Edge cases: an outcome of 0.5 costs at least 0.25, the variance of a fair coin.
    Properties: strictly proper; symmetric in the two outcomes.
    Reference: Brier 1950.

    Example:
        >>> brier_loss([0.9, 0.9, 0.5], [1, 0, 0.5]).round(4)
        array([0.01, 0.81, 0.25])
    """
    q, y = _outcomes(confidence, outcome)
    return (q - y) ** 2 + y * (1.0 - y)


def spherical_loss(confidence: ArrayLike, outcome: ArrayLike) -> FloatArray:
    """One minus the cosine between the prediction (q, 1 - q) and the outcome.

    L(q, 1) = 1 - q / r,  L(q, 0) = 1 - (1 - q) / r,  r = sqrt(q^2 + (1 - q)^2)

    Args:
        confidence: (N,) probabilities in [0, 1] of outcome 1.
        outcome: (N,) in [0, 1], 0 or 1, or an expected outcome.

    Returns:
        (N,) float64 in [0, 1].

    Raises:
        InvalidInputError: a value outside [0, 1], or lengths that differ.

    Properties: strictly proper; symmetric in the two outcomes; bounded.
    Reference: Roby 1965; Gneiting and Raftery 2007, section 4.

    Example:
        >>> spherical_loss([1.0, 0.8, 0.8], [1, 1, 0]).round(4)
        array([0.    , 0.0299, 0.7575])
    """
    q, y = _outcomes(confidence, outcome)
    norm = np.hypot(q, 1.0 - q)
    return _mixture(y, 1.0 - q / norm, 1.0 - (1.0 - q) / norm)


def trust_loss(
    confidence: ArrayLike, outcome: ArrayLike, *, t0: float = 0.0, eps: float = 0.01
) -> FloatArray:
    """Minus the utility of answering where the confidence reaches the stakes, over all stakes.

    At stakes t a right answer is worth 1, a wrong one -t / (1 - t) and silence 0. Averaged over t
    uniform in [t0, 1), for an agent that answers if q' >= t, with q' = min(q, 1 - eps):

    L(q, y) = -1[q' > t0] ((q' - t0) + (1 - y) ln((1 - q') / (1 - t0))) / (1 - t0)

    Args:
        confidence: (N,) probabilities in [0, 1] of outcome 1.
        outcome: (N,) in [0, 1], 0 or 1, or an expected outcome.
        t0: in [0, 1), the lowest stakes that count.
        eps: in [0, 1 - t0); a confidence above 1 - eps counts as 1 - eps.

    Returns:
        (N,) float64, at least -1 (a perfect answer); 0 is what silence costs.

    Raises:
        InvalidInputError: a value outside its range, or lengths that differ.

    Edge cases: with eps = 0 a wrong answer at confidence 1 costs infinity.
    Properties: strictly proper on (t0, 1 - eps), proper elsewhere (flat); asymmetric:
        overconfidence costs without bound as eps falls, underconfidence at most 1; for t0 = 0 the
        weight function is 1 / (1 - t).
    Reference: the mixture representation of Schervish 1989, with stakes uniform in t.

    Example:
        >>> trust_loss([1.0, 0.5, 1.0], [1, 1, 0], t0=0.5).round(4)
        array([-0.98 ,  0.   ,  6.844])
    """
    if not 0.0 <= t0 < 1.0:
        raise InvalidInputError(f"t0: expected a number in [0, 1), got {t0}")
    if not 0.0 <= eps < 1.0 - t0:
        raise InvalidInputError(f"eps: expected a number in [0, 1 - t0), got {eps} with t0={t0}")
    q, y = _outcomes(confidence, outcome)
    span = 1.0 - t0
    gain = np.clip(q, t0, 1.0 - eps) - t0  # at t0 both terms vanish, which is silence
    with np.errstate(divide="ignore"):
        penalty = -np.log1p(-gain / span)
    return _mixture(y, -gain / span, (penalty - gain) / span)


def weighted_loss(
    confidence: ArrayLike,
    outcome: ArrayLike,
    *,
    weight: Callable[[FloatArray], ArrayLike],
    breaks: Sequence[float] = (),
) -> FloatArray:
    """The proper loss with a given weight on each threshold t between 0 and 1.

    L(q, 1) = int_q^1 (1 - t) w(t) dt,  L(q, 0) = int_0^q t w(t) dt

    Every proper loss has this form: w = 2 is the Brier loss, 1 / (t (1 - t)) the log loss and
    1 / (1 - t) the trust loss, up to a constant for each outcome. To punish overconfidence more,
    put more weight near 1; to multiply one outcome's loss is improper (`class_weighted_loss`).

    Gauss-Legendre with 12 nodes in panels that halve towards both ends: the relative error is below
    1e-9 for a weight that is smooth inside (0, 1), with power-law singularities at 0 and 1 allowed.
    Confidences within 1e-6 of a singular end have fewer digits.

    Args:
        confidence: (N,) probabilities in [0, 1] of outcome 1.
        outcome: (N,) in [0, 1], 0 or 1, or an expected outcome.
        weight: maps thresholds (M,) strictly inside (0, 1) to finite weights >= 0, (M,) or scalar.
        breaks: points in [1e-9, 1 - 1e-9] where the weight jumps or has a kink.

    Returns:
        (N,) float64 >= 0; 0 for a certain prediction that comes true.

    Raises:
        InvalidInputError: a weight is negative or not finite, a break is outside its range, or
            the weight grows so fast at 0 or 1 that every prediction would cost infinity.

    Edge cases: a confidence of 0 or 1 gets the limit, which can be infinite (as for the log loss);
        one nearer to an end than 1e-12 is taken to be at that distance.
    Properties: proper; strictly proper wherever the weight is above 0.
    Reference: Shuford, Albert and Massengill 1966; Schervish 1989.

    Example:
        >>> weighted_loss([0.9, 0.9], [1, 0], weight=lambda t: 2.0).round(6)
        array([0.01, 0.81])
    """
    q, y = _outcomes(confidence, outcome)
    for point in breaks:
        if not 1e-9 <= point <= 1.0 - 1e-9:
            raise InvalidInputError(f"breaks: expected points in [1e-9, 1 - 1e-9], got {point}")
    rule = _Quadrature(weight, breaks)
    out = np.empty(q.size)
    for start in range(0, q.size, CHUNK):
        part = slice(start, start + CHUNK)
        out[part] = _mixture(y[part], *rule.losses(q[part]))
    return out


class _Quadrature:
    """Integrals of (1 - t) w and t w, accumulated over fixed panels."""

    def __init__(self, weight: Callable[[FloatArray], ArrayLike], breaks: Sequence[float]) -> None:
        self.weight = weight
        nodes, node_weights = np.polynomial.legendre.leggauss(NODES)
        self.nodes, self.node_weights = (nodes + 1.0) / 2.0, node_weights / 2.0
        halves = np.exp2(-np.arange(1.0, DEPTH + 1.0))
        edges = [*halves, *(1.0 - halves), *breaks]
        self.edges: FloatArray = np.unique(np.array(edges, dtype=np.float64))
        up, down = self._integrals(self.edges[:-1], self.edges[1:])
        rest = _tail(up[-2], up[-1], "1"), _tail(down[1], down[0], "0")
        # at an edge: what lies to its right of (1 - t) w, what lies to its left of t w
        self.right = rest[0] + np.append(np.cumsum(up[::-1])[::-1], 0.0)
        self.left = rest[1] + np.append(0.0, np.cumsum(down))
        self.at_zero = self.right[0] + _tail(up[1], up[0])
        self.at_one = self.left[-1] + _tail(down[-2], down[-1])

    def losses(self, q: FloatArray) -> tuple[FloatArray, FloatArray]:
        """L(q, 1) and L(q, 0)."""
        inside = np.clip(q, self.edges[0], self.edges[-1])
        panel = np.searchsorted(self.edges, inside, side="right") - 1
        up, down = self._integrals(self.edges[panel], inside)
        if_one, if_zero = self.right[panel] - up, self.left[panel] + down
        if_one[q == 0.0], if_zero[q == 0.0] = self.at_zero, 0.0
        if_one[q == 1.0], if_zero[q == 1.0] = 0.0, self.at_one
        return if_one, if_zero

    def _integrals(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
        width = high - low
        t = low[:, None] + width[:, None] * self.nodes
        w = np.broadcast_to(np.asarray(self.weight(t.ravel()), dtype=np.float64), (t.size,))
        bad = ~(np.isfinite(w) & (w >= 0.0))
        if bad.any():
            i = int(bad.argmax())
            raise InvalidInputError(
                f"weight: expected finite values >= 0, got {w[i]} at t = {t.ravel()[i]:.6g}"
            )
        w = w.reshape(t.shape)
        return ((1.0 - t) * w) @ self.node_weights * width, (t * w) @ self.node_weights * width


def _tail(before: float, last: float, needed_at: str | None = None) -> float:
    """What lies beyond the last panel: the geometric series that the last two panels begin."""
    if last == 0.0:
        return 0.0
    ratio = last / before if before > 0.0 else np.inf
    if ratio < DIVERGENT_RATIO:
        return last * ratio / (1.0 - ratio)
    if needed_at is not None:
        factor = "(1 - t) w(t)" if needed_at == "1" else "t w(t)"
        raise InvalidInputError(
            f"weight: expected {factor} to be integrable at t = {needed_at}, got a weight that "
            "grows too fast there, so that every prediction would cost infinity"
        )
    return np.inf


def linear_loss(confidence: ArrayLike, outcome: ArrayLike) -> FloatArray:
    """Absolute distance between the prediction and the outcome. Improper.

    L(q, y) = y (1 - q) + (1 - y) q, which is |q - y| for y in {0, 1}

    Args:
        confidence: (N,) probabilities in [0, 1] of outcome 1.
        outcome: (N,) in [0, 1], 0 or 1, or an expected outcome.

    Returns:
        (N,) float64 in [0, 1].

    Raises:
        InvalidInputError: a value outside [0, 1], or lengths that differ.

    Properties: improper: the best prediction is 0 below p = 1/2, 1 above, any at 1/2.
    Reference: Gneiting and Raftery 2007, section 4.

    Example:
        >>> linear_loss([0.75, 0.75], [1, 0])
        array([0.25, 0.75])
    """
    q, y = _outcomes(confidence, outcome)
    return y * (1.0 - q) + (1.0 - y) * q


def class_weighted_loss(
    confidence: ArrayLike,
    outcome: ArrayLike,
    *,
    kappa: float = 4.0,
    loss: Callable[[ArrayLike, ArrayLike], FloatArray] = log_loss,
) -> FloatArray:
    """A proper loss, multiplied by kappa where the outcome is 0. Improper.

    L(q, 1) = loss(q, 1),  L(q, 0) = kappa loss(q, 0)

    Args:
        confidence: (N,) probabilities in [0, 1] of outcome 1.
        outcome: (N,) in [0, 1], 0 or 1, or an expected outcome.
        kappa: finite, above 0; 1 leaves the loss as it is.
        loss: the proper loss `(confidence, outcome) -> (N,)` that is multiplied.

    Returns:
        (N,) float64.

    Raises:
        InvalidInputError: kappa is not a finite number above 0, or as `loss` raises.

    Properties: improper: the best prediction is p / (p + kappa (1 - p)), for any proper loss.
    Reference: Elkan 2001 (the same shift of probabilities by class weights).

    Example:
        >>> class_weighted_loss([0.9, 0.9], [1, 0], loss=brier_loss).round(4)
        array([0.01, 3.24])
    """
    if not (0.0 < kappa < np.inf):
        raise InvalidInputError(f"kappa: expected a finite number above 0, got {kappa}")
    q, y = _outcomes(confidence, outcome)
    return _mixture(y, loss(q, np.ones_like(q)), kappa * loss(q, np.zeros_like(q)))


@dataclasses.dataclass(frozen=True)
class ScoringRule:
    """A scoring rule and what it declares about itself; the contract tests hold it to that.

    Attributes:
        name: what the command line and configurations call it.
        function: `(confidence, outcome) -> (N,)` losses.
        proper: whether the true probability is a best prediction, whatever it is.
        optimum: maps true probabilities (M,) to a best prediction for each, (M,).
        flat: closed intervals of true probabilities for which other predictions are as good.
        reference: where the rule comes from.
    """

    name: str
    function: Callable[..., FloatArray]
    proper: bool
    optimum: Callable[[FloatArray], FloatArray]
    flat: tuple[tuple[float, float], ...]
    reference: str


def _truth(p: FloatArray) -> FloatArray:
    return p


def _extremes(p: FloatArray) -> FloatArray:
    return np.where(p == 0.5, 0.5, np.where(p > 0.5, 1.0, 0.0))


def _shifted(p: FloatArray) -> FloatArray:
    return p / (p + 4.0 * (1.0 - p))  # kappa = 4, the default


TABLE: tuple[ScoringRule, ...] = (
    ScoringRule("log", log_loss, True, _truth, ((0.0, 0.01), (0.99, 1.0)), "Good 1952"),
    ScoringRule("brier", brier_loss, True, _truth, (), "Brier 1950"),
    ScoringRule("spherical", spherical_loss, True, _truth, (), "Roby 1965"),
    ScoringRule("trust", trust_loss, True, _truth, ((0.99, 1.0),), "Schervish 1989"),
    ScoringRule(
        "linear", linear_loss, False, _extremes, ((0.5, 0.5),), "Gneiting and Raftery 2007"
    ),
    ScoringRule(
        "class_weighted",
        class_weighted_loss,
        False,
        _shifted,
        ((0.0, 0.04 / 1.03), (3.96 / 3.97, 1.0)),  # where the optimum leaves the log loss's clip
        "Elkan 2001",
    ),
)
