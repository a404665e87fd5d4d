"""What of AV1 packets nobody refers to: read from their headers, without decoding.

An AV1 picture leaves its traces (pixels, motion vectors, probabilities, film grain) only in the reference slots that
its header says to refresh. One that refreshes none can be left out, and all other pictures decode to the same pixels.
libdav1d can leave such pictures out itself, but only all of them or none, not those that are not wanted.

Reference: AV1 Bitstream & Decoding Process Specification, sections 5.3 (OBUs), 5.5 (sequence), 5.9 (frame) and 7.20.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_SEQUENCE, _DELIMITER, _FRAME_HEADER, _TILES, _METADATA, _FRAME, _REDUNDANT, _PADDING = 1, 2, 3, 4, 5, 6, 7, 15
_WITHOUT_TRACE: Final = frozenset({_DELIMITER, _TILES, _METADATA, _REDUNDANT, _PADDING})
_INTER_FRAME: Final = 1
_SELECT: Final = 2
"""In the sequence header: each frame says it for itself."""


class _Bits:
    """Reads numbers off some bytes, the most significant bit first; raises ValueError behind the end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), len(data) * 8

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("the header ends early")
        return self._value >> self._left & ((1 << count) - 1)

    def flag(self) -> bool:
        return self.take(1) == 1


@dataclass(frozen=True)
class _Sequence:
    """What of the sequence header is needed to read frame headers.

    Attributes:
        screen_content: whether frames use its tools, or `_SELECT`.
        integer_mv: whether motion vectors are whole pixels, or `_SELECT`.
        order_hint_bits: length of the frame counter.
    """

    screen_content: int
    integer_mv: int
    order_hint_bits: int


class PacketTrimmer:
    """Cuts off packets what no other packet needs. Feed it every packet from a keyframe on, in file order."""

    def __init__(self) -> None:
        self._sequence: _Sequence | None = None

    def trim(self, packet: bytes) -> bytes:
        """What is left of a packet without its shown picture, if no other one refers to that.

        Pictures that are shown later stay; nothing may be left. Where it is not certain the packet comes back whole.
        """
        try:
            return self._trimmed(packet)
        except ValueError:
            return packet

    def _trimmed(self, packet: bytes) -> bytes:
        begins: int | None = None
        hidden = 0
        for start, kind, payload in _units(packet):
            if kind == _SEQUENCE:
                self._sequence = _read_sequence(_Bits(payload[:64]))
                return packet
            if kind in (_FRAME, _FRAME_HEADER):
                if self._sequence is None or begins is not None:
                    return packet
                if not _leaves_a_trace(_Bits(payload[:16]), self._sequence):
                    begins = start
                else:
                    hidden += 1
            elif kind not in _WITHOUT_TRACE:
                return packet
        if begins is None:
            return packet
        return packet[:begins] if hidden else b""


def _units(packet: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Where each OBU starts, its kind and its payload; containers store them with their sizes."""
    place = 0
    while place < len(packet):
        start, header = place, packet[place]
        has_extension, has_size = bool(header & 4), bool(header & 2)
        place += 2 if has_extension else 1
        size, place = _leb128(packet, place) if has_size else (len(packet) - place, place)
        if place + size > len(packet):
            raise ValueError("an OBU is longer than its packet")
        yield start, header >> 3 & 15, packet[place : place + size]
        place += size


def _leb128(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for position in range(8):
        if place >= len(data):
            break
        byte = data[place]
        place += 1
        value |= (byte & 127) << 7 * position
        if not byte & 128:
            return value, place
    raise ValueError("a size has no end")


def _read_sequence(bits: _Bits) -> _Sequence | None:
    """None for what video sites do not send: still pictures, layers, frame numbers, and models of buffers."""
    bits.take(4)  # profile, still picture
    if bits.flag():  # reduced header of a still picture
        return None
    if bits.flag() and not _skip_timing(bits):
        return None
    has_delay = bits.flag()
    if bits.take(5):  # operating points beyond the first: layers
        return None
    bits.take(12)
    if bits.take(5) > 7:  # level
        bits.take(1)  # tier
    if has_delay and bits.flag():
        bits.take(4)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    bits.take(width_bits + height_bits)
    return None if bits.flag() else _read_tools(bits)  # frame numbers


def _read_tools(bits: _Bits) -> _Sequence:
    """The end of the sequence header, from the size of blocks on."""
    bits.take(7)  # block size, filters and prediction
    has_order = bits.flag()
    if has_order:
        bits.take(2)
    screen_content = _SELECT if bits.flag() else bits.take(1)
    integer_mv = _SELECT
    if screen_content:
        integer_mv = _SELECT if bits.flag() else bits.take(1)
    return _Sequence(screen_content, integer_mv, bits.take(3) + 1 if has_order else 0)


def _skip_timing(bits: _Bits) -> bool:
    """Pass over the timing information; False if a model of the decoder's buffer follows."""
    bits.take(64)
    if bits.flag():  # equal intervals: their length follows as an Exp-Golomb number
        zeros = 0
        while not bits.flag():
            zeros += 1
        bits.take(zeros)
    return not bits.flag()


def _leaves_a_trace(bits: _Bits, sequence: _Sequence) -> bool:
    """Whether a frame with that header refreshes a reference slot; True for all but shown inter frames."""
    shows_existing, kind, is_shown = bits.flag(), bits.take(2), bits.flag()
    if shows_existing or kind != _INTER_FRAME or not is_shown:
        return True
    is_resilient = bits.flag()
    bits.take(1)  # whether probabilities adapt
    screen_content = bits.take(1) if sequence.screen_content == _SELECT else sequence.screen_content
    if screen_content and sequence.integer_mv == _SELECT:
        bits.take(1)
    bits.take(1 + sequence.order_hint_bits)  # size override, frame counter
    if not is_resilient:
        bits.take(3)  # primary reference
    return bits.take(8) != 0
