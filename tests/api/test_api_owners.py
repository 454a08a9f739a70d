"""Owners over HTTP: registered with a login, let in by a signature, of either kind of wallet."""

import base64
from typing import TYPE_CHECKING, Any

import coincurve
import pytest
from nacl.signing import SigningKey
from tests.canaries import MARKER

from waiaas.domain.addresses import solana_address
from waiaas.domain.evm_address import evm_address
from waiaas.domain.keccak import keccak256

if TYPE_CHECKING:
    from tests.api.conftest import Desk, Hired

PASSWORD = f"{MARKER}-pa55word-é"
COOKIE = "wai_op_" + "C" * 43
RECIPIENT = "So11111111111111111111111111111111111111112"


class SolanaWallet:
    def __init__(self) -> None:
        self._key = SigningKey.generate()
        self.address = solana_address(bytes(self._key.verify_key))

    def sign(self, message: str) -> str:

        return base64.b64encode(self._key.sign(message.encode()).signature).decode()


class EthereumWallet:
    """Signs as `personal_sign` does."""

    def __init__(self) -> None:
        self._key = coincurve.PrivateKey()
        self.address = evm_address(self._key.public_key.format(compressed=False)[1:])

    def sign(self, message: str) -> str:
        content = message.encode()
        prefix = b"\x19Ethereum Signed Message:\n" + str(len(content)).encode()
        signature = self._key.sign_recoverable(keccak256(prefix + content), hasher=None)
        return "0x" + signature[:64].hex() + bytes([signature[64] + 27]).hex()


WALLETS = [SolanaWallet, EthereumWallet]


def owner_of(desk: "Desk", hired: "Hired") -> Any:
    return desk.ask("GET", f"/v1/agents/{hired.id}/owner", token=COOKIE).json


def asked(desk: "Desk", path: str, action: str) -> Any:
    answer = desk.ask("POST", f"{path}/message", {"action": action}, token=COOKIE)
    assert answer.status == 201, answer.content
    return answer.json


def proof(message: Any, wallet: Any) -> dict[str, str]:
    return {"nonce": message["nonce"], "signature": wallet.sign(message["message"])}


def waiting(desk: "Desk", hired: "Hired", amount: str = "1000001") -> str:
    body = {"to": RECIPIENT, "amount": amount}
    tx_id = desk.ask("POST", "/v1/transactions/send", body, token=hired.token).json["id"]
    desk.woken.clear()
    return str(tx_id)


@pytest.mark.parametrize("make", WALLETS)
def test_an_owner_is_registered_proves_the_key_and_is_then_the_one_who_approves(
    make: type[Any], desk: "Desk", hired: "Hired", operator: str
) -> None:
    wallet, path = make(), f"/v1/agents/{hired.id}/owner"
    assert owner_of(desk, hired) == {"id": hired.id, "ownerAddress": None, "ownerState": "NONE"}
    registered = desk.ask("PUT", path, {"ownerAddress": wallet.address}, token=operator).json
    assert registered["ownerState"] == "GRACE"
    message = asked(desk, path, "VERIFY")
    assert message["ownerAddress"] == wallet.address
    verified = desk.ask("POST", f"{path}/verify", proof(message, wallet))
    assert verified.json["ownerState"] == "LOCKED"

    tx_id = waiting(desk, hired)
    body = {"password": PASSWORD}
    refused = desk.ask("POST", f"/v1/approvals/{tx_id}/approve", body, token=operator)
    assert (refused.status, refused.code) == (403, "OWNER_REQUIRED")
    message = asked(desk, f"/v1/transactions/{tx_id}", "APPROVE")
    wrong = proof(message, make())
    answer = desk.ask("POST", f"/v1/transactions/{tx_id}/approve", wrong)
    assert (answer.status, answer.code) == (401, "INVALID_SIGNATURE")
    assert desk.woken == []
    right = proof(message, wallet)
    approved = desk.ask("POST", f"/v1/transactions/{tx_id}/approve", right)
    assert approved.json == {"id": tx_id, "status": "QUEUED"}
    assert [transaction.id for transaction in desk.woken] == [tx_id]
    again = desk.ask("POST", f"/v1/transactions/{tx_id}/approve", right)
    assert (again.status, again.code) == (401, "INVALID_NONCE")
    assert desk.rows("audit_log")[-1].event_type == "TX_DECISION_REFUSED"


def test_an_owner_rejects_by_signature(desk: "Desk", hired: "Hired", operator: str) -> None:
    wallet = SolanaWallet()
    path, tx_id = f"/v1/agents/{hired.id}/owner", waiting(desk, hired)
    desk.ask("PUT", path, {"ownerAddress": wallet.address}, token=operator)
    message = asked(desk, f"/v1/transactions/{tx_id}", "REJECT")
    answer = desk.ask("POST", f"/v1/transactions/{tx_id}/reject", proof(message, wallet))
    assert answer.json == {"id": tx_id, "status": "CANCELLED"}
    assert desk.woken == []
    assert owner_of(desk, hired)["ownerState"] == "LOCKED"


def test_once_locked_an_owner_is_removed_by_login_and_signature_together(
    desk: "Desk", hired: "Hired", operator: str
) -> None:
    wallet, path = SolanaWallet(), f"/v1/agents/{hired.id}/owner"
    desk.ask("PUT", path, {"ownerAddress": wallet.address}, token=operator)
    desk.ask("POST", f"{path}/verify", proof(asked(desk, path, "VERIFY"), wallet))
    assert desk.ask("POST", f"{path}/remove", {}, token=operator).code == "OWNER_REQUIRED"
    other = {"ownerAddress": RECIPIENT}
    assert desk.ask("PUT", path, other, token=operator).code == "OWNER_ALREADY_CONNECTED"
    body = proof(asked(desk, path, "REMOVE"), wallet)
    for part in ("nonce", "signature"):
        half = {part: body[part]}
        assert desk.ask("POST", f"{path}/remove", half, token=operator).code == "VALIDATION_FAILED"
    for token in (None, COOKIE, hired.token):
        assert desk.ask("POST", f"{path}/remove", body, token=token).code == "INVALID_TOKEN"
    assert owner_of(desk, hired)["ownerState"] == "LOCKED"
    assert desk.ask("POST", f"{path}/remove", body, token=operator).json["ownerState"] == "NONE"


def test_no_token_of_anybody_does_what_a_signature_does(
    desk: "Desk", hired: "Hired", operator: str
) -> None:
    path, tx_id = f"/v1/agents/{hired.id}/owner", waiting(desk, hired)
    desk.ask("PUT", path, {"ownerAddress": SolanaWallet().address}, token=operator)
    message = asked(desk, f"/v1/transactions/{tx_id}", "APPROVE")
    for token in (None, COOKIE, hired.token, operator):
        for nonce in (message["nonce"], "0" * 32):
            body = {"nonce": nonce, "signature": "1" * 88}
            for verb in ("approve", "reject"):
                answer = desk.ask("POST", f"/v1/transactions/{tx_id}/{verb}", body, token=token)
                assert answer.status == 401
            assert desk.ask("POST", f"{path}/verify", body, token=token).status == 401
    assert desk.rows("pending_approvals")[0].approved_at is None
    assert owner_of(desk, hired)["ownerState"] == "GRACE"


def test_an_agent_neither_fetches_messages_nor_names_its_owner(
    desk: "Desk", hired: "Hired"
) -> None:
    path, tx_id = f"/v1/agents/{hired.id}/owner", waiting(desk, hired)
    for method, where, body in (
        ("GET", path, None),
        ("PUT", path, {"ownerAddress": SolanaWallet().address}),
        ("POST", f"{path}/message", {"action": "VERIFY"}),
        ("POST", f"/v1/transactions/{tx_id}/message", {"action": "APPROVE"}),
    ):
        assert desk.ask(method, where, body, token=hired.token).code == "INVALID_TOKEN"


def test_a_message_is_about_what_its_path_is_about(desk: "Desk", hired: "Hired") -> None:
    tx_id = waiting(desk, hired)
    for path, action in (
        (f"/v1/agents/{hired.id}/owner", "APPROVE"),
        (f"/v1/transactions/{tx_id}", "REMOVE"),
        (f"/v1/transactions/{tx_id}", "PAY"),
    ):
        answer = desk.ask("POST", f"{path}/message", {"action": action}, token=COOKIE)
        assert (answer.status, answer.code) == (400, "VALIDATION_FAILED")


def test_there_is_no_owner_of_no_agent(desk: "Desk") -> None:
    answer = desk.ask("GET", "/v1/agents/nobody/owner", token=COOKIE)
    assert (answer.status, answer.code) == (404, "AGENT_NOT_FOUND")
