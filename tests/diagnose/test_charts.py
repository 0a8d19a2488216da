"""The pictures of a diagnosis: what is drawn is what was given."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from levelhead.diagnose.charts import Curve, bar_chart, line_chart

EVIL = "<script>alert(1)</script>\x00"
K = np.array([1.0, 2.0, 4.0, 8.0])


def words(svg: str) -> list[str]:
    return [text.text or "" for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_lines_rise_where_their_values_rise() -> None:
    curve = Curve("base", K, np.array([0.1, 0.2, 0.4, 0.8]))
    svg = line_chart([curve], x_label="k", label="pass@k", prefix="p", log_x=True, y_range=(0, 1))
    paths = re.findall(r'<path d="M ([^"]*)"[^>]*stroke: var\(--series-1', svg)
    (points,) = [p for p in paths if len(re.findall("[ML]", p)) == 3]
    x, y = np.array([float(v) for v in re.findall(r"-?[0-9.]+", points)]).reshape(-1, 2).T
    np.testing.assert_allclose(np.diff(x), np.diff(x)[0], rtol=1e-3)  # powers of two, evenly
    np.testing.assert_allclose(np.diff(y)[1:] / np.diff(y)[:-1], 2.0, rtol=1e-2)
    assert (np.diff(y) < 0).all()


def test_everything_is_named() -> None:
    band = Curve("tuned", K, K / 10, K / 12, K / 8)
    svg = line_chart([Curve("base", K, K / 9), band], x_label="samples", y_label="solved", label="x",
                     prefix="p", percent=True, mark=(4.0, "they cross"))  # fmt: skip
    assert {"base", "tuned", "samples", "solved", "they cross"} <= set(words(svg))
    assert any(word.endswith("%") for word in words(svg))


def test_bars_carry_their_values() -> None:
    svg = bar_chart(["code", "boxed"], [("start", [0.5, 0.25]), ("end", [0.9, float("nan")])], label="x",
                    prefix="b", percent=True, marks=[0.6, 0.3], marks_name="drift alone")  # fmt: skip
    assert {"code", "boxed", "start", "end", "drift alone", "50%", "25%", "90%"} <= set(words(svg))


def test_a_number_stands_behind_the_tick_that_would_cut_through_it() -> None:
    def place(mark: float) -> float:
        svg = bar_chart(["a", "b"], [("x", [0.47, 1.0])], label="x", prefix="b", marks=[mark, 0.1])
        for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
            if text.text == "0.47":
                return float(text.get("x", "nan"))
        raise AssertionError(svg)

    assert place(0.6) > place(0.51) > place(0.9) == place(0.2)


def test_small_numbers_on_an_axis_of_powers_are_short_and_few() -> None:
    x = 2.0 ** np.arange(-14, 0)
    svg = line_chart([Curve("a", x, x)], x_label="|w|", label="x", prefix="p", log_x=True)
    ticks = [word for word in words(svg) if word.startswith("0.") or "e-" in word]
    assert all(len(word) <= 8 for word in ticks)
    assert "0.00098" in ticks or len(ticks) >= 2


@pytest.mark.parametrize("tick", ["", "tuned, whatever the truth is"])
def test_long_names_of_models_stay_within_the_picture(tick: str) -> None:
    names = ("Qwen/Qwen2.5-Math-7B-Instruct", "my-org/qwen2.5-math-7b-grpo-step-400")
    svg = bar_chart(["at least 100%"], [(name, [0.5]) for name in names], label="x", prefix="b",
                    marks=[0.4] if tick else None, marks_name=tick)  # fmt: skip
    root = ET.fromstring(svg)
    wide = float(root.get("viewBox", "").split()[2])
    cut = [text for text in root.iter("{http://www.w3.org/2000/svg}text") if "…" in str(text.text)]
    assert len(cut) == 2 + bool(tick)
    for text in cut:
        begin = float(text.get("x", "nan"))
        assert 0.0 < begin < begin + 5.0 * len(str(text.text)) < wide  # a letter is 4.9 on average


def test_hostile_names_are_plain_text() -> None:
    bars = bar_chart([EVIL, "$a_b$"], [(EVIL, [0.5, 0.2])], label=EVIL, prefix="x")
    lines = line_chart([Curve(EVIL, K, K)], x_label="k", label=EVIL, prefix="x", mark=(2.0, EVIL))
    for svg in (bars, lines):
        assert "<script" not in svg
        assert "\x00" not in svg
        ET.fromstring(svg)
    assert "$a_b$" in words(bars)
