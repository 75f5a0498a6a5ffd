"""Keys and certificates, `openssl` as an oracle, and flows that send to the partner in `partner.py`."""

import datetime
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from e2e.flows_world import Receiver, running_flow, started
from holdfast.flows.adapters.as2.keys import MOST_BYTES
from holdfast.flows.adapters.as2.signing import PrivateKey
from holdfast.flows.runtime import Credential, DeployedFlow, Message

PASSPHRASE = b"open sesame"
OURS = "from: me, to: you, key: me.key, certificate: me.pem, partner_certificate: partner.pem"
PLAIN_PEM = (Encoding.PEM, PrivateFormat.PKCS8)


def openssl(folder: Path, *arguments: str, data: bytes = b"") -> bytes:
    """Return what `openssl cms` gives; what it refuses is an error with its reason."""
    command = ["openssl", "cms", *arguments]
    done = subprocess.run(command, input=data, cwd=folder, capture_output=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def certified(key: PrivateKey, name: str, *, days: tuple[int, int] = (-1, 30), usage: str = "") -> x509.Certificate:
    """Return a certificate for a key that holds from so many days from now to so many."""
    called = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(called)
        .issuer_name(called)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if usage:
        uses = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
        more = ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
        builder = builder.add_extension(x509.KeyUsage(**{one: one == usage for one in (*uses, *more)}), critical=True)
    return builder.sign(key, hashes.SHA256())


def pem(key: PrivateKey, encryption: KeySerializationEncryption | None = None) -> bytes:
    return key.private_bytes(*PLAIN_PEM, encryption or NoEncryption())


def make_files(folder: Path) -> Path:
    """Write keys and certificates into a folder and return it."""
    me, partner, other = (rsa.generate_private_key(65537, 2048) for _ in range(3))
    curve = ec.generate_private_key(ec.SECP256R1())
    named: dict[str, PrivateKey] = {"me": me, "partner": partner, "other": other, "me_ec": curve, "partner_ec": curve}
    for name, key in named.items():
        certificate = certified(key, name)
        (folder / f"{name}.key").write_bytes(pem(key))
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        (folder / f"{name}.der").write_bytes(certificate.public_bytes(Encoding.DER))
    locked = BestAvailableEncryption(PASSPHRASE)
    mine = x509.load_pem_x509_certificate((folder / "me.pem").read_bytes())
    (folder / "me_locked.key").write_bytes(pem(me, locked))
    (folder / "me_both.pem").write_bytes(pem(me) + mine.public_bytes(Encoding.PEM))
    (folder / "me_der.key").write_bytes(me.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "me.p12").write_bytes(pkcs12.serialize_key_and_certificates(b"me", me, mine, None, locked))
    (folder / "partner.p12").write_bytes(pkcs12.serialize_key_and_certificates(None, None, mine, None, locked))
    (folder / "ed.key").write_bytes(ed25519.Ed25519PrivateKey.generate().private_bytes(*PLAIN_PEM, NoEncryption()))
    (folder / "big.key").write_bytes(b"a" * (MOST_BYTES + 1))
    short = rsa.generate_private_key(65537, 1024)
    for name, made in {
        "expired": certified(partner, "partner", days=(-9, -2)),
        "early": certified(partner, "partner", days=(2, 9)),
        "short": certified(short, "partner"),
        "signs": certified(partner, "partner", usage="digital_signature"),
    }.items():
        (folder / f"{name}.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n")
    return folder


@contextmanager
def running_partner(folder: Path) -> Iterator[Receiver]:
    with started(sys.executable, Path(__file__).with_name("partner.py"), folder) as partner:
        yield partner


def known(name: str) -> Credential:
    return Credential(name, PASSPHRASE.decode() if name == "key" else "secret")


@asynccontextmanager
async def flow(
    folder: Path, receiver: str, *, steps: str = "- call: partner", reuse: str = "none", **more: Any
) -> AsyncIterator[DeployedFlow]:
    """Run a flow in a folder: its receiver stands in line 4, its steps begin in line 6."""
    head = f"flow: orders\nhttp_session_reuse: {reuse}\nreceivers:\n  partner: {{adapter: as2, {receiver}}}\n"
    given = {
        "credentials": known,
        "transport": httpx2.AsyncHTTPTransport(verify=False),
        **more,
    }
    async with running_flow(f"{head}steps:\n{steps}\n", str(folder / "orders.yaml"), **given) as running:
        yield running


async def sent(folder: Path, receiver: str, message: Message, **more: Any) -> Message:
    """Return what one message becomes."""
    async with flow(folder, receiver, **more) as running:
        result = await running.process(message)
    assert result is not None
    return result
