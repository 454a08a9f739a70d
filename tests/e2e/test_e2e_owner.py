"""An owner's wallet approves what the operator cannot any more, through the installed program."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey
from solders.pubkey import Pubkey

pytestmark = pytest.mark.e2e


class Wallet:
    """A person's Solana wallet, which signs what it is shown."""

    def __init__(self, folder: Path) -> None:
        self._key = SigningKey.generate()
        self._file = folder / "signature"
        self.address = str(Pubkey(bytes(self._key.verify_key)))

    def sign(self, message: str) -> str:
        signature = self._key.sign(message.encode()).signature
        self._file.write_text(base64.b64encode(signature).decode() + "\n", encoding="ascii")
        return str(self._file)


def test_an_owner_is_registered_verified_and_alone_lets_a_large_payment_go(
    waiaas: Any, chain_of: Callable[[Any], Any], recipient: str
) -> None:
    daemon = waiaas.start()
    agent = daemon.funded_agent()
    agent_id = agent.get("/v1/wallet/address")["agentId"]
    rules = {"asset": "native", "instant_max": "0", "approval_timeout": 600}
    policy = {"agentId": agent_id, "type": "SPENDING_LIMIT", "rules": rules}
    daemon.operator().ask("PUT", "/v1/policies", policy)
    wallet, stranger = Wallet(waiaas.folder), Wallet(waiaas.folder)
    owner = ("owner", "set", "--agent", agent_id, "--address", wallet.address)
    assert waiaas.json(*owner, password=True)["ownerState"] == "GRACE"
    message = waiaas.run("owner", "message", "--agent", agent_id).stdout
    signed = wallet.sign(message)
    verified = waiaas.json("owner", "verify", "--agent", agent_id, "--owner-signature", signed)
    assert verified["ownerState"] == "LOCKED"

    large = agent.pay(recipient, 7_000_000, key="large")["id"]
    alone = waiaas.run("approval", "approve", large, password=True, code=4)
    assert "OWNER_REQUIRED" in alone.stderr
    message = waiaas.run("approval", "message", large).stdout
    assert f"send 0.007 SOL (7000000 lamports) to {recipient}" in message
    forged = waiaas.run(
        *("approval", "approve", large, "--owner-signature", stranger.sign(message)), code=4
    )
    assert "INVALID_SIGNATURE" in forged.stderr
    assert agent.get(f"/v1/transactions/{large}")["status"] == "QUEUED"
    signed = wallet.sign(message)
    assert waiaas.json("approval", "approve", large, "--owner-signature", signed)["id"] == large
    assert agent.ended(large)["status"] == "CONFIRMED"
    assert chain_of(waiaas).balance(recipient) == 7_000_000

    second = agent.pay(recipient, 7_000_000, key="second")["id"]
    replayed = waiaas.run("approval", "approve", second, "--owner-signature", signed, code=4)
    assert "INVALID_SIGNATURE" in replayed.stderr
    waiaas.run("owner", "remove", "--agent", agent_id, password=True, code=4)
    assert waiaas.json("owner", "show", "--agent", agent_id)["ownerAddress"] == wallet.address
    signed = wallet.sign(waiaas.run("approval", "message", second, "--action", "reject").stdout)
    rejected = waiaas.json("approval", "reject", second, "--owner-signature", signed)
    assert rejected["status"] == "CANCELLED"
