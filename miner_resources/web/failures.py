"""Which class of trouble an exception of yt-dlp is.

yt-dlp nests its exceptions and puts the site's own words into them, so the class follows from the HTTP status at the
root, the type, and the words, in that order of trust. The words are those of yt-dlp's source (extractor/youtube and
utils) and of the site's player.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from miner_resources.errors import InvalidData, MinerError
from miner_resources.web.trouble import SourceFailed, Trouble

_WORDS: Final[Sequence[tuple[Trouble, str]]] = (
    # The site's words use a curly apostrophe ("you’re not a bot"), so only the end of the sentence is matched.
    (Trouble.BLOCKED, r"not a bot|captcha|IP is likely being blocked|unusual traffic"),
    (Trouble.RATE_LIMITED, r"try again later|rate-limited|too many requests"),
    (Trouble.SETUP, r"no supported javascript runtime"),
    (Trouble.GEO, r"in your country|from your location|geo.?restrict"),
    (Trouble.AGE, r"confirm your age|age.restricted|inappropriate for some users"),
    (Trouble.MEMBERS, r"members.only|channel's members|join this channel|subscribers? only|requires? payment"),
    (Trouble.UPCOMING, r"premieres? (in|will)|live event (will begin|has ended)|has not started|begin in a few"),
    (Trouble.DRM, r"\bDRM\b"),
    (Trouble.NO_FORMAT, r"requested format is not available|only images|no video formats"),
    (Trouble.GONE, r"private video|removed|unavailable|terminated|does not exist|not exist|no longer available"),
    (Trouble.NETWORK, r"timed out|connection|resolve|network|unable to connect|incomplete ?read|bytes read|ssl"),
)

_STATUSES: Final = {
    401: Trouble.AGE,
    403: Trouble.TOKEN,
    404: Trouble.GONE,
    410: Trouble.GONE,
    429: Trouble.RATE_LIMITED,
}
_CERTIFICATES: Final = "if a proxy inspects your traffic, set SSL_CERT_FILE to the file with its certificates"
_NO_VIDEO_PAGE: Final = r"unsupported url|is not a valid url|no suitable extractor|no such extractor"
_USER_INFO: Final = re.compile(r"//[^/@\s]*@")
_NOISE: Final = re.compile(
    r"; please report this issue on .*|\(caused by .*|Use --cookies.*|It is recommended to use.*|See {2}https?://\S+.*",
    re.DOTALL,
)


def failure(url: str, error: BaseException, warnings: Sequence[str] = ()) -> MinerError:
    """The typed error for what yt-dlp raised.

    Args:
        url: what was asked for; it is named in the message.
        error: the exception.
        warnings: what yt-dlp warned of on the way: they tell why there are no formats.
    """
    for nested in _chain(error):
        if isinstance(nested, MinerError):
            return nested
    text = _text(error)
    message = f"{url}: {text}"
    if re.search(_NO_VIDEO_PAGE, text, re.IGNORECASE):
        return InvalidData(message, remedy="check that the page has a video; update yt-dlp if it has")
    trouble = _trouble(error, text, warnings)
    remedy = _CERTIFICATES if "CERTIFICATE_VERIFY" in text else None
    return SourceFailed(message, trouble, remedy=remedy, retry_after_s=_retry_after(error))


def lacks_runtime(warnings: Sequence[str]) -> bool:
    """Whether yt-dlp warned that it found no JavaScript runtime, without which YouTube gives few formats."""
    return any("No supported JavaScript runtime" in line for line in warnings)


def _trouble(error: BaseException, text: str, warnings: Sequence[str]) -> Trouble:
    from yt_dlp.networking.exceptions import RequestError
    from yt_dlp.utils import GeoRestrictedError, UserNotLive

    chain = list(_chain(error))
    status = next((found for nested in chain if (found := _status(nested)) is not None), None)
    if status in _STATUSES:
        return _STATUSES[status]
    if status is not None and status >= 500:
        return Trouble.NETWORK
    types = ((GeoRestrictedError, Trouble.GEO), (UserNotLive, Trouble.UPCOMING))
    for kind, trouble in types:
        if any(isinstance(nested, kind) for nested in chain):
            return trouble
    found = next((trouble for trouble, words in _WORDS if re.search(words, text, re.IGNORECASE)), None)
    if found in (None, Trouble.NO_FORMAT) and lacks_runtime(warnings):
        return Trouble.SETUP
    if found is None and any(isinstance(nested, RequestError | OSError) for nested in chain):
        return Trouble.NETWORK
    # What nobody has words for is most often a site that changed: a newer yt-dlp helps, and so does time.
    return found or Trouble.NO_FORMAT


def _text(error: BaseException) -> str:
    """The site's own words, without yt-dlp's advice to its command-line users."""
    text = re.sub(r"^ERROR: (\[[\w:+-]+\] )?([\w-]{11}: )?", "", str(error))
    text = _USER_INFO.sub("//", _NOISE.sub("", text))
    return " ".join(text.split()).strip(" .;") or type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """`error` and what caused it: yt-dlp keeps causes in `exc_info` and `cause` beside Python's own links."""
    seen: list[BaseException] = []
    queue: list[object] = [error]
    while queue:
        current = queue.pop(0)
        if not isinstance(current, BaseException) or current in seen:
            continue
        seen.append(current)
        yield current
        nested = getattr(current, "exc_info", None) or (None, None, None)
        queue += [nested[1], getattr(current, "cause", None), current.__cause__, current.__context__]


def _status(error: BaseException) -> int | None:
    """The HTTP status; a download that gave up after retries has it only in its words."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return status
    found = re.search(r"HTTP Error (\d{3})", str(error))
    return int(found[1]) if found else None


def _retry_after(error: BaseException) -> float | None:
    """Seconds of the header Retry-After; the form with a date is rare and read as absent."""
    for nested in _chain(error):
        read_header = getattr(getattr(nested, "response", None), "get_header", None)
        value = read_header("Retry-After") if read_header else None
        if isinstance(value, str) and value.strip().isdigit():
            return float(value)
    return None
