"""From what a user writes, `module:function` or `path/to/file.py:function`, to the function."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib
import importlib.machinery
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from levelhead.errors import InvalidInputError, unknown_name

__all__ = ["load_callable"]

MOST_LISTED = 20
PREFIX = "_levelhead_file_"
FORM = "'module:function' or 'path/to/file.py:function'"


def load_callable(spec: str) -> Callable[..., Any]:
    """The function that a text names, in an installed module or in a file.

    A file runs as `python file.py` would run it, apart from its `if __name__ == "__main__"` part: it may
    import the modules beside it. It is read anew at every call. Neither it nor the modules beside it
    keep their plain names in `sys.modules`, so that two files may have the same name, or import
    different modules of one name.

    Args:
        spec: `module:function` or `path/to/file.py:function`; the function may be dotted
            (`my.py:Estimators.plain`).

    Returns:
        The callable itself.

    Raises:
        InvalidInputError: the text has another form, there is no such file, module or function, it
            cannot be called, or the import raised; the message then has the exception and the line.

    Edge cases: a module in the working directory is found where Python looks for it; as a file
        (`my.py:function`) it is always found.

    Example:
        >>> load_callable("math:hypot")(3, 4)
        5.0
    """
    source, colon, name = spec.rpartition(":")
    if not colon or not source or not name:
        raise InvalidInputError(f"{spec}: expected {FORM}")
    is_file = source.endswith(".py") or "/" in source or "\\" in source or Path(source).is_file()
    module = _from_file(spec, Path(source)) if is_file else _from_module(spec, source)
    return _member(spec, module, name)


def _from_file(spec: str, written: Path) -> ModuleType:
    path = written.expanduser().resolve()
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, beside, n=1)
        hint = f"; did you mean {written.with_name(near[0])}?" if near else ""
        raise InvalidInputError(f"{spec}: expected a file, there is none at {path}{hint}")
    if path.suffix != ".py":
        raise InvalidInputError(f"{spec}: expected a .py file, got {written}")
    # One name for one path: what refers to a module by its name (pickle, dataclasses) can find it.
    name = f"{PREFIX}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    loader = importlib.machinery.SourceFileLoader(name, str(path))
    found = importlib.util.spec_from_file_location(name, path, loader=loader)
    if found is None:
        raise InvalidInputError(f"{spec}: expected a Python file, got {path}")
    module = importlib.util.module_from_spec(found)
    with _Beside(path.parent), _Explained(spec, path), _to_stderr():
        sys.modules[name] = module
        try:
            # Compiled here: a cached file of the same second and size would hide an edit.
            code = loader.source_to_code(loader.get_data(str(path)), str(path))
            exec(code, module.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
    return module


def _from_module(spec: str, source: str) -> ModuleType:
    with _Explained(spec, source), _to_stderr():
        return importlib.import_module(source)


def _to_stderr() -> contextlib.AbstractContextManager[object]:
    """What an import prints must not get among our own output."""
    return contextlib.redirect_stdout(sys.stderr)


def _member(spec: str, module: ModuleType, name: str) -> Callable[..., Any]:
    where = getattr(module, "__file__", None) or module.__name__
    value: Any = module
    seen: list[str] = []
    for part in name.split("."):
        if not hasattr(value, part):
            if value is not module and not isinstance(value, type | ModuleType):
                before = ".".join(seen)
                raise InvalidInputError(
                    f"{spec}: expected a function, and {before} in {where} has none named {part!r}; "
                    f"did you mean {spec.rpartition(':')[0]}:{before}?"
                )
            raise _unknown_function(spec, where, part, _candidates(value))
        value = getattr(value, part)
        seen.append(part)
    if not callable(value):
        raise InvalidInputError(
            f"{spec}: expected a function, got {type(value).__name__} {str(value)[:60]!r}"
        )
    return value


def _unknown_function(spec: str, where: str, name: str, choices: list[str]) -> InvalidInputError:
    if not choices:
        return InvalidInputError(f"{spec}: expected the name of a function, {where} has none")
    if len(choices) <= MOST_LISTED:
        return unknown_name(f"{spec}: function in {where}", name, choices)
    near = difflib.get_close_matches(name, choices, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return InvalidInputError(
        f"{spec}: expected the name of one of {len(choices)} functions in {where}, got {name!r}{hint}"
    )


def _candidates(owner: Any) -> list[str]:
    """Names that a user may have meant: what a module declares or defines, else all it can call."""
    public = [n for n in dir(owner) if not n.startswith("_") and callable(getattr(owner, n, None))]
    declared = [n for n in public if n in getattr(owner, "__all__", ())]
    home = getattr(owner, "__name__", None)
    own = [n for n in public if getattr(getattr(owner, n), "__module__", None) == home]
    return declared or own or public


class _Beside:
    """While a file is executed its folder comes first on the path, as for `python file.py`.

    Afterwards it stays at the end of the path, for imports inside of functions, and the modules from
    it lose their names: a file elsewhere may have other modules of the same names beside it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hidden: dict[str, ModuleType] = {}
        self.before: set[str] = set()

    def __enter__(self) -> None:
        stems = {file.stem for file in self.folder.glob("[!_]*.py")}
        for name in stems - sys.stdlib_module_names:
            if name in sys.modules and not self._is_beside(sys.modules[name]):
                self.hidden[name] = sys.modules.pop(name)
        self.before = set(sys.modules)
        sys.path.insert(0, str(self.folder))
        importlib.invalidate_caches()

    def __exit__(self, *_: object) -> None:
        if str(self.folder) in sys.path:
            sys.path.remove(str(self.folder))
        if str(self.folder) not in sys.path:
            sys.path.append(str(self.folder))
        new = [n for n in set(sys.modules) - self.before if not n.startswith(PREFIX)]
        tops = {n.partition(".")[0] for n in new} - self.before
        beside = {n for n in tops if n in sys.modules and self._is_beside(sys.modules[n])}
        for name in new:
            if name.partition(".")[0] in beside:
                del sys.modules[name]
        sys.modules.update(self.hidden)

    def _is_beside(self, module: ModuleType) -> bool:
        """Whether a top-level module is a file or a folder in this folder."""
        file = getattr(module, "__file__", None)
        inside = [*getattr(module, "__path__", ())] or ([file] if file else [])
        return any(Path(one).resolve().parent == self.folder for one in inside)


class _Explained:
    """Turns whatever a user's code raises into one error that says what and where.

    A context manager and no handler: it lets nothing pass as if it had worked.
    """

    def __init__(self, spec: str, source: str | Path) -> None:
        self.spec, self.source = spec, source

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None or not isinstance(error, Exception | SystemExit):
            return  # all is well, or the user's interrupt
        if isinstance(self.source, str) and isinstance(error, ModuleNotFoundError):
            parts = self.source.split(".")
            if error.name in {".".join(parts[: i + 1]) for i in range(len(parts))}:
                raise self._no_module(error.name or "", Path(*parts)) from error
        text, place = str(error), self._place(error)
        if isinstance(error, SyntaxError) and error.filename is not None:
            text, place = error.msg, f"{error.filename}:{error.lineno}"
        said = f"{kind.__name__}: {text}" if text else kind.__name__
        at = f" at {place}" if place else ""
        raise InvalidInputError(f"{self.spec}: the import raised {said}{at}") from error

    def _no_module(self, name: str, path: Path) -> InvalidInputError:
        file = path.with_suffix(".py")
        hint = f"; did you mean {file}:{self.spec.rpartition(':')[2]}?" if file.is_file() else ""
        return InvalidInputError(
            f"{self.spec}: expected an installed module, there is none named {name}{hint}"
        )

    def _place(self, error: BaseException) -> str:
        """The deepest line that is the user's, in the file or beside it; else the deepest line."""
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if not frame.filename.startswith("<frozen") and frame.filename != __file__
        ]
        folder = self.source.parent if isinstance(self.source, Path) else None
        own = [frame for frame in frames if Path(frame.filename).parent == folder]
        return "".join(f"{frame.filename}:{frame.lineno}" for frame in (own or frames)[-1:])
