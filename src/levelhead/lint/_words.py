"""A shell script cut into words, their parts, and the operators between commands."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Literal

__all__ = ["Lexer", "Part", "Token"]

_NAME = re.compile(r"[A-Za-z_]\w*|[0-9]|[@*#?$!-]")
_BRACED = re.compile(r"([A-Za-z_]\w*|[0-9]+|[@*])(\[[@*]\])?(?::?[-=](.*)|(:\d+))?$", re.DOTALL)
_ARRAY = re.compile(r"([A-Za-z_]\w*)(\+?)=\($")
_SPACE = " \t\r"
_RUN = re.compile(r"[^\\'\"$`\s;&|()<>]+")
_QUOTED_RUN = re.compile(r"[^\\\"$`\n]+")

MAX_DEPTH = 50
"""Defaults of variables within one another."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A piece of a word.

    Attributes:
        kind: "text"; "variable" or "array", by name; "odd": what would have to run.
        text: the text or the name.
        quoted: within quotes, where a value is not split into words.
        default: what a variable that is not set stands for.
    """

    kind: Literal["text", "variable", "array", "odd"]
    text: str
    quoted: bool = False
    default: tuple[Part, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Token:
    """A word, an operator, an array that is assigned, or a here-document.

    Attributes:
        line: 1-based.
        parts: of a word.
        operator: what separates commands, or empty.
        array: the words in `name=(...)`.
        name: of that array.
        appends: whether it is `name+=(...)`.
        document: the parts of a here-document.
    """

    line: int
    parts: tuple[Part, ...] = ()
    operator: str = ""
    array: tuple[Token, ...] | None = None
    name: str = ""
    appends: bool = False
    document: tuple[Part, ...] | None = None

    @property
    def plain(self) -> str | None:
        """The word where it is unquoted text and nothing else."""
        if len(self.parts) == 1 and self.parts[0].kind == "text" and not self.parts[0].quoted:
            return self.parts[0].text
        return None


class Lexer:
    """Iterates over the tokens of a script.

    Args:
        text: the script.
        line: of its first line.
    """

    def __init__(self, text: str, line: int = 1) -> None:
        self.text, self.at, self.line = text, 0, line
        self.waiting: list[tuple[str, bool, bool]] = []  # here-documents: end, expands, tabs off
        self.ends = False  # the last here-document was read, and with it the command

    def __iter__(self) -> Iterator[Token]:
        while (token := self._next()) is not None:
            yield token

    def _next(self, closing: str = "") -> Token | None:
        """The next token; None at the end, or at `closing`, which is passed."""
        if self.ends:
            self.ends = False
            return Token(self.line, operator="\n")
        while self.at < len(self.text):
            c = self.text[self.at]
            if self.text.startswith("\\\n", self.at) or self.text.startswith("\\\r\n", self.at):
                self.at = self.text.index("\n", self.at) + 1
                self.line += 1
            elif c in _SPACE:
                self.at += 1
            elif c == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif c == closing:
                self.at += 1
                return None
            elif c == "\n":
                line = self.line
                self.at, self.line = self.at + 1, self.line + 1
                if self.waiting:
                    return self._document()
                if not closing:
                    return Token(line, operator="\n")
            elif c in ";&|()":
                two = self.text[self.at : self.at + 2]
                operator = two if two in (";;", "&&", "||") else c
                self.at += len(operator)
                return Token(self.line, operator=operator)
            elif c in "<>":
                self._redirection()
            elif (word := self._word()).parts or word.array is not None:
                return word
        return self._document() if self.waiting else None

    def _redirection(self) -> None:
        """Pass `> file`, `2>&1`; of `<< END` the end is kept."""
        match = re.compile(r"<<<|<<-?|[<>]+[&|]?").match(self.text, self.at)
        operator = match.group() if match else self.text[self.at]
        self.at += len(operator)
        while self.at < len(self.text) and self.text[self.at] in _SPACE:
            self.at += 1
        if self.at >= len(self.text) or self.text[self.at] in "\n;|&()<>":
            return
        word = self._word()
        if operator in ("<<", "<<-"):
            end = "".join(part.text for part in word.parts)
            expands = not any(part.quoted for part in word.parts)
            self.waiting.append((end, expands, operator == "<<-"))

    def _document(self) -> Token:
        end, expands, tabs = self.waiting.pop(0)
        self.ends = not self.waiting
        start, line, body = self.line, "", []
        while self.at < len(self.text):
            stop = self.text.find("\n", self.at)
            stop = len(self.text) if stop < 0 else stop
            line, self.at, self.line = self.text[self.at : stop], stop + 1, self.line + 1
            if (line.lstrip("\t") if tabs else line).rstrip("\r") == end:
                break
            body.append(line)
        text = "\n".join(body) + "\n"
        parts = Lexer(text, start).quoted("") if expands else (Part("text", text, True),)
        return Token(start, document=parts)

    def _word(self) -> Token:
        line, parts, text = self.line, list[Part](), ""

        def flush() -> None:
            nonlocal text
            if text:
                parts.append(Part("text", text))
                text = ""

        while self.at < len(self.text):
            c = self.text[self.at]
            if c == "\\":
                if self.text.startswith("\\\n", self.at):
                    self.at, self.line = self.at + 2, self.line + 1
                    continue
                text += self.text[self.at + 1 : self.at + 2]
                self.at += 2
            elif c == "'":
                flush()
                parts.append(Part("text", self._single(), True))
            elif c == '"':
                flush()
                self.at += 1
                parts.extend(self.quoted('"') or (Part("text", "", True),))
            elif c in "$`":
                flush()
                parts.append(self._dollar(False))
            elif c == "(" and not parts and (match := _ARRAY.match(text + "(")):
                self.at += 1
                return self._array(line, match.group(1), bool(match.group(2)))
            elif c in " \t\r\n;&|()<>":
                if c in "<>" and text.isdigit() and not parts:
                    text = ""
                break
            else:
                match = _RUN.match(self.text, self.at)
                run = match.group() if match else c
                text += run
                self.at += len(run)
        flush()
        return Token(line, tuple(parts))

    def _array(self, line: int, name: str, appends: bool) -> Token:
        inner: list[Token] = []
        while (token := self._next(")")) is not None:
            if not token.operator and token.parts:
                inner.append(token)
        return Token(line, array=tuple(inner), name=name, appends=appends)

    def _single(self) -> str:
        end = self.text.find("'", self.at + 1)
        end = len(self.text) if end < 0 else end
        text = self.text[self.at + 1 : end]
        self.at, self.line = end + 1, self.line + text.count("\n")
        return text

    def quoted(self, closing: str) -> tuple[Part, ...]:
        """The parts up to a closing quote, or to the end where there is none."""
        parts: list[Part] = []
        text = ""
        while self.at < len(self.text):
            c = self.text[self.at]
            if c == closing:
                self.at += 1
                break
            if c == "\\" and self.at + 1 < len(self.text):
                after = self.text[self.at + 1]
                self.at += 2
                self.line += after == "\n"
                if closing or after in "$`\\":
                    text += "" if after == "\n" else after if after in '$`"\\' else c + after
                else:  # a here-document keeps its continued lines for whoever reads it
                    text += c + after
            elif c in "$`":
                if text:
                    parts.append(Part("text", text, True))
                    text = ""
                parts.append(self._dollar(True))
            else:
                match = _QUOTED_RUN.match(self.text, self.at) if closing in ('"', "") else None
                run = match.group() if match else c
                self.line += run == "\n"
                text += run
                self.at += len(run)
        if text:
            parts.append(Part("text", text, True))
        return tuple(parts)

    def _dollar(self, quoted: bool) -> Part:
        """What begins with a dollar or a backquote."""
        start = self.at
        if self.text[start] == "`":
            end = self.text.find("`", start + 1)
            return self._odd(len(self.text) if end < 0 else end + 1)
        after = self.text[start + 1 : start + 2]
        if after == "(":
            return self._odd(self._closed(start + 1, "(", ")"))
        if after == "{":
            end = self._closed(start + 1, "{", "}")
            inside = self.text[start + 2 : end - 1]
            match = _BRACED.match(inside)
            if match is None:
                return self._odd(end)
            self.line += inside.count("\n")
            self.at = end
            name, index, default, rest = match.groups()
            parts = None if default is None else self._default(default, quoted)
            kind = "array" if index or name in "@*" else "variable"
            return (
                Part("odd", f"${{{inside}}}", quoted)
                if rest and name not in "@*"
                else Part(kind, name, quoted, parts)
            )
        if after == "'" and not quoted:
            self.at += 1
            return Part("text", self._single(), True)
        match = _NAME.match(self.text, start + 1)
        if match is None:
            self.at += 1
            return Part("text", "$", quoted)
        self.at = match.end()
        name = match.group()
        return Part("array" if name in "@*" else "variable", name, quoted)

    def _default(self, text: str, quoted: bool) -> tuple[Part, ...]:
        inner = Lexer(text, self.line)
        if quoted:
            return inner.quoted("")
        word = inner._word()
        return word.parts if inner.at >= len(text) else Lexer(text, self.line).quoted("")

    def _odd(self, end: int) -> Part:
        text = self.text[self.at : end]
        self.line += text.count("\n")
        self.at = end
        return Part("odd", text, True)

    def _closed(self, start: int, opens: str, closes: str) -> int:
        """Where what opens at `start` is closed, with quotes passed over."""
        depth, at = 0, start
        while at < len(self.text):
            c = self.text[at]
            if c == "\\":
                at += 2
                continue
            if c == "'" and opens == "(":
                end = self.text.find("'", at + 1)
                at = len(self.text) if end < 0 else end
            elif c == opens:
                depth += 1
            elif c == closes:
                depth -= 1
                if depth == 0:
                    return at + 1
            at += 1
        return len(self.text)
