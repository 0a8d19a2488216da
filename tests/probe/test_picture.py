"""The picture shows what the reading says."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from levelhead.advantages import TABLE
from levelhead.errors import InvalidInputError, RecordError
from levelhead.probe import Reading, probe
from levelhead.probe.picture import draw, save


@pytest.fixture(scope="module")
def lottery() -> Reading:
    return probe(TABLE["top1"].function, name="$top_1$", version="a & b")


def texts(reading: Reading) -> str:
    figure = draw(reading)
    return " ".join(t.get_text() for t in figure.findobj(mpl.text.Text))


def test_points_and_bars_are_the_ends(lottery: Reading) -> None:
    left, right = draw(lottery).axes
    curves = [np.asarray(line.get_xydata()) for line in left.get_lines()]
    assert any(
        np.allclose(c, [(e.p, e.mean) for e in lottery.ends])
        for c in curves
        if len(c) == len(lottery.ends)
    )
    (bars,) = [c for c in left.collections if hasattr(c, "get_segments")]
    lengths = [np.ptp(segment[:, 1]) for segment in bars.get_segments()]
    wanted = [min(1, e.mean + e.sd) - max(0, e.mean - e.sd) for e in lottery.ends]
    assert lengths == pytest.approx(wanted)
    bias = lottery.bias("near 0.75", 0.75)
    assert bias is not None
    pi, a = np.array(bias.probability), np.array(bias.exact)
    a = (a / np.sqrt(pi @ a**2))[pi > 1e-4]
    assert any(
        np.allclose(line.get_ydata(), a)
        for line in right.get_lines()
        if len(line.get_ydata()) == a.size
    )


def test_words(lottery: Reading) -> None:
    said = texts(lottery)
    for phrase in ("$top_1$: lottery", "a & b; shared outcomes", "too sure", "groups of 8; exact"):
        assert phrase in said


@pytest.mark.parametrize("suffix", [".png", ".svg", ".PNG"])
def test_files_are_written_and_repeat(lottery: Reading, tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    save(lottery, first)
    save(lottery, second)
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size > 5000


def test_errors(lottery: Reading, tmp_path: Path, planted: object) -> None:
    with pytest.raises(InvalidInputError, match=r"a name that ends in .png or .svg"):
        save(lottery, tmp_path / "a.pdf")
    with pytest.raises(RecordError, match="no such folder"):
        save(lottery, tmp_path / "none" / "a.png")
    failed = probe(planted.one_too_few)  # type: ignore[attr-defined]
    with pytest.raises(InvalidInputError, match="one_too_few: expected a measurement to draw"):
        save(failed, tmp_path / "a.png")


def test_nothing_global_changes(lottery: Reading) -> None:
    before = dict(mpl.rcParams)
    draw(lottery)
    assert dict(mpl.rcParams) == before
