"""What is said of each verdict, and what is not said where it is undefined."""

from __future__ import annotations

import json

import numpy as np
import pytest

from levelhead.diagnose.section import Section
from levelhead.diagnose.sharpening import Samples, diagnose_sharpening, section


def of_counts(base: list[int], tuned: list[int], n: int, guess_rate: float = 0.0) -> Section:
    place = np.arange(n)
    result = diagnose_sharpening(
        Samples.from_matrix(place < np.array(base)[:, None], name="old"),
        Samples.from_matrix(place < np.array(tuned)[:, None], name="new"),
        guess_rate=guess_rate,
        n_boot=200,
    )
    return section(result)


def test_sharpened() -> None:
    found = of_counts([4] * 20 + [1] * 20, [16] * 20 + [0] * 20, 16)
    assert (found.name, found.verdict, found.tone) == ("sharpening", "SHARPEN", "bad")
    # 20 problems at 1/4 and 20 at 1/16; then 20 at 1 and 20 at 0
    assert found.headline == (
        "new is sharpened: pass@1 rose from 16% to 50% and pass@16 fell from 100% to 50%; "
        "old first solves more at k = 5."
    )
    text = " ".join(found.sentences)
    assert "By luck alone this rule says SHARPEN in at most 2.5% of such comparisons" in text
    assert "Seen were 0 (p = 1.000) and 20 (p < 0.001)" in text
    half = "in at least half of the samples, where a lucky guess is not enough: "
    assert half + "rose from 0% to 50% (beyond chance)." in text
    assert "cannot tell what happens beyond k = 16" in text
    assert "no finding" not in text
    assert "newly solved as well" not in text
    assert "SHARPEN needs" not in text


def test_of_samples_that_are_alike_bad_luck_has_no_number() -> None:
    found = of_counts([0] * 20 + [8] * 20, [8] * 40, 8)
    text = " ".join(found.sentences)
    assert found.verdict == "INCONCLUSIVE"
    assert "nothing tells: samples of a problem are alike. new solves 20 more than once" in text
    assert "By bad luck" not in text
    (measure,) = (one for one in found.measures if one.name == "newly solved more than once")
    assert measure.null == "unknown"
    assert json.loads(json.dumps(found.data, allow_nan=False))["unlucky_new"] is None


def test_expanded_and_few_samples() -> None:
    found = of_counts([0] * 20 + [4] * 20, [4] * 10 + [0] * 10 + [4] * 20, 8)
    assert (found.verdict, found.tone) == ("EXPAND", "good")
    assert found.headline == (
        "new solves 10 of 40 problems more than once that old never solves in 8 samples; luck would "
        "show at most 0."
    )
    assert any("Few samples hide sharpening" in text for text in found.sentences)
    assert any("old does not solve more at any k up to 8" in text for text in found.sentences)
    worse = of_counts([0] * 20 + [4] * 20, [4] * 10 + [0] * 18 + [4] * 12, 8)
    assert worse.verdict == "EXPAND"
    assert any("But 8 problems are lost as well" in text for text in worse.sentences)
    assert not any("But pass@1 fell" in text for text in found.sentences)
    fallen = of_counts([0] * 20 + [7] * 20, [2] * 20 + [1] * 20, 8)
    assert fallen.verdict == "EXPAND"
    assert "But pass@1 fell from 44% to 19% (beyond chance)." in fallen.sentences
    assert not any("no finding" in text for text in fallen.sentences)


def test_neither() -> None:
    found = of_counts([4, 4] * 20, [8, 1] * 20, 8)
    assert (found.verdict, found.tone) == ("INCONCLUSIVE", "open")
    assert found.headline == (
        "new against old: pass@1 50% to 56% could be noise; pass@8 100% in both."
    )
    assert any("Curves of equal models cross somewhere too" in text for text in found.sentences)
    assert not any("SHARPEN needs" in text for text in found.sentences)


def test_what_is_beyond_chance_is_said_where_there_is_no_verdict() -> None:
    """pass@1 rose for sure; ten problems are lost and three are new, which may be noise."""
    found = of_counts([4] * 84 + [1] * 13 + [0] * 53, [8] * 84 + [0] * 10 + [1] * 6 + [0] * 50, 8)
    assert found.verdict == "INCONCLUSIVE"
    # (336 + 13) / 1200 and (672 + 6) / 1200; 97 and 90 of 150; thirteen have one right sample in
    # all, and three have two: 13 / 2 + 3 * 28 / 120
    assert found.headline == (
        "new against old: pass@1 rose from 29% to 56% (beyond chance); pass@8 65% to 60% could be "
        "noise; 10 problems lost and 3 newly solved, chance shows 7.2 of each."
    )
    why = next(text for text in found.sentences if text.startswith("SHARPEN needs"))
    assert "an interval below 0 and p at most 2.5%; here it is −4.7 points, −" in why
    assert "p = 0.046" in why  # 10 or more heads of 13: 378 / 8192
    assert "More are lost" not in why
    lost = of_counts([4] * 84 + [2] * 10 + [0] * 56, [8] * 84 + [0] * 10 + [2] * 3 + [0] * 53, 8)
    why = next(text for text in lost.sentences if text.startswith("SHARPEN needs"))
    assert "More are lost than an unchanged model loses" in why


def test_sharpened_and_expanded() -> None:
    found = of_counts([4] * 30 + [8] * 40 + [0] * 10, [0] * 30 + [16] * 40 + [9] * 10, 16)
    assert found.verdict == "SHARPEN"
    assert "But 10 problems are newly solved as well, more than luck explains." in found.sentences


def test_luck_stands_beside_what_is_new() -> None:
    found = of_counts([0] * 20 + [1] * 4 + [4] * 16, [2] * 20 + [4] * 20, 8)
    measure = next(one for one in found.measures if one.name == "newly solved more than once")
    assert (measure.value, measure.null) == (0.5, 0.1)  # 20 and 4 of 40
    assert "luck would show at most 4." in found.headline
    text = " ".join(found.sentences)
    assert "would solve at most 4 of these more than once; it solves 20 (p < 0.001)" in text


def test_worse_is_called_worse() -> None:
    found = of_counts([4] * 40, [1] * 20 + [0] * 20, 8)
    assert found.headline == (
        "new became worse, neither sharpened nor expanded: pass@1 fell from 50% to 6% (beyond "
        "chance); pass@8 fell from 100% to 50% (beyond chance); 20 problems lost and 0 newly solved, "
        "chance shows 1 of each."
    )
    assert of_counts([4] * 40, [1] * 40, 8).headline.startswith("new became worse")  # at k = 1
    once = of_counts([1] * 40, [0] * 40, 1)
    assert "expanded: pass@1 fell from 100% to 0% (beyond chance); 40 problems" in once.headline


def test_guesses_are_named_and_too_many_of_them_warned_of() -> None:
    found = of_counts([0, 4] * 20, [1, 4] * 20, 8, guess_rate=0.25)
    text = " ".join(found.sentences)
    assert "Guessing right 25% of the time would newly solve 18 of the 20 problems" in text
    assert any("guessing alone solves most problems in 8 samples" in one for one in found.warnings)


def test_numbers_tables_and_json_agree() -> None:
    found = of_counts([4] * 20 + [1] * 20, [16] * 20 + [0] * 20, 16)
    measures = {one.name: one for one in found.measures}
    assert measures["pass@1, old"].value == found.data["first"]["base"]
    assert measures["first k at which old solves more"].value == 5
    assert measures["no longer solved"].value == 0.5
    # twenty of 40 problems have one right sample of 32 in all: new or lost by a coin
    assert measures["no longer solved"].null == pytest.approx(0.25)
    assert measures["newly solved"].null == pytest.approx(0.25)
    assert measures["pass@1, new"].low == pytest.approx(0.5, abs=0.2)
    assert measures["pass@1, new"].low > measures["pass@1, old"].high  # type: ignore[operator]
    changes, curve, solved, cover = found.tables
    assert cover.rows[3][:4] == ["50%", "0%", "50.0%", "+50.0"]
    assert [row[0] for row in curve.rows] == ["1", "2", "4", "8", "16"]
    assert curve.rows[0] == ["1", "15.6%", "50.0%", "+34.4"]  # 100 and 320 of 640
    assert solved.rows[1] == ["solved by old", 20, 20]
    assert changes.rows[0][:2] == ["pass@1", "+34.4 points"]
    assert changes.rows[1][:2] == ["pass@16", "−50.0 points"]
    assert changes.rows[1][3] == "p < 0.001"  # twenty of twenty heads
    assert len(found.charts) == 2
    assert all(chart.svg.startswith("<svg") for chart in found.charts)
    back = json.loads(json.dumps(found.data, allow_nan=False))
    assert back["crossing"] == 5
    assert back["p_guessed"] is None
    assert [one["tau"] for one in back["cover"]] == [0.01, 0.1, 0.25, 0.5, 0.8, 1.0]


def test_the_same_number_has_one_interval() -> None:
    """Cover@tau up to 1 in n is pass@n."""
    rng = np.random.default_rng(1)
    base, tuned = rng.binomial(16, 0.1, 150).tolist(), rng.binomial(16, 0.09, 150).tolist()
    found = of_counts(base, tuned, 16)
    changes, cover = found.tables[0].rows, found.tables[3].rows
    assert cover[0][0] == "1%"
    assert f"{cover[0][3]} points" == changes[1][1]
    assert cover[0][4] == changes[1][2]
    assert cover[1][4] != changes[1][2]  # at least 2 of 16


def test_one_sample_has_no_curve() -> None:
    found = of_counts([1, 0] * 20, [1, 0] * 20, 1)
    assert [one.name for one in found.measures if "pass@" in one.name] == [
        "pass@1, old",
        "pass@1, new",
    ]
    assert [row[0] for row in found.tables[0].rows] == ["pass@1"]
    assert len(found.charts) == 1
    json.dumps(found.data, allow_nan=False)


def test_an_open_end_of_the_crossing_is_named() -> None:
    """Two of forty are lost; one in eight resamples has neither of them."""
    found = of_counts([4] * 37 + [1] * 3, [8] * 37 + [0] * 2 + [1], 8)
    measure = next(one for one in found.measures if one.name.startswith("first k"))
    assert (measure.value is not None, measure.high) == (True, None)
    assert measure.note.endswith("to beyond 8")
