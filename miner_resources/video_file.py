"""Opening a video file that nobody vouches for, and saying in plain words what is wrong with it.

Downloads arrive cut off, empty, as web pages or as pictures with a wrong name. libav answers with codes; a person needs
a sentence. `open_video` yields a stream that can be decoded or raises a `MinerError` that names the file and the
fault. Containers are a fixed list and only this one file is opened, because playlists and concat scripts make libav
open other files and addresses. To support another container: add its libav name to `CONTAINERS`.
"""

import struct
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from miner_resources.errors import CorruptMedia, InvalidData, MinerError, NotFound
from miner_resources.matroska_claims import check_header
from miner_resources.mp4_claims import Unclear, claimed_samples

CONTAINERS: Final = (
    "mov,matroska,webm,flv,avi,mpegts,mpeg,asf,ogg,rm,ivf,mxf,dv,h264,hevc,mpegvideo,m4v,gif,mp3,wav,aac,flac"
)
"""libav demuxers that may be used; the last four hold only sound and are listed for a better message."""

MAX_PIXELS: Final = 8192 * 4352
"""Of one picture: 8K."""

MAX_PICTURE_BYTES: Final = 80_000_000
"""Of one picture as the decoder keeps it: 8K with 8 bits, 6K with 10. It may keep 16, which is most of 1.5 GB."""

MAX_FRAMES: Final = 5_000_000
"""Of one track: a day at 60 frames a second. The index of so many takes 200 MB, and lists of them a gigabyte."""

MAX_SAMPLES: Final = 2 * MAX_FRAMES
"""Of all tracks together, sound and subtitles too."""

DOWNLOAD_AGAIN: Final = "delete the file and download the video again"
CONVERT: Final = "convert it with ffmpeg to MP4 with H.264, or leave this video out"

_HEAD_BYTES = 4096
_MATROSKA_START: Final = b"\x1a\x45\xdf\xa3"
_FULL_TRACKS: Final = 4
"""So many tracks of the largest pictures fit into memory; more of them have to be smaller to be looked at."""
_PIXELS_TO_COUNT: Final = 64 * 64
_MOST_BYTES_PER_PIXEL: Final = 8
_MP4_STARTS: Final = frozenset(
    {
        b"ftyp",
        b"styp",
        b"moov",
        b"moof",
        b"mdat",
        b"free",
        b"skip",
        b"wide",
        b"pnot",
        b"sidx",
        b"uuid",
        b"udta",
        b"junk",
        b"pict",
    }
)
_NO_MOVIE = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image | Disposition.dependent
_STILL_IMAGES: Final = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
_STILL_BRANDS: Final = {b"avif": "AVIF", b"mif1": "HEIF", b"heic": "HEIC", b"heix": "HEIC"}
_OTHER_FILES: Final = {b"PK\x03\x04": "a ZIP archive", b"%PDF": "a PDF document", b"\x1f\x8b": "a gzip archive"}


@contextmanager
def open_video(path: Path) -> Generator[tuple[InputContainer, VideoStream]]:
    """Open `path` for reading and choose its main video stream, one decoding thread.

    Raises:
        NotFound: there is no such file.
        InvalidData: it is a folder or may not be read.
        CorruptMedia: it holds no video that can be decoded.
    """
    head = _read_head(path)
    if problem := _foreign(head):
        raise CorruptMedia(f"{path.name} is not a video: {problem}", remedy="give the address of a video file")
    with _open_container(path, head) as container:
        stream = _choose_stream(path, container)
        stream.codec_context.thread_count = 1
        # What no picture has told yet may come with 16 bits and transparency.
        most = MAX_PIXELS if stream.codec_context.format else MAX_PICTURE_BYTES // _MOST_BYTES_PER_PIXEL
        stream.codec_context.options = {"max_pixels": str(most)}
        yield container, stream


def codec_name(stream: VideoStream) -> str:
    """The coding format, whichever decoder implements it: "av1" for libdav1d."""
    return stream.codec_context.codec.canonical_name


def container_name(container: InputContainer) -> str:
    """The container format by its first name: "mov" for MP4 and its relatives, "matroska" for WebM too."""
    return container.format.name.split(",")[0]


def _read_head(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a device"
        raise InvalidData(f"{path} is {kind}, not a video file", remedy="name a video file")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError as error:
        raise NotFound(f"video file {path} does not exist", remedy="run the download stage for it again") from error
    except OSError as error:
        raise InvalidData(
            f"{path} cannot be read: {error.strerror}", remedy="check the permissions and the disk"
        ) from error
    if not head:
        raise CorruptMedia(f"{path.name} is empty (0 bytes)", remedy=DOWNLOAD_AGAIN)
    return head


def _foreign(head: bytes) -> str | None:
    """What a file that starts with `head` is if it is surely no video."""
    for magic, name in _STILL_IMAGES.items():
        if head.startswith(magic):
            return f"a still image ({name})"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a still image (WebP)"
    if head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS:
        return f"a still image ({_STILL_BRANDS[head[8:12]]})"
    for magic, name in _OTHER_FILES.items():
        if head.startswith(magic):
            return name
    return _kind_of_text(head)


def _kind_of_text(head: bytes) -> str | None:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # otherwise only a character that the limit cut in half
            return None
        text = head[: error.start].decode("utf-8")
    if any(character < " " and character not in "\t\n\r\f" for character in text):
        return None
    start = text.lstrip("\ufeff \t\r\n").lower()
    if start.startswith("#extm3u"):
        return "a playlist (M3U8) that only lists addresses"
    if start.startswith(("<!doctype html", "<html")):
        return "a web page (HTML)"
    return "text"


def _open_container(path: Path, head: bytes) -> InputContainer:
    is_mp4 = head[4:8] in _MP4_STARTS
    try:
        if is_mp4:
            _check_claims(path)
        elif head.startswith(_MATROSKA_START):
            check_header(path)
    except Unclear as error:
        raise CorruptMedia(f"{path.name} is refused: {error}", remedy=CONVERT) from error
    # Only what was counted may be read as MP4, whatever libav makes of a file that begins otherwise.
    containers = CONTAINERS if is_mp4 else CONTAINERS.removeprefix("mov,")
    settings = {"format_whitelist": containers, "protocol_whitelist": "file"}
    try:
        # PyAV lets libav decode a picture or two of every track before any can be chosen, and hands these to the
        # decoders: first as little as can be, to see how many tracks there are.
        with _opened(path, {**settings, "max_pixels": str(_PIXELS_TO_COUNT), "probesize": "32"}) as counted:
            tracks = len(counted.streams.video)
        most = MAX_PIXELS * _FULL_TRACKS // max(tracks, _FULL_TRACKS)
        return _opened(path, {**settings, "max_pixels": str(most)})
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise _diagnose(path, head, error) from error


def _opened(path: Path, options: dict[str, str]) -> InputContainer:
    # "file:" keeps a name such as "a:b.mp4" from being taken for a network protocol.
    return av.open(f"file:{path}", "r", options=options, metadata_errors="replace")


def _check_claims(path: Path) -> None:
    """Refuse an MP4 file whose header would cost more memory than there may be.

    Raises:
        CorruptMedia: it claims too much.
        Unclear: nobody can tell how much.
    """
    remedy = "leave it out; if it is sound, cut it into shorter videos"
    claims = claimed_samples(path)
    if claims.largest > MAX_FRAMES:
        message = f"{path.name} claims {claims.largest:,} frames, more than the limit of {MAX_FRAMES:,}"
        raise CorruptMedia(message, remedy=remedy)
    if claims.total > MAX_SAMPLES:
        message = f"{path.name} claims {claims.total:,} samples in all tracks, more than the limit of {MAX_SAMPLES:,}"
        raise CorruptMedia(message, remedy=remedy)


def _diagnose(path: Path, head: bytes, error: Exception) -> MinerError:
    name = path.name
    if isinstance(error, PermissionError):
        return InvalidData(f"{path} cannot be read: permission denied", remedy="check the permissions of the file")
    if head[4:8] == b"ftyp" and not _has_box(path, b"moov"):
        message = f"the video header (moov) of {name} is missing: the download was probably cut off"
    elif head[4:8] in (b"ftyp", b"moov"):
        message = f"the video header (moov) of {name} is damaged"
    elif head.startswith(_MATROSKA_START):
        message = f"{name} ends inside its header: the download was probably cut off"
    elif isinstance(error, av.error.ArgumentError):
        message = f"{name} is not a video, or in a format that Video Miner does not read"
        return CorruptMedia(message, remedy=f"{DOWNLOAD_AGAIN}; if that gives the same file, {CONVERT}")
    else:
        message = f"{name} is not a video: unknown kind of data"
    return CorruptMedia(message, remedy=DOWNLOAD_AGAIN)


def _has_box(path: Path, wanted: bytes) -> bool:
    """Whether an MP4/MOV file has that top-level box, as far as the file goes."""
    size, offset = path.stat().st_size, 0
    with path.open("rb") as file:
        while offset + 8 <= size:
            file.seek(offset)
            length, kind = struct.unpack(">I4s", file.read(8))
            if kind == wanted:
                return True
            if length == 1:  # the real length follows as 64 bits
                length = int.from_bytes(file.read(8), "big")
            if length < 8:
                return False
            offset += length
    return False


def _choose_stream(path: Path, container: InputContainer) -> VideoStream:
    streams = [stream for stream in container.streams.video if not stream.disposition & _NO_MOVIE]
    if not streams:
        content = "only audio" if container.streams.audio else "and no audio either"
        raise CorruptMedia(f"{path.name} has no video stream, {content}", remedy="leave this file out")
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in streams else streams[0]
    codec = cast("VideoCodecContext | None", stream.codec_context)
    if codec is None:
        raise CorruptMedia(f"the video codec of {path.name} is unknown and cannot be decoded", remedy=CONVERT)
    if codec.width * codec.height > MAX_PIXELS:
        raise CorruptMedia(
            f"the pictures of {path.name} are {codec.width}x{codec.height} px: more than {MAX_PIXELS} pixels each",
            remedy=CONVERT,
        )
    bits = 12 if codec.format is None else codec.format.padded_bits_per_pixel
    if codec.width * codec.height * bits / 8 > MAX_PICTURE_BYTES:
        raise CorruptMedia(
            f"the pictures of {path.name} are {codec.width}x{codec.height} px of {bits} bits: more than "
            f"{MAX_PICTURE_BYTES / 1e6:g} MB each",
            remedy=CONVERT,
        )
    return stream
