"""Making unique frames and dataset again after a takedown, by the same assets as always."""

from miner_assets.instance import open_instance
from miner_assets.pipeline import Pipeline
from miner_assets.workspace import Workspace
from miner_resources.records import Stage


def rebuild_dataset(workspace: Workspace) -> None:
    """Run the stages `dedup` and `dataset` with the project's settings; no other stage, and no new input.

    Raises:
        MinerError: the dataset cannot be made, such as for a violation of the rights policy.
    """
    config = workspace.config
    quiet = config.search.model_copy(update={"keywords": []})
    updates = {"stages": [Stage.DEDUP, Stage.DATASET], "urls": [], "url_files": [], "from_registry": "none"}
    chosen = Workspace(
        config.model_copy(update={**updates, "search": quiet}),
        workspace.storage,
        workspace.catalog,
        workspace.listener,
    )
    with open_instance(workspace.storage) as instance:
        Pipeline(chosen, instance).execute()
