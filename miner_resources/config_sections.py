"""The sections of the configuration: one Pydantic class per stage, shared by YAML files, the CLI and the launchpad.

To add a key: add a field with a description here, document it in `configs/default.yaml` (a test compares the two), and
read it in its stage.
"""

import re
from datetime import date
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator, model_validator

from miner_resources.errors import MinerError
from miner_resources.models.catalogue import DETECTION, EMBEDDING, TEXT_IMAGE, names
from miner_resources.models.sources import default_threshold
from miner_resources.storage import stable_hash
from miner_resources.vocabulary import SPLIT_NAME, ExportFormat


def _batch_size(value: object) -> object:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    if isinstance(value, str) and value.isdigit() and int(value) >= 1:
        return int(value)
    raise ValueError("must be 'auto' or a whole number of at least 1")


BatchSize = Annotated[Any, BeforeValidator(_batch_size)]
"""`"auto"` or a positive int. Declared as Any so that an error has one place and one message."""

Fraction01 = Annotated[float, Field(ge=0.0, le=1.0)]
Cosine = Annotated[float, Field(ge=-1.0, le=1.0)]


_PROXY = re.compile(r"(https?|socks(4a?|5h?))://([^\s/@\[\]]*@)?([\w.-]+|\[[0-9a-fA-F:]+\])(:\d+)?/?")


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values cannot change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, protected_namespaces=())


def _timeout() -> Any:  # noqa: ANN401 (a field)
    return Field(default=None, gt=0, description="longest time for one video, in seconds; null: no limit")


class ClassSpec(Section):
    """One class to mine.

    Attributes:
        prompts: texts that describe it; a frame's score is that of its best prompt. Empty: the class name.
        negatives: texts of what it is confused with; a frame that fits one of them better is not this class.
        threshold: filter threshold of this class, None for `filter.threshold`.
    """

    prompts: list[str] = Field(default_factory=list, description="texts that describe the class")
    negatives: list[str] = Field(default_factory=list, description="texts of things it is confused with")
    threshold: Fraction01 | None = Field(default=None, description="overrides filter.threshold for this class")


class SearchConfig(Section):
    """Keyword searches, and what is taken of searches, playlists and channels."""

    force: bool = Field(default=False, description="search again even if it was done a short while ago")
    keywords: list[str] = Field(default_factory=list, description="YouTube searches to run")
    max_results: int = Field(default=20, ge=1, le=1000, description="videos per keyword")
    min_duration_s: float | None = Field(default=None, ge=0, description="skip shorter videos")
    max_duration_s: float | None = Field(default=None, gt=0, description="skip longer videos")
    uploaded_after: date | None = Field(default=None, description="skip videos uploaded before this date")
    license: Literal["any", "cc"] = Field(default="any", description="cc: Creative Commons only")
    shorts: bool = Field(default=True, description="take YouTube Shorts too")
    refresh_hours: float = Field(default=24, ge=0, description="a search younger than this is not repeated")

    @property
    def settings(self) -> str:
        """Changes when another search could find other videos."""
        return stable_hash(self.model_dump(mode="json", exclude={"force", "keywords", "refresh_hours", "max_results"}))

    @property
    def needs_details(self) -> bool:
        """Whether the filters need what only a request for each video tells."""
        return self.uploaded_after is not None or self.license == "cc"

    @model_validator(mode="after")
    def _durations_in_order(self) -> "SearchConfig":
        if self.min_duration_s and self.max_duration_s and self.min_duration_s > self.max_duration_s:
            raise ValueError(f"min_duration_s {self.min_duration_s} is above max_duration_s {self.max_duration_s}")
        return self


class DownloadConfig(Section):
    """Fetching videos."""

    force: bool = Field(default=False, description="fetch again even if the video is there")
    max_height: int = Field(default=1080, ge=16, description="largest height in pixels to ask for")
    codec: Literal["h264", "vp9", "av1", "any"] = Field(
        default="h264", description="preferred among formats of one height: h264 decodes fastest, av1 is smallest"
    )
    max_concurrent: int = Field(default=4, ge=1, le=64, description="downloads at a time")
    timeout: float = Field(default=300, gt=0, description="seconds without progress before a download is given up")
    timeout_s: float | None = Field(
        default=None, gt=0, description="longest time to look one new video through, in seconds; null: no limit"
    )
    max_filesize: int | None = Field(default=None, gt=0, description="largest file in bytes")
    max_duration_s: float | None = Field(default=None, gt=0, description="longest video in seconds")
    rate_limit: int | None = Field(default=None, gt=0, description="bytes per second for each download")
    cookies_file: str | None = Field(default=None, description="Netscape cookie file; each worker gets a copy")
    proxy: str | None = Field(default=None, description="proxy URL for all requests")
    allow_private: bool = Field(
        default=False, description="let pages, lists and manifests name addresses of private networks"
    )
    trainability: bool = Field(
        default=False, description="ask YouTube who may train on each video; `rights: trainable` implies it"
    )
    accept_degraded: bool = Field(
        default=False, description="take the 360p stand-in when YouTube gives no video-only format"
    )
    extractor_args: dict[str, dict[str, list[str]]] = Field(
        default_factory=dict, description="yt-dlp's extractor arguments, such as those of a PO token provider"
    )

    @field_validator("proxy")
    @classmethod
    def _proxy_is_a_url(cls, proxy: str | None) -> str | None:
        if proxy is not None and not _PROXY.fullmatch(proxy):
            raise ValueError(
                "must be a URL such as socks5://user:password@host:1080, with special characters percent-encoded"
            )
        return proxy


class PacingConfig(Section):
    """How politely sites are asked. All processes of a project share the rates."""

    youtube_per_hour: float = Field(default=240, gt=0, description="searches and videos an hour from YouTube")
    other_per_hour: float = Field(default=7200, gt=0, description="the same for every other host")
    request_interval: float = Field(default=0.75, ge=0, description="seconds between the requests for one video")
    cool_down: float = Field(
        default=3600, gt=0, description="seconds of rest after a rate limit; a bot check needs four times as long"
    )
    patience: float | None = Field(
        default=None,
        ge=0,
        description="longest cool-down (s) that a run waits out; null: any, under Dagster 60",
    )


class PrescreenConfig(Section):
    """Looking at a video's storyboard with the text-image model before it is downloaded."""

    enabled: bool = Field(default=False, description="score storyboards, and download the best videos first")
    threshold: Fraction01 = Field(
        default=0.0, description="skip videos whose best storyboard picture scores less; 0: only order them"
    )
    max_pictures: int = Field(default=100, ge=1, le=1000, description="storyboard pictures to look at per video")


class AutomationConfig(Section):
    """What the sensors ask for."""

    videos_per_run: int = Field(default=50, ge=1, le=1000, description="videos that share a run, and its models")
    runs_at_once: int = Field(default=4, ge=1, le=1000, description="runs over videos that are queued or at work")


class ExtractionConfig(Section):
    """Sampling frames."""

    force: bool = Field(default=False, description="extract again even if nothing changed")
    timeout_s: float | None = _timeout()
    strategy: Literal["interval", "time", "keyframe", "scene"] = Field(default="interval", description="which frames")
    interval: int = Field(default=30, ge=1, description="interval: every n-th frame")
    seconds: float = Field(default=1.0, gt=0, description="time: seconds between frames")
    scene_threshold: float = Field(
        default=3.0, ge=1, description="scene: a cut changes the picture so many times more than the frames around it"
    )
    scene_min_change: float = Field(
        default=10.0, ge=0, le=765, description="scene: least change of a cut in levels of luma and chroma"
    )
    scene_min_seconds: float = Field(default=0.6, ge=0, description="scene: shots are at least this long")
    max_frames: int | None = Field(default=None, ge=1, description="thin evenly to this many frames per video")
    max_side: int | None = Field(default=None, ge=16, description="shrink so that the longer side has this many pixels")
    image_format: Literal["jpg", "png", "webp"] = Field(default="jpg", description="file format of frames")
    quality: int = Field(default=95, ge=1, le=100, description="JPEG and WebP quality")
    workers: BatchSize = Field(default="auto", description="videos decoded at a time; auto: one for each CPU core")


def _auto_threshold(values: object, key: str, model_key: str, task: str, default_model: str) -> object:
    """`auto` as the default threshold of the model in the same section."""
    if not isinstance(values, dict):
        return values
    section = cast("dict[str, Any]", values)
    if section.get(key) != "auto":
        return section
    try:
        return {**section, key: default_threshold(str(section.get(model_key, default_model)), task)}
    except MinerError as error:
        raise ValueError(f"{key}: auto needs a model that is known: {error.message}") from None


def _models(what: str, task: str) -> str:
    return f"{what}: {', '.join(names(task))}, a folder, or a hub id; several by preference, separated by commas"


Template = Annotated[str, StringConstraints(pattern=r"\{\}")]
"""A text with a place for the name of a class. The usual one is the wording of SigLIP's authors."""


class FilterConfig(Section):
    """Keeping frames that show one of the classes."""

    force: bool = Field(default=False, description="score again even if nothing changed")
    timeout_s: float | None = _timeout()
    model: str = Field(default="siglip2-so400m", min_length=1, description=_models("text-image model", TEXT_IMAGE))
    threshold: Fraction01 = Field(
        default=0.25, description="a frame is kept if a class scores at least this; auto: the model's"
    )
    templates: list[Template] = Field(
        default=["This is a photo of {}."],
        min_length=1,
        description="texts for classes without prompts, {} is the class; the best one counts",
    )
    batch_size: BatchSize = Field(default="auto", description="images per forward pass, or auto")

    @model_validator(mode="before")
    @classmethod
    def _threshold_of_the_model(cls, values: object) -> object:
        return _auto_threshold(values, "threshold", "model", TEXT_IMAGE, "siglip2-so400m")


class DedupConfig(Section):
    """Removing near-duplicates within and across videos."""

    force: bool = Field(default=False, description="embed again even if nothing changed")
    timeout_s: float | None = _timeout()
    model: str = Field(
        default="dinov2-base",
        min_length=1,
        description=_models("image embedding model (siglip: the filter's own)", EMBEDDING),
    )
    resize: Literal["squash", "crop", "pad"] = Field(
        default="squash", description="how pictures become square; NaFlex models keep their shape"
    )
    threshold: Cosine = Field(
        default=0.90, description="cosine similarity from which a frame is a duplicate; auto: the model's"
    )
    cross_video_threshold: Cosine | None = Field(default=None, description="the same across videos; null: threshold")
    batch_size: BatchSize = Field(default="auto", description="images per forward pass, or auto")
    index: Literal["auto", "exact", "faiss"] = Field(
        default="auto",
        description="search across videos; faiss may miss some repeats; auto: exact while it takes minutes",
    )

    @model_validator(mode="before")
    @classmethod
    def _threshold_of_the_model(cls, values: object) -> object:
        return _auto_threshold(values, "threshold", "model", EMBEDDING, "dinov2-base")

    @property
    def across(self) -> float:
        """The threshold across videos."""
        return self.threshold if self.cross_video_threshold is None else self.cross_video_threshold


class DetectionConfig(Section):
    """Finding boxes on the frames that are unique within their video."""

    force: bool = Field(default=False, description="detect again even if nothing changed")
    timeout_s: float | None = _timeout()
    detector: str = Field(default="grounding-dino", min_length=1, description=_models("detector", DETECTION))
    confidence_threshold: Fraction01 = Field(
        default=0.3, description="boxes below are left out of the dataset; auto: the model's"
    )
    presence_gate: Fraction01 | None = Field(
        default=None, description="ask for a class only where the filter scored it at least this; null: everywhere"
    )
    class_agnostic_nms: Fraction01 | None = Field(
        default=None, description="of boxes of any class that overlap by more than this IoU the best stays; null: all"
    )
    save_visualizations: bool = Field(default=True, description="write pictures with boxes drawn")
    batch_size: BatchSize = Field(default="auto", description="images per forward pass, or auto")

    @model_validator(mode="before")
    @classmethod
    def _threshold_of_the_model(cls, values: object) -> object:
        return _auto_threshold(values, "confidence_threshold", "detector", DETECTION, "grounding-dino")


class DatasetConfig(Section):
    """Putting the dataset together."""

    name: str = Field(default="Mined with Video Miner", min_length=1, description="title of the dataset card")
    description: str = Field(default="", description="a sentence or two for the dataset card")
    contact: str = Field(default="", description="whom to ask for a takedown, for the dataset card")

    splits: dict[str, float] = Field(
        default_factory=lambda: {"train": 0.8, "val": 0.1, "test": 0.1}, description="share of frames in each split"
    )
    formats: list[ExportFormat] = Field(
        default_factory=lambda: ["coco"],
        description="formats to write into dataset/exports; coco is always there as detections/annotations.json",
    )
    group_by: Literal["video", "channel"] = Field(
        default="video", description="what is never divided between splits, besides videos that share footage"
    )
    keep_versions: int | None = Field(
        default=None, ge=1, description="older versions of the dataset are deleted beyond so many; null: all stay"
    )

    @field_validator("splits")
    @classmethod
    def _shares_sum_to_one(cls, splits: dict[str, float]) -> dict[str, float]:
        if not all(map(SPLIT_NAME.fullmatch, splits)):
            raise ValueError("names of splits become file names: letters, digits, '_' and '-' only, at most 40")
        if not splits or any(share < 0 for share in splits.values()):
            raise ValueError("needs at least one split, and no share below 0")
        if abs(sum(splits.values()) - 1.0) > 1e-6:
            raise ValueError(f"the shares must sum to 1, not to {sum(splits.values()):g}")
        return splits
