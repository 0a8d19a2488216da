"""What every rule is tried on: the cases that its file lists as `FIRES` and as `SILENT`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from levelhead.lint import check, read_text


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each case, named after the tool whose syntax it is in."""
    for fixture, name in (("fires", "FIRES"), ("is_silent", "SILENT")):
        if fixture in metafunc.fixturenames:
            cases = getattr(metafunc.module, name)
            metafunc.parametrize(fixture, cases, ids=[case[0] for case in cases], indirect=True)


@pytest.fixture
def fires(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """That a rule finds the case once, with its severity and what to do."""
    _, file, text, severity = request.param

    def assert_fires(rule: str) -> None:
        found = [one for one in check(read_text(text, file)[0]) if one.rule == rule]
        assert [one.severity for one in found] == [severity]
        assert found[0].message
        assert found[0].fix

    return assert_fires


@pytest.fixture
def is_silent(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """That a rule does not find the case."""
    _, file, text = request.param

    def assert_silent(rule: str) -> None:
        assert rule not in {one.rule for one in check(read_text(text, file)[0])}

    return assert_silent
