"""Programs that another kind of request is for: none of them can be called."""

import pytest

from waiaas.domain.addresses import is_solana_address
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.programs import COVERED_PROGRAMS
from waiaas.domain.request import ContractCall

MEMO = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"


@pytest.mark.parametrize("program", COVERED_PROGRAMS)
def test_a_payment_cannot_be_dressed_as_a_call(program: str) -> None:
    assert is_solana_address(program)
    with pytest.raises(Refusal, match="cannot be called") as refusal:
        ContractCall(program, b"\2\0\0\0" + bytes(8))
    assert refusal.value.code is ErrorCode.VALIDATION_FAILED


def test_control_another_program_can_be_called() -> None:
    assert ContractCall(MEMO, b"").contract_address == MEMO
