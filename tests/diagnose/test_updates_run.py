"""The rule of the verdict."""

from __future__ import annotations

import pytest

from levelhead.diagnose._updates_run import verdict_of

OPEN = (100, 10, 95.0)


@pytest.mark.parametrize(
    ("changed", "z", "opened", "verdict"),
    [
        (0, None, (0, 0, 0.0), "UNCHANGED"),
        (900, -9.0, OPEN, "DENSE"),
        (100, -2.4, OPEN, "SPARSE BEYOND ROUNDING"),
        (100, -2.3, OPEN, "AS ROUNDING PRODUCES"),
        (100, 9.0, OPEN, "AS ROUNDING PRODUCES"),
        (100, -9.0, (100, 71, 95.0), "SPARSE BEYOND ROUNDING"),
        (100, -9.0, (100, 72, 95.0), "AS ROUNDING PRODUCES"),
        (100, -9.0, (29, 2, 28.0), "UNDECIDED"),
        (100, -9.0, (30, 2, 28.0), "SPARSE BEYOND ROUNDING"),
        (100, 1.0, (0, 0, 0.0), "AS ROUNDING PRODUCES"),
        (100, None, OPEN, "UNDECIDED"),
    ],
)
def test_the_rule(
    changed: int, z: float | None, opened: tuple[int, int, float], verdict: str
) -> None:
    share = None if z is None else 0.2
    assert verdict_of(changed, 1000, share, share, z, opened) == verdict
