"""Calibrators as files: bit for bit, and one sentence for every file that is none."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from levelhead._sealed import sealed
from levelhead._sketch import Sketch
from levelhead.calibrators import (
    TABLE,
    About,
    BetaCalibration,
    Calibrator,
    Candidate,
    DirichletCalibration,
    HistogramBinning,
    IsotonicCalibration,
    MatrixScaling,
    PlattScaling,
    TemperatureScaling,
    choose,
    from_text,
    load,
    make,
    save,
    to_text,
)
from levelhead.calibrators.documents import SCHEMA_VERSION
from levelhead.errors import InvalidInputError, LevelheadError, RecordError

DRAW = np.random.default_rng(0)
SAID = DRAW.beta(5.0, 1.5, 400)
RIGHT = (DRAW.uniform(size=400) < SAID**3).astype(np.float64)
LOGITS = DRAW.normal(0.0, 3.0, (400, 3))
LABELS = np.where(DRAW.uniform(size=400) < 0.6, LOGITS.argmax(axis=1), DRAW.integers(0, 3, 400))
ASKED = np.sort(np.append(DRAW.uniform(size=200), [0.0, 1.0]))

VARIANTS: list[Calibrator] = [
    *(make(name, kind.input) for name, kind in TABLE.items()),
    TemperatureScaling(eps=1e-3),
    PlattScaling(prior_smoothing=True),
    BetaCalibration(eps=1 / 3e5),
    HistogramBinning(n_bins=7, bins="width"),
    IsotonicCalibration(interpolation="step"),
    MatrixScaling((0.1, 1 / 3), fallback="none"),
    MatrixScaling(0.3),
    MatrixScaling(center=False),
    DirichletCalibration((0.01, 0.02), inputs="logits", min_rows=0),
]


def fitted(calibrator: Calibrator) -> Calibrator:
    if calibrator.input == "confidence":
        return calibrator.fit(SAID, RIGHT)
    probs = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    return calibrator.fit(probs if calibrator.get_params()["inputs"] == "probs" else LOGITS, LABELS)


def asked(calibrator: Calibrator) -> Any:
    if calibrator.input == "confidence":
        return ASKED
    probs = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    return probs if calibrator.get_params()["inputs"] == "probs" else LOGITS


def about(calibrator: Calibrator, **more: Any) -> About:
    kind = "answer" if calibrator.input == "confidence" else "classes"
    return About(kind, 400, **more)


@pytest.mark.parametrize("calibrator", VARIANTS, ids=repr)
def test_a_round_trip_is_exact_to_the_bit(calibrator: Calibrator, tmp_path: Path) -> None:
    one = fitted(calibrator)
    path = tmp_path / "calibrator.json"
    save(path, one, about(one))
    again, told = load(path)
    assert type(again) is type(one)
    assert again.get_params() == one.get_params()
    wanted, got = one.predict(asked(one)), again.predict(asked(one))
    assert wanted.tobytes() == got.tobytes()
    assert again.fit_ == one.fit_
    assert told == about(one)
    assert to_text(again, told) == path.read_text(encoding="utf-8") == to_text(one, told)


def test_the_table_is_covered() -> None:
    assert {one.method for one in VARIANTS} == set(TABLE)


def test_what_is_said_about_it_comes_back() -> None:
    said, right = np.append(SAID, 1.0), np.append(RIGHT, 0.0)
    found = choose(said, right, methods=["identity", "platt"])  # the identity is infinite
    failed = Candidate("matrix", *(math.nan,) * 4, 3, "in fold 1 of 5: ...")
    told = About(
        "event", 401, model='a "model" \ud800 é', fit_keys=Sketch.of(["a", "b"]), split_by="gene",
        created="2026-11-21T10:00:00Z", reason=found.reason, candidates=(*found.candidates, failed),
    )  # fmt: skip
    _, again = from_text(to_text(found.calibrator, told))
    assert again.candidates[1].loss == math.inf
    assert math.isnan(again.candidates[2].loss)
    assert repr(again.candidates) == repr(told.candidates)  # NaN is not equal to itself
    plain = {name: getattr(told, name) for name in ("kind", "n", "model", "fit_keys", "reason")}
    assert {name: getattr(again, name) for name in plain} == plain
    assert (again.split_by, again.created) == (told.split_by, told.created)


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(LevelheadError, match="^PlattScaling: expected a fitted calibrator"):
        save(path, PlattScaling(), About("answer", 4))

    class Mine(PlattScaling):
        pass

    mine = Mine().fit(SAID, RIGHT)
    with pytest.raises(
        InvalidInputError, match="which can be read back, got Mine; keep one of your own"
    ):
        save(path, mine, About("answer", 4))
    one = fitted(PlattScaling())
    with pytest.raises(
        InvalidInputError, match="^kind: expected one of answer, classes, event, got 'no'"
    ):
        save(path, one, About("no", 4))  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidInputError) as error:
        save(path, one, About("classes", 4))
    assert str(error.value) == "kind: expected one for a calibrator of confidence, got 'classes'"
    with pytest.raises(RecordError, match="expected a file to write, got a folder$"):
        save(tmp_path, one, About("answer", 4))
    assert not path.exists()


# ---- files that are none


def content() -> dict[str, Any]:
    one = fitted(PlattScaling())
    candidates = choose(SAID, RIGHT, methods=["identity", "platt"]).candidates
    told = About("answer", 400, fit_keys=Sketch.of(["a"]), candidates=candidates)
    return json.loads(to_text(one, told))["content"]


def refusal(text: str | bytes, tmp_path: Path) -> str:
    path = tmp_path / "x.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RecordError) as error:
        load(path)
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path)).removeprefix(": ")


def test_files_that_are_no_calibrators(tmp_path: Path) -> None:
    good = to_text(fitted(PlattScaling()), About("answer", 400))
    assert refusal("confidence,correct\n0.9,1\n", tmp_path) == (
        ":1: expected JSON, got an error: Expecting value"
    )
    assert refusal('[{"confidence": 0.9}]', tmp_path) == (
        "expected a calibrator that levelhead wrote, got other JSON"
    )
    assert refusal(sealed("guard", "1", {}), tmp_path) == "expected a calibrator, got a guard"
    assert refusal(
        good.replace('"schema_version": "1"', '"schema_version": "99"'), tmp_path
    ).endswith("upgrade levelhead, or fit it again with this version")
    assert refusal(good.replace('"n": 400', '"n": 401', 1), tmp_path) == (
        "expected a calibrator as levelhead wrote it, got one that was changed since (its digest "
        "differs); fit it again"
    )
    assert refusal(good.replace("400", "NaN", 1), tmp_path) == (
        "expected JSON with finite numbers, got NaN"
    )
    assert refusal(good[: len(good) // 2], tmp_path).startswith(":")
    assert refusal("", tmp_path) == "expected JSON, got an empty file"
    assert refusal(b"PAR1\xff\xfe", tmp_path) == (
        "expected a calibrator as UTF-8 text, got the byte 0xff at 4"
    )
    with pytest.raises(RecordError, match="expected a file, found none of that name$"):
        load(tmp_path / "none.json")
    with pytest.raises(RecordError, match="expected a file, got a folder; name the file in it$"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "plat"},
         "expected a calibrator that can be used, got one with method: expected one of "
         f"{', '.join(sorted(TABLE))}, got 'plat'; did you mean 'platt'?"),
        ({"method": None},
         "expected a calibrator that can be used, got one with an entry 'method' that is "
         "a NoneType; fit it again"),
        ({"state": {}}, "expected a calibrator that can be used, got one with state: expected an entry "
         "'n_features_in' for PlattScaling, got nothing; fit it again"),
        ({"parameters": {"epsilon": 1}}, "expected a calibrator that can be used, got one with parameter "
         "of PlattScaling: expected one of eps, prior_smoothing, got 'epsilon'; did you mean 'eps'?"),
        ({"about": {}}, "expected a calibrator that can be used, got one with no entry 'kind'; fit it "
         "again"),
    ],
)  # fmt: skip
def test_a_sealed_file_that_does_not_hold_a_calibrator(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    text = sealed("calibrator", SCHEMA_VERSION, content() | change)
    assert refusal(text, tmp_path) == message


def test_a_kind_that_does_not_go_with_the_method(tmp_path: Path) -> None:
    wrong = content()
    wrong["about"]["kind"] = "classes"
    assert refusal(sealed("calibrator", SCHEMA_VERSION, wrong), tmp_path) == (
        "expected a calibrator of one kind, got 'classes' for platt; fit it again"
    )


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if place:
        yield place
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*place, key))
    elif isinstance(value, list):
        for i in {0, len(value) - 1} if value else set[int]():
            yield from places(value[i], (*place, i))


WRONG = [None, True, -1, 0, 3, 0.5, -1e300, "x", [], [[]], [None], {}, {"a": 1}, [1.0, 2.0]]


@pytest.mark.parametrize("calibrator", [make(n, k.input) for n, k in TABLE.items()], ids=repr)
def test_any_wrong_entry_is_one_sentence_or_still_a_calibrator(calibrator: Calibrator) -> None:
    """The digest is no secret, so a file can be forged: it must not crash or give nonsense."""
    one = fitted(calibrator)
    good = json.loads(to_text(one, about(one, fit_keys=Sketch.of(["a"]))))["content"]
    told: set[str] = set()
    for place in places(good):
        for wrong in [*WRONG, "drop it"]:
            forged = copy.deepcopy(good)
            inner = forged
            for key in place[:-1]:
                inner = inner[key]
            if wrong == "drop it":
                del inner[place[-1]]
            else:
                inner[place[-1]] = wrong
            try:
                again, _ = from_text(sealed("calibrator", SCHEMA_VERSION, forged), "x.json")
            except RecordError as error:
                told.add(str(error))
                continue
            try:
                got = again.predict(asked(one))
            except InvalidInputError:
                continue  # another `inputs`, say
            assert ((got >= 0.0) & (got <= 1.0)).all(), (place, wrong)
    assert all(one.startswith("x.json: expected a calibrator") for one in told)
    assert not any("\n" in one for one in told)
    assert len(told) > 60


def test_what_it_was_fitted_on_need_not_be_said(tmp_path: Path) -> None:
    for calibrator, kind in ((PlattScaling(), "answer"), (MatrixScaling(0.1), "classes")):
        one = fitted(calibrator)
        save(tmp_path / "c.json", one)
        again, told = load(tmp_path / "c.json")
        assert type(again) is type(one)
        assert (told.kind, told.n, told.missing) == (kind, 400, None)
    with pytest.raises(LevelheadError, match="^PlattScaling: expected a fitted calibrator"):
        to_text(PlattScaling())


def test_the_share_of_missing_ones_comes_back_and_older_files_have_none() -> None:
    one = fitted(PlattScaling())
    text = to_text(one, about(one, missing=1 / 3))
    assert from_text(text)[1].missing == 1 / 3
    content = json.loads(text)["content"]
    for bad in (1.5, -0.1, True):
        content["about"]["missing"] = bad
        with pytest.raises(RecordError, match="missing"):
            from_text(sealed("calibrator", SCHEMA_VERSION, content))
    del content["about"]["missing"]
    assert from_text(sealed("calibrator", SCHEMA_VERSION, content))[1].missing is None
    with pytest.raises(InvalidInputError, match=r"missing: expected a share in \[0, 1\], got 2"):
        to_text(one, about(one, missing=2.0))


def test_a_foreign_calibrator_is_not_saved(tmp_path: Path) -> None:
    class Own:
        def fit(self, X: Any, y: Any) -> Own:
            return self

    with pytest.raises(InvalidInputError, match="got Own; keep one of your own in a file of your"):
        save(tmp_path / "x.json", Own())  # type: ignore[arg-type]
    assert not (tmp_path / "x.json").exists()
