"""A signer whose keys are in memory and made from their owner's name, the same in every run."""

from hashlib import sha256

from nacl.signing import SigningKey

from waiaas.domain.addresses import solana_address
from waiaas.domain.ids import AgentId


class FakeSigner:
    """`waiaas.ports.Signer`. It counts, so that a test can say that nothing was signed."""

    def __init__(self) -> None:
        self._keys: dict[AgentId, SigningKey] = {}
        self.signed = 0
        self.is_locked = False

    def generate(self, agent_id: AgentId) -> str:
        """Make the agent's key and return its address."""
        self._keys[agent_id] = SigningKey(sha256(agent_id.encode()).digest())
        return solana_address(bytes(self._keys[agent_id].verify_key))

    def sign(self, agent_id: AgentId, payload: bytes) -> bytes:
        self.signed += 1
        return self._keys[agent_id].sign(payload).signature
