"""Errors as a node numbers them: those of JSON-RPC, and those of Agave."""

from typing import Final

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
PREFLIGHT_FAILURE: Final = -32002
SIGNATURE_FAILURE: Final = -32003
NODE_UNHEALTHY: Final = -32005
VERSION_UNSUPPORTED: Final = -32015
MIN_CONTEXT_SLOT_NOT_REACHED: Final = -32016


class RpcError(Exception):
    """The answer is an error object.

    Attributes:
        code: its number in JSON-RPC or in Agave.
        message: one sentence.
        data: what a program may want to know besides, ready for JSON.
    """

    def __init__(self, code: int, message: str, *, data: object = None) -> None:
        self.code = code
        self.message = message
        self.data = data
        super().__init__(f"{code}: {message}")
