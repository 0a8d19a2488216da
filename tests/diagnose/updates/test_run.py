"""The rule of the verdict."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.diagnose.updates._null import RoundingNull
from levelhead.diagnose.updates._run import _opened, verdict_of

OPEN = (100.0, 0.10, 0.95)


@pytest.mark.parametrize(
    ("changed", "z", "opened", "verdict"),
    [
        (0, None, (0.0, None, None), "UNCHANGED"),
        (900, -9.0, OPEN, "DENSE"),
        (100, -2.4, OPEN, "SPARSE BEYOND ROUNDING"),
        (100, -2.3, OPEN, "AS ROUNDING PRODUCES"),
        (100, 9.0, OPEN, "AS ROUNDING PRODUCES"),
        (100, -9.0, (100.0, 0.71, 0.95), "SPARSE BEYOND ROUNDING"),
        (100, -9.0, (100.0, 0.72, 0.95), "AS ROUNDING PRODUCES"),
        (100, -9.0, (29.9, 0.07, 0.95), "UNDECIDED"),
        (100, -9.0, (30.0, 0.07, 0.95), "SPARSE BEYOND ROUNDING"),
        (100, 1.0, (0.0, None, None), "AS ROUNDING PRODUCES"),
        (100, None, OPEN, "UNDECIDED"),
    ],
)
def test_the_rule(
    changed: int, z: float | None, opened: tuple[float, float | None, float | None], verdict: str
) -> None:
    share = None if z is None else 0.2
    assert verdict_of(changed, 1000, share, share, z, opened) == verdict


def test_dense_is_said_of_the_tensors_that_changed() -> None:
    assert verdict_of(300, 1000, 0.93, 0.90, -9.0, OPEN) == "DENSE"
    assert verdict_of(300, 1000, 0.93, 0.89, -9.0, OPEN) == "SPARSE BEYOND ROUNDING"


def test_weights_that_stand_for_many_count_for_fewer() -> None:
    def null(stands_for: float, count: int, seen: int, expected: float) -> RoundingNull:
        none = np.zeros(0)
        return RoundingNull(
            1.0, 0.5, 0.0, stands_for, count, seen, expected, none, none.astype(bool), none
        )

    alike, seen, expected = _opened([null(1.0, 100, 90, 95.0), null(50.0, 4, 1, 3.8)])
    # (100 + 200)^2 / (100 + 4 * 2500) = 8.91: the four decide, and are too few.
    assert alike == pytest.approx(8.9109, abs=1e-4)
    assert seen == pytest.approx((90 + 50) / 300)
    assert expected == pytest.approx((95 + 190) / 300)
    assert _opened([null(7.0, 40, 10, 38.0)])[0] == pytest.approx(40)
    assert _opened([]) == (0.0, None, None)
