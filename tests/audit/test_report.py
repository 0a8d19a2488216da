"""The report escapes what it is given, says what it is asked to say, and is there whole or not at all."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

from levelhead.audit import report
from levelhead.audit.report import Picture, render_html, write_json, write_report
from levelhead.audit.result import AuditResult, NullRow, Verdict
from levelhead.errors import RecordError

VOID = {"meta", "link", "img", "br", "input", "hr"}


class Page(HTMLParser):
    """Every element with its attributes, the visible text, and whether the tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def said(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


@pytest.fixture(scope="module")
def html(factory: ModuleType) -> str:
    return render_html(factory.two_models())


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_nothing_in_the_data_becomes_markup(factory: ModuleType, html: str, page: Page) -> None:
    assert page.open == []
    for tag in ("script", "img", "iframe", "object", "form", "input", "base"):
        assert page.all(tag) == []
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert not [v for v in attributes.values() if v and v.strip().startswith("javascript:")]
    for hostile in factory.BREAKOUTS:
        assert hostile in page.said
    assert "7 * 7" in html
    assert "&amp;lt;" not in html


def test_every_text_field_is_escaped(factory: ModuleType) -> None:
    def poison(value: object) -> object:
        """Script in every string that is not an identifier the report looks things up by."""
        if isinstance(value, str):
            return value if value in KEPT else f"<script>x</script>{value}"
        if isinstance(value, list | tuple):
            return type(value)(poison(v) for v in value)
        if isinstance(value, dict):
            return {key: poison(v) for key, v in value.items()}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [field.name for field in dataclasses.fields(value)]
            return dataclasses.replace(value, **{n: poison(getattr(value, n)) for n in names})
        return value

    result = poison(factory.two_models())
    assert isinstance(result, AuditResult)
    page = Page(render_html(result))
    assert page.all("script") == []
    assert page.said.count("<script>x</script>") > 100  # long texts, cut ones too


KEPT = {"calibration", "overconfidence", "scores", "selective", "trust", "lower", "higher", "answer",
        "width", "mass", "right", "left", "drop", "assert"}  # fmt: skip


def test_it_is_one_file_that_loads_nothing(page: Page, html: str) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attributes.get(name) or ""
            assert value.startswith(("#", "data:")) or not value, (tag, name, value)
    outside = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w[^\s\"')<>]*", html))
    assert outside == {"http://www.w3.org/2000/svg"}  # a namespace, never fetched
    assert "@import" not in html
    assert re.findall(r"url\((?!#)", html) == []
    policy = next(m for m in page.all("meta") if m.get("http-equiv"))
    assert (policy["content"] or "").startswith("default-src 'none'")


def test_it_can_be_navigated_and_heard(page: Page) -> None:
    assert page.all("html")[0]["lang"] == "en"
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    links = {(a["href"] or "")[1:] for a in page.all("a")}
    assert links
    assert links <= set(ids)
    assert all(th.get("scope") for th in page.all("th"))
    for svg in page.all("svg"):
        assert svg["role"] == "img"
        assert len(svg["aria-label"] or "") > 20
    assert len(page.all("svg")) == 6
    scrolling = [a for _, a in page.elements if "scroll" in (a.get("class") or "").split()]
    assert scrolling
    assert all(a["tabindex"] == "0" and a["role"] == "region" for a in scrolling)
    assert len(page.all("h1")) == 1
    headings = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3")]
    assert all(b - a <= 1 for a, b in itertools.pairwise(headings))


def test_the_sections_come_in_order(html: str) -> None:
    names = ["verdicts", "reliability", "risk", "trust", "numbers", "chance", "slices", "errors",
             "comparison", "data", "sensitivity", "made"]  # fmt: skip
    places = [html.index(f'class="{n} ' if n == "verdicts" else f'id="{n}"') for n in names]
    assert places == sorted(places)


def test_it_opens_with_the_verdict_in_words(factory: ModuleType, page: Page) -> None:
    verdict = factory.two_models().models[1].verdict
    title, _, lead = verdict.headline.partition(": ")
    start = page.said.index("▲ Overconfident")
    assert title == "Overconfident"
    assert lead[1:] in page.said[start:]
    assert start < page.said.index("Is it right as often as it says?")
    assert all(sentence in page.said for sentence in verdict.sentences)


def test_a_picture_from_outside_opens_it(factory: ModuleType) -> None:
    picture = Picture(
        '<svg role="img" aria-label="the point"></svg>', "GRPO <is> sure", "why & how"
    )
    html = render_html(factory.two_models(), opening=picture)
    start = html.index('<svg role="img" aria-label="the point">')
    assert start < html.index('class="verdicts ')
    assert html.index("GRPO &lt;is&gt; sure") < start < html.index("why &amp; how")


def test_the_reports_own_formats() -> None:
    assert report._interval((0.1, 0.25)) == "[0.100, 0.250]"
    assert report._interval((-0.1, 0.25), True) == "[−0.100, +0.250]"
    assert report._interval((None, 0.25)) == ""
    assert [report._position(v, 0.5) for v in (0.25, 9.0, -1.0, None)] == [
        "50.00%", "100.00%", "0.00%", "0.00%",
    ]  # fmt: skip


def test_undefined_numbers_say_so(factory: ModuleType) -> None:
    page = Page(render_html(factory.undefined()))
    assert page.open == []
    numbers = page.said[page.said.index("The metrics, with") :]
    assert numbers.count("undefined") >= 13
    assert "None" not in page.said
    assert "nan" not in page.said.split()
    assert "0.000" not in numbers
    assert "Where was it surest and wrong?" not in page.said


def test_an_audit_without_models_is_still_a_page() -> None:
    empty = AuditResult([], [], {}, 0.95, 1000, 0, "2026-01-01", "1.0", ["nothing here"])
    page = Page(render_html(empty))
    assert page.open == []
    assert "nothing here" in page.said


def test_long_texts_are_folded_and_whole(factory: ModuleType, page: Page) -> None:
    assert "all 10,011 characters" in page.said
    assert factory.LONG.strip() in page.said
    assert page.said.count(factory.UNBROKEN) == 1
    assert factory.EMOJI in page.said


def test_forbidden_characters_are_replaced(factory: ModuleType, html: str) -> None:
    assert "a\ufffdb\ufffdc\ufffdd" in html
    html.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", html)


@pytest.mark.parametrize(
    ("kind", "missing", "sentence"),
    [
        ("answer", "assert", "1 of 5,608 confidences could not be parsed; counted as a claim of "
         "certainty (0.99)."),
        ("answer", "drop", "1 of 5,608 confidences could not be parsed; left out of every number, as "
         "this convention says."),
        ("answer", "zero", "1 of 5,608 confidences could not be parsed; counted as a confidence of 0, "
         "as this convention says."),
        ("event", "assert", "1 of 5,608 confidences could not be parsed; counted as certain and wrong "
         "(0.99 for what did not happen)."),
    ],
)  # fmt: skip
def test_what_became_of_the_records_is_said(
    factory: ModuleType, kind: str, missing: str, sentence: str
) -> None:
    result = factory.one_model(kind=kind)
    rules = {**result.convention, "missing": missing}
    page = Page(render_html(dataclasses.replace(result, convention=rules)))
    assert sentence in page.said
    assert "Where the confidences come from: 5,607 parsed, 1 missing." in page.said


def test_other_statuses_and_missing_labels_are_said(factory: ModuleType) -> None:
    counts = {"ok": 5600, "missing": 3, "out_of_range": 2, "refusal": 3}
    page = Page(render_html(factory.one_model(status_counts=counts, n_unlabelled=1234)))
    assert "3 of 5,608 records had no confidence; counted" in page.said
    assert "2 of 5,608 confidences lay outside [0, 1]; counted" in page.said
    assert "3 of 5,608 records are refusals; they are not scored." in page.said
    assert "1,234 of 5,608 records have no label; not scored." in page.said


def test_comparisons_are_words_and_symbols(factory: ModuleType, page: Page) -> None:
    said = page.said[page.said.index("Against the baseline") :]
    for words in ("▲ worse", "✓ better", "○ undecided"):
        assert words in said
    assert factory.two_models().comparisons[0].sentence in page.said
    assert "5,608 records of 1,402 prompts, paired by prompt" in said


def test_chance_is_set_beside_the_error(factory: ModuleType) -> None:
    page = Page(render_html(factory.one_model(null=NullRow(0.0123, 0.0201, 0.1877, 0.0004))))
    assert "of which 0.012 would be expected by chance: +0.188 beyond it" in page.said
    assert "p < 0.001" in page.said


def test_the_convention_in_use_is_marked_among_the_others(page: Page) -> None:
    said = page.said[page.said.index("What would other conventions give?") :]
    assert said.count("(used in this report)") == 2
    assert re.search(r"equal width, right edge in 0\.\d{3} \(used in this report\)", said)


def test_models_of_one_name_are_told_apart(factory: ModuleType) -> None:
    result = factory.two_models(hostile=False)
    twins = [dataclasses.replace(m, name="predictions") for m in result.models]
    page = Page(render_html(dataclasses.replace(result, models=twins)))
    assert "predictions (2)" in page.said
    assert len(page.all("svg")) == 6


def test_shared_warnings_are_listed_once(factory: ModuleType) -> None:
    result = factory.two_models(hostile=False)
    same = [dataclasses.replace(m, warnings=["odd file", m.name]) for m in result.models]
    page = Page(render_html(dataclasses.replace(result, models=same)))
    assert page.said.count("odd file") == 1
    assert "tuned-no-std : tuned-no-std" in page.said.replace("tuned-no-std: ", "tuned-no-std : ")


def test_a_headline_without_a_colon_is_a_title(factory: ModuleType) -> None:
    page = Page(render_html(factory.one_model(verdict=Verdict("new-label", "Hm", ()))))
    assert "○ Hm" in page.said


def test_the_same_result_gives_the_same_file(factory: ModuleType, html: str) -> None:
    assert render_html(factory.two_models()) == html


def test_writing_replaces_the_file_or_leaves_it(
    factory: ModuleType, tmp_path: Path, html: str
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    broken = dataclasses.replace(factory.two_models(), models=[None])
    with pytest.raises(AttributeError):
        write_report(broken, path)
    assert path.read_text() == "old"
    write_report(factory.two_models(), path)
    assert path.read_text(encoding="utf-8") == html
    write_json(factory.undefined(), str(tmp_path / "out.json"))
    data = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert data["models"][0]["metrics"][0]["value"] is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.json", "report.html"]


@pytest.mark.parametrize("write", [write_report, write_json])
def test_where_nothing_can_be_written_one_sentence_says_so(
    factory: ModuleType, tmp_path: Path, write: object
) -> None:
    missing = tmp_path / "no" / "such" / "report.html"
    with pytest.raises(
        RecordError, match=r"report\.html: cannot write here: there is no such folder"
    ):
        write(factory.undefined(), missing)
    with pytest.raises(RecordError, match="expected a file to write, got a folder"):
        write(factory.undefined(), tmp_path)
