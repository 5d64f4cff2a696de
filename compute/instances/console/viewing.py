"""What of a VNC client's messages goes on to the screen when its user may only look.

Only bytes, whatever their cuts: nothing is kept but a message that has not arrived whole, and what is dropped is not even kept.
Named here is what passes; what is not known ends the session, since nobody could tell where the next message begins.
"""
SHARED = b"\x01"
# message → its length; these tell the server what and how to draw.
FIXED = {0: 20, 3: 10, 150: 10}
# message → length; keys, pointer, power, and QEMU's keys with scan codes.
DROPPED = {4: 8, 5: 6, 250: 4}
SET_ENCODINGS, CUT_TEXT, FENCE, DESKTOP_SIZE, QEMU = 2, 6, 248, 251, 255
QEMU_KEY, QEMU_KEY_LENGTH = 0, 12
MOST_ENCODINGS = 1000


class NotForViewers(Exception):
    """A message that no viewer sends."""


class LookingOnly:
    """The messages of one client, from its init on."""

    def __init__(self) -> None:
        self._rest = b""
        self._to_drop = 0
        self._is_begun = False

    def passes(self, content: bytes) -> bytes:
        """What of this goes on, now that it has arrived. Raises NotForViewers."""
        passed: list[bytes] = []
        content = self._rest + content if self._rest else content
        at, end = 0, len(content)
        if not self._is_begun and content:
            # Its init message, one byte: alone at the screen it would throw everybody else out.
            self._is_begun, at = True, 1
            passed.append(SHARED)
        while at < end:
            if self._to_drop:
                step = min(self._to_drop, end - at)
                self._to_drop -= step
                at += step
                continue
            length, goes_on = _measure(content, at)
            if not length or (goes_on and end - at < length):
                break
            if goes_on:
                passed.append(content[at:at + length])
                at += length
            else:
                self._to_drop = length
        self._rest = content[at:]
        return b"".join(passed)


def _measure(content: bytes, at: int) -> tuple[int, bool]:
    """The length of the message that begins there, 0 while too little of it is known; and whether it goes on."""
    kind, known = content[at], len(content) - at
    if kind in FIXED:
        return FIXED[kind], True
    if kind in DROPPED:
        return DROPPED[kind], False
    if kind == SET_ENCODINGS:
        count = int.from_bytes(content[at + 2:at + 4], "big")
        if known >= 4 and count > MOST_ENCODINGS:
            raise NotForViewers
        return (4 + 4 * count if known >= 4 else 0), True
    if kind == FENCE:
        return (9 + content[at + 8] if known >= 9 else 0), True
    if kind == CUT_TEXT:  # the extended clipboard says its length as a negative number
        return (8 + abs(int.from_bytes(content[at + 4:at + 8], "big", signed=True)) if known >= 8 else 0), False
    if kind == DESKTOP_SIZE:
        return (8 + 16 * content[at + 6] if known >= 7 else 0), False
    if kind == QEMU:
        if known >= 2 and content[at + 1] != QEMU_KEY:
            raise NotForViewers
        return (QEMU_KEY_LENGTH if known >= 2 else 0), False
    raise NotForViewers
