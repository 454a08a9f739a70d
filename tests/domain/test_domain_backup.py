"""Backups: the two ways to open one are stored and sent, so their names never change."""

from waiaas.domain.backup import BackupMode


def test_a_backup_is_opened_in_one_of_two_ways() -> None:
    assert [*BackupMode] == ["password", "keystore"]
