"""Every public function and class documents itself in the order of the template.

Read from the syntax trees. A summary line; then the sections Args, Returns, Raises, Edge cases,
Properties, Reference, Example, in this order, each at most once. Args names every parameter; every
field of a class is in its docstring or has a comment beside it; Raises is there where the body
raises; Example, whose text the doctest collection runs, is there for what computes a number, and
Reference for what takes a confidence. A file that begins with an underscore has
public what its folder's `__init__` lists.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "levelhead"

SECTIONS = (
    "Args",
    "Attributes",
    "Returns",
    "Raises",
    "Edge cases",
    "Properties",
    "Reference",
    "Example",
)
HEADING = re.compile(rf"^({'|'.join(SECTIONS)}):(.*)$")

DOCUMENTED = (
    "errors",
    "records",
    "elicitation",
    "readers",
    "scoring",
    "rewards",
    "advantages",
    "metrics",
    "calibrators",
    "recalibration",
    "audit",
    "diagnose",
    "guard",
    "predict",
    "lab",
    "adapters",
    "testing",
    "probe",
    "losses",
    "tasks",
    "train",
)
FUNCTIONS_ONLY = ("audit", "diagnose", "guard", "lab", "adapters", "probe", "train")
EXAMPLES = (
    "losses",
    "metrics",
    "calibrators",
    "recalibration",
    "scoring",
    "rewards",
    "advantages",
    "elicitation",
)
REFERENCES = {"metrics": ("float",), "scoring": ("FloatArray",), "rewards": ("FloatArray",)}
"""Where functions that take a confidence and return this must say where they come from."""


Public = ast.FunctionDef | ast.ClassDef


def exported(tree: ast.Module) -> set[str]:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
            return {c.value for c in ast.walk(node) if isinstance(c, ast.Constant)}
    return set()


def public(path: Path, tree: ast.Module, package: Path) -> Iterator[Public]:
    """Functions and classes that `__all__` names and the file defines, and their public methods.

    Where a folder's `__init__` lists names, the others in the folder's files are internal; in a file
    that begins with an underscore everything is, except what the `__init__` lists.
    """
    names = exported(tree)
    folder = path.with_name("__init__.py")
    listed: set[str] = set()
    if folder.exists() and folder.parent != package:
        listed = exported(ast.parse(folder.read_text(encoding="utf-8")))
    names &= listed or (set() if path.stem.startswith("_") else names)
    for node in tree.body:
        if isinstance(node, Public) and node.name in names:
            yield node
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                        setter = any(
                            ast.unparse(d).endswith(".setter") for d in inner.decorator_list
                        )
                        if not setter:  # the property has the docstring
                            yield inner


def sections(text: str) -> list[tuple[str, str]]:
    """The headings at the left margin in their order, each with its text."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        match = HEADING.match(line)
        if match:
            found.append((match[1], [match[2]]))
        elif found:
            found[-1][1].append(line)
    return [(name, "\n".join(lines)) for name, lines in found]


def parameters(node: Public) -> list[str]:
    """Names of the parameters, or of the fields of a class or its `__init__`'s parameters."""
    if isinstance(node, ast.ClassDef):
        if any(
            "Error" in ast.unparse(base) or "Warning" in ast.unparse(base) for base in node.bases
        ):
            return []
        inits = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        if inits:
            return parameters(inits[0])
        fields = [n.target for n in node.body if isinstance(n, ast.AnnAssign)]
        return [f.id for f in fields if isinstance(f, ast.Name) and not f.id.startswith("_")]
    a = node.args
    every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    return [arg.arg for arg in every if arg.arg not in {"self", "cls"}]


def raises(node: ast.FunctionDef) -> bool:
    """Whether the body raises something itself, other than again what it caught."""
    return any(isinstance(n, ast.Raise) and n.exc is not None for n in ast.walk(node))


def returns(node: ast.FunctionDef) -> bool:
    decorators = {ast.unparse(d) for d in node.decorator_list}
    if decorators & {"property", "cached_property", "functools.cached_property"}:
        return False  # its summary says what it is
    return node.returns is not None and ast.unparse(node.returns) not in {"None", "NoReturn"}


def explained(node: Public, name: str, lines: list[str]) -> bool:
    """Whether a field has a comment on its line, or a docstring of its own below it."""
    if isinstance(node, ast.ClassDef):
        for field, below in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and ast.unparse(field.target) == name:
                beside = lines[field.lineno - 1 : field.end_lineno]
                own = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                return own or any("  # " in line for line in beside)
    return False


def problems(node: Public, module: str, lines: list[str], *, method: bool = False) -> list[str]:
    """What one docstring lacks, as sentences without the place."""
    text = ast.get_docstring(node)
    if not text:
        return ["has no docstring"]
    found: list[str] = []
    summary = text.split("\n\n")[0]
    if "\n" in summary or not summary.endswith((".", "?", ":")):
        found.append("does not begin with one line that ends in a period")
    parts = sections(text)
    order = [name for name, _ in parts]
    if order != sorted(set(order), key=SECTIONS.index):
        found.append(f"has sections in the order {', '.join(order)}")
    content = dict(parts)
    if method and not parts:
        return found  # a short method says everything in its first line
    named = content.get("Args", "") + content.get("Attributes", "")
    for name in parameters(node):
        entry = re.search(rf"^\s+[^:\n]*\b{re.escape(name)}\b[^:\n]*:", named, re.MULTILINE)
        if not entry and not explained(node, name, lines):
            found.append(f"does not document {name}")
    if isinstance(node, ast.FunctionDef):
        if returns(node) and "Returns" not in content:
            found.append("has no Returns")
        if raises(node) and "Raises" not in content:
            found.append("has no Raises")
        top = module.partition(".")[0]
        if not method and top in EXAMPLES and ">>>" not in content.get("Example", ""):
            found.append("has no Example that runs")
        number = node.returns is not None and ast.unparse(node.returns) in REFERENCES.get(top, ())
        measures = number and "confidence" in parameters(node)
        if measures and not method and "Reference" not in content:
            found.append("has no Reference")
    return found


def check(package: Path, places: tuple[str, ...] = DOCUMENTED) -> tuple[int, list[str]]:
    """How many docstrings were read below a package, and what is wrong with them."""
    count, found = 0, []
    for path in sorted(package.rglob("*.py")):
        module = ".".join(path.relative_to(package).with_suffix("").parts)
        if module.partition(".")[0] not in places or path.name == "__init__.py":
            continue
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        outer = {id(node) for node in tree.body}
        for node in public(path, tree, package):
            method = id(node) not in outer
            is_function = isinstance(node, ast.FunctionDef) and not method
            if module.partition(".")[0] in FUNCTIONS_ONLY and not is_function:
                continue
            count += 1
            where = f"{path.relative_to(package).as_posix()}:{node.lineno}: {node.name}"
            faults = problems(node, module, text.splitlines(), method=method)
            found += [f"{where} {one}" for one in faults]
    return count, found


def test_every_public_docstring_follows_the_template() -> None:
    count, found = check(PACKAGE)
    assert not found, "\n" + "\n".join(found)
    assert count > 60  # a check that reads nothing finds nothing


def test_every_place_that_must_be_documented_exists() -> None:
    assert [name for name in DOCUMENTED if check(PACKAGE, (name,))[0] == 0] == []


GOOD = '''
__all__ = ["f"]

def f(confidence, *, b=1) -> float:
    """One line.

    f = confidence + b

    Args:
        confidence: (N,) numbers.
        b: one more.

    Returns:
        A float.

    Raises:
        ValueError: it is bad.

    Edge cases: none.
    Properties: plug-in.
    Reference: by hand.

    Example:
        >>> f(1)
        2.0
    """
    raise ValueError
'''
CLASS = '''
__all__ = ["Curve"]

@dataclass(frozen=True)
class Curve:
    """A curve.

    Attributes:
        x: (B,) abscissa.
    """

    x: FloatArray

    def area(self) -> float:
        """The area below it."""
'''


def planted(folder: Path, text: str, name: str = "metrics/a.py") -> list[str]:
    path = folder / "levelhead" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return [re.sub(r"^\S+ ", "", one) for one in check(folder / "levelhead")[1]]


BESIDE = CLASS.replace("        x: (B,) abscissa.", "        z: nothing.").replace(
    "x: FloatArray", "x: FloatArray  # (B,) abscissa"
)
BELOW = CLASS.replace("    x: FloatArray", '    x: FloatArray\n    """Its abscissa."""').replace(
    "        x: (B,) abscissa.", "        z: nothing."
)


@pytest.mark.parametrize("text", [GOOD, CLASS, BESIDE, BELOW])
def test_a_good_docstring_passes(text: str, tmp_path: Path) -> None:
    assert planted(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "old", "new", "expected"),
    [
        (GOOD, GOOD[GOOD.index('    """') : GOOD.index("    raise")], "", "f has no docstring"),
        (GOOD, "One line.", "One line", "f does not begin with one line that ends in a period"),
        (
            GOOD,
            "One line.",
            "One\n    line.",
            "f does not begin with one line that ends in a period",
        ),
        (GOOD, "        b: one more.\n", "", "f does not document b"),
        (GOOD, "b=1", "b=1, **rest", "f does not document rest"),
        (GOOD, "Returns:", "Gives:", "f has no Returns"),
        (GOOD, "Raises:", "Fails:", "f has no Raises"),
        (GOOD, ">>> f(1)", "f(1)", "f has no Example that runs"),
        (GOOD, "Reference:", "From:", "f has no Reference"),
        (
            GOOD,
            "Properties",
            "Args",
            "f has sections in the order Args, Returns, Raises, Edge cases, "
            "Args, Reference, Example",
        ),
        (
            GOOD,
            "Edge cases",
            "Reference",
            "f has sections in the order Args, Returns, Raises, "
            "Reference, Properties, Reference, Example",
        ),
        (CLASS, "        x: (B,)", "        y: (B,)", "Curve does not document x"),
        (CLASS, '"""The area below it."""', "...", "area has no docstring"),
    ],
)
def test_a_planted_fault_is_reported(
    text: str, old: str, new: str, expected: str, tmp_path: Path
) -> None:
    assert text.count(old) == 1
    assert expected in planted(tmp_path, text.replace(old, new))


def test_what_is_not_public_is_let_be(tmp_path: Path) -> None:
    assert planted(tmp_path, "def f(): ...\n") == []
    assert planted(tmp_path, '__all__ = ["f"]\ndef f(): ...\n', "cli/a.py") == []
    assert planted(tmp_path, '__all__ = ["f"]\ndef f(): ...\n', "readers/_a.py") == []
    assert planted(tmp_path, '__all__ = ["F"]\nclass F:\n    x: int\n', "audit/a.py") == []
