from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from levelhead.errors import InvalidInputError
from levelhead.lab.figures import collection
from levelhead.lab.figures.collection import CAPTIONS, Scale, all_figures

TINY = Scale(
    n_updates=60,
    lr=0.1,
    value_lr=0.1,
    n_groups=300,
    curve_points=2,
    sweep_points=4,
    sweep_tokens=9,
    steps=50,
)


def test_every_picture_and_its_caption_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, legible: Callable[[Figure], None]
) -> None:
    drawn: list[Figure] = []
    write = collection.write

    def keep(figure: Figure, stem: Path) -> list[Path]:
        drawn.append(figure)
        return write(figure, stem)

    monkeypatch.setitem(collection.SCALES, "quick", TINY)
    monkeypatch.setattr(collection, "write", keep)
    told: list[tuple[str, int, int]] = []
    paths = all_figures(
        tmp_path / "new",
        seed=1,
        progress=lambda name, done, total: told.append((name, done, total)),
    )
    names = [f"{name}{suffix}" for name in CAPTIONS for suffix in (".png", ".svg")]
    assert [path.name for path in paths] == [*names, "captions.md"]
    assert sorted((tmp_path / "new").iterdir()) == sorted(paths)
    assert told == [(name, i, 8) for i, name in enumerate(CAPTIONS)]
    text = paths[-1].read_text()
    for name, words in CAPTIONS.items():
        assert f"![{name}]({name}.png)\n\n{words}\n" in text
    for figure in drawn:
        legible(figure)


def test_an_unknown_scale_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as error:
        all_figures(tmp_path / "new", scale="ful")
    assert str(error.value) == "scale: expected one of full, quick, got 'ful'; did you mean 'full'?"
    assert not (tmp_path / "new").exists()
