"""What every report shares: formats that do not lie, escaping, and colors that can be read."""

from __future__ import annotations

import math
import re
from pathlib import Path

import jinja2
import pytest
from markupsafe import Markup

from levelhead import _pages
from levelhead._pages import COLORS, blanked, clean, count, cut, environment, known

CSS = Path(_pages.__file__).parent / "templates" / "page.css"
PACKAGES = {"levelhead.audit": "report.css", "levelhead.guard": "guard.css"}


def printed(source: str, **names: object) -> str:
    return environment("levelhead.audit").from_string(source).render(**names)


def test_counts_and_what_is_known() -> None:
    assert [count(v) for v in (5608, 5608.0, 2.5)] == ["5,608", "5,608", "2.5"]
    assert [known(v) for v in (0.0, None, math.nan, -math.inf)] == [True, False, False, False]


def test_cutting_keeps_characters_whole() -> None:
    assert cut("short", 10) == "short"
    assert cut("one two three", 9) == "one two"
    assert cut("x" * 50, 10) == "x" * 10
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    for limit in range(3, 6):
        assert cut("ab" + family, limit) == "ab" or limit < 3
    assert cut("aaae\u0301", 4) == "aaa"


def test_characters_that_html_forbids_or_that_reorder_others() -> None:
    assert clean("a\x00b\x1bc\ud800d\te\u202ef") == "a\ufffdb\ufffdc\ufffdd\te\u202ef"
    assert blanked("a\x00b\u202ec\nd e\u0301") == "a b c d e\u0301"


def test_everything_printed_is_escaped_but_markup() -> None:
    assert printed("{{ a }}|{{ b }}", a="<b>\x00", b=Markup("<b>")) == "&lt;b&gt;\ufffd|<b>"
    assert printed("{{ a }}|{{ b }}|{{ c }}", a=None, b=math.nan, c=0) == "undefined|undefined|0"
    assert printed("{{ a|num }}|{{ a|signed(1) }}|{{ n|count }}|{{ t|cut(4) }}", a=-0.5, n=1200,
                   t="<abcdef") == "−0.500|−0.5|1,200|&lt;abc"  # fmt: skip


def test_a_name_that_nobody_gave_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="'nobody' is undefined"):
        printed("{{ nobody }}")


def test_a_package_brings_filters_of_its_own() -> None:
    own = environment("levelhead.guard", shout=str.upper)
    assert own.from_string("{{ 'a'|shout }}{{ 0.5|num }}").render() == "A0.500"
    assert "shout" not in environment("levelhead.guard").filters


def test_a_page_holds_the_shared_rules_before_its_own_and_loads_nothing() -> None:
    source = (
        '{% extends "page.html.j2" %}{% from "parts.html.j2" import heading, quote %}'
        "{% block title %}{{ t }}{% endblock %}{% block style %}.own { margin: 0 }{% endblock %}"
        '{% block page %}{{ heading("k", t) }}{{ quote(t) }}{{ quote("x y " * 100) }}{% endblock %}'
    )
    page = printed(source, t="<i>", version="1.2")
    assert page.index(":root {") < page.index(".own {") < page.index("</style>")
    assert "<title>&lt;i&gt;</title>" in page
    assert "<h2>&lt;i&gt;</h2>" in page
    assert '<div class="quote" dir="auto">&lt;i&gt;</div>' in page
    assert "all 400 characters" in page
    assert 'content="levelhead 1.2"' in page
    assert "default-src 'none'" in page
    assert not re.findall(r"https?://(?!www\.w3\.org)|@import|url\((?!#)", page)


@pytest.mark.parametrize(("package", "name"), PACKAGES.items())
def test_no_report_repeats_a_shared_rule(package: str, name: str) -> None:
    loader = environment(package).loader
    assert loader is not None
    shared, own = (
        {line.strip() for line in loader.get_source(environment(package), sheet)[0].splitlines()}
        for sheet in ("page.css", name)
    )
    assert [line for line in sorted(shared & own) if line.endswith("; }")] == []


# ---- the colors of the light, the dark and the print page


def themes() -> list[dict[str, str]]:
    css = CSS.read_text(encoding="utf-8")
    roots = re.findall(r":root \{(.*?)\}", css, flags=re.S)
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", root)) for root in roots]


def luminance(color: str) -> float:
    digits = color[1:] if len(color) == 7 else "".join(2 * c for c in color[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1, 2], ids=["light", "dark", "print"])
def test_text_has_enough_contrast(theme: int) -> None:
    colors = themes()[theme]
    grounds = ("page", "card", "soft", "rule", "bar", "shade")
    texts = [name for name in colors if name not in grounds]
    assert len(texts) == 10
    for name in texts:
        for ground in ("page", "card", "soft"):
            light, dark = sorted((luminance(colors[name]), luminance(colors[ground])), reverse=True)
            ratio = (light + 0.05) / (dark + 0.05)
            assert ratio >= 4.5, f"{name} on {ground}: {ratio:.2f}"


def test_the_charts_share_the_pages_palette() -> None:
    light, dark, for_print = themes()
    assert {role: light[role] for role in COLORS} == COLORS
    assert set(light) == set(dark) == set(for_print)
