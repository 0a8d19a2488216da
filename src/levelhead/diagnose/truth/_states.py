"""Which rows of a table hidden states belong to, and the topics of the rows."""

from __future__ import annotations

from levelhead.diagnose.truth._files import HiddenStates, Statements
from levelhead.errors import InvalidInputError

__all__ = ["row_topics", "table_rows"]

NO_TOPIC = ""
"""Of rows without hidden states: they have no belief and are not counted."""


def table_rows(hidden: HiddenStates, statements: Statements) -> list[int]:
    """The row of the table for each of the states, -1 for prompts that the table does not have.

    Args:
        hidden: the states.
        statements: the table; found by prompt id where the states have ids, else row by row.

    Returns:
        (N,) the first row of each prompt.

    Raises:
        InvalidInputError: the rows do not fit.
    """
    n, n_rows = len(hidden.layers[0]), statements.claim.size
    if hidden.ids is None:
        if n != n_rows:
            raise InvalidInputError(
                f"hidden states: expected {n_rows:,} rows, those of the table, got {n:,}; save an "
                "array 'id' with them to match prompts"
            )
        return list(range(n))
    if statements.ids is None:
        raise InvalidInputError(
            "hidden states: expected prompt ids in the table, since the states have them; name "
            "their column with --prompt-id"
        )
    place = {one: i for i, one in reversed(list(enumerate(statements.ids)))}
    row = [place.get(one, -1) for one in hidden.ids]
    if max(row) < 0:
        raise InvalidInputError(
            "hidden states: expected ids of prompts in the table, got none of them"
        )
    return row


def row_topics(hidden: HiddenStates, statements: Statements) -> tuple[str, ...]:
    """The topic that the probe kept each row of the table out of.

    Args:
        hidden: the states, whose own topics come first.
        statements: the table.

    Returns:
        (N,) topics of the rows; an empty text where a row has no states.

    Raises:
        InvalidInputError: the rows do not fit.
    """
    if hidden.topic is None:
        return (NO_TOPIC,) * statements.claim.size if statements.topic is None else statements.topic
    if hidden.ids is None or statements.ids is None:
        table_rows(hidden, statements)
        return hidden.topic
    found = dict(zip(hidden.ids, hidden.topic, strict=True))
    return tuple(found.get(one, NO_TOPIC) for one in statements.ids)
