"""For processes whose PYTHONPATH names this folder: no connection beyond this machine, another name."""

import os
import socket

LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")
_connect, _connect_ex = socket.socket.connect, socket.socket.connect_ex


def _near(address: object) -> bool:
    """Whether an address is of this machine: loopback, or a socket in the file system."""
    return not isinstance(address, tuple) or str(address[0]).startswith(LOOPBACK)


def block() -> None:
    """From now on every connection beyond this machine is refused."""

    def connect(self: socket.socket, address: object) -> None:
        if not _near(address):
            raise OSError(f"sockets are blocked: {address}")
        return _connect(self, address)  # type: ignore[arg-type]

    def connect_ex(self: socket.socket, address: object) -> int:
        if not _near(address):
            raise OSError(f"sockets are blocked: {address}")
        return _connect_ex(self, address)  # type: ignore[arg-type]

    socket.socket.connect = connect  # type: ignore[method-assign]
    socket.socket.connect_ex = connect_ex  # type: ignore[method-assign]


def rename(host: str) -> None:
    """From now on this machine has another name."""
    import platform

    kept = os.uname()
    socket.gethostname = socket.getfqdn = lambda *_: host  # type: ignore[assignment]
    platform.node = lambda: host
    os.uname = lambda: type(kept)((kept[0], host, *kept[2:]))  # type: ignore[assignment]


if os.environ.get("TORTURE_BLOCK_SOCKETS"):
    block()
if os.environ.get("TORTURE_HOST"):
    rename(os.environ["TORTURE_HOST"])
