"""Shell scripts cut into words."""

from __future__ import annotations

from levelhead.lint._words import Lexer, Part


def parts(text: str) -> tuple[Part, ...]:
    (token,) = Lexer(text)
    return token.parts


def test_kinds_of_parts() -> None:
    assert parts("a'b'\"c\"") == (
        Part("text", "a"),
        Part("text", "b", True),
        Part("text", "c", True),
    )
    assert parts("$A") == (Part("variable", "A"),)
    assert parts('"${A[@]}"') == (Part("array", "A", True),)
    assert parts("${A:-x}") == (Part("variable", "A", False, (Part("text", "x"),)),)
    assert parts("${A%.sh}")[0].kind == parts("$(ls)")[0].kind == "odd"
    assert parts("''") == (Part("text", "", True),)


def test_operators_separate() -> None:
    assert [token.operator or token.plain for token in Lexer("a;b&&c|d\ne;;f")] == [
        *("a", ";", "b", "&&", "c", "|", "d", "\n", "e", ";;", "f")
    ]


def test_comments_and_redirections_are_passed_over() -> None:
    words = [token.plain for token in Lexer("a #b c\nd 2>&1 >f e#f") if not token.operator]
    assert words == ["a", "d", "e#f"]


def test_a_document_is_read_after_its_line() -> None:
    tokens = list(Lexer("cat <<A b\nx $V\nA\nc"))
    document = next(token for token in tokens if token.document is not None)
    assert document.document == (
        Part("text", "x ", True),
        Part("variable", "V", True),
        Part("text", "\n", True),
    )
    assert tokens[-1].plain == "c"
    assert tokens[-1].line == 4


def test_an_array() -> None:
    (token,) = Lexer("A+=(x # no\n 'y z')")
    assert (token.name, token.appends) == ("A", True)
    assert [inner.parts[0].text for inner in token.array or ()] == ["x", "y z"]
