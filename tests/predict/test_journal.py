"""The journal: what was written is there, whatever happened to the writer."""

from __future__ import annotations

from pathlib import Path

import pytest

from levelhead.errors import RecordError
from levelhead.predict._replies import Choice, Reply
from levelhead.predict.journal import Journal, journal_path

TOLD = {"model": "m", "temperature": 1.0, "options": ["A"]}
ONE = Reply((Choice("caf\u00e9 \ud800 <b>", "why", "stop", None, (("A", -0.5),)),), 10, 5)
TWO = Reply((Choice("x"), Choice("", finish="length")))


def test_replies_come_back_exactly(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with Journal(path, TOLD) as journal:
        journal.add("one", ONE)
        journal.add("two", TWO)
        journal.add("one", TWO)  # the first stays
    assert path.read_text().count("\n") == 3
    with Journal(path, TOLD) as journal:
        assert journal.before == 2
        assert (journal.get("one"), journal.get("two"), journal.get("no")) == (ONE, TWO, None)


def test_a_reply_is_on_its_way_to_the_disk_when_it_is_added(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.journal", TOLD)
    journal.add("one", ONE)
    assert b'"one"' in journal.path.read_bytes()
    journal.close()


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_is_dropped(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.journal"
    with Journal(path, TOLD) as journal:
        journal.add("one", ONE)
        journal.add("two", TWO)
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(path, TOLD) as journal:
        assert (journal.get("one"), journal.get("two")) == (ONE, None)
        journal.add("two", TWO)
    with Journal(path, TOLD) as journal:
        assert journal.get("two") == TWO


def test_a_torn_first_line_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.write_text('{"levelhead.jour')
    with Journal(path, TOLD) as journal:
        journal.add("one", ONE)
    assert Journal(path, TOLD).get("one") == ONE


def test_other_settings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with Journal(path, TOLD) as journal:
        journal.add("one", ONE)
    with pytest.raises(RecordError) as caught:
        Journal(path, TOLD | {"temperature": 0.5})
    assert str(caught.value) == (
        f"{path}: the journal was made with other settings: temperature was 1.0 and is now 0.5; "
        "give another --out, the old settings, or delete the journal to pay for all of it again"
    )


def test_a_run_without_a_reply_binds_nobody(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    Journal(path, TOLD).close()
    assert not path.exists()
    with Journal(path, TOLD) as journal:
        head = path.read_bytes()
        journal.add("one", ONE)
    path.write_bytes(head)  # as a kill before the first reply leaves it
    with Journal(path, TOLD | {"model": "other"}) as journal:
        journal.add("one", ONE)
    with pytest.raises(RecordError, match='model was "other" and is now "m"'):
        Journal(path, TOLD)


def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.write_text('{"question": "what?"}\n')
    with pytest.raises(RecordError, match="expected a line of a journal of levelhead"):
        Journal(path, TOLD)
    assert path.read_text() == '{"question": "what?"}\n'


def test_a_broken_line_in_the_middle_has_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with Journal(path, TOLD) as journal:
        journal.add("one", ONE)
    path.write_bytes(path.read_bytes() + b"gar\nbage\n")
    with pytest.raises(RecordError, match=r"a\.journal:3: expected a line of a journal"):
        Journal(path, TOLD)


def test_two_writers_are_one_too_many(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with Journal(path, TOLD), pytest.raises(RecordError, match="another levelhead predict writes"):
        Journal(path, TOLD)
    Journal(path, TOLD).close()


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="the journal cannot be written here: No such file"):
        Journal(tmp_path / "no" / "a.journal", TOLD)


def test_its_place_is_beside_the_output() -> None:
    assert journal_path("x/a.parquet") == Path("x/a.parquet.journal")
