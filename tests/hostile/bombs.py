"""Small files that ask for much: what the tests of limits throw at the readers of videos and pictures."""

import io
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.video_factory import write_video

_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}


def video_that_claims(path: Path, samples: int) -> Path:
    """An MP4 of one chunk whose tables say `samples` frames of one byte each; the file holds a few thousand bytes."""
    write_video(path, frames=3)
    claims = {
        b"stts": struct.pack(">IIII", 0, 1, samples, 1),
        b"stsz": struct.pack(">III", 0, 1, samples),
        b"stsc": struct.pack(">IIIII", 0, 1, 1, samples, 1),
        b"stco": struct.pack(">III", 0, 1, 48),
    }
    path.write_bytes(_rewritten(path.read_bytes(), claims))
    return path


def _rewritten(data: bytes, claims: dict[bytes, bytes]) -> bytes:
    out, offset = b"", 0
    while offset + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[offset : offset + 8])
        size = size or len(data) - offset
        body = data[offset + 8 : offset + size]
        offset += size
        if kind in (b"ctts", b"stss", b"sgpd", b"sbgp", b"edts"):
            continue
        body = _rewritten(body, claims) if kind in _CONTAINERS else claims.get(kind, body)
        out += struct.pack(">I4s", len(body) + 8, kind) + body
    return out


def boxed(kind: bytes, *parts: bytes) -> bytes:
    """A box of MP4."""
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def video_that_hides(path: Path, samples: int, trick: str) -> Path:
    """`video_that_claims` in ways that libav takes and a plain look at the tables does not show."""
    data = video_that_claims(path, samples).read_bytes()
    if trick == "another place":  # libav reads tables wherever they are
        data = _replaced(data, b"stsz", lambda box: boxed(b"udta", box))
    elif trick == "two kinds":  # the second one counts; sound of such times would not be counted
        data = _replaced(data, b"hdlr", lambda box: box.replace(b"vide", b"soun") + box)
        data = _replaced(data, b"stts", lambda _: boxed(b"stts", struct.pack(">IIII", 0, 1, 1, 1)))
    elif trick == "compressed":
        data = _replaced(
            data,
            b"moov",
            lambda box: boxed(
                b"moov",
                boxed(
                    b"cmov",
                    boxed(b"dcom", b"zlib"),
                    boxed(b"cmvd", len(box).to_bytes(4, "big"), zlib.compress(box)),
                ),
            ),
        )
    elif trick == "unknown beginning":
        data = boxed(b"beep", bytes(8)) + data
    path.write_bytes(data)
    return path


def video_of_tracks(path: Path, samples: int, tracks: int) -> Path:
    """`video_that_claims` so many in each of its tracks."""

    def numbered(track: bytes, number: int) -> bytes:
        at = track.index(b"tkhd") + 16
        return track[:at] + number.to_bytes(4, "big") + track[at + 4 :]

    data = video_that_claims(path, samples).read_bytes()
    path.write_bytes(
        _replaced(data, b"trak", lambda box: b"".join(numbered(box, number + 1) for number in range(tracks)))
    )
    return path


def video_of_edits(path: Path, frames: int, edits: int) -> Path:
    """A video whose list of edits shows all of it over and over."""
    whole = struct.pack(">III", 100_000, 0, 0x10000)
    listed = boxed(b"edts", boxed(b"elst", struct.pack(">II", 0, edits), whole * edits))
    data = write_video(path, frames=frames).read_bytes()
    data = _replaced(data, b"edts", lambda _: b"")
    path.write_bytes(_replaced(data, b"trak", lambda box: boxed(b"trak", box[8:], listed)))
    return path


def _replaced(data: bytes, wanted: bytes, make: Callable[[bytes], bytes]) -> bytes:
    """The boxes with every `wanted` one, header and all, as `make` returns it."""
    out, offset = b"", 0
    while offset + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[offset : offset + 8])
        box = data[offset : offset + (size or len(data) - offset)]
        offset += len(box)
        if kind in _CONTAINERS:
            box = boxed(kind, _replaced(box[8:], wanted, make))
        out += make(box) if kind == wanted else box
    return out


def video_of_pictures(path: Path, tracks: int) -> Path:
    """A Matroska file with many tracks of 8K, two black pictures each."""
    one = path.with_suffix(".one.mkv")
    width, height = 8192, 4320
    with av.open(str(one), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.options = {"preset": "ultrafast"}
        stream.codec_context.thread_count = 1
        picture = av.VideoFrame.from_ndarray(np.zeros((height * 3 // 2, width), np.uint8), format="yuv420p")
        for number in range(2):
            picture.pts, picture.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with av.open(str(one)) as source, av.open(str(path), "w") as target:
        copied = [target.add_stream_from_template(source.streams.video[0]) for _ in range(tracks)]
        for packet in source.demux(video=0):
            for stream in copied if packet.dts is not None else ():
                same = av.Packet(bytes(packet))
                same.pts, same.dts, same.time_base = packet.pts, packet.dts, packet.time_base
                same.is_keyframe, same.stream = packet.is_keyframe, stream
                target.mux(same)
    one.unlink()
    return path


def matroska_of(path: Path, kind: str, content: int, *, hidden: bool = False) -> Path:
    """A video with an element of so many zeros in its header: a sparse file.

    Args:
        path: of the file.
        kind: id of the element, in hexadecimal.
        content: bytes.
        hidden: put it into an element that is skipped, and let only the table of contents name it.
    """
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(3):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 9, np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    at = data.index(bytes.fromhex("18538067"))
    head = bytes.fromhex(kind) + _size(content)
    named = _element("114d9b74", _element("4dbb", _element("53ab", bytes.fromhex(kind)), _element("53ac", b"\xff")))
    named = named[:-1] + bytes([len(named) + 9])  # behind the table and the beginning of what hides it
    with path.open("wb") as file:
        file.write(data[:at] + bytes.fromhex("18538067") + _size((1 << 56) - 1))
        file.write(named + b"\xec" + _size(len(head) + content) if hidden else b"")
        file.write(head)
        file.seek(content, io.SEEK_CUR)
        file.write(data[at + 12 :])
    return path


def _element(kind: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes.fromhex(kind) + _size(len(body)) + body


def _size(size: int) -> bytes:
    return ((1 << 56) | size).to_bytes(8, "big")


def gif_of_canvas(width: int, height: int, frames: int) -> bytes:
    """A GIF whose pictures are single pixels on a canvas of that size."""
    control, place = b"\x21\xf9\x04\x04\x04\0\0\0", b"\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0"
    head = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    return head + (control + place + b"\x02\x02\x44\x01\0") * frames + b"\x3b"


def video_in_fragments(path: Path, samples: int) -> Path:
    """A fragmented MP4 whose one fragment says so many frames, and nothing about them."""
    whole = write_video(path.with_suffix(".whole.mp4"), frames=3)
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"movflags": "empty_moov"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    whole.unlink()
    data = path.read_bytes()
    start = data.index(b"trun") - 4
    size = int.from_bytes(data[start : start + 4], "big")
    changed = bytearray(data[:start] + struct.pack(">I4sII", 16, b"trun", 0, samples) + data[start + size :])
    for parent in (b"moof", b"traf"):
        at = data.index(parent) - 4
        changed[at : at + 4] = (int.from_bytes(data[at : at + 4], "big") - size + 16).to_bytes(4, "big")
    path.write_bytes(changed)
    return path


def video_of_size(path: Path, codec: str, side: int, frames: int = 2) -> Path:
    """A video of plain pictures, whose file is tiny for their size."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(25))
        stream.width = stream.height = side
        stream.pix_fmt = {"png": "gray", "ffv1": "gray", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        stream.codec_context.thread_count = 1
        plain = np.zeros((side, side), np.uint8)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(plain, format="gray")
            frame = frame if stream.pix_fmt == "gray" else frame.reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def video_with_sounds(path: Path, tracks: int) -> Path:
    """A Matroska file with one video and many audio tracks of silence."""
    with av.open(str(path), "w", format="matroska") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sounds = [container.add_stream("pcm_s16le", rate=8000) for _ in range(tracks)]
        for number in range(25):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 9, np.uint8), format="rgb24")
            container.mux(video.encode(picture))
        for sound in sounds:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
            samples.sample_rate = 8000
            container.mux(sound.encode(samples))
        container.mux(video.encode(None))
    return path


def png_of_size(side: int) -> bytes:
    """A black picture with one bit a pixel: 50 MB of pixels are 50 kB of file."""
    row = b"\0" * (1 + (side + 7) // 8)
    press = zlib.compressobj(9)
    data = b"".join(press.compress(row) for _ in range(side)) + press.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def webp_that_claims(width: int, height: int) -> bytes:
    """A WebP container whose canvas is huge; its one frame is tiny."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "WEBP", lossless=True)
    frame = buffer.getvalue()[12:]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    place = b"\0" * 6 + (3).to_bytes(3, "little") * 2 + (100).to_bytes(3, "little") + b"\0"
    parts = [(b"VP8X", b"\x02\0\0\0" + size), (b"ANIM", b"\0" * 6), (b"ANMF", place + frame)]
    body = b"WEBP" + b"".join(kind + struct.pack("<I", len(data)) + data for kind, data in parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_that_claims(width: int, height: int) -> bytes:
    """A JPEG whose header says another size than its few bytes of data have."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_of_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG with one scan repeated: each costs a walk over the whole picture."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (side, side)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    return data[:last] + scan * scans + b"\xff\xd9"
