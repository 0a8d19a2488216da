"""The status that a plain file gives its confidences: refused, unparsable, missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from levelhead.errors import RecordError
from levelhead.readers._base import ReadLog
from levelhead.readers._files import one_line, show
from levelhead.readers._values import NOTHING, Place, StatusArray, decoded, is_text, word_codes
from levelhead.records import STATUSES

__all__ = ["StatusColumn"]


class StatusColumn:
    """The status column of one file, by which it says what became of a confidence.

    Many a file has a column of that name for something else ("success", "finished"). It is ours
    where it holds one of our words besides `ok`; then every word must be one of ours.

    Args:
        name: the column.
        log: takes that a column was ignored.
    """

    def __init__(self, name: str, log: ReadLog) -> None:
        self.name, self.log = name, log
        self._ours = False
        self._foreign: tuple[str, int] | None = None

    def convert(self, column: Any, place: Place) -> StatusArray | None:
        """Status codes of one batch.

        Args:
            column: Arrow array; null, empty and `ok` say that the confidence is as it stands.
            place: where the batch stands.

        Returns:
            (N,) codes into `STATUSES`, or None where the column says nothing.

        Raises:
            RecordError: a word that is none of ours, in a column that has some of ours.
        """
        column = decoded(column)
        if not is_text(column.type):
            return None
        codes, words = word_codes(column)
        known = np.zeros(len(words) + 1, np.int8)
        for code, word in enumerate(words):
            plain = word.strip().casefold()
            if plain in STATUSES:
                known[code] = STATUSES.index(plain)
                self._ours |= plain != STATUSES[0]
            elif plain not in NOTHING and self._foreign is None:
                self._foreign = word, place.row(int((codes == code).argmax()))
        if self._foreign is not None:
            word, row = self._foreign
            if self._ours:
                raise RecordError(
                    one_line(
                        f"{self.name}: expected one of {', '.join(STATUSES)}, or nothing, got "
                        f"{word!r}; correct it, or rename the column where it says something else"
                    ),
                    show(place.path),
                    row,
                )
            self.log.note(
                f"the column {self.name!r} says {word[:40]!r}, which is no status of a confidence "
                f"({', '.join(STATUSES)}), and was not used"
            )
        return known[codes] if self._ours else None
