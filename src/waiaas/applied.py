"""What the settings say, in the words of those who are given it: one section in, one value out."""

from collections.abc import Mapping

from waiaas.config.registry import RpcSettings, SecuritySettings
from waiaas.domain.enums import NetworkType
from waiaas.pipeline.admit import AdmissionRules
from waiaas.pipeline.sessions import SessionRules
from waiaas.policy.rule import WaitDefaults


def admission_rules(security: SecuritySettings) -> AdmissionRules:
    """Return what holds for the admission of requests."""
    return AdmissionRules(
        WaitDefaults(security.default_delay_seconds, security.default_approval_seconds),
        pending_max=security.max_pending_transactions,
        waiting_max=security.max_waiting_transactions,
    )


def session_rules(security: SecuritySettings) -> SessionRules:
    """Return what holds for the sessions that are issued."""
    return SessionRules(
        ttl_s=security.session_ttl_seconds, live_max=security.max_sessions_per_agent
    )


def solana_urls(rpc: RpcSettings) -> dict[NetworkType, str]:
    """Return the URL of each Solana network that is known."""
    urls: Mapping[NetworkType, str] = {
        NetworkType.MAINNET: rpc.solana_mainnet,
        NetworkType.DEVNET: rpc.solana_devnet,
        NetworkType.TESTNET: rpc.solana_testnet,
        NetworkType.LOCALNET: rpc.solana_localnet,
    }
    return {network: url for network, url in urls.items() if url}
