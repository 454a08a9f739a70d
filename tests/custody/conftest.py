"""A data directory that was made once; each test gets its own copy, on which no daemon runs."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import select
from tests.canaries import MARKER

from waiaas.daemon import initialise
from waiaas.database import audit_log
from waiaas.database.connection import open_reader

PASSWORD: Final = f"{MARKER} the first master password".encode()

Rows = list[tuple[str, str, Any]]


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    before = os.umask(0o022)
    directory = tmp_path_factory.mktemp("initialised") / "data"
    initialise(directory, PASSWORD)
    os.umask(before)
    return directory


@pytest.fixture
def data(initialised: Path, tmp_path: Path) -> Iterator[Path]:
    before = os.umask(0o022)
    yield shutil.copytree(initialised, tmp_path / "data")
    os.umask(before)


@pytest.fixture
def rows(data: Path) -> Callable[[], Rows]:
    """Return a function that reads event, actor and details of each row of the audit log."""

    def read() -> Rows:
        columns = (audit_log.c.event_type, audit_log.c.actor, audit_log.c.details)
        with open_reader(data / "ledger.db") as reader:
            found = reader.db.execute(select(*columns).order_by(audit_log.c.id))
        return [(row.event_type, row.actor, json.loads(row.details)) for row in found]

    return read
