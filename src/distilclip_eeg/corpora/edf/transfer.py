"""Files that were sent or stored as text: bytes were added to their binary part, so its grid is lost.

The size tells first: such a file is not as long as its header says. Only then are bytes looked at, at most
``LOOKED_AT`` of them.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from distilclip_eeg.schema import DataError

LOOKED_AT = 1 << 20
ENOUGH = 16
"""Line feeds, or bytes beyond ASCII, that must all follow the rule before it is believed."""
AGAIN = "Fetch it again in binary mode, or in an archive."
_STAMP = re.compile(rb"[+-]\d+(?:\.\d*)?\x14\x14\0")
"""How EDF+ begins the annotations of a record; five bytes or more that no signal holds by chance."""


def check_transfer(path: Path, offset: int) -> None:
    """Refuse a file whose binary part shows that it went through something that takes it for text.

    Where each LF became CR LF, no LF is left without a CR before it, be its place odd or even; in binary
    data one in about 256 has one. Where it was re-coded as UTF-8, it is valid UTF-8 with bytes beyond ASCII,
    which binary data are not.

    Args:
        offset: bytes of the header.

    Raises:
        DataError: ``sent_as_text``.
    """
    with path.open("rb") as stream:
        stream.seek(offset)
        data = stream.read(LOOKED_AT)
    feeds = [match.start() for match in re.finditer(rb"\n", data)]
    if len(feeds) >= ENOUGH and len({at % 2 for at in feeds}) == 2 and data.count(b"\r\n") == len(feeds):
        found = "every LF byte of the signal follows a CR: the file was sent as text, bytes were added"
        raise DataError(f"{path}: {found}; expected the file as it was. {AGAIN}", reason="sent_as_text")
    if len(data) - len(data.translate(None, bytes(range(128, 256)))) >= ENOUGH and _is_utf8(data):
        found = "the signal is valid UTF-8: the file was re-coded as text, bytes were added"
        raise DataError(f"{path}: {found}; expected the file as it was. {AGAIN}", reason="sent_as_text")


def _is_utf8(data: bytes) -> bool:
    """Whether it decodes, a cut character at the end aside."""
    try:
        data.decode()
    except UnicodeDecodeError as problem:
        return problem.start >= len(data) - 3 and problem.reason == "unexpected end of data"
    return True


def misplaced_stamp(raw: bytes, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether a time stamp stands among a record's signals, or not where an entry may begin.

    Args:
        raw: a record without a readable stamp.
        spans: its parts for annotations, in bytes.
    """
    for match in _STAMP.finditer(raw):
        at = match.start()
        if not any(a <= at < b for a, b in spans) or (at > 0 and raw[at - 1] != 0):
            return True
    return False
