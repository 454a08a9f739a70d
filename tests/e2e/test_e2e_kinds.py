"""Every kind of request through the installed program, to a chain that is not ours to script."""

import base64
import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from spl.token.instructions import get_associated_token_address

pytestmark = [pytest.mark.e2e, pytest.mark.forked]

SOL = 10**9
MEMO = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"
CONFIRMED = {"commitment": "confirmed"}
CONFIRMED_WITH_RENT = {"status": "CONFIRMED", "rent": "2039280"}
PREFLIGHT = {"preflightCommitment": "confirmed"}
DEVNET = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"
OTHER_PROGRAM = "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"


class TokenWorld:
    """A token of which the agent has 1000 base units, on the daemon's own network."""

    def __init__(self, waiaas: Any, wait: Callable[..., Any], issue: Callable[..., bytes]) -> None:
        self._url = waiaas.localnet()["url"]
        self._wait = wait
        self._issue = issue
        self._mint = Keypair()
        self.mint = str(self._mint.pubkey())
        self.asset_id = f"waiaas:solana-localnet/token:{self.mint}"

    def issue_to(self, address: str) -> None:
        issuer = Keypair()
        self._lands(self._ask("requestAirdrop", str(issuer.pubkey()), SOL))
        blockhash = self._ask("getLatestBlockhash", CONFIRMED)["value"]["blockhash"]
        raw = self._issue(
            issuer, self._mint, to=address, amount=1000, decimals=2, blockhash=blockhash
        )
        text = base64.b64encode(raw).decode()
        self._lands(self._ask("sendTransaction", text, {"encoding": "base64"} | PREFLIGHT))

    def tokens(self, owner: str) -> int:
        """Return what the owner's associated account holds: a u64 behind mint and owner."""
        account = get_associated_token_address(Pubkey.from_string(owner), self._mint.pubkey())
        how = {"encoding": "base64"} | CONFIRMED
        found = self._ask("getAccountInfo", str(account), how)["value"]
        return int.from_bytes(base64.b64decode(found["data"][0])[64:72], "little")

    def _lands(self, signature: str) -> None:
        def look() -> bool:
            (status,) = self._ask("getSignatureStatuses", [signature])["value"]
            return status is not None and status["confirmationStatus"] != "processed"

        self._wait("a transaction of the test's own", look)

    def _ask(self, method: str, *params: object) -> Any:
        connection = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=10)
        try:
            question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/", json.dumps(question), headers)
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert "result" in answer, answer
        return answer["result"]


class Sender:
    """The agent at the command line."""

    def __init__(self, waiaas: Any, agent: Any) -> None:
        self._waiaas = waiaas
        self._agent = agent
        token = waiaas.folder / "token"
        token.touch(mode=0o600)
        token.write_text(agent.token, encoding="ascii")
        self._send = ("tx", "send", "--token-file", str(token))

    def pay(self, *arguments: str) -> dict[str, Any]:
        sent: dict[str, Any] = self._waiaas.json(*self._send, *arguments)
        return sent

    def denied(self, *arguments: str) -> str:
        return str(self._waiaas.run(*self._send, *arguments, code=4).stderr)

    def file(self, request: object) -> tuple[str, str]:
        path: Path = self._waiaas.folder / "request.json"
        path.write_text(json.dumps(request), encoding="utf-8")
        return "--request", str(path)

    def ends(self, sent: dict[str, Any]) -> str:
        return str(self._agent.ends(sent["id"]))


def call(program: str, data: bytes = b"paid") -> dict[str, Any]:
    return {
        "type": "CONTRACT_CALL",
        "programId": program,
        "instructionData": base64.b64encode(data).decode(),
        "accounts": [],
    }


def nothing_is_guessed_of_a_token(agent: Any, recipient: str, mint: str) -> None:
    """Neither of which network it is, nor what becomes of more decimals than it has."""
    sent = {"type": "TOKEN_TRANSFER", "to": recipient}
    elsewhere = {"token": {"assetId": f"{DEVNET}/token:{mint}"}, "amount": "1"}
    finer = {"token": {"address": mint}, "humanAmount": "0.001"}
    for told, code in (elsewhere, "VALIDATION_FAILED"), (finer, "INVALID_AMOUNT"):
        with pytest.raises(Exception, match=code):
            agent.ask("POST", "/v1/transactions/send", sent | told)


def a_batch_is_told_all_that_is_wrong(sender: Sender, right: object, too_much: object) -> None:
    parts = [right, too_much, call(OTHER_PROGRAM)]
    denied = sender.denied(*sender.file({"type": "BATCH", "instructions": parts}))
    assert "instructions[1]: daily_max" in denied
    assert "instructions[2]: no policy grants" in denied
    assert "instructions[0]" not in denied


def test_every_kind_is_done_within_its_rules_and_denied_outside_of_them(
    waiaas: Any,
    chain_of: Callable[[Any], Any],
    wait: Callable[..., Any],
    issue_token: Callable[..., bytes],
    recipient: str,
) -> None:
    daemon = waiaas.start()
    agent = daemon.funded_agent()
    sender, world = Sender(waiaas, agent), TokenWorld(waiaas, wait, issue_token)
    wallet = agent.get("/v1/wallet/address")
    world.issue_to(wallet["address"])
    operator = daemon.operator()

    def set_policy(kind: str, rules: dict[str, Any]) -> None:
        policy = {"agentId": wallet["agentId"], "type": kind, "rules": rules}
        operator.ask("PUT", "/v1/policies", policy)

    for kind, rules in (
        ("SPENDING_LIMIT", {"asset": world.asset_id, "instant_max": "100", "daily_max": "100"}),
        ("CONTRACT_WHITELIST", {"contracts": [MEMO], "tier": "INSTANT"}),
        ("APPROVED_SPENDERS", {"spenders": [recipient]}),
        ("SPENDING_LIMIT", {"asset": "native", "instant_max": "1000"}),
    ):
        set_policy(kind, rules)

    sixty = ("--to", recipient, "--amount", "60", "--token")
    ended = agent.ended(sender.pay(*sixty, world.mint)["id"])
    assert ended["error"].startswith("RENT_NOT_GRANTED: ")
    assert chain_of(waiaas).balance(wallet["address"]) == 5 * SOL, "no rent, and no fee either"
    set_policy("SPENDING_LIMIT", {"asset": "native", "instant_max": str(10 * SOL)})
    ended = agent.ended(sender.pay(*sixty, world.asset_id)["id"])
    assert ended.items() >= CONFIRMED_WITH_RENT.items()
    assert world.tokens(recipient) == 60
    nothing_is_guessed_of_a_token(agent, recipient, world.mint)
    too_much = sender.denied("--to", recipient, "--amount", "41", "--token", world.asset_id)
    assert "SPENDING_LIMIT_EXCEEDED" in too_much

    assert sender.ends(sender.pay(*sender.file(call(MEMO)))) == "CONFIRMED"
    assert "no CONTRACT_WHITELIST lists" in sender.denied(*sender.file(call(OTHER_PROGRAM)))

    approval = {"spender": recipient, "token": {"address": world.mint}, "humanAmount": "0.05"}
    waiting = sender.pay(*sender.file({"type": "APPROVE", **approval}))
    assert (waiting["status"], waiting["tier"]) == ("QUEUED", "APPROVAL")
    (listed,) = json.loads(waiaas.run("approval", "list").stdout)
    assert (listed["request"]["spender"], listed["request"]["amount"]) == (recipient, "5")
    waiaas.json("approval", "approve", waiting["id"], password=True)

    payment = {"type": "TRANSFER", "to": recipient, "amount": str(SOL)}
    tokens = {"type": "TOKEN_TRANSFER", "to": recipient, "token": {"address": world.mint}}
    parts = [payment, {**tokens, "amount": "40"}, call(MEMO)]
    batch = sender.pay(*sender.file({"type": "BATCH", "instructions": parts}))
    assert sender.ends(batch) == "CONFIRMED"
    assert (chain_of(waiaas).balance(recipient), world.tokens(recipient)) == (SOL, 100)
    a_batch_is_told_all_that_is_wrong(sender, payment, {**tokens, "amount": "101"})

    assert sender.ends(waiting) == "CONFIRMED"
    assert world.tokens(wallet["address"]) == 900
