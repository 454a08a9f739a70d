"""JSON-RPC 2.0: what a request is, which method it names, and how its answer is written.

Whatever comes in, an answer goes out; only a fault that was installed can prevent it.
"""

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal, get_type_hints

import msgspec

from waiaas.chains.localnet import encodings
from waiaas.chains.localnet.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    RpcError,
)
from waiaas.chains.localnet.faults import NO_FAULT, Fault, Faults, Reply
from waiaas.chains.localnet.methods import FAULT_METHODS, METHODS, Call, Identity
from waiaas.chains.localnet.network import Localnet

BATCH_MAX: Final = 100

_WITHIN_THE_BODY: Final = frozenset({Reply.HONEST, Reply.ERROR, Reply.WRONG_ID})
"""Replies that one answer of a batch may give without spoiling the others."""

_OTHER_ID: Final = "the id of another question"

logger = logging.getLogger(__name__)


class _Request(msgspec.Struct):
    jsonrpc: Literal["2.0"]
    method: str
    id: str | Annotated[int, msgspec.Meta(ge=0)] | msgspec.UnsetType | None = msgspec.UNSET
    params: msgspec.Raw = msgspec.Raw(b"[]")


class _Method:
    """A method that may be called, and decoders made of its parameters' types."""

    def __init__(self, execute: Callable[..., object]) -> None:
        self.execute: Final = execute
        types = get_type_hints(execute, include_extras=True)
        parameters = list(inspect.signature(execute).parameters.values())[1:]
        self._required = sum(each.default is inspect.Parameter.empty for each in parameters)
        self._decoders = [
            msgspec.json.Decoder(types[each.name], dec_hook=encodings.parsed) for each in parameters
        ]

    def arguments(self, params: msgspec.Raw) -> list[object]:
        """Decode what was passed, in order; what is left out at the end has a default.

        Raises:
            ValueError: it does not fit; msgspec's errors are ValueErrors too.
            RecursionError: it is nested too deeply to be anything we know.
        """
        given = msgspec.json.decode(params, type=list[msgspec.Raw] | None) or []
        if not self._required <= len(given) <= len(self._decoders):
            raise ValueError(
                f"{self._required} to {len(self._decoders)} parameters, not {len(given)}"
            )
        decoders = self._decoders[: len(given)]
        return [decoder.decode(text) for decoder, text in zip(decoders, given, strict=True)]


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back, and how; no body means that nothing was asked."""

    body: bytes | None
    reply: Reply = Reply.HONEST


class Node:
    """A node in front of the chain, for one process.

    Args:
        network: the chain.
        identity: what the node says of itself.
        faults: consulted before and after every request.
        faults_enabled: whether callers may install faults, and let blocks pass.
    """

    def __init__(
        self, network: Localnet, *, identity: Identity, faults: Faults, faults_enabled: bool
    ) -> None:
        self._network = network
        self._identity = identity
        self._faults = faults
        offered = {**METHODS, **FAULT_METHODS} if faults_enabled else METHODS
        self._methods = {name: _Method(execute) for name, execute in offered.items()}

    def answer(self, body: bytes) -> Answer:
        """Answer one request, or a batch in its order."""
        try:
            if not body.lstrip().startswith(b"["):
                return self._answer_one(msgspec.json.decode(body, type=msgspec.Raw))
            requests = msgspec.json.decode(body, type=list[msgspec.Raw])
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
            return _failed(RpcError(PARSE_ERROR, "Parse error"))
        if not 1 <= len(requests) <= BATCH_MAX:
            return _failed(RpcError(INVALID_REQUEST, f"A batch has 1 to {BATCH_MAX} requests"))
        answers = [self._answer_one(request) for request in requests]
        bodies = [answer.body for answer in answers if answer.body is not None]
        spoilt = [answer.reply for answer in answers if answer.reply not in _WITHIN_THE_BODY]
        return Answer(
            b"[" + b",".join(bodies) + b"]" if bodies else None,
            spoilt[0] if spoilt else Reply.HONEST,
        )

    def _answer_one(self, text: msgspec.Raw) -> Answer:
        try:
            request = msgspec.json.decode(text, type=_Request)
        except (ValueError, RecursionError):
            return _failed(RpcError(INVALID_REQUEST, "Invalid request"))
        fault = NO_FAULT if request.method in FAULT_METHODS else self._faults.meet(request.method)
        content = self._execute(request, fault=fault) if fault.executes else {}
        if fault.reply is Reply.ERROR:
            content = _error(RpcError(fault.code, fault.message))
        if isinstance(request.id, msgspec.UnsetType):
            return Answer(None, fault.reply)
        asked_id = _OTHER_ID if fault.reply is Reply.WRONG_ID else request.id
        body = msgspec.json.encode({"jsonrpc": "2.0", **content, "id": asked_id})
        return Answer(body, fault.reply)

    def _execute(self, request: _Request, *, fault: Fault) -> dict[str, object]:
        method = self._methods.get(request.method)
        if method is None:
            return _error(RpcError(METHOD_NOT_FOUND, "Method not found"))
        try:
            arguments = method.arguments(request.params)
        except (ValueError, RecursionError) as error:
            return _error(RpcError(INVALID_PARAMS, f"Invalid params: {error}"))
        call = Call(self._network, self._identity, self._faults, fault)
        try:
            with self._network.lock:
                return {"result": method.execute(call, *arguments)}
        except RpcError as error:
            return _error(error)
        except Exception:
            logger.exception("method %s failed", request.method)
            return _error(RpcError(INTERNAL_ERROR, "Internal error"))


def _error(error: RpcError) -> dict[str, object]:
    content: dict[str, object] = {"code": error.code, "message": error.message}
    if error.data is not None:
        content["data"] = error.data
    return {"error": content}


def _failed(error: RpcError) -> Answer:
    return Answer(msgspec.json.encode({"jsonrpc": "2.0", **_error(error), "id": None}))
