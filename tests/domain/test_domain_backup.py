"""Backups: the two ways to open one are stored and sent, so their names never change."""

from waiaas.domain.backup import BackupMode, KeysSaved
from waiaas.domain.ids import AgentId


def test_a_backup_is_opened_in_one_of_two_ways() -> None:
    assert [*BackupMode] == ["password", "keystore"]


def test_a_backup_may_have_every_key_but_those_it_lacks_and_those_of_younger_agents() -> None:
    old, lost, young = AgentId("a"), AgentId("b"), AgentId("c")
    saved = KeysSaved((lost,), newest_agent=lost)
    assert [saved.may_have(agent_id) for agent_id in (old, lost, young)] == [True, False, False]
    assert all(KeysSaved().may_have(agent_id) for agent_id in (old, lost, young))
