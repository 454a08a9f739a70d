"""The operator's credentials: a cookie to look and tighten, a login for everything else.

The cookie is a file only this user can read, written at start. A login takes the master password
and gives a token that lives in memory for 15 minutes at most. Failed logins are slowed down by a
delay that is written to the ledger, so that a restart does not forget it.

Everybody who reaches the port may try to log in. Those who prove the cookie are slowed down by
themselves alone: nobody who cannot read the operator's files can keep the operator out.
"""

import asyncio
import hashlib
import hmac
import json
from collections import Counter
from enum import StrEnum
from typing import Final, NamedTuple

from waiaas.api.overwriting import encoded
from waiaas.domain.access import OPERATOR_TOKEN_PREFIX, Credential
from waiaas.domain.audit import OPERATOR, UNAUTHENTICATED, AuditEvent
from waiaas.domain.enums import AuditAction
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.pipeline.record import ledger_time
from waiaas.pipeline.refuse import recorded
from waiaas.ports import Clock, GenerateSecret, Keystore, Ledger, LedgerTransaction

TOKEN_TTL_S: Final = 15 * 60
FREE_FAILURES: Final = 3
"""Wrong passwords in a row before the first delay; people mistype."""
DELAY_S_MAX: Final = 300
WAITING_MAX: Final = 2
"""Logins of one kind that may wait for a derivation (64 MiB, 0.1 s each); more are turned away."""


class Caller(StrEnum):
    """Who tries to log in; the value is under which key the ledger keeps his failures."""

    ANYBODY = "operator.login"
    LOCAL_USER = "operator.login.local"
    """Proves the cookie, or a login that he has already."""


class Failures(NamedTuple):
    """Wrong passwords in a row, and until when the next try must wait."""

    in_a_row: int = 0
    not_before: int = 0


class OperatorAccess:
    """Knows who is the operator."""

    def __init__(
        self,
        *,
        cookie: str,
        ledger: Ledger,
        keystore: Keystore,
        clock: Clock,
        generate_secret: GenerateSecret,
    ) -> None:
        self._cookie_hash = _digest(cookie)
        self._ledger = ledger
        self._keystore = keystore
        self._clock = clock
        self._generate_secret = generate_secret
        self._expiry_by_token_hash: dict[bytes, float] = {}
        self._one_derivation = asyncio.Semaphore(1)
        self._waiting: Counter[Caller] = Counter()

    def allows(self, token: str, credential: Credential) -> bool:
        """Tell whether *token* is good for what *credential* stands for."""
        found = _digest(token)
        if credential is Credential.OPERATOR_LOOK and hmac.compare_digest(found, self._cookie_hash):
            return True
        expiry = self._expiry_by_token_hash.get(found)
        return expiry is not None and self._clock.monotonic_s() < expiry

    async def log_in(
        self, password: str, *, caller: Caller, ip_address: str | None
    ) -> tuple[str, int]:
        """Return a new token and the second at which it expires.

        Each kind of caller has failures, delays and places to wait of its own.

        Raises:
            Refusal: INVALID_MASTER_PASSWORD, or MASTER_PASSWORD_LOCKED with when to try again.
        """
        await self._prove(password, caller, ip_address, proves=AuditAction.OPERATOR_LOGGED_IN)
        token = OPERATOR_TOKEN_PREFIX + self._generate_secret()
        now_s, monotonic_s = self._clock.now_s(), self._clock.monotonic_s()
        live = self._expiry_by_token_hash.items()
        self._expiry_by_token_hash = {key: expiry for key, expiry in live if expiry > monotonic_s}
        self._expiry_by_token_hash[_digest(token)] = monotonic_s + TOKEN_TTL_S
        return token, now_s + TOKEN_TTL_S

    def forget_logins(self) -> None:
        """End every login."""
        self._expiry_by_token_hash.clear()

    async def confirm(self, password: str, *, caller: Caller, ip_address: str | None) -> None:
        """Return if the operator, who is logged in, has entered the password once more.

        Raises:
            Refusal: as `log_in` does, and wrong ones are counted with those of logins.
        """
        await self._prove(password, caller, ip_address, proves=AuditAction.OPERATOR_CONFIRMED)

    async def _prove(
        self, password: str, caller: Caller, ip_address: str | None, *, proves: AuditAction
    ) -> None:
        if self._waiting[caller] > WAITING_MAX:
            raise Refusal(
                ErrorCode.MASTER_PASSWORD_LOCKED,
                "too many logins at once",
                hint="Try again in a few seconds.",
            )
        self._waiting[caller] += 1
        try:
            async with self._one_derivation:
                await self._check(password, caller, ip_address, proves=proves)
        finally:
            self._waiting[caller] -= 1

    async def _check(
        self, password: str, caller: Caller, ip_address: str | None, *, proves: AuditAction
    ) -> None:
        wall_s = self._clock.now_s()
        failures = self._ledger.read(lambda tx: _failures(tx, caller))
        # A delay that is longer than any we give was written by a clock that was wrong.
        if wall_s < failures.not_before <= wall_s + DELAY_S_MAX:
            raise Refusal(
                ErrorCode.MASTER_PASSWORD_LOCKED,
                "too many wrong passwords",
                hint="Wait until retryAt.",
                details={"retryAt": failures.not_before},
            )
        with encoded(password) as secret:
            right = await asyncio.to_thread(self._keystore.verify_password, secret)

        def unit(tx: LedgerTransaction) -> None:
            now_s = ledger_time(tx, wall_s=wall_s)
            after = Failures() if right else _after_failure(_failures(tx, caller), wall_s)
            tx.key_values.put(caller, json.dumps(after._asdict()), now_s=now_s)
            event = AuditEvent(
                proves if right else AuditAction.AUTH_FAILED,
                OPERATOR if right else UNAUTHENTICATED,
                details={"caller": caller.name},
                ip_address=ip_address,
            )
            tx.audit.append(event, now_s=now_s)

        await self._ledger.write_async(unit)
        if not right:
            refusal = Refusal(
                ErrorCode.INVALID_MASTER_PASSWORD,
                "the master password is wrong",
                hint="It is the one that `waiaas init`, or the last `waiaas password change`, was"
                " given. After three wrong ones in a row each next try has to wait.",
            )
            raise recorded(refusal)


def _failures(tx: LedgerTransaction, caller: Caller) -> Failures:
    stored = tx.key_values.get(caller)
    return Failures() if stored is None else Failures(**json.loads(stored))


def _after_failure(failures: Failures, now_s: int) -> Failures:
    """Count one more wrong password; from the third on each doubles the delay."""
    in_a_row = failures.in_a_row + 1
    exponent = in_a_row - FREE_FAILURES
    delay_s = 0 if exponent < 0 else min(1 << min(exponent, 16), DELAY_S_MAX)
    return Failures(in_a_row, now_s + delay_s)


def _digest(token: str) -> bytes:
    """Tokens are compared as digests: equal lengths, bytes only, and nothing to learn from time."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
