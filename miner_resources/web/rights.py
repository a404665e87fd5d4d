"""What one may do with a web video: its licence, and what its creator lets others train on.

YouTube answers the second without a key: https://developers.google.com/youtube/data/video-trainability/guides/get
"""

import json
from typing import Any, Final, Literal

from miner_resources.errors import NotWanted
from miner_resources.pacing import YOUTUBE, pool_of
from miner_resources.records import Video
from miner_resources.video_source import local_path
from miner_resources.web.listing import CREATIVE_COMMONS

RightsPolicy = Literal["any", "trainable", "cc"]

_SERVICE: Final = "https://youtube.googleapis.com/youtube/v3/videoTrainability"


def violation(video: Video, policy: RightsPolicy) -> str | None:
    """Why `policy` forbids to use a video, None if it allows it.

    What nobody knows is not allowed: a policy is a promise to whoever gets the dataset. Local files are the user's own
    responsibility and pass.
    """
    if policy == "any" or local_path(video.url) is not None:
        return None
    if policy == "cc":
        fine = video.license is not None and CREATIVE_COMMONS.search(video.license)
        return None if fine else f"its licence is {video.license or 'not stated, so not Creative Commons'}"
    if video.trainable is None:
        return "nobody knows whether its creator allows training"
    return None if video.trainable == "all" else f"its creator allows training to: {video.trainable}"


def check_rights(video: Video, policy: RightsPolicy) -> None:
    """Refuse a video that the policy forbids.

    Raises:
        NotWanted: with the reason.
    """
    reason = violation(video, policy)
    if reason:
        raise NotWanted(
            f"{video.url}: rights is {policy}, and {reason}",
            remedy="leave it out, or set `rights: any` and answer for it",
        )


def trainability(downloader: Any, video: Video) -> str | None:  # noqa: ANN401 (yt-dlp has no types)
    """Who may train on a YouTube video: `all`, `none`, or names with commas; None if nobody says.

    Args:
        downloader: a `YoutubeDL`, whose proxy and certificates are used.
        video: a registered video.
    """
    if pool_of(video.url) != YOUTUBE:
        return None
    from yt_dlp.utils import YoutubeDLError

    try:
        with downloader.urlopen(f"{_SERVICE}?id={video.video_id}") as response:
            permitted = json.loads(response.read())["permitted"]
        return ",".join(sorted(str(party) for party in permitted)) or None
    except (YoutubeDLError, OSError, ValueError, KeyError, TypeError):
        return None
