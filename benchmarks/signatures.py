"""What a signature costs through the keystore's port, against the bare library in the same run.

    python benchmarks/signatures.py [--seconds 10]

*port*: `sign(agent_id, payload)` of an unlocked keystore: the key's pages are opened, it signs,
they are closed. *bare*: the library's own key object, in ordinary memory (PyNaCl's SigningKey,
coincurve's PrivateKey). The two take turns in short rounds; medians are printed, and of the ratios
of one round. A Solana payload has 300 bytes, an Ethereum one is a digest of 32. Rates are per
second of this process's processor time.
"""

import argparse
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import coincurve
from nacl.signing import SigningKey

from waiaas.database import generate_id
from waiaas.domain.enums import ChainType, NetworkType
from waiaas.domain.ids import AgentId
from waiaas.keystore.signer import FileKeystore, create_keystore, open_keystore

PASSWORD: Final = b"a password of a benchmark"
PER_ROUND: Final = 500
SECONDS_DEFAULT: Final = 10.0


def rate(sign: Callable[[], object]) -> float:
    """Return how many signatures a second of processor time gives."""
    begin = time.process_time()
    for _ in range(PER_ROUND):
        sign()
    return PER_ROUND / (time.process_time() - begin)


def measure(name: str, port: Callable[[], object], bare: Callable[[], object], *, s: float) -> None:
    """Let the two take turns for *s* seconds, and print what came of it."""
    ports, bares = list[float](), list[float]()
    end = time.monotonic() + s
    while not ports or time.monotonic() < end:
        ports.append(rate(port))
        bares.append(rate(bare))
    ratio = statistics.median(one / other for one, other in zip(ports, bares, strict=True))
    through, beside = statistics.median(ports), statistics.median(bares)
    print(
        f"{name:10} port {through:8,.0f}/s   bare {beside:8,.0f}/s"
        f"   ratio {ratio:.2f}   rounds {len(ports)}"
    )


def new_agent(keystore: FileKeystore, chain: ChainType) -> AgentId:
    """Make an agent's key."""
    agent_id = AgentId(generate_id())
    keystore.generate(agent_id, chain=chain, network=NetworkType.LOCALNET)
    keystore.store(agent_id)
    return agent_id


def main() -> None:
    """Measure both kinds of key."""
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("--seconds", type=float, default=SECONDS_DEFAULT)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "keystore"
        create_keystore(place, PASSWORD)
        keystore = open_keystore(place, PASSWORD)
        solana, ethereum = (new_agent(keystore, chain) for chain in ChainType)
        payload, digest = secrets.token_bytes(300), secrets.token_bytes(32)
        bare_ed25519, bare_secp256k1 = SigningKey.generate(), coincurve.PrivateKey()
        measure(
            "ed25519",
            lambda: keystore.sign(solana, payload),
            lambda: bare_ed25519.sign(payload),
            s=seconds / 2,
        )
        measure(
            "secp256k1",
            lambda: keystore.sign(ethereum, digest),
            lambda: bare_secp256k1.sign_recoverable(digest, hasher=None),
            s=seconds / 2,
        )
        keystore.lock()


if __name__ == "__main__":
    main()
