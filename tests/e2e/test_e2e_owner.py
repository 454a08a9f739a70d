"""An owner's wallet approves what the operator cannot any more, through the installed program."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coincurve
import pytest
from nacl.signing import SigningKey
from solders.pubkey import Pubkey
from tests.canaries import MARKER

from waiaas.domain.evm_address import evm_address
from waiaas.domain.keccak import keccak256

pytestmark = pytest.mark.e2e

PASSWORD = f"{MARKER} correct horse battery staple"


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


class EthereumWallet:
    """A person's Ethereum wallet; what it signs with `personal_sign` is prefixed (EIP-191)."""

    def __init__(self) -> None:
        self._key = coincurve.PrivateKey()
        self.address = evm_address(self._key.public_key.format(compressed=False)[1:])

    def sign(self, message: str) -> str:
        prefix = f"\x19Ethereum Signed Message:\n{len(message.encode())}"
        digest = keccak256((prefix + message).encode())
        raw = self._key.sign_recoverable(digest, hasher=None)
        return f"0x{raw[:64].hex()}{raw[64] + 27:02x}"


def let_wait(operator: Any, agent_id: str, *, seconds: int) -> None:
    """Let a person decide on each payment of the agent, within so many seconds."""
    rules = {"asset": "native", "instant_max": "0", "approval_timeout": seconds}
    policy = {"agentId": agent_id, "type": "SPENDING_LIMIT", "rules": rules}
    operator.ask("PUT", "/v1/policies", policy)


def approved_by_ethereum(agent: Any, operator: Any, agent_id: str, recipient: str) -> None:
    """Let an owner of another chain approve; until he has, the operator may."""
    wallet, stranger = EthereumWallet(), EthereumWallet()
    ask, anybody = operator.ask, type(agent)(agent.url)
    changed = ask("PUT", f"/v1/agents/{agent_id}/owner", {"ownerAddress": wallet.address})
    assert changed["ownerState"] == "GRACE"
    # A message lives no longer than there is to decide, and is handed in when that is over.
    let_wait(operator, agent_id, seconds=2)
    forgotten = agent.pay(recipient, 7_000_000, key="forgotten")["id"]
    outlived = ask("POST", f"/v1/transactions/{forgotten}/message", {"action": "APPROVE"})
    let_wait(operator, agent_id, seconds=600)
    payments = [agent.pay(recipient, 7_000_000, key=f"e{n}")["id"] for n in range(3)]
    in_grace, signed, last = payments
    ask("POST", f"/v1/approvals/{in_grace}/approve", {"password": PASSWORD})
    message = ask("POST", f"/v1/transactions/{signed}/message", {"action": "APPROVE"})
    proof = {"nonce": message["nonce"], "signature": stranger.sign(message["message"])}
    with pytest.raises(Exception, match="INVALID_SIGNATURE"):
        anybody.ask("POST", f"/v1/transactions/{signed}/approve", proof)
    proof["signature"] = wallet.sign(message["message"])
    anybody.ask("POST", f"/v1/transactions/{signed}/approve", proof)
    assert operator.get(f"/v1/agents/{agent_id}/owner")["ownerState"] == "LOCKED"
    with pytest.raises(Exception, match="OWNER_ALREADY_CONNECTED"):
        ask("PUT", f"/v1/agents/{agent_id}/owner", {"ownerAddress": stranger.address})
    with pytest.raises(Exception, match="OWNER_REQUIRED"):
        ask("POST", f"/v1/approvals/{last}/approve", {"password": PASSWORD})
    ended = [agent.ends(payment) for payment in (in_grace, signed)]
    assert ended == ["CONFIRMED", "CONFIRMED"]
    assert agent.ended(forgotten)["status"] == "EXPIRED"
    proof = {"nonce": outlived["nonce"], "signature": wallet.sign(outlived["message"])}
    with pytest.raises(Exception, match="CHALLENGE_EXPIRED"):
        anybody.ask("POST", f"/v1/transactions/{forgotten}/approve", proof)


@pytest.mark.timeout(120)  # A dozen commands, one after the other.
def test_an_owner_is_registered_verified_and_alone_lets_a_large_payment_go(
    running: Any, chain_of: Callable[[Any], Any], recipient: str
) -> None:
    waiaas, daemon = running
    agent = daemon.funded_agent()
    agent_id = agent.get("/v1/wallet/address")["agentId"]
    let_wait(daemon.operator(), agent_id, seconds=600)
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
    assert agent.ends(large) == "CONFIRMED"
    assert chain_of(waiaas).balance(recipient) == 7_000_000

    second = agent.pay(recipient, 7_000_000, key="second")["id"]
    replayed = waiaas.run("approval", "approve", second, "--owner-signature", signed, code=4)
    assert "INVALID_SIGNATURE" in replayed.stderr
    waiaas.run("owner", "remove", "--yes", "--agent", agent_id, password=True, code=4)
    assert waiaas.json("owner", "show", "--agent", agent_id)["ownerAddress"] == wallet.address
    signed = wallet.sign(waiaas.run("approval", "message", second, "--action", "reject").stdout)
    rejected = waiaas.json("approval", "reject", second, "--owner-signature", signed)
    assert rejected["status"] == "CANCELLED"

    operator, owner_path = daemon.operator(), f"/v1/agents/{agent_id}/owner"
    message = operator.ask("POST", f"{owner_path}/message", {"action": "REMOVE"})
    signature = Path(wallet.sign(message["message"])).read_text(encoding="ascii").strip()
    proof = {"nonce": message["nonce"], "signature": signature}
    assert operator.ask("POST", f"{owner_path}/remove", proof)["ownerState"] == "NONE"
    approved_by_ethereum(agent, operator, agent_id, recipient)
    assert chain_of(waiaas).balance(recipient) == 3 * 7_000_000
