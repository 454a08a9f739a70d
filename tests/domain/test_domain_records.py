"""Records: immutable, and named as the columns they come from."""

import pytest

from waiaas.domain.records import (
    AcceptedRequest,
    AgentRecord,
    AttemptRecord,
    PolicyRecord,
    SessionRecord,
    TransactionRecord,
)

COLUMNS = {
    AgentRecord: """id name chain network public_key status owner_address owner_verified
        created_at updated_at suspended_at suspension_reason""",
    SessionRecord: """id agent_id token_hash expires_at constraints usage_stats revoked_at
        renewal_count max_renewals last_renewed_at absolute_expires_at created_at""",
    TransactionRecord: """id agent_id session_id chain tx_hash type amount to_address token_mint
        contract_address method_signature spender_address approved_amount parent_id batch_index
        status tier queued_at executed_at created_at error metadata""",
    PolicyRecord: "id agent_id type rules priority enabled created_at updated_at",
}
"""The columns of the tables in the design."""


@pytest.mark.parametrize("record", COLUMNS)
def test_every_field_of_a_record_is_a_column_of_its_table(
    record: type[AgentRecord | SessionRecord | TransactionRecord | PolicyRecord],
) -> None:
    assert set(record._fields) <= set(COLUMNS[record].split())


@pytest.mark.parametrize("record", [AcceptedRequest, AttemptRecord])
def test_a_side_record_names_the_transaction_it_belongs_to(
    record: type[AcceptedRequest | AttemptRecord],
) -> None:
    assert {"tx_id", "agent_id"} <= set(record._fields)


@pytest.mark.parametrize("record", [*COLUMNS, AcceptedRequest, AttemptRecord])
def test_no_field_of_a_record_has_a_default(record: type[PolicyRecord]) -> None:
    assert record._field_defaults == {}
