"""What somebody is told whose command was done, and whose output then took nothing: a full disk.

It was done all the same, and to do it again is wrong as a rule.
"""

from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

DONE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "init": "{directory} is initialised all the same: `waiaas doctor` looks at it.",
        "stop": "No daemon runs any more: `waiaas status` says so.",
        "lock": "The daemon is locked all the same: `waiaas status` says so.",
        "unlock": "The daemon is unlocked all the same: `waiaas status` says so.",
        "agent create": "Agent {id} was made all the same: `waiaas agent show {id}`.",
        "agent fund": "The money is there all the same: `waiaas agent show {agentId}`.",
        "agent suspend": "Agent {id} is suspended all the same: `waiaas agent show {id}`.",
        "agent resume": "Agent {id} may sign again all the same: `waiaas agent show {id}`.",
        "agent terminate": "Agent {id} has ended all the same: `waiaas agent show {id}`.",
        "session create": "Session {id} lives all the same. Its token is in the --token-file;"
        " without one nobody has it: end the session with `waiaas session revoke {id}`.",
        "session revoke": "Session {id} has ended all the same.",
        "policy set": "Policy {id} is set all the same: `waiaas policy list` shows it.",
        "policy remove": "Policy {id} is gone all the same.",
        "tx send": "See what became of it with `waiaas tx show {id}`.",
        "tx cancel": "It was called off all the same: `waiaas tx show {id}`.",
        "approval approve": "It was approved all the same: `waiaas tx show {id}`.",
        "approval reject": "It was rejected all the same: `waiaas tx show {id}`.",
        "kill-switch on": "It is on all the same: `waiaas kill-switch status`.",
        "kill-switch off": "How far that is, `waiaas kill-switch status` says.",
        "clock accept": "Whether the clock is believed, `waiaas clock status` says.",
        "owner set": "{ownerAddress} is the owner all the same: `waiaas owner show --agent {id}`.",
        "owner verify": "The owner's key is proven all the same: `waiaas owner show --agent {id}`.",
        "owner remove": "The owner was removed all the same: `waiaas owner show --agent {id}`.",
        "backup create": "The backup was made all the same: `waiaas backup list` shows it.",
        "backup restore": "The backup is in its place; what was there, if anything, is kept in a"
        " folder `replaced-…`."
        " The ledger pays nothing until `waiaas backup reconcile`.",
        "backup reconcile": "What was found is kept: `waiaas backup reconcile` shows it again.",
        "key import": "Agent {id} was made all the same: do not import its key again.",
        "key export": "The key is in {file} all the same.",
        "password change": "The new master password holds all the same.",
    }
)
"""For each command that does something. In braces: a member of what it could not print."""


def what_was_done(command: str, facts: Mapping[str, object]) -> str | None:
    """Return what to tell whom *facts* could not be shown; None for a command that only looks."""
    sentence = DONE.get(command)
    return None if sentence is None else sentence.format_map(defaultdict(lambda: "ID", facts))
