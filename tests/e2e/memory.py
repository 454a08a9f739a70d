"""Looking for secrets in the memory of another process, from outside: who may, sees every page."""

import base64
import gc
import hmac
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from nacl.signing import SigningKey

_CLOSED = "---"
"""No-access: whatever reads such a page by itself ends its process."""


class Finding(NamedTuple):
    """A secret, or half of one, in a region of memory."""

    secret: str
    permissions: str
    region: str

    @property
    def is_closed(self) -> bool:
        """Whether nothing in that process can read it as it is."""
        return self.permissions.startswith(_CLOSED)


def search(pid: int, secrets: Mapping[str, bytes]) -> list[Finding]:
    """Return where the secrets are, or the first or last 16 bytes of one."""
    pieces = {
        piece: name for name, secret in secrets.items() for piece in (secret[:16], secret[-16:])
    }
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, permissions, *rest = line.split(maxsplit=5)
            first, last = (int(end, 16) for end in span.split("-"))
            region = rest[3] if len(rest) > 3 else "anonymous"
            if region.startswith("/") and "w" not in permissions:
                continue  # A file as it is on the disk, where all files are looked at.
            try:
                memory.seek(first)
                content = memory.read(last - first)
            except (OSError, OverflowError):  # A guard page, or the kernel's own.
                continue
            found += [
                Finding(name, permissions, region)
                for piece, name in pieces.items()
                if piece in content
            ]
    return found


def secrets_in(keystore: Path, password: str) -> dict[str, bytes]:
    """Return every secret under a keystore's password, opened as its files' descriptions say.

    That the words of the descriptions are enough is what tests/keystore/test_keystore_format shows.
    """
    whole = json.loads((keystore / "keystore.json").read_bytes())
    cost = whole["kdf"]
    root = Argon2id(
        salt=base64.b64decode(cost["salt"]),
        length=32,
        iterations=cost["passes"],
        lanes=cost["lanes"],
        memory_cost=cost["memory_kib"],
    ).derive(password.encode())
    wrapping = _expanded(root, "wrapping")
    facts = _framed(
        *("waiaas keystore key", whole["version"], cost["algorithm"], cost["memory_kib"]),
        *(cost["passes"], cost["lanes"], base64.b64decode(cost["salt"])),
        base64.b64decode(whole["commitment"]),
    )
    keystore_key = _opened(whole["keystore_key"], wrapping, facts)
    data_keys = _expanded(keystore_key, "agent data keys")
    secrets = {
        "the password": password.encode(),
        "what Argon2 gave": root,
        "the wrapping key": wrapping,
        "the keystore key": keystore_key,
        "the data keys key": data_keys,
    }
    for path in keystore.glob("*-*.json"):
        file = json.loads(path.read_bytes())
        names = ("version", "agent_id", "chain", "network", "public_key")
        described = [file[name] for name in names]
        data_key = _opened(
            file["data_key"], data_keys, _framed("waiaas agent data key", *described)
        )
        seed = _opened(file["seed"], data_key, _framed("waiaas agent seed", *described))
        secrets |= {"a data key": data_key, "a seed": seed}
    return secrets


def _expanded(key: bytes, use: str) -> bytes:
    return hmac.digest(key, f"waiaas keystore 1 {use}".encode() + b"\x01", "sha256")


def _framed(*facts: object) -> bytes:
    contents = [fact if isinstance(fact, bytes) else str(fact).encode() for fact in facts]
    return b"".join(len(content).to_bytes(4, "big") + content for content in contents)


def _opened(sealed: Mapping[str, str], key: bytes, facts: bytes) -> bytes:
    nonce, ciphertext = (base64.b64decode(sealed[name]) for name in ("nonce", "ciphertext"))
    return AESGCM(key).decrypt(nonce, ciphertext, facts)


def main() -> None:
    """Be the naive daemon, and the control: unlock and sign with what the libraries offer."""
    keystore, password = Path(sys.argv[1]), sys.stdin.readline().rstrip("\n")
    secrets = secrets_in(keystore, password)
    key = SigningKey(secrets["a seed"])
    del secrets
    gc.collect()
    for number in range(50):
        key.sign(b"pay %d" % number)
    print("ready", flush=True)  # noqa: T201 -- to whoever looks into this process
    sys.stdin.readline()


if __name__ == "__main__":
    main()
