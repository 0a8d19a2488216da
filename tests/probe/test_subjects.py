"""Names lead to subjects: ours, other packages', a function in a file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from levelhead import __version__
from levelhead.advantages import TABLE
from levelhead.errors import InvalidInputError, MissingDependencyError
from levelhead.lab.lengths import AGGREGATIONS
from levelhead.probe.subjects import PACKAGES, TITLES, Subject, everything, measure, resolve

PLANTED = Path(__file__).with_name("planted.py")


def test_ours_by_name_and_all() -> None:
    (grpo,) = resolve(["grpo"])
    assert (grpo.name, grpo.version, grpo.is_loss) == ("grpo", f"levelhead {__version__}", False)
    assert [s.name for s in resolve(["ours:all"])] == list(TABLE)
    assert [s.name for s in resolve(["ours:rloo", "rloo"])] == ["rloo"]


def test_losses() -> None:
    assert [s.name for s in resolve(["loss:all"])] == [f"loss:{name}" for name in AGGREGATIONS]
    (one,) = resolve(["loss:seq-mean-token-mean"])
    assert (one.name, one.is_loss) == ("loss:seq_mean_token_mean", True)


def test_a_function_in_a_file() -> None:
    (mine,) = resolve([f"{PLANTED}:centered"])
    assert mine.version == ""
    reading = measure(mine, reward="brier", group_size=8)
    assert (reading.name, reading.verdict) == (f"{PLANTED}:centered", "calibrated")


def test_a_class_in_a_file_is_made_anew() -> None:
    (mine,) = resolve([f"{PLANTED}:EarlierMean"])
    assert mine.make is not None
    assert mine.make() is not mine.make()


def test_estimators_with_a_memory_start_without_one() -> None:
    (ema,) = resolve(["ema_std"])
    assert ema.make is not None
    assert ema.make() is not ema.make()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpro", "estimator: expected one of .*ours:all.*, got 'gpro'; did you mean 'grpo'"),
        ("loss:token_men", "loss: expected one of .*did you mean 'loss:token_mean'"),
        ("mine.py", "mine.py: expected file.py:function, got a file"),
        ("no_such_file.py:f", "expected a file, there is none"),
        ("no_such_module:f", "expected an installed module"),
        ("GRPO", "estimator: names are in lower case, got 'GRPO'; did you mean 'grpo'"),
        ("ours:Rloo", "got 'Rloo'; did you mean 'rloo'"),
        ("TRL:Group", "TRL:Group: names are in lower case; did you mean 'trl:group'"),
        ("Loss:all", "did you mean 'loss:all'"),
    ],
)
def test_names_that_stand_for_nothing(name: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        resolve([name])


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_that_are_not_installed_are_named(package: str) -> None:
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    message = rf"^the probe of {TITLES[package]} needs an optional .*levelhead\[{package}\]"
    with pytest.raises(MissingDependencyError, match=message):
        resolve([f"{package}:all"])
    subjects, missing = everything()
    assert {s.name for s in subjects} >= {*TABLE, "loss:token_mean"}
    assert any(text.startswith(f"{package} is not installed") for text in missing)


@pytest.mark.parametrize("package", PACKAGES)
def test_installed_packages_are_listed_with_their_version(package: str) -> None:
    pytest.importorskip(package)
    found = resolve([f"{package}:all", f"{package}:loss"])
    names = [s.name for s in found]
    assert len(set(names)) == len(names)
    assert all(s.version.startswith(f"{package} ") for s in found)
    assert all((s.make is None) == bool(s.reason) for s in found if not s.is_loss)
    assert [s.name for s in resolve([names[0]])] == [names[0]]


def test_what_cannot_be_driven_says_why() -> None:
    reading = measure(Subject("pkg:odd", "pkg 1.0", reason="needs a critic"))
    assert (reading.failure, reading.verdict) == ("needs a critic", "not measured")
