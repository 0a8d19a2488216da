"""The guard's report: what it says, that it stands alone, and that no text can break out of it."""

from __future__ import annotations

import dataclasses
import html
import math
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from levelhead import _palette
from levelhead._text import signed
from levelhead.errors import RecordError
from levelhead.guard.evaluation import Evaluation, Outcome
from levelhead.guard.guard import Guard, evaluate, fit_guard, set_threshold
from levelhead.guard.report import render_html, write_report
from levelhead.records import Predictions

BREAKOUTS = (
    "</style></title><script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "{{ 7 * 7 }}{% raw %}",
    "]]><!--",
)
BIDI, CONTROL, UNBROKEN = "\u202eabc", "a\x00b\x1b[31m\ud800", "x" * 3000


def world(n: int, seed: int, *, kind: str = "answer", shift: float = 0.0) -> Predictions:
    """Two samples per prompt, stated at 0.9; `p_true` knows the difficulty."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.beta(2.0, 1.0, n), 2)
    right = rng.random(2 * n) < np.clip(truth - shift, 0.01, 0.99)
    stated = np.round(np.clip(0.9 + 0.03 * rng.normal(size=2 * n), 0, 1), 2)
    texts = [BREAKOUTS[i % len(BREAKOUTS)] for i in range(2 * n)]
    columns = {
        "p_true": truth,
        "subject": [("law", "art", BREAKOUTS[0])[i // 2 % 3] for i in range(2 * n)],
        "prompt": texts,
        "answer": texts[::-1],
        "text": [(BIDI, "e\u0301 🦜", UNBROKEN)[i % 3] for i in range(2 * n)],
    }
    return Predictions.from_arrays(
        kind,  # type: ignore[arg-type]
        stated,
        right,
        model=BREAKOUTS[0],
        prompt_id=[f"{seed}-{i // 2}" for i in range(2 * n)],
        columns=columns,
    )


@pytest.fixture(scope="module")
def guard() -> Guard:
    data = world(900, 0)
    fitted = fit_guard(data, features=("stated", "p_true"))
    return set_threshold(fitted, data, max_error=0.3, delta=0.1, escalate_above=0.4)


@pytest.fixture(scope="module")
def found(guard: Guard) -> Evaluation:
    return evaluate(guard, world(500, 1), by="subject")


class Text(HTMLParser):
    """The visible text, the tags, and their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_the_headline_is_what_became_of_the_promise(found: Evaluation, guard: Guard) -> None:
    text = Text(render_html(found, guard)).text
    assert found.verdict == "kept"
    assert "✓ Promise kept" in text
    assert found.sentence[1:] in text
    assert found.promise[1:] in text
    assert "≤ 30%" in text
    assert f"{found.outcome.n_answered:,} of 500 prompts" in text


@pytest.mark.parametrize(
    ("verdict", "title"),
    [
        ("within chance", "Promise not contradicted"), ("broken", "▲ Promise broken"),
        ("nothing answered", "Nothing was answered"), ("no threshold", "No threshold yet"),
    ],
)  # fmt: skip
def test_every_verdict_has_its_title(
    found: Evaluation, guard: Guard, verdict: str, title: str
) -> None:
    assert title in Text(render_html(dataclasses.replace(found, verdict=verdict), guard)).text


def test_rows_of_the_fit_are_flagged_in_red(found: Evaluation, guard: Guard) -> None:
    fair = render_html(found, guard)
    assert 'class="alarm"' not in fair
    page = render_html(dataclasses.replace(found, on_fit_rows=True), guard)
    assert '<div class="alarm" role="alert"><p><b>Not a test.</b>' in page
    assert "Promise kept" not in page
    assert re.search(r"\.alarm \{[^}]*background: #a01818", page)


def test_drift_is_an_alarm(guard: Guard) -> None:
    easy = world(500, 2)
    at = easy.columns.column_names.index("p_true")
    lower = np.clip(np.asarray(easy.columns["p_true"]) - 0.1, 0, 1)
    moved = dataclasses.replace(easy, columns=easy.columns.set_column(at, "p_true", [lower]))
    seen = evaluate(guard, moved)
    assert seen.drift is not None
    assert seen.drift.alarm
    assert "The scores have drifted." in Text(render_html(seen, guard)).text


def test_frequent_errors_are_an_alarm(guard: Guard) -> None:
    seen = evaluate(guard, world(500, 2, shift=0.5))
    assert seen.alarm is not None
    assert seen.alarm.alarm_at is not None
    text = Text(render_html(seen, guard)).text
    assert "Errors have become more frequent." in text
    assert "The scores have drifted." not in text
    assert "▲ Promise broken" in text


def test_the_pictures_show_the_numbers(found: Evaluation, guard: Guard) -> None:
    page = render_html(found, guard)
    charts = re.findall(r'<svg class="chart".*?</svg>', page, re.S)
    assert len(charts) == 3
    risk, reliability, scores = charts
    assert "promised: at most 30%" in risk
    assert f"{100 * found.outcome.error_rate:.0f}% wrong" in risk
    assert "verified" in risk
    assert "stated" in risk
    assert "overconfident" in reliability
    value = guard.policy.thresholds[""].value if guard.policy else None
    assert f"answered from {value:g}" in scores
    assert "when the threshold was set" in scores


def test_a_promise_on_the_mean_loss_draws_no_limit_on_the_error_rate(guard: Guard) -> None:
    data = world(900, 0)
    other = set_threshold(guard, data, max_error=0.2, method="crc")
    page = render_html(evaluate(other, world(300, 1)), other)
    assert "promised: at most" not in page
    assert "wrong per prompt, on average" in page


def test_each_slice_has_its_line(found: Evaluation, guard: Guard) -> None:
    page = render_html(found, guard)
    table = page[page.index('id="slices"') : page.index('id="verifier"')]
    assert table.count("<tr>") == 1 + 3
    for one in found.slices:
        assert html.escape(one.value, quote=False).replace("'", "&#39;") in table
        assert f"{one.outcome.n_answered:,}" in table
    assert "not for each slice" in Text(table).text


def test_the_verifiers_weights_are_in_words(found: Evaluation, guard: Guard) -> None:
    text = Text(render_html(found, guard)).text
    for effect in guard.verifier.explain():
        assert effect.name in text
        assert signed(effect.weight, 2) in text
    assert "P(True): the model's own check" in text


def test_events_are_read_as_events() -> None:
    data = world(600, 0, kind="event")
    fitted = fit_guard(data, features=("stated", "p_true", "claims_event"))
    page = render_html(evaluate(fitted, data), fitted)
    text = Text(page).text
    assert "Probability of the event" in text
    assert "Share that happened" in text
    assert "No threshold yet" in text
    assert "it happens" in text


def test_a_boosted_verifier_shows_shares(found: Evaluation) -> None:
    pytest.importorskip("sklearn")
    data = world(400, 0)
    fitted = fit_guard(data, features=("stated", "p_true"), model="boosting")
    text = Text(render_html(evaluate(fitted, data), fitted)).text
    assert "Boosted trees" in text
    assert "log-odds of being right" not in text


def test_missing_numbers_say_so(found: Evaluation, guard: Guard) -> None:
    nothing = Outcome(0, 0, 0, 0, 0, math.nan, math.nan)
    bare = dataclasses.replace(
        found, outcome=nothing, stated=None, verified=None, curve=None, stated_curve=None,
        drift=None, alarm=None, overstated=(), slices=(), by=None, score_shares=(),
        reference_shares=(), score_edges=(), notes=(),
    )  # fmt: skip
    page = render_html(bare, guard)
    text = Text(page).text
    assert "undefined" in text
    assert "nan" not in text
    assert "None" not in text


def test_hostile_texts_are_shown_as_text(found: Evaluation, guard: Guard) -> None:
    page = render_html(found, guard)
    seen = Text(page)
    assert not {"script", "img", "iframe", "object"} & set(seen.tags)
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    for text in BREAKOUTS:
        assert " ".join(text.split()) in seen.text
    assert "\x00" not in page


def test_control_characters_become_visible_ones(found: Evaluation, guard: Guard) -> None:
    first = found.overstated[0]
    record = dataclasses.replace(first.record, columns={"answer": CONTROL})
    odd = dataclasses.replace(found, overstated=(dataclasses.replace(first, record=record),))
    assert "a\ufffdb\ufffd[31m\ufffd" in Text(render_html(odd, guard)).text


def test_long_texts_are_folded_and_huge_ones_cut(found: Evaluation, guard: Guard) -> None:
    first = found.overstated[0]
    record = dataclasses.replace(first.record, columns={"text": "y" * 50_000})
    long = dataclasses.replace(found, overstated=(dataclasses.replace(first, record=record),))
    page = render_html(long, guard)
    assert "[... 30,000 characters left out ...]" in page
    assert page.count("y" * 10_000) == 2


def test_the_file_needs_nothing_else(found: Evaluation, guard: Guard, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(found, guard, path)
    page = path.read_text()
    assert page == render_html(found, guard)
    assert "default-src 'none'" in page
    outside = {u for u in re.findall(r"https?://[^\s\"'<)]+", page) if "w3.org" not in u}
    assert not outside
    assert not re.findall(r"url\((?!#)", page)
    with pytest.raises(RecordError, match="no such folder"):
        write_report(found, guard, tmp_path / "none" / "report.html")


def test_the_colors_are_those_of_every_picture(found: Evaluation, guard: Guard) -> None:
    page = render_html(found, guard)
    light = page[page.index(":root") : page.index("@media (prefers-color-scheme: dark)")]
    for role, color in {
        "ink": _palette.INK, "muted": _palette.MUTED, "rule": _palette.RULE, "over": _palette.OVER,
        "under": _palette.UNDER, "bar": _palette.BAR, "series-1": _palette.SLATE,
        "series-2": _palette.TEAL,
    }.items():  # fmt: skip
        assert f"--{role}: {color};" in light


WIDEST = """() => [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1
        && !e.closest('.scroll, .hidden, thead, svg'))
    .map(e => e.outerHTML.slice(0, 120)).slice(0, 5)"""
CLIPPED = """() => [...document.querySelectorAll('svg.chart text')]
    .filter(t => { const a = t.getBoundingClientRect(),
        b = t.ownerSVGElement.getBoundingClientRect();
        return a.left < b.left - 2 || a.right > b.right + 2 || a.bottom > b.bottom + 2 })
    .map(t => t.textContent)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine; on Debian: apt-get install chromium")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_it_is_quiet_and_fits_in_a_browser(
    browser: Any, found: Evaluation, guard: Guard, tmp_path: Path, width: int, scheme: str
) -> None:
    path = tmp_path / "report.html"
    write_report(dataclasses.replace(found, on_fit_rows=True), guard, path)
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("dialog", lambda dialog: (heard.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: heard.append(request.url))
    page.goto(path.as_uri(), wait_until="load")
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(WIDEST) == []
    assert page.evaluate(CLIPPED) == []
    assert heard == [path.as_uri()]
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 100) == (scheme == "dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf()[:5] == b"%PDF-"
    context.close()
