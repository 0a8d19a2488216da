"""Isotonic fits with one more row, for every place where that row can lie, in one sweep per label.

An isotonic fit is the slope of the lowest convex curve through the cumulated weights and hits. A new
row cuts this curve in two and moves the right part by (1, label), so the fit at the new row is the
slope of the line that touches the lower hulls of both parts from below. As the row moves up, both
points of contact only move up, so that a sweep finds all of these lines in as many steps as there
are points.
"""

from __future__ import annotations

import itertools

import numpy as np

from levelhead._arrays import FloatArray

__all__ = ["fits_with_one_more"]


def fits_with_one_more(weight: FloatArray, hits: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What a new row of weight 1 gets, for label 0 and for label 1.

    Args:
        weight: (M,) weights at the distinct confidences, in increasing order.
        hits: (M,) weight times correctness.

    Returns:
        Two arrays (2 M + 1,). Entry 2 k is for a row between the k-th and the next distinct
        confidence (0: below all), entry 2 k + 1 for one at the next one itself.
    """
    x: list[float] = [0.0, *itertools.accumulate(weight.tolist())]
    y: list[float] = [0.0, *itertools.accumulate(hits.tolist())]
    following = _suffix_hulls(x, y)
    return _sweep(x, y, following, 0.0), _sweep(x, y, following, 1.0)


def _suffix_hulls(x: list[float], y: list[float]) -> list[int]:
    """For each point the next one on the lower hull of the points from it on; the last has itself."""
    last = len(x) - 1
    following = [last] * (last + 1)
    for j in range(last - 1, -1, -1):
        k = j + 1
        while k < last:
            after = following[k]
            if (y[k] - y[j]) * (x[after] - x[k]) < (y[after] - y[k]) * (x[k] - x[j]):
                break
            k = after
        following[j] = k
    return following


def _sweep(x: list[float], y: list[float], following: list[int], label: float) -> FloatArray:
    last = len(x) - 1
    slopes = [0.0] * (2 * last + 1)
    hull: list[int] = []  # of the points up to i
    at = 0  # where on it the line touches
    b = 0  # where the line touches the right part
    for i in range(last + 1):
        xi, yi = x[i], y[i]
        while len(hull) > 1:
            k, h = hull[-1], hull[-2]
            if (y[k] - y[h]) * (xi - x[k]) < (yi - y[k]) * (x[k] - x[h]):
                break
            hull.pop()
        hull.append(i)
        top = len(hull) - 1
        at = min(at, top)
        for place in (2 * i, 2 * i + 1) if i < last else (2 * i,):
            b = max(b, (place + 1) // 2)
            while True:
                a = hull[at]
                run, rise = x[b] + 1.0 - x[a], y[b] + label - y[a]
                while b < last:
                    k = following[b]
                    if (y[k] - y[b]) * run >= rise * (x[k] - x[b]):
                        break
                    b = k
                    run, rise = x[b] + 1.0 - x[a], y[b] + label - y[a]
                if at == top:
                    break
                k = hull[at + 1]
                if (y[k] - y[a]) * run >= rise * (x[k] - x[a]):
                    break
                at += 1
            slopes[place] = rise / run
    return np.maximum.accumulate(np.clip(np.array(slopes), 0.0, 1.0))
