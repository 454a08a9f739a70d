"""A JSON-RPC client for a node that may lie, hang, or talk without end.

It knows JSON-RPC and bounds, nothing of Solana. It does not retry: whether asking again is safe
depends on what was asked, and the worker above knows that. It speaks through httpx2's transport
rather than its client, because the client writes the whole URL, which may hold an API key, to the
log, keeps the node's cookies, parses its redirects and unpacks its compressed bodies.
"""

import asyncio
import base64
import functools
import re
import ssl
from typing import Annotated, Final, TypeVar
from urllib.parse import unquote, unquote_plus

import httpx2
import msgspec

from waiaas.ports import ChainUnavailable

Answer = TypeVar("Answer")

TIMEOUT_S: Final = 10
"""For one whole exchange, from connecting to the last byte: a slow drip does not extend it."""

BODY_BYTES_MAX: Final = 1_048_576
"""Nothing we ask for needs a hundredth of it."""

REASON_CHARACTERS_MAX: Final = 200
"""How much of a node's own words is repeated to anyone."""

WITHHELD: Final = "(withheld)"

_SECRET_CHARACTERS_MIN: Final = 4
"""What is shorter is no key, and may stand in any sentence."""


def plain_text(text: str) -> str:
    """Return foreign *text* as printable ASCII, cut to a length that fits a sentence."""
    kept = "".join(c if " " <= c <= "~" else "?" for c in text[:REASON_CHARACTERS_MAX])
    return kept if len(text) <= REASON_CHARACTERS_MAX else f"{kept}..."


class RpcError(ChainUnavailable):
    """The node answered with an error object.

    Still only evidence: a caller that does not interpret it is right to treat it as any other
    unusable answer.

    Attributes:
        code: the node's number for it.
        message: the node's words, made plain.
        data: the JSON beside them as it came, or None. Not to be shown unparsed.
    """

    def __init__(self, node: str, *, code: int, message: str, data: bytes | None) -> None:
        self.code = code
        self.message = plain_text(message)
        self.data = data
        super().__init__(f"the node at {node} answered with error {code}: {self.message}")


class _ErrorObject(msgspec.Struct):
    code: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31)]
    message: str
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Response(msgspec.Struct):
    id: int
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: _ErrorObject | None = None


class JsonRpc:
    """One node, asked one thing at a time over pooled connections.

    Args:
        url: http or https; may hold credentials in its path, query or user part.
        timeout_s: for one whole exchange.
        body_bytes_max: a longer answer is cut off and refused.

    Raises:
        ValueError: *url* is not an http or https URL. The message does not repeat it.
    """

    def __init__(
        self, url: str, *, timeout_s: float = TIMEOUT_S, body_bytes_max: int = BODY_BYTES_MAX
    ) -> None:
        self._url = _parse(url)
        self._timeout_s = timeout_s
        self._body_bytes_max = body_bytes_max
        self._last_id = 0
        self.gave_answer: bool | None = None
        """Whether it did the last time it was asked; what it said does not count."""
        self._transport = httpx2.AsyncHTTPTransport(verify=_tls_context())
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
        }
        if self._url.userinfo:
            credentials = f"{self._url.username}:{self._url.password}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"
        self._secrets = _pattern_of(self._url)
        self.node: Final = f"{self._url.scheme}://{self._url.netloc.decode('ascii')}"
        """The part of the URL that is safe to show."""

    async def call(self, method: str, params: list[object], *, returns: type[Answer]) -> Answer:
        """Ask the node and return its answer, which is exactly of the type *returns*.

        Raises:
            RpcError: the node answered with an error object.
            ChainUnavailable: it gave no answer, or one that is not what JSON-RPC or *returns*
                demand. What it did with the request is not known.
        """
        self._last_id += 1
        asked_id = self._last_id
        body = await self._post(
            msgspec.json.encode(
                {"jsonrpc": "2.0", "id": asked_id, "method": method, "params": params}
            )
        )
        response = self._decode(body, returns=_Response)
        if response.id != asked_id:
            raise self._unusable("answered a request that was not asked")
        if response.error is not None:
            data = response.error.data
            raise RpcError(
                self.node,
                code=response.error.code,
                message=self._withholding(response.error.message),
                data=None if isinstance(data, msgspec.UnsetType) else bytes(data),
            )
        if isinstance(response.result, msgspec.UnsetType):
            raise self._unusable("answered with neither a result nor an error")
        return self._decode(response.result, returns=returns)

    async def aclose(self) -> None:
        """Close the connections; calling twice is harmless."""
        await self._transport.aclose()

    def _withholding(self, words: str) -> str:
        """Return a node's own words without what it repeats of our URL, which may hold a key."""
        return self._secrets.sub(WITHHELD, words) if self._secrets else words

    def _unusable(self, what: str) -> ChainUnavailable:
        return ChainUnavailable(f"the node at {self.node} {what}")

    def _decode(self, text: bytes | msgspec.Raw, *, returns: type[Answer]) -> Answer:
        # Raised outside the handler, here and below: the causes hold the node's bytes and our URL.
        try:
            return msgspec.json.decode(text, type=returns)
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            reason = plain_text(self._withholding(str(error)))
        raise self._unusable(f"gave an answer of the wrong shape ({reason})")

    async def _post(self, body: bytes) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._exchange(body)
        except TimeoutError:
            reason = f"gave no complete answer within {self._timeout_s} s"
        except (httpx2.HTTPError, OSError) as error:
            reason = f"could not be spoken to ({type(error).__name__})"
        except ChainUnavailable:
            self.gave_answer = False
            raise
        else:
            self.gave_answer = True
            return answer
        self.gave_answer = False
        raise self._unusable(reason)

    async def _exchange(self, body: bytes) -> bytes:
        request = httpx2.Request("POST", self._url, headers=self._headers, content=body)
        response = await self._transport.handle_async_request(request)
        try:
            if response.status_code != httpx2.codes.OK:
                raise self._unusable(f"answered with HTTP status {response.status_code}")
            answer = bytearray()
            async for chunk in response.aiter_raw():
                answer += chunk
                if len(answer) > self._body_bytes_max:
                    raise self._unusable(f"answered with more than {self._body_bytes_max} bytes")
            return bytes(answer)
        finally:
            await response.aclose()


def _pattern_of(url: httpx2.URL) -> re.Pattern[str] | None:
    """Return what finds the parts of *url* beside its host, as they are written and as meant."""
    path, user = url.raw_path.decode("ascii"), url.userinfo.decode("ascii")
    written = {path, user, *re.split(r"[/?&=]", path), *user.split(":")}
    parts = {each for part in written for each in (part, unquote(part), unquote_plus(part))}
    told = sorted((each for each in parts if len(each) >= _SECRET_CHARACTERS_MIN), key=len)
    return re.compile("|".join(map(re.escape, reversed(told))), re.IGNORECASE) if told else None


@functools.cache
def _tls_context() -> ssl.SSLContext:
    """Return the one context all clients share: reading the authorities takes 20 ms."""
    return httpx2.create_ssl_context(trust_env=False)


def _parse(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
        if parsed.scheme in {"http", "https"} and parsed.host:
            return parsed
    except (httpx2.InvalidURL, ValueError):
        pass  # Raised below, without the URL that the cause would show.
    raise ValueError("an RPC URL starts with http:// or https:// and names a host")
