"""Smooth ECE: the calibration error after smoothing by a kernel whose width the data choose.

The residuals `confidence - correct` are spread onto a fine grid once and transformed once. The
reflection at 0 and 1 makes the signal even and periodic, so a Gaussian of any width is one
multiplication of its spectrum, and what it leaves can be evaluated on a coarse grid.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, paired
from levelhead.errors import InvalidInputError

__all__ = ["SmoothCurve", "smooth_curve", "smooth_ece"]

# Cells of the grid on [0, 1]. Multiples of 1000, so that percentages lie on nodes and are exact.
GRIDS = (16_000, 64_000, 256_000, 1_024_000)
SPLIT_TOLERANCE = 1e-5  # what the grid may change in the value, at most
CHUNK = 1 << 17  # samples at a time
SPREAD = 8.6  # exp(-SPREAD^2 / 2) is below the rounding error: frequencies beyond it are gone
NODES_PER_BANDWIDTH = 4.0  # at least, or the nodes show through
ROOT_TOLERANCE = 1e-8
QUADRATURE_TOLERANCE = 1e-7
NARROWEST = 1e-4  # bandwidths below it are not resolved by the finest grid


@dataclasses.dataclass(frozen=True)
class SmoothCurve:
    """A smoothed reliability diagram.

    Attributes:
        confidence: (M,) evenly spaced from 0 to 1.
        accuracy: (M,) confidence plus the smoothed residual; NaN where there is no data nearby. Far
            from the data it may leave [0, 1].
        density: (M,) smoothed density of the confidences; integrates to 1.
        bandwidth: standard deviation of the Gaussian kernel.
        smooth_ece: integral of |accuracy - confidence| * density.
    """

    confidence: FloatArray
    accuracy: FloatArray
    density: FloatArray
    bandwidth: float
    smooth_ece: float


def smooth_ece(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    bandwidth: float | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """Smooth expected calibration error.

    smECE(sigma) = int_0^1 |sum_i w_i (c_i - y_i) K_sigma(t, c_i)| dt / sum_i w_i

    K is the Gaussian kernel, reflected at 0 and 1 until nothing of it is outside. The bandwidth is
    the one that equals its own error, smECE(sigma) = sigma; there is exactly one, since smECE falls
    as sigma rises.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1].
        bandwidth: sigma, at least 1e-4, in units of confidence; None solves for it.
        weights: (N,) >= 0, or None.

    Returns:
        In [0, 1]; within 1e-5 of the integral.

    Raises:
        InvalidInputError: a value outside its range, or lengths that differ.

    Edge cases: if all confidences are equal it is |mean confidence - accuracy| at any bandwidth, in
        particular |1 - accuracy| where all are 1. A fixed point below 1e-4 is not resolved further:
        the value is then right to 1e-4.
    Properties: lower is better; plug-in; at least |mean confidence - accuracy|; continuous in the
        confidences, unlike any binned error.
    Reference: Blasiok and Nakkiran 2023 (arXiv:2309.12236).

    Example:
        >>> round(smooth_ece([1.0, 1.0, 1.0, 1.0], [1, 1, 1, 0]), 6)
        0.25
    """
    c, y, w = paired(confidence, correct, weights)
    if bandwidth is not None:
        _check_bandwidth(bandwidth)
        return _Smoother.of(c, _residuals(c, y, w), bandwidth).error(bandwidth)
    return _fixed_point(c, _residuals(c, y, w))


def smooth_curve(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    bandwidth: float | None = None,
    points: int = 201,
    weights: ArrayLike | None = None,
) -> SmoothCurve:
    """The reliability diagram that smooth ECE measures: its distance to the diagonal.

    accuracy(t) = t + sum_i w_i (y_i - c_i) K(t, c_i) / sum_i w_i K(t, c_i)

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1].
        bandwidth: sigma, at least 1e-4, in units of confidence; None takes that of `smooth_ece`.
        points: M >= 2, how many confidences to evaluate.
        weights: (N,) >= 0, or None.

    Returns:
        The curve at M confidences evenly spaced from 0 to 1, with the density of the confidences.

    Raises:
        InvalidInputError: a value outside its range, or lengths that differ.

    Edge cases: NaN where the density is below 1e-9; a fixed point below 1e-4 is drawn at 1e-4.
    Properties: the integral of |accuracy - confidence| * density is the smooth ECE.
    Reference: Blasiok and Nakkiran 2023 (arXiv:2309.12236).

    Example:
        >>> curve = smooth_curve([0.9, 0.9, 0.9, 0.9], [1, 0, 1, 0], points=11)
        >>> curve.accuracy[9].round(6), round(curve.bandwidth, 6)
        (np.float64(0.5), 0.4)
    """
    c, y, w = paired(confidence, correct, weights)
    if points < 2:
        raise InvalidInputError(f"points: expected at least 2, got {points}")
    residuals = _residuals(c, y, w)
    if bandwidth is None:
        error = _fixed_point(c, residuals)
        sigma = max(error, NARROWEST)
    else:
        _check_bandwidth(bandwidth)
        sigma = bandwidth
        error = _Smoother.of(c, residuals, sigma).error(sigma)
    mass = np.full(c.size, 1.0 / c.size) if w is None else w / w.sum()
    grid = np.linspace(0.0, 1.0, points)
    density = _Smoother.of(c, mass, sigma).at(grid, sigma)
    smoothed = _Smoother.of(c, residuals, sigma).at(grid, sigma)
    near = density > 1e-9  # below it the quotient is rounding error
    accuracy = np.full(points, np.nan)
    accuracy[near] = grid[near] - smoothed[near] / density[near]
    return SmoothCurve(grid, accuracy, np.maximum(density, 0.0), sigma, error)


def _check_bandwidth(bandwidth: float) -> None:
    if not (NARROWEST <= bandwidth < math.inf):
        raise InvalidInputError(
            f"bandwidth: expected a finite number of at least {NARROWEST}, got {bandwidth}"
        )


def _residuals(c: FloatArray, y: FloatArray, w: FloatArray | None) -> FloatArray:
    residuals = c - y
    if w is None:
        residuals /= c.size
    else:
        residuals *= w / w.sum()
    return residuals


def _fixed_point(c: FloatArray, residuals: FloatArray) -> float:
    """The error at the bandwidth that equals it, on the coarsest grid that will do."""
    error = 0.0
    for cells in GRIDS:
        smoother = _Smoother(c, residuals, cells)
        sigma, error = smoother.fixed_point()
        if (
            smoother.bound <= ROOT_TOLERANCE
            or _split_error(c, residuals, cells, sigma) <= SPLIT_TOLERANCE
        ):
            break
    return error


class _Smoother:
    """Masses at the confidences, and their convolutions with reflected Gaussians."""

    def __init__(self, c: FloatArray, masses: FloatArray, cells: int) -> None:
        nodes = _spread(c, masses, cells)
        self.cells = cells
        self.bound = float(np.abs(nodes).sum())  # of the L1 norm at any bandwidth
        nodes[0] *= 2.0  # a mass at an end coincides with its own reflection
        nodes[-1] *= 2.0
        even = np.concatenate([nodes, nodes[-2:0:-1]])
        self.spectrum = np.fft.rfft(even).real / 2.0

    @classmethod
    def of(cls, c: FloatArray, masses: FloatArray, sigma: float) -> _Smoother:
        """On the coarsest grid that resolves sigma."""
        for cells in GRIDS[:-1]:
            if _split_error(c, masses, cells, sigma) <= SPLIT_TOLERANCE:
                return cls(c, masses, cells)
        return cls(c, masses, GRIDS[-1])

    def smoothed(self, sigma: float) -> FloatArray:
        """The spectrum after smoothing, without the frequencies that it removes."""
        kept = min(self.cells, math.ceil(SPREAD / (math.pi * sigma)))
        frequency = np.arange(kept + 1, dtype=np.float64)
        return self.spectrum[: kept + 1] * np.exp(-0.5 * (math.pi * sigma * frequency) ** 2)

    def error(self, sigma: float) -> float:
        """Integral of |density| on [0, 1] after smoothing."""
        spectrum = self.smoothed(sigma)
        needed = max(8.0 / sigma, (16.0 * sigma * QUADRATURE_TOLERANCE) ** -0.5)
        cells = min(1 << math.ceil(math.log2(needed)), 1 << 20)
        # The mirrored grid runs over [0, 1] twice, so its mean is the trapezoidal rule.
        return float(np.abs(np.fft.irfft(spectrum, 2 * cells)).mean() * 2 * cells)

    def at(self, points: FloatArray, sigma: float) -> FloatArray:
        """The density after smoothing at any points in [0, 1]."""
        spectrum = self.smoothed(sigma) * 2.0
        spectrum[0] /= 2.0
        angle = math.pi * np.arange(spectrum.size)
        return np.array([spectrum @ np.cos(angle * point) for point in points])

    def fixed_point(self) -> tuple[float, float]:
        """The bandwidth equal to its own error, by secants inside a shrinking bracket.

        The error falls as sigma rises, so sigma and error(sigma) are on opposite sides of the fixed
        point: every evaluation brackets it.
        """
        narrowest = NODES_PER_BANDWIDTH / self.cells
        low, high = narrowest, min(self.bound, 1.0)
        if high <= narrowest:
            return narrowest, self.error(narrowest)
        sigma, error = high, high
        last: tuple[float, float] | None = None
        guess = max(high / 4.0, narrowest)
        for _ in range(100):
            sigma, error = guess, self.error(guess)
            low, high = max(low, min(sigma, error)), min(high, max(sigma, error))
            if high - low <= ROOT_TOLERANCE or abs(error - sigma) <= ROOT_TOLERANCE:
                break
            guess = math.sqrt(low * high)
            if last is not None and last[0] != sigma:
                slope = (error - last[1]) / (sigma - last[0])
                secant = sigma - (error - sigma) / (slope - 1.0)
                if low <= secant <= high:
                    guess = secant
            last = sigma, error
        return sigma, error


def _spread(c: FloatArray, masses: FloatArray, cells: int) -> FloatArray:
    """Masses on the nodes 0, 1/cells, ..., 1: each sample is split between its two neighbors."""
    at_node, passed_on = np.zeros(cells + 2), np.zeros(cells + 2)
    chunk = max(CHUNK, 4 * cells)
    for start in range(0, c.size, chunk):
        part = slice(start, start + chunk)
        position = c[part] * cells
        node = position.astype(np.intp)
        position -= node
        at_node += np.bincount(node, masses[part], cells + 2)
        position *= masses[part]
        passed_on += np.bincount(node, position, cells + 2)
    at_node -= passed_on
    at_node[1:] += passed_on[:-1]
    return at_node[:-1]


def _split_error(c: FloatArray, masses: FloatArray, cells: int, sigma: float) -> float:
    """A bound on what splitting the samples between nodes changes in the L1 norm after smoothing.

    A sample at the fraction f of a cell of width h becomes two, which adds f (1 - f) h^2 / 2 times
    the kernel's second derivative, whose L1 norm is 4 phi(1) / sigma^2 = 0.968 / sigma^2.
    """
    if sigma * cells < 1.001 * NODES_PER_BANDWIDTH:
        return math.inf
    scale = 0.484 / (sigma * cells) ** 2
    bound = scale / 4.0 * float(np.abs(masses).sum())
    if bound <= SPLIT_TOLERANCE:
        return bound
    fraction = c * cells
    fraction -= np.floor(fraction)
    return scale * float(np.abs(masses) @ (fraction * (1.0 - fraction)))
