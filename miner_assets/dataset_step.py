"""Putting the dataset together: unique frames and their boxes as COCO, splits that do not leak, pictures to look at."""

from fractions import Fraction
from functools import cached_property
from importlib.metadata import version
from typing import Final

import polars as pl

from miner_assets.dataset_exports import exports_are_current, write_exports
from miner_assets.dataset_facts import card_facts
from miner_assets.dataset_folder import DatasetFolder, DatasetReport
from miner_assets.dataset_splits import Separated, SplitMaker
from miner_assets.dataset_versions import DatasetVersions, VersionRecord, content_id, counted
from miner_assets.frame_decisions import frame_decisions
from miner_assets.logic.boxes import confident
from miner_assets.logic.coco import DATASET_FRAMES_SCHEMA, SourceVideo, build_coco
from miner_assets.logic.coco_checks import check_coco
from miner_assets.logic.coco_format import Coco, write_coco
from miner_assets.previews import write_visualizations
from miner_assets.workspace import Workspace
from miner_resources.config_sections import DatasetConfig
from miner_resources.errors import InvalidData, NotFound
from miner_resources.records import DETECTIONS_SCHEMA, FRAMES_SCHEMA, UNIQUE_FRAMES_SCHEMA, Json, Stage
from miner_resources.storage import ArtifactKeys, stable_hash
from miner_resources.tables import read_keys, read_table
from miner_resources.video_facts import read_facts
from miner_resources.video_source import content_hash
from miner_resources.web.rights import violation

VERSIONED: Final = ("classes", "rights", "extraction", "filter", "dedup", "detection")
"""Settings that change what is in a dataset, besides its own; a version remembers them."""


class DatasetStep:
    """Joins what the stages before it decided; runs no model."""

    def __init__(self, workspace: Workspace, config: DatasetConfig) -> None:
        self.workspace = workspace
        self.storage = workspace.storage
        self.config = config
        self.detection = workspace.config.detection
        self._versions = DatasetVersions(workspace.storage)
        self._folder = DatasetFolder(workspace.storage, config.splits)

    @cached_property
    def _unique(self) -> pl.DataFrame:
        if not self.storage.unique_table.exists():
            raise InvalidData("there are no unique frames yet", remedy="run the stage 'dedup' first")
        return read_table(self.storage.unique_table, UNIQUE_FRAMES_SCHEMA)

    @cached_property
    def _labelled(self) -> dict[str, str]:
        """Video → version of its detections, for every video with unique frames that a detector has looked at."""
        found: dict[str, str] = {}
        for video_id in self._unique.filter("kept")["video_id"].unique(maintain_order=True):
            keys = read_keys(self.storage.detections_table(video_id))
            if keys is not None:
                found[video_id] = keys.version
        return found

    def keys(self) -> ArtifactKeys:
        """Compute: unique frames and boxes. Decision: confidence, classes, splits."""
        unique = read_keys(self.storage.unique_table)
        labels: Json = [[video_id, version] for video_id, version in self._labelled.items()]
        wanted = self.config.model_dump(mode="json")
        look = [
            self.detection.confidence_threshold,
            self.detection.class_agnostic_nms,
            self.detection.save_visualizations,
        ]
        return ArtifactKeys(
            stable_hash("dataset", unique.version if unique else None, labels),
            stable_hash(wanted, [*look], list(self.workspace.config.classes), self.workspace.config.rights),
        )

    def violations(self) -> dict[str, str]:
        """Videos that would be in the dataset against the rights policy → why."""
        policy = self.workspace.config.rights
        facts = {video_id: read_facts(self.storage, video_id) for video_id in self._labelled} if policy != "any" else {}
        found = {video_id: violation(known.video, policy) for video_id, known in facts.items() if known is not None}
        return {video_id: reason for video_id, reason in found.items() if reason is not None}

    def is_current(self) -> bool:
        """Whether the dataset is there and up to date."""
        record = self._folder.record()
        keys = self.keys()
        return (
            (record.get("compute_key"), record.get("decision_key")) == (keys.compute, keys.decision)
            and self.storage.annotations.exists()
            and "version" in record
            and self._versions.exists(record["version"])
            and exports_are_current(self.workspace, self.config.formats)
        )

    def version(self) -> str:
        """The id of the version that is there."""
        return str(self._folder.record().get("version", ""))

    def items(self) -> int:
        """Images in the dataset."""
        return int(self._folder.record().get("images", 0))

    def run(self) -> DatasetReport:
        """Write annotations and pictures, keep them as a version, fill `dataset/`, its record and its exports last."""
        self.storage.clean_temporary()
        unlabelled = sorted(set(self._unique.filter("kept")["video_id"]) - set(self._labelled))
        frames, separated = self._frames()
        coco = self._coco(frames)
        problems = check_coco(coco, files=set(frames["file_name"]))
        if problems:
            raise InvalidData(
                f"the dataset would be wrong: {'; '.join(problems[:5])}", remedy="report this with the video ids above"
            )
        with self.storage.publish_file(self.storage.annotations) as target:
            write_coco(target, coco)
        self._publish_visualizations(coco)
        version_id = self._publish_version(coco, separated)
        warnings = [*separated.splits.warnings]
        per_class = counted(coco)["per_class"]
        report = DatasetReport(
            len(coco["images"]), len(coco["annotations"]), unlabelled, warnings, per_class, version_id
        )
        made = self._versions.find(version_id).record
        facts = card_facts(self.workspace, self.config, coco, self._unique, (version_id, made.split, made.similarity))
        self._folder.write(coco, facts, self.keys(), separated.splits.split_of, report)
        write_exports(self.workspace, self.config.formats)
        self._versions.prune(self.config.keep_versions, version_id)
        self.confirm()
        return report

    def confirm(self) -> None:
        """Mark the videos of the dataset as complete, also those that went through a stage again with the same end."""
        self.workspace.catalog.mark_complete(self._labelled_ids())

    def _labelled_ids(self) -> list[str]:
        """Every video that went all the way, also those whose frames were all repeats or rejected."""
        records = self.workspace.catalog.stage_records(stage=Stage.DETECT)
        return [record.video_id for record in records if record.status == "done"]

    def _frames(self) -> tuple[pl.DataFrame, Separated]:
        """Rows of `DATASET_FRAMES_SCHEMA`, and how the splits came about."""
        kept = self._unique.filter(pl.col("kept") & pl.col("video_id").is_in(list(self._labelled)))
        maker = SplitMaker(self.workspace, self.config)
        separated = maker.make(self._unique, kept, self._boxes, self._folder.previous_splits())
        parts = [
            self._frames_of(video_id, rows) for (video_id,), rows in kept.group_by("video_id", maintain_order=True)
        ]
        table = pl.concat(parts) if parts else pl.DataFrame(schema=_WITHOUT_SPLIT)
        split = pl.col("video_id").replace_strict(separated.splits.split_of, return_dtype=pl.String)
        return table.with_columns(split=split).select(DATASET_FRAMES_SCHEMA.names()), separated

    def _frames_of(self, video_id: object, unique: pl.DataFrame) -> pl.DataFrame:
        name = str(video_id)
        table = read_table(self.storage.frames_table(name), FRAMES_SCHEMA)
        table = table.join(unique, on="frame_index", how="semi").sort("frame_index")
        rows = list(table.select("frame_index", "path").iter_rows())
        names = [self.storage.deduplicated_name(name, index, path.rpartition(".")[2]) for index, path in rows]
        hashes = [content_hash(self.storage.root / path) for _, path in rows]
        extra = {"file_name": pl.Series(names, dtype=pl.String), "sha256": pl.Series(hashes, dtype=pl.String)}
        return table.with_columns(**extra).select(_WITHOUT_SPLIT.names())

    @cached_property
    def _boxes(self) -> pl.DataFrame:
        """Boxes of the configured classes that are sure enough, on frames of labelled videos."""
        tables = [read_table(self.storage.detections_table(name), DETECTIONS_SCHEMA) for name in self._labelled]
        boxes = pl.concat(tables) if tables else DETECTIONS_SCHEMA.to_frame()
        known = boxes.filter(pl.col("category").is_in(list(self.workspace.config.classes)))
        sure = confident(known, self.detection.confidence_threshold, self.detection.class_agnostic_nms)
        return sure.select(DETECTIONS_SCHEMA.names())

    def _coco(self, frames: pl.DataFrame) -> Coco:
        return build_coco(
            [self._source(name) for name in frames["video_id"].unique(maintain_order=True)],
            frames,
            self._boxes,
            classes=list(self.workspace.config.classes),
            version=version("video-miner"),
        )

    def _source(self, video_id: str) -> SourceVideo:
        facts = read_facts(self.storage, video_id)
        if facts is None:
            raise InvalidData(f"the facts about video {video_id} are missing", remedy="run the stage 'download' again")
        rate = None if facts.fps is None else Fraction(str(facts.fps))
        return SourceVideo(facts.video, facts.width, facts.height, rate)

    def _publish_visualizations(self, coco: Coco) -> None:
        if self.detection.save_visualizations:
            with self.storage.publish_folder(self.storage.visualizations) as folder:
                write_visualizations(self.storage.deduplicated_frames, coco, folder)
        else:
            self.storage.discard(self.storage.visualizations)

    def _publish_version(self, coco: Coco, separated: Separated) -> str:
        keys = self.keys()
        config: dict[str, Json] = self.workspace.config.model_dump(mode="json", include={*VERSIONED})
        config["dataset"] = self.config.model_dump(mode="json")
        record = VersionRecord(
            version=content_id(self.storage.annotations),
            created_at=self.storage.clock.now().isoformat(timespec="microseconds"),
            parent=self._parent(),
            made_with=version("video-miner"),
            config=config,
            inputs={"compute_key": keys.compute, "decision_key": keys.decision, "videos": len(self._labelled)},
            split=separated.facts(self.config),
            similarity=separated.similarity(),
            **counted(coco),
        )
        decisions = frame_decisions(self.storage, self.workspace.catalog)
        self._versions.publish(record, self.storage.annotations, decisions, self.storage.deduplicated_frames)
        return record.version

    def _parent(self) -> str | None:
        """The version that was current; another one may stand for it since a takedown."""
        try:
            return self._versions.find(self.version()).record.version
        except NotFound:
            return None


_WITHOUT_SPLIT: Final = pl.Schema({name: kind for name, kind in DATASET_FRAMES_SCHEMA.items() if name != "split"})
