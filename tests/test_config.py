"""Loading, merging and checking configuration."""

from pathlib import Path

import pytest
import yaml

from miner_resources.config import MinerConfig
from miner_resources.config_files import load_config, to_yaml
from miner_resources.config_sections import FilterConfig
from miner_resources.errors import ConfigError

DEFAULT_YAML = Path(__file__).parents[1] / "configs" / "default.yaml"


def write(folder: Path, text: str, name: str = "config.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(*files: Path, overrides: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(files, overrides)
    return caught.value.problems


def test_default_yaml_lists_every_key_with_its_default() -> None:
    assert load_config([DEFAULT_YAML]) == MinerConfig()
    listed = yaml.safe_load(DEFAULT_YAML.read_text(encoding="utf-8"))
    full = yaml.safe_load(to_yaml(MinerConfig()))
    for key, value in full.items():
        assert key in listed
        if isinstance(value, dict) and key != "classes":
            assert set(value) == set(listed[key]), key


def test_later_layers_win_and_overrides_win_over_files(tmp_path: Path) -> None:
    first = write(tmp_path, "filter: {threshold: 0.1, model: demo}\nclasses: [cat]", "1.yaml")
    second = write(tmp_path, "filter: {threshold: 0.2}", "2.yaml")
    config = load_config([first, second], ["filter.threshold=0.3", "urls=[https://x.org/v?a=b&c=d]"])
    assert (config.filter.threshold, config.filter.model) == (0.3, "demo")
    assert config.urls == ["https://x.org/v?a=b&c=d"]
    assert list(config.classes) == ["cat"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["mapping-then-list", "list-then-mapping"])
def test_classes_of_the_other_form_replace_those_of_an_earlier_file(tmp_path: Path, order: tuple[int, int]) -> None:
    files = [
        write(tmp_path, "classes: {cat: {prompts: [a cat]}}", "mapping.yaml"),
        write(tmp_path, "classes: [dog]", "list.yaml"),
    ]
    config = load_config([files[index] for index in order])
    assert list(config.classes) == (["dog"] if order == (0, 1) else ["cat"])


def test_show_config_reads_back_to_the_same_values(tmp_path: Path) -> None:
    config = load_config([], ["classes={a: {prompts: [x], threshold: 0.4}}", "search.uploaded_after=2025-01-31"])
    assert load_config([write(tmp_path, to_yaml(config))]) == config


def test_all_problems_are_reported_at_once_with_dotted_keys(tmp_path: Path) -> None:
    text = """
    filtr: {threshold: 2}
    filter: {treshold: 0.3, threshold: 1.7, batch_size: many}
    extraction: {strategy: intervall, interval: 0}
    classes: {cat: {prompt: [x]}, dog: null}
    stages: [search, donwload]
    dataset: {splits: {train: 0.5}}
    device: gpu
    """
    found = problems_of(write(tmp_path, text))
    expected = {
        "filtr": "did you mean 'filter'",
        "filter.treshold": "did you mean 'filter.threshold'",
        "filter.threshold": "1.7 is not allowed: should be less than or equal to 1",
        "filter.batch_size": "'many' is not allowed",
        "extraction.strategy": "did you mean 'interval'",
        "extraction.interval": "0 is not allowed",
        "classes.cat.prompt": "did you mean 'classes.cat.prompts'",
        "stages.1": "did you mean 'download'",
        "dataset.splits": "must sum to 1",
        "device": "must be auto, cpu, cuda",
    }
    by_key = {problem.partition(":")[0]: problem for problem in found}
    assert set(by_key) == set(expected)
    for key, part in expected.items():
        assert part in by_key[key]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: [1", "is not valid YAML"),
        ("- a\n- b", "not a list"),
        ("output_dir: ${nowhere}", "interpolation"),
        ("classes: []", "at least one class"),
        ("classes: [a, a]", "different names"),
        ("search: {min_duration_s: 9, max_duration_s: 3}", "above max_duration_s"),
    ],
)
def test_bad_files_name_themselves_or_their_key(tmp_path: Path, text: str, part: str) -> None:
    assert part in "\n".join(problems_of(write(tmp_path, text)))


def test_missing_file_and_bad_override_are_reported_together(tmp_path: Path) -> None:
    found = problems_of(tmp_path / "none.yaml", overrides=("threshold",))
    assert "no such file" in found[0]
    assert "must have the form key=value" in found[1]


def test_batch_size_takes_auto_numbers_and_their_text() -> None:
    assert [FilterConfig(batch_size=value).batch_size for value in ("auto", 4, "8")] == ["auto", 4, 8]


def test_config_hash_ignores_where_and_force_but_nothing_else() -> None:
    same = load_config([], ["output_dir=/elsewhere", "filter.force=true"])
    other = load_config([], ["filter.threshold=0.26"])
    assert same.config_hash == MinerConfig().config_hash != other.config_hash


@pytest.mark.parametrize(
    "proxy", ["http://user:planted/x@host:1", "http://user:planted[@host:1", "planted:1", "ftp://planted"]
)
def test_a_proxy_that_is_none_is_refused_without_showing_it(proxy: str) -> None:
    with pytest.raises(ConfigError, match=r"download\.proxy: the value is not allowed") as caught:
        load_config((), [f"download.proxy='{proxy}'"])
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "section", "key", "value"),
    [
        (["filter.threshold=auto"], "filter", "threshold", 0.25),
        (["dedup.threshold=auto", "dedup.model=siglip"], "dedup", "threshold", 0.95),
        (["dedup.threshold=auto", "dedup.model='dinov3-large, dinov2-base'"], "dedup", "threshold", 0.90),
        (["detection.confidence_threshold=auto", "detection.detector=owlv2"], "detection", "confidence_threshold", 0.2),
        (
            ["detection.confidence_threshold=auto", "detection.detector=moondream3"],
            "detection",
            "confidence_threshold",
            0,
        ),
    ],
)
def test_an_auto_threshold_is_that_of_the_model(overrides: list[str], section: str, key: str, value: float) -> None:
    config = load_config((), overrides)
    assert getattr(getattr(config, section), key) == value
    assert "auto" not in to_yaml(config).partition(f"{section}:")[2].partition("batch_size")[0]


def test_an_auto_threshold_needs_a_model_that_can_be_told(tmp_path: Path) -> None:
    (problem,) = problems_of(overrides=("filter.threshold=auto", f"filter.model={tmp_path}"))
    assert "threshold: auto" in problem
    assert str(tmp_path) in problem


def test_the_seed_defaults_are_those_of_the_catalogue() -> None:
    auto = load_config((), ["filter.threshold=auto", "dedup.threshold=auto", "detection.confidence_threshold=auto"])
    assert auto == MinerConfig()
    assert (auto.filter.threshold, auto.dedup.threshold, auto.detection.confidence_threshold) == (0.25, 0.90, 0.3)
