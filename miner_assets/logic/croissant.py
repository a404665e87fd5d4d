"""The dataset card for machines: Croissant metadata as JSON-LD, with what it says about responsible use (RAI).

Loaders of the format read pictures' records, boxes, classes and sources straight from `annotations.json`. Licences are
with each source, because a dataset of many sources has none of its own.

Reference: https://docs.mlcommons.org/croissant/docs/croissant-spec.html (1.1), .../croissant-rai-spec.html (1.0).
"""

from collections.abc import Iterator, Mapping
from typing import Final

from miner_assets.logic.dataset_card import LIMITS, CardFacts
from miner_resources.errors import presentable
from miner_resources.records import Json

CONTEXT: Final[dict[str, Json]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The terms of the standard, as every Croissant file names them."""

_TEXT, _INTEGER, _NUMBER, _BOX = "sc:Text", "sc:Integer", "sc:Float", "cr:BoundingBox"
_FIELDS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "videos": {
        "id": (_INTEGER, "Number of the source."),
        "name": (_TEXT, "The video's id."),
        "url": (_TEXT, "Where the video is."),
        "license": (_TEXT, "The licence that the source states, if any."),
    },
    "categories": {"id": (_INTEGER, "Number of the class."), "name": (_TEXT, "What the class is called.")},
    "images": {
        "id": (_INTEGER, "Number of the picture."),
        "file_name": (_TEXT, "Its file in the folder of pictures."),
        "width": (_INTEGER, "Pixels."),
        "height": (_INTEGER, "Pixels."),
        "video_id": (_INTEGER, "Number of its source."),
        "frame_id": (_INTEGER, "Which picture of the video it is, from 0, in order of display."),
        "timestamp_s": (_NUMBER, "When it is shown, in seconds."),
        "source_url": (_TEXT, "Opens the source at that time."),
        "sha256": (_TEXT, "Of the file."),
        "split": (_TEXT, "Which split it is in."),
    },
    "annotations": {
        "id": (_INTEGER, "Number of the box."),
        "image_id": (_INTEGER, "Number of its picture."),
        "category_id": (_INTEGER, "Number of its class."),
        "bbox": (_BOX, "x, y, width and height in pixels."),
        "score": (_NUMBER, "How sure the detector was, 0 to 1; none where it does not say."),
        "detector": (_TEXT, "The model that found it."),
    },
}
_ABOUT: Final = {
    "videos": "The sources, with their licences.",
    "categories": "The classes.",
    "images": "The pictures: where and when in which video, and in which split.",
    "annotations": "The boxes.",
}


def croissant(facts: CardFacts, folder: str, annotations_sha256: str) -> dict[str, Json]:
    """The metadata of one version.

    Args:
        facts: as for the card.
        folder: of that version, relative to the place of the metadata, with `annotations.json` and `images/`.
        annotations_sha256: of `annotations.json`, hex.
    """
    dates = sorted(filter(None, facts.searches.values()))
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": presentable(facts.title),
        "description": presentable(facts.description) or _summary(facts),
        "version": f"0.0.0+{facts.version[:16]}",
        **({"datePublished": dates[-1]} if dates else {}),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": _file(name),
                "name": _file(name),
                "description": f"COCO; here for its {name}.",
                "contentUrl": f"{folder}/annotations.json",
                "encodingFormat": "application/json",
                "sha256": annotations_sha256,
            }
            for name in _FIELDS
        ],
        "recordSet": [_record_set(name) for name in _FIELDS],
        **_responsible(facts),
    }


def _record_set(name: str) -> dict[str, Json]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": _ABOUT[name],
        "key": {"@id": f"{name}/id"},
        "field": list(_fields(name)),
    }


def _fields(name: str) -> Iterator[Json]:
    for field, (kind, about) in _FIELDS[name].items():
        yield {
            "@type": "cr:Field",
            "@id": f"{name}/{field}",
            "name": f"{name}/{field}",
            "description": about,
            "dataType": kind,
            "source": {"fileObject": {"@id": _file(name)}, "extract": {"jsonPath": f"$.{name}[*].{field}"}},
        }


def _file(name: str) -> str:
    """One file object a record set, all of the same file: loaders put what comes from one into one table."""
    return f"file-of-{name}"


def _responsible(facts: CardFacts) -> dict[str, Json]:
    keywords = ", ".join(presentable(keyword) for keyword in facts.searches)
    searched = f"Found by searching for: {keywords}. " if keywords else ""
    models = "; ".join(f"{one.task}: {one.name} ({one.revision or 'not pinned'})" for one in facts.models)
    settings = ", ".join(f"{name} {value}" for name, value in facts.thresholds.items())
    limits = [line.removeprefix("- ").replace("\n  ", " ") for line in LIMITS.split("\n- ")]
    whom = f" Contact: {presentable(facts.contact)}." if facts.contact else ""
    return {
        "rai:dataCollection": f"{searched}Frames of web videos, filtered by a text-image model, without repeats.",
        "rai:dataCollectionType": ["Web Scraping"],
        "rai:dataPreprocessingProtocol": [f"Settings: {settings}."],
        "rai:dataAnnotationProtocol": "Boxes were found by models; no person has checked them.",
        "rai:machineAnnotationTools": [models],
        "rai:dataLimitations": limits,
        "rai:dataBiases": [line for line in limits if "sample" in line],
        "rai:personalSensitiveInformation": [line for line in limits if "People" in line],
        "rai:dataReleaseMaintenancePlan": f"Videos are taken out on request, and a new version is published.{whom}",
    }


def _summary(facts: CardFacts) -> str:
    coco = facts.coco
    return (
        f"{len(coco['images'])} pictures from {len(coco['videos'])} videos with {len(coco['annotations'])} boxes that "
        "models found."
    )
