"""What a database's schema is, as text: read, put into a form that compares, and compared."""

import hashlib
import re
from functools import lru_cache
from typing import Final

import apsw

Schema = dict[tuple[str, str], str]
"""Definition of each object by type and name, in normal form."""

_TOKEN: Final = re.compile(r"""'(?:[^']|'')*'|"(?P<quoted>\w+)"|\w+|\s+|.""", re.DOTALL)


def stored_schema(sqlite: apsw.Connection) -> Schema:
    """Read the definitions of all tables, indexes and triggers, in normal form.

    SQLite's own tables, such as the statistics of an `ANALYZE`, are nobody's change.
    """
    rows = sqlite.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return {
        (kind, name): normal_form(sql) for kind, name, sql in rows if not name.startswith("sqlite_")
    }


@lru_cache(maxsize=256)  # The same definitions are read at every opening.
def normal_form(sql: str) -> str:
    """Make white space and needless quotes irrelevant: only a change of meaning is a change.

    SQLite quotes a table's name when it renames it. Text in single quotes stays as it is.
    """
    tokens = [
        token["quoted"] or token.group()
        for token in _TOKEN.finditer(sql)
        if not token.group().isspace()
    ]
    return " ".join(tokens)


def fingerprint(schema: Schema) -> str:
    """Return the SHA-256 of a schema, as hexadecimal digits: how a step knows where it starts."""
    lines = (f"{kind} {name}: {sql}\n" for (kind, name), sql in sorted(schema.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def differences(stored: Schema, expected: Schema) -> list[str]:
    """Say in what *stored* is not as *expected*, one phrase for each object."""
    missing = [f"{kind} {name} is missing" for kind, name in expected.keys() - stored.keys()]
    added = [f"{kind} {name} was added" for kind, name in stored.keys() - expected.keys()]
    changed = [
        f"{kind} {name} is different"
        for kind, name in expected.keys() & stored.keys()
        if expected[kind, name] != stored[kind, name]
    ]
    return sorted(missing + added + changed)
