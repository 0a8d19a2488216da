from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from levelhead.lab.figures.sweep import group_size
from levelhead.lab.sweeps import GroupSizeSweep

P = np.linspace(0.1, 0.9, 5)
MEANS = np.stack([P, P**2, P**3])
REST = np.ones((3, 5), bool)
MOVING = REST.copy()
MOVING[1, :2] = False


def sweep(outcomes: str, rest: np.ndarray, mean: np.ndarray = MEANS) -> GroupSizeSweep:
    return GroupSizeSweep(P, (2, 4, 64), outcomes, mean, rest)


def test_a_line_for_each_group_size(legible: Callable[[Figure], None]) -> None:
    figure = group_size([sweep("shared", REST), sweep("independent", MOVING, MEANS[::-1])])
    legible(figure)
    titles = [ax.get_title("left") for ax in figure.axes]
    assert titles == ["one outcome for the group", "an outcome for each sample"]
    assert {ax.get_xlabel() for ax in figure.axes} == {"true probability"}
    assert [ax.get_ylabel() for ax in figure.axes] == ["final prediction", ""]
    for ax, expected in zip(figure.axes, (MEANS, MEANS[::-1]), strict=True):
        lines = [line for line in ax.get_lines() if line.get_linestyle() == "-"]
        drawn = [np.asarray(line.get_ydata()) for line in lines]
        np.testing.assert_array_equal(drawn, expected)
        markers = {line.get_marker() for line in ax.get_lines() if line.get_linestyle() == "None"}
        assert len(markers) == 3  # not told apart by color alone
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["2", "4", "64"]


def test_what_is_not_at_rest_is_hollow_and_said() -> None:
    figure = group_size([sweep("shared", REST), sweep("independent", MOVING)])
    left, right = figure.axes
    hollow = [
        [
            np.asarray(line.get_xdata()).tolist()
            for line in ax.get_lines()
            if line.get_mfc() == "white"
        ]
        for ax in (left, right)
    ]
    assert hollow == [[], [P[:2].tolist()]]
    assert any("not at rest" in text.get_text() for text in figure.texts)
    settled = group_size([sweep("shared", REST)])
    assert not any("not at rest" in text.get_text() for text in settled.texts)


def test_lines_that_coincide_are_said_to() -> None:
    together = np.tile(P, (3, 1))
    figure = group_size([sweep("shared", REST, together), sweep("independent", REST)])
    words = [[text.get_text() for text in ax.texts] for ax in figure.axes]
    assert words == [["all 3 sizes\ncoincide"], []]
