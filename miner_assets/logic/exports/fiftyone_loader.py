# pyright: basic, reportMissingImports=false
"""Load this dataset into FiftyOne, with the video and the time of every picture.

    pip install fiftyone
    python load_fiftyone.py            # opens the app
    dataset = load_fiftyone.load()     # or from Python

Each sample gets `video_id`, `video_url`, `source_url` (opens the video at that second), `frame_index`, `timestamp_s`,
`pts`, `time_base`, `license` and `sha256`; its split is a tag; `detections` keep score, detector and prompt.
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
FIELDS = ("source_url", "timestamp_s", "pts", "time_base", "sha256")


def video_fields(labels: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """File name → split and fields of its sample, from the parsed `labels.json`."""
    videos = {video["id"]: video for video in labels["videos"]}
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for image in labels["images"]:
        video = videos[image["video_id"]]
        fields = {name: image[name] for name in FIELDS}
        fields |= {"video_id": video["name"], "video_url": video["url"], "frame_index": image["frame_id"]}
        fields |= {name: video[name] for name in ("title", "channel", "license") if video.get(name)}
        found[image["file_name"]] = (image["split"], fields)
    return found


def load(name: str = "video-miner", folder: Path = FOLDER, persistent: bool = True) -> Any:  # noqa: ANN401
    """A new FiftyOne dataset of that name, or the one that is there already."""
    import fiftyone as fo

    if fo.dataset_exists(name):
        return fo.load_dataset(name)
    folder = Path(folder).resolve()
    dataset = fo.Dataset.from_dir(
        dataset_type=fo.types.COCODetectionDataset,
        data_path=str(folder / "data"),
        labels_path=str(folder / "labels.json"),
        include_id=True,
        name=name,
    )
    known = video_fields(json.loads((folder / "labels.json").read_text(encoding="utf-8")))
    for sample in dataset.iter_samples(autosave=True, progress=True):
        split, fields = known[Path(sample.filepath).relative_to(folder / "data").as_posix()]
        sample.tags.append(split)
        for field, value in fields.items():
            sample[field] = value
    dataset.persistent = persistent
    return dataset


if __name__ == "__main__":
    import fiftyone as fo

    fo.launch_app(load()).wait()
