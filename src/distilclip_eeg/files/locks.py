"""Who works where: lock files with an owner and a heartbeat, valid over hosts and containers.

A lock file holds host, process number and start; its owner touches it every few seconds. A lock is left, and
may be taken over, when its process is gone (same machine and same process numbers, as far as can be told) or
when nobody has touched it for ``DEAD_S``, by the clock of the file system, which all hosts share.
"""

import json
import os
import platform
import re
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from uuid import uuid4

from distilclip_eeg.schema import DataError, MachineError

HEARTBEAT_S = 5.0
"""A lock is touched so often."""
DEAD_S = 60.0
"""A lock that was not touched for so long is left."""
OLD_S = 3600.0
"""A temporary file of another machine is left after so long."""
POLL_S, QUIET_S = 0.2, 2.0
"""Who waits looks so often, and says so after so long."""
TEMPORARY = re.compile(r"\.(?:tmp|old)\.(?:(?P<machine>[0-9a-f]{8})-)?(?P<pid>\d+)$")
"""How the name of an unfinished file ends; 0.1.0 wrote no machine."""


@cache
def machine() -> str:
    """Stands for the space of process numbers that we live in: host, start of the machine, container."""
    parts = [platform.node()]
    for read in (
        lambda: Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        lambda: os.readlink("/proc/self/ns/pid"),
    ):
        try:
            parts.append(read())
        except OSError:  # not Linux
            parts.append("")
    return sha256("\n".join(parts).encode()).hexdigest()[:8]


def born(pid: int) -> str:
    """When a process of this machine began, in ticks since the machine's start; empty where unknown."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def alive(pid: int) -> bool:
    """Whether a process of this number runs here; someone else's counts."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


@dataclass(frozen=True)
class Owner:
    """Who holds a lock."""

    host: str
    pid: int
    since: str
    """Local time at which it was taken."""
    machine: str = ""
    born: str = ""
    """As :func:`born` gives it, so that another process under the same number is told apart."""
    token: str = ""
    """Of this one taking."""

    @classmethod
    def me(cls) -> "Owner":
        """This process, now."""
        since, pid = time.strftime("%Y-%m-%d %H:%M:%S"), os.getpid()
        return cls(platform.node() or "unknown", pid, since, machine(), born(pid), uuid4().hex)

    @property
    def gone(self) -> bool:
        """Whether its process is known to be gone; False where that cannot be told from here."""
        if self.machine != machine() or self.pid == 0:
            return False
        return not alive(self.pid) or (self.born != "" and born(self.pid) != self.born)

    def __str__(self) -> str:
        return f"{self.host} (process {self.pid}, since {self.since})"


UNKNOWN = Owner("another process", 0, "an unknown time")
STARTED = time.time()
"""About when this process began."""


class Lock:
    """One lock file; ``with Lock(path, "fold 0 of …"):`` refuses where a living owner holds it.

    Args:
        path: the file; its folder must exist.
        what: what is held, for messages.
        wait: wait for a living owner to finish instead.
        say: told once who is waited for.
    """

    def __init__(self, path: Path, what: str, *, wait: bool = False, say: Callable[[str], None] = print):
        self.path, self.what, self.wait, self.say = path, what, wait, say
        self.owner: Owner | None = None
        self.over = threading.Event()

    def __enter__(self) -> "Lock":
        try:
            self._wait_for_it()
            threading.Thread(target=self._beat, daemon=True).start()
        except BaseException:  # a signal, too: whoever is stopped here has no block to leave
            if self.owner is not None:
                self.path.unlink(missing_ok=True)
            raise
        return self

    def _wait_for_it(self) -> None:
        """Take the lock, as soon as nobody living holds it.

        Raises:
            MachineError: ``held``, where it does not wait.
        """
        began, said = time.monotonic(), False
        while not self._take():
            holder = read_owner(self.path)
            if holder is None:  # released this moment
                continue
            if holder.gone or self._untouched() > DEAD_S:
                self._take_over(holder)
            elif not self.wait:
                raise MachineError(
                    f"{self.what} is held by {holder}. Wait for it, or stop it; if that process is gone, "
                    f"this command takes over {DEAD_S:.0f} s after its last sign of life.",
                    reason="held",
                )
            else:
                if not said and time.monotonic() - began > QUIET_S:
                    self.say(f"waiting: {self.what} is held by {holder}")
                    said = True
                time.sleep(POLL_S)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        if self.ours():
            self.path.unlink(missing_ok=True)

    def ours(self) -> bool:
        """Whether nobody took it over, as after a long sleep of this machine."""
        return self.owner is not None and read_owner(self.path) == self.owner

    def check(self) -> None:
        """Refuse to go on where somebody else took over.

        Raises:
            MachineError: ``taken_over``.
        """
        if not self.ours():
            raise MachineError(
                f"{self.what} was taken over by {read_owner(self.path) or UNKNOWN}, because this process "
                "gave no sign of life; it ends here, and the other one goes on.",
                reason="taken_over",
            )

    def _take(self) -> bool:
        """Create the file, which only one process can.

        Raises:
            DataError: ``write_failed``.
        """
        me = Owner.me()
        try:
            number = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        except OSError as error:
            raise DataError(
                f"{self.path}: cannot be written ({error.strerror}). Give a folder that can.",
                reason="write_failed",
            ) from error
        self.owner = me
        with os.fdopen(number, "w") as file:
            json.dump(asdict(me), file)
        return True

    def _take_over(self, dead: Owner) -> None:
        """Remove a left lock under a name of our own; another process may be doing the same."""
        aside = self.path.with_name(f"{self.path.name}.{uuid4().hex[:8]}")
        try:
            os.rename(self.path, aside)
        except FileNotFoundError:
            return
        if read_owner(aside) not in (dead, None):  # somebody took it over before us
            try:
                os.link(aside, self.path)
            except OSError:
                pass
        aside.unlink(missing_ok=True)

    def _untouched(self) -> float:
        """Seconds since the last heartbeat, both times by the clock of the file system."""
        probe = self.path.with_name(f"{self.path.name}.{uuid4().hex[:8]}")
        try:
            probe.touch()
            return probe.stat().st_mtime - self.path.stat().st_mtime
        except OSError:
            return 0.0
        finally:
            probe.unlink(missing_ok=True)

    def _beat(self) -> None:
        """Touch the file until it is released or somebody else's."""
        while not self.over.wait(HEARTBEAT_S):
            if not self.ours():
                return
            try:
                os.utime(self.path)
            except OSError:  # a network drive that is away for a moment
                pass


def read_owner(path: Path) -> Owner | None:
    """Who wrote a lock file; None where there is none, ``UNKNOWN`` where it says nothing (yet)."""
    try:
        return Owner(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        return UNKNOWN


def unfinished(name: str, kind: str = "tmp") -> str:
    """The hidden name under which this process writes what will be called ``name``."""
    return f".{name}.{kind}.{machine()}-{os.getpid()}"


def is_left(path: Path) -> bool:
    """Whether an unfinished file, by its name, was left by a process that is gone."""
    found = TEMPORARY.search(path.name)
    if found is None:
        return False
    pid = int(found["pid"])
    try:
        written = path.stat().st_mtime
    except OSError:
        return False
    if found["machine"] != machine():
        return time.time() - written > OLD_S
    # In a container every start has the same number.
    return written < STARTED if pid == os.getpid() else not alive(pid)
