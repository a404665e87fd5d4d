"""What a stage counted when it made an artifact, kept with the artifact itself.

A run that is killed between putting an artifact in place and reporting it leaves one that the registry knows nothing
of. The next run uses it, and takes its numbers from here.
"""

from miner_resources.records import Json, Stage
from miner_resources.registry.record_json import metrics_of
from miner_resources.storage import Storage
from miner_resources.tables import read_metadata
from miner_resources.video_facts import read_facts


def stored_metrics(storage: Storage, stage: Stage, video_id: str) -> dict[str, Json]:
    """Metrics of the artifact that is there; empty where it keeps none.

    Raises:
        InvalidData: the artifact is there but cannot be read.
    """
    if stage is Stage.DOWNLOAD:
        facts = read_facts(storage, video_id)
        return dict(facts.metrics) if facts else {}
    tables = {
        Stage.EXTRACT: storage.frames_table,
        Stage.FILTER: storage.scores_table,
        Stage.EMBED: storage.embeddings_table,
        Stage.DETECT: storage.detections_table,
    }
    path = tables[stage](video_id)
    return metrics_of(read_metadata(path), path)
