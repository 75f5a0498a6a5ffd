"""The commands of flows as processes of their own, and receivers that behave badly."""

import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import anyio
from anyio.abc import ByteStream, Process
from anyio.streams.tls import TLSListener
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PATIENCE_S = 60.0
SECRET = "hunter2-secret"
CREDENTIALS = f'[anna]\nuser = "anna"\nsecret = "{SECRET}"\n[good]\nuser = "anna"\nsecret = "secret"\n'
Serve = Callable[[ByteStream], Any]


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


class Folder:
    """A folder with flows, and commands that run in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "credentials.toml").write_text(CREDENTIALS)
        (path / "credentials.toml").chmod(0o600)
        hidden = {name: text for name, text in os.environ.items() if not name.startswith("HOLDFAST_")}
        self.env = {
            **hidden,
            "XDG_CONFIG_HOME": str(path),
            "XDG_DATA_HOME": str(path),
            "HOLDFAST_STORE": "memory://",
            "HOLDFAST_FLOWS__CREDENTIALS": str(path / "credentials.toml"),
        }

    def write(self, name: str, text: str) -> str:
        """Write a file, and return its name."""
        (self.path / name).write_text(text)
        return name

    async def flow(self, *arguments: str, body: bytes = b"", **env: str) -> Ran:
        """Run `holdfast flow` until it ends, which it has to within a minute."""
        with anyio.fail_after(PATIENCE_S):
            ran = await anyio.run_process(
                self.command(*arguments), input=body, check=False, cwd=self.path, env={**self.env, **env}
            )
        done = Ran(ran.returncode, ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace"))
        assert SECRET not in done.out + done.err
        assert "Traceback" not in done.err, done.err
        return done

    @asynccontextmanager
    async def running(self, *arguments: str, **env: str) -> AsyncIterator[Process]:
        """Start `holdfast flow`; at the end of the block it is killed if need be."""
        process = await anyio.open_process(
            self.command(*arguments), cwd=self.path, env={**self.env, **env}, stdin=subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.aclose()

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "holdfast", "flow", *arguments]


@asynccontextmanager
async def receiver(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Run a receiver that does to each connection what a function does; yield its host and port."""
    listener: Any = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    if tls is not None:
        listener = TLSListener(listener, tls, standard_compatible=False)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield f"127.0.0.1:{port}"
        tasks.cancel_scope.cancel()


def answering(answer: bytes) -> Serve:
    """Return what reads a request and answers these bytes, and then closes."""

    async def serve(stream: ByteStream) -> None:
        async with stream:
            await stream.receive()
            if answer:
                await stream.send(answer)

    return serve


async def hanging(stream: ByteStream) -> None:
    """Take whatever comes, and never answer."""
    async with stream:
        async for _ in stream:
            pass


def certificate(folder: Path, host: str) -> tuple[ssl.SSLContext, Path]:
    """Return a server's context with a certificate for this host that it signed itself, and the certificate's file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, file
