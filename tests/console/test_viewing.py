"""What of a viewer's messages goes on to the screen, however they are cut."""
import random
from itertools import pairwise

import pytest

from compute.instances.console.viewing import LookingOnly, NotForViewers

KEY = b"\x04\x01\x00\x00\x00\x00\x00a"
CUT = b"\x06\x00\x00\x00" + (5).to_bytes(4, "big") + b"paste"
EXTENDED_CUT = b"\x06\x00\x00\x00" + (-9).to_bytes(4, "big", signed=True) + b"clipboard"
POWER, QEMU_KEY = b"\xfa\x00\x01\x03", b"\xff\x00\x00\x01" + bytes(8)
RESIZE = b"\xfb\x00\x04\x00\x03\x00\x01\x00" + bytes(16)
FORBIDDEN = [KEY, b"\x05\x01\x00\x10\x00\x10", CUT, EXTENDED_CUT, POWER, QEMU_KEY, RESIZE]
FORMAT, UPDATE = b"\x00" + bytes(19), b"\x03\x01" + bytes(8)
ENCODINGS = b"\x02\x00\x00\x02" + bytes(8)
CONTINUOUS, FENCE = b"\x96" + bytes(9), b"\xf8\x00\x00\x00" + bytes(4) + b"\x03abc"
ALLOWED = [FORMAT, ENCODINGS, UPDATE, CONTINUOUS, FENCE]


def cuts(content: bytes, chance: random.Random) -> list[bytes]:
    at = sorted({0, len(content), *(chance.randrange(len(content)) for _turn in range(chance.randrange(40)))})
    return [content[start:end] for start, end in pairwise(at)]


@pytest.mark.parametrize("seed", range(200))
def test_only_what_draws_goes_on_however_it_is_cut(seed: int) -> None:
    chance = random.Random(seed)
    sent = [chance.choice(FORBIDDEN + ALLOWED) for _turn in range(30)]
    looking = LookingOnly()
    passed = b"".join(looking.passes(piece) for piece in cuts(b"\x01" + b"".join(sent), chance))
    assert passed == b"\x01" + b"".join(one for one in sent if one in ALLOWED)


def test_a_viewer_never_asks_to_be_alone_at_the_screen() -> None:
    assert LookingOnly().passes(b"\x00") == b"\x01"


def test_a_huge_clipboard_is_dropped_and_never_kept() -> None:
    looking, length = LookingOnly(), 2**31 - 1
    looking.passes(b"\x01" + b"\x06\x00\x00\x00" + length.to_bytes(4, "big"))
    for _turn in range(64):
        assert looking.passes(KEY * 8192) == b""
    assert len(looking._rest) == 0


@pytest.mark.parametrize("nonsense", [b"\x07", b"\xfe" + bytes(20), b"\xff\x01\x00\x00", b"\x02\x00\xff\xff" + bytes(100),
                                      b"GET /"])
def test_what_is_not_known_ends_the_session(nonsense: bytes) -> None:
    with pytest.raises(NotForViewers):
        LookingOnly().passes(b"\x01" + nonsense)


def test_what_is_not_whole_waits() -> None:
    looking = LookingOnly()
    assert looking.passes(b"\x01" + ENCODINGS[:3]) == b"\x01"
    assert looking.passes(ENCODINGS[3:]) == ENCODINGS
