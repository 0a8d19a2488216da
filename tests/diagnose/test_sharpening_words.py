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
    assert "in at least half of the samples, where a lucky guess is not enough: 0% to 50%." in text
    assert "cannot tell what happens beyond k = 16" in text
    assert "no finding" not in text
    assert "newly solved as well" not in text


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
    fallen = of_counts([0] * 20 + [8] * 20, [2] * 20 + [1] * 20, 8)
    assert fallen.verdict == "EXPAND"
    assert "But pass@1 fell: 50% to 19%." in fallen.sentences
    assert not any("no finding" in text for text in fallen.sentences)


def test_neither() -> None:
    found = of_counts([4, 4] * 20, [8, 1] * 20, 8)
    assert (found.verdict, found.tone) == ("INCONCLUSIVE", "open")
    assert "pass@1 50% to 56%, within noise" in found.headline
    assert any("Curves of equal models cross somewhere too" in text for text in found.sentences)


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
        "new became worse, neither sharpened nor expanded: pass@1 50% to 6%, pass@8 100% to 50%."
    )
    assert of_counts([4] * 40, [1] * 40, 8).headline.startswith("new became worse")  # at k = 1
    once = of_counts([1] * 40, [0] * 40, 1)
    assert once.headline.endswith("neither sharpened nor expanded: pass@1 100% to 0%.")


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
    assert found.tables[2].rows[3][:4] == ["50%", 0.0, 0.5, 0.5]
    table = found.tables[0]
    assert [row[0] for row in table.rows] == ["1", "2", "4", "8", "16"]
    assert found.tables[1].rows[1] == ["solved by old", 20, 20]
    assert len(found.charts) == 2
    assert all(chart.svg.startswith("<svg") for chart in found.charts)
    back = json.loads(json.dumps(found.data, allow_nan=False))
    assert back["crossing"] == 5
    assert back["p_guessed"] is None
    assert [one["tau"] for one in back["cover"]] == [0.01, 0.1, 0.25, 0.5, 0.8, 1.0]


def test_one_sample_has_no_curve() -> None:
    found = of_counts([1, 0] * 20, [1, 0] * 20, 1)
    measures = {one.name: one for one in found.measures}
    assert measures["mean pass@k over log k, change"].value is None
    assert len(found.charts) == 1
    json.dumps(found.data, allow_nan=False)
