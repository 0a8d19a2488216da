"""Every metric in the report is explained."""

from __future__ import annotations

from levelhead.audit.explanations import EXPLANATIONS
from levelhead.audit.report import render_html
from levelhead.audit.result import AuditResult
from levelhead.audit.summary import AUDITED


def test_every_audited_metric_is_explained() -> None:
    assert [name for name in AUDITED if name not in EXPLANATIONS] == []


def test_no_explanation_is_left_over() -> None:
    assert set(EXPLANATIONS) - set(AUDITED) == set()


def test_the_report_prints_them(factory: object) -> None:
    html = render_html(factory.two_models())  # type: ignore[attr-defined]
    assert "Records are sorted into bins by stated confidence" in html
    assert isinstance(factory.two_models(), AuditResult)  # type: ignore[attr-defined]
