"""The commands of a shell script, as far as they can be known without running it.

Not a shell: quotes, continued lines, comments, variables with defaults, arrays, here-documents and
branches (`if`, `case`, `&&`, `||`, subshells) are followed, and whatever would have to run (`$(...)`),
or comes from outside (`$1`, an exported variable), leaves a word marked as unknown. A variable that
branches set differently is unknown after them. Nothing is executed.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator, Sequence

from levelhead.lint._words import Lexer, Part, Token
from levelhead.lint.settings import Unread

__all__ = ["Command", "Word", "commands", "hidden"]

MAX_TEXT = 100_000
"""Characters of an expanded word; longer ones are unknown."""

MAX_WORDS = 10_000
"""Words of an array; longer ones are unknown."""

MAX_NESTED = 6

MAX_SCOPES = 200
"""Branches within one another."""

_TALK = {"echo", "printf", "grep", "sed", "awk", "log", "logger"}
_OPENS = {"if", "for", "while", "until", "case", "select", "{"}
_CLOSES = {"fi", "done", "esac", "}"}
_NEXT_BRANCH = {"else", "elif", ";;"}
_SKIPPED = {"then", "do", "!", "time", "exec", "nohup"}
_NO_TEST = {":", "true", "set", "cd", "echo", "mkdir", "source", ".", "conda", "module", "shopt"}
"""Commands whose failure is an accident, so that what follows them after `&&` is no branch."""

_DECLARES = {"export", "declare", "local", "readonly", "typeset"}
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\+?)=(.*)", re.DOTALL)
_NESTED = re.compile(r"(?:^|\s)(?:-m\s+\S|\S+\.py\s|algorithm\.)")


@dataclasses.dataclass(frozen=True)
class Word:
    """An argument.

    Attributes:
        text: after expansion; what is unknown stands in it as the script writes it.
        line: 1-based.
        unknown: why it is not known as a whole, or empty.
    """

    text: str
    line: int
    unknown: str = ""


@dataclasses.dataclass(frozen=True)
class Command:
    """A simple command: its words, the program first, without assignments and redirections."""

    words: tuple[Word, ...]

    @property
    def line(self) -> int:
        """Of the first word."""
        return self.words[0].line


_WHOLE = re.compile(r"\$[\w{(@]|`")


def hidden(words: Sequence[Word]) -> Unread | None:
    """The first argument that is unknown as a whole and may be any number of settings.

    Args:
        words: of a command.

    Returns:
        What cannot be read, None where nothing is hidden: a value that belongs to a flag before it
        hides nothing else.
    """
    for i, word in enumerate(words[1:], 1):
        flag = words[i - 1].text.startswith("-") and "=" not in words[i - 1].text
        program = any(
            before.text.endswith((".py", "main_ppo", "train_ppo_ray", "grpo", "rloo"))
            for before in words[:i]
        )
        if word.unknown and program and not flag and _WHOLE.match(word.text):
            return Unread(word.text, f"{word.unknown}, and may set anything", word.line)
    return None


Bound = tuple[Word, ...]
"""What a variable holds: one word, or those of an array."""


def commands(text: str, line: int = 1) -> list[Command]:
    """Every simple command of a script, in its order, in whichever branch.

    Args:
        text: the script.
        line: of its first line.

    Returns:
        The commands; of a script in a here-document or in quotes as well.
    """
    return list(_Reader({}).run(text, line, 0))


class _Reader:
    """Follows variables through a script."""

    def __init__(self, known: dict[str, Bound]) -> None:
        self.scopes: list[dict[str, Bound]] = [known]
        self.earlier: list[dict[str, Bound]] = [{}]  # what finished branches of each scope set
        self.frames: list[str] = [""]  # what opened each scope: branch, chain, ( or f for f()
        self.sure = True  # whether what ran before in this list of commands cannot well fail

    def run(self, text: str, line: int, depth: int) -> Iterator[Command]:
        tokens: list[Token] = []
        joined = False  # the last thing read was && or ||
        for token in Lexer(text, line):
            if not token.operator:
                tokens.append(token)
                joined = False
                continue
            pending = bool(tokens)
            yield from self._simple(tokens, depth)
            tokens = []
            if token.operator == "\n" and joined and not pending:
                continue
            joined = token.operator in ("&&", "||")
            self._operator(token.operator, pending)
        yield from self._simple(tokens, depth)
        self._end_chain()

    def _operator(self, operator: str, pending: bool) -> None:
        """What an operator does to the scopes; `pending`: a command was before it."""
        if operator in ("&&", "||"):
            self._chain(operator)
        elif operator == "(":
            self._open("f" if pending else "(")
        elif operator == ")":
            self._end_chain()
            if self.frames[-1] == "f":
                self._close("f")
            elif self.frames[-1] == "(":  # what a subshell sets is gone with it
                self.scopes.pop()
                self.earlier.pop()
                self.frames.pop()
        elif operator != "|":
            self._end_chain()
            if operator in _NEXT_BRANCH:
                self._next_branch()

    def _chain(self, operator: str) -> None:
        """What comes after `&&` or `||` may not run."""
        if self.frames[-1] in ("chain", "other"):
            if operator == "||":
                self._next_branch()
                self.frames[-1] = "other"
            elif self.frames[-1] == "other":
                self._close("other")
                self._open("chain")
        elif operator == "||" or not self.sure:
            self._open("chain" if operator == "&&" else "other")

    def _end_chain(self) -> None:
        self.sure = True
        while self.frames[-1] in ("chain", "other"):
            self._close(self.frames[-1])

    def _simple(self, tokens: list[Token], depth: int) -> Iterator[Command]:
        """One simple command: bind what it assigns, yield what it runs."""
        rest = list(tokens)
        while rest and (word := rest[0].plain) is not None:
            if word in _CLOSES:
                self._end_chain()
                self._close("branch")
                self.sure = False
            elif word in _NEXT_BRANCH:
                self._next_branch()
            elif word in _OPENS:
                self._open("branch")
                if word in ("for", "select") and len(rest) > 1 and rest[1].plain:
                    self._bind(rest[1].plain, (self._odd(rest[1], "runs through a list"),))
                    return
                if word == "case":
                    return
            elif word not in _SKIPPED:
                break
            rest.pop(0)
        while rest and rest[0].plain in _DECLARES:
            rest.pop(0)
        if tokens and rest and all(self._assigns(token) for token in rest):
            for token in rest:
                self._assign(token)
            self.sure = self.sure and not any(_runs(token) for token in rest)
            return
        while rest and self._assigns(rest[0]):
            rest.pop(0)
        yield from self._command(rest, depth)

    def _command(self, tokens: list[Token], depth: int) -> Iterator[Command]:
        words: list[Word] = []
        for token in tokens:
            if token.document is not None:
                continue
            words.extend(self._expanded(token))
        documents = [token for token in tokens if token.document is not None]
        for token in documents:
            if words and words[0].text == "read":
                self._bind(words[-1].text, (self._joined(token, token.document or ()),))
            elif depth < MAX_NESTED and not (words and words[0].text.startswith("python")):
                body = self._joined(token, token.document or ())
                yield from _Reader(self._flat()).run(body.text, token.line, depth + 1)
        self.sure = self.sure and bool(words) and words[0].text in _NO_TEST
        if not words or words[0].text in _TALK:
            return
        yield Command(tuple(words))
        for word in words:
            if depth < MAX_NESTED and " " in word.text and _NESTED.search(word.text):
                yield from _Reader(self._flat()).run(word.text, word.line, depth + 1)

    # ---- variables

    def _open(self, kind: str) -> None:
        if len(self.scopes) > MAX_SCOPES:
            raise RecursionError
        self.scopes.append({})
        self.earlier.append({})
        self.frames.append(kind)

    def _next_branch(self) -> None:
        """Another branch begins where the last one began."""
        if len(self.scopes) > 1:
            self._merge(self.scopes[-1], self.earlier[-1])
            self.scopes[-1] = {}

    def _close(self, kind: str) -> None:
        """Leave a branch: what it set is known outside only where it was the same before."""
        if self.frames[-1] == kind:
            self._next_branch()
            self.scopes.pop()
            self.frames.pop()
            self._merge(self.earlier.pop(), self.scopes[-1])

    def _merge(self, new: dict[str, Bound], into: dict[str, Bound]) -> None:
        for name, bound in new.items():
            before = into.get(name) or self._find(name)
            if before is None or [w.text for w in before] != [w.text for w in bound]:
                line = bound[0].line if bound else 0
                why = f"${name} is set in a branch"
                grows = before is not None and bound[: len(before)] == before
                if grows and before is not None and len(bound) > len(before):
                    line, why = bound[len(before)].line, f"${name} grows in a branch"
                    bound = (*before, Word(f"${name}", line, why))
                else:
                    bound = (Word(f"${name}", line, why),)
            into[name] = bound

    def _flat(self) -> dict[str, Bound]:
        return {name: bound for scope in self.scopes for name, bound in scope.items()}

    def _find(self, name: str) -> Bound | None:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        return None

    def _bind(self, name: str, bound: Bound) -> None:
        self.scopes[-1][name] = bound

    def _odd(self, token: Token, why: str) -> Word:
        return Word(f"${token.plain}", token.line, f"${token.plain} {why}")

    def _assigns(self, token: Token) -> bool:
        first = token.parts[0] if token.parts else None
        found = first is not None and first.kind == "text" and not first.quoted
        return bool(found and first and _ASSIGNMENT.match(first.text)) or (
            token.array is not None and token.name != ""
        )

    def _assign(self, token: Token) -> None:
        if token.array is not None:
            words = tuple(word for inner in token.array for word in self._expanded(inner))
            before = (self._find(token.name) or ()) if token.appends else ()
            if len(before) + len(words) > MAX_WORDS:
                before, words = (), (Word(f"${token.name}", token.line, "it is too long"),)
            self._bind(token.name, (*before, *words))
            return
        match = _ASSIGNMENT.match(token.parts[0].text)
        if match is None:
            return
        name, plus, start = match.groups()
        parts = (dataclasses.replace(token.parts[0], text=start), *token.parts[1:])
        value = self._joined(token, parts)
        before = self._find(name)
        if plus and before:
            first = before[0]
            unknown = first.unknown or value.unknown
            value = Word(first.text + value.text, value.line, unknown)
            if len(value.text) > MAX_TEXT:
                value = Word("", value.line, "it is too long")
        self._bind(name, (value,))

    # ---- expansion

    def _expanded(self, token: Token) -> list[Word]:
        """A word's expansion: arrays and unquoted variables may become several words, or none."""
        if len(token.parts) == 1 and token.parts[0].kind in ("variable", "array"):
            part = token.parts[0]
            bound = self._find(part.text)
            if part.text in ("@", "*"):
                return []
            if bound is not None and (part.kind == "array" or len(bound) != 1):
                return [self._at(word, token) for word in bound]
            if not part.quoted:
                joined = self._joined(token, token.parts)
                return list(_split(joined))
        return [self._joined(token, token.parts)]

    @staticmethod
    def _at(word: Word, token: Token) -> Word:
        return word if word.line else dataclasses.replace(word, line=token.line)

    def _joined(self, token: Token, parts: tuple[Part, ...]) -> Word:
        text, unknown, line = "", "", token.line
        for part in parts:
            if part.kind == "text":
                text += part.text
                continue
            word = self._part(part, token)
            text += word.text
            unknown = unknown or word.unknown
            if len(parts) == 1:
                line = word.line or line
            if len(text) > MAX_TEXT:
                return Word("", line, "it is too long")
        return Word(text, line, unknown)

    def _part(self, part: Part, token: Token) -> Word:
        """What a `$...` stands for."""
        if part.kind == "odd":
            value = self._arithmetic(part.text, token)
            why = "" if value is not None else f"{part.text} is not run"
            return Word(part.text if value is None else value, token.line, why)
        bound = self._find(part.text)
        if bound is not None:
            unknown = next((word.unknown for word in bound if word.unknown), "")
            line = bound[0].line if len(bound) == 1 else token.line
            return Word(" ".join(word.text for word in bound), line, unknown)
        if part.default is not None:
            return self._joined(token, part.default)
        if part.text in ("@", "*"):
            return Word("", token.line)
        return Word(f"${part.text}", token.line, f"${part.text} is set outside of this file")

    def _arithmetic(self, text: str, token: Token) -> str | None:
        """`$((1024 * 4))` and the like, with whole numbers only."""
        if not (text.startswith("$((") and text.endswith("))")):
            return None

        def number(match: re.Match[str]) -> str:
            bound = self._find(match.group(1))
            return bound[0].text if bound and not bound[0].unknown else "?"

        body = re.sub(r"\$?\{?([A-Za-z_]\w*)\}?", number, text[3:-2])
        if not re.fullmatch(r"[\d\s+*/()-]{1,80}", body):
            return None
        try:
            value = _whole(ast.parse(body.strip().replace("/", "//"), mode="eval").body)
        except SyntaxError:
            return None
        return None if value is None else str(value)


def _runs(token: Token) -> bool:
    """Whether an assignment has something in it that would have to run, and may fail."""
    return any(part.kind == "odd" for part in token.parts)


def _split(word: Word) -> Iterator[Word]:
    """The pieces between spaces, each with its line where the text has several."""
    for match in re.finditer(r"\S+", word.text):
        text, line = match.group(), word.line + word.text.count("\n", 0, match.start())
        if text != "\\":
            yield Word(text, line, word.unknown if "$" in text or "`" in text else "")


def _whole(node: ast.AST) -> int | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _whole(node.operand)
        return None if inner is None else -inner
    if isinstance(node, ast.BinOp):
        left, right = _whole(node.left), _whole(node.right)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Add | ast.Sub):
            return left + right if isinstance(node.op, ast.Add) else left - right
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.FloorDiv) and right:
            return left // right
    return None
