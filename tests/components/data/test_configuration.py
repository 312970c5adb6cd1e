"""debut.yaml: what it accepts, and how it complains."""

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from components.contract.errors import ConfigError
from components.contract.judging import Bound, GatePolicy
from components.contract.learning import WriterSettings
from components.data.configuration import example_names, load_settings, parse_settings

MINIMAL = """\
shop: corner
sources:
  items_file:
    path: items.csv
tables:
  items: SELECT item_id, title FROM items_file
"""


def complaint(text: str) -> str:
    with pytest.raises(ConfigError) as raised:
        parse_settings(text, "debut.yaml")
    return str(raised.value)


def test_a_file_gives_settings_and_its_folder_as_root(tmp_path: Path) -> None:
    """Sources are found beside the file unless --root says otherwise."""
    path = tmp_path / "debut.yaml"
    path.write_text(MINIMAL)
    settings, root = load_settings(str(path))
    assert settings.shop == "corner"
    assert settings.sources["items_file"].encoding == "utf-8"
    assert root == tmp_path


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """Not to the current folder; addresses, whole paths and ~ stay as they are."""
    path = tmp_path / "debut.yaml"
    path.write_text(
        f"{MINIMAL}decisions: s3://bucket/log\n"
        "serving: {live: live, traffic: /var/traffic, key_file: ~/keys}\n"
        "signing: {public_key: ../signing.pub}\n"
    )
    settings, _ = load_settings(str(path))
    assert settings.decisions == "s3://bucket/log"
    assert (settings.serving.live, settings.serving.traffic) == (str(tmp_path / "live"), "/var/traffic")
    assert (settings.serving.key_file, settings.serving.log_secret) == ("~/keys", None)
    assert settings.signing.public_key == str(tmp_path / "../signing.pub")


def test_a_linked_file_is_where_its_link_is(tmp_path: Path) -> None:
    """Kubernetes links debut.yaml to a dated folder, which is gone after the ConfigMap's next change."""
    dated = tmp_path / "..2026_01_01"
    dated.mkdir()
    (dated / "debut.yaml").write_text(f"{MINIMAL}signing: {{public_key: public.pem}}\n")
    (tmp_path / "..data").symlink_to(dated.name)
    (tmp_path / "debut.yaml").symlink_to("..data/debut.yaml")
    settings, root = load_settings(str(tmp_path / "debut.yaml"))
    assert (root, settings.signing.public_key) == (tmp_path, str(tmp_path / "public.pem"))


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        *(("pretrained/here", True), ("here", True), ("./gone", True), ("a/b/c", True)),
        *(("org/name", False), ("bert-base-uncased", False)),
    ],
)
def test_an_encoder_is_a_folder_beside_the_file_or_a_hubs(tmp_path: Path, name: str, whole: bool) -> None:
    """What no hub's name can be is a path even where nothing lies there: the error names the whole of it."""
    for folder in ("pretrained/here", "here"):
        (tmp_path / folder).mkdir(parents=True)
    path = tmp_path / "debut.yaml"
    path.write_text(f"{MINIMAL}encoder: {{name: {name}}}\n")
    assert load_settings(str(path))[0].encoder.name == (str(tmp_path / name) if whole else name)


@pytest.mark.parametrize("key", ["decisions: it", "encoder: {name: it}", "serving: {traffic: it}"])
def test_what_lies_in_the_current_folder_alone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """Earlier versions looked there; another log or encoder is not taken in silence."""
    here = tmp_path / "here"
    (here / "it").mkdir(parents=True)
    monkeypatch.chdir(here)
    path = tmp_path / "debut.yaml"
    path.write_text(f"{MINIMAL}{key}\n")
    with pytest.raises(ConfigError, match=rf"there is no {tmp_path}/it; but there is {here}/it"):
        load_settings(str(path))
    (tmp_path / "it").mkdir()
    load_settings(str(path))


def test_every_example_is_found_by_name_and_valid() -> None:
    """All names that are listed load, and are named after their shop."""
    assert {"home_depot", "online_retail", "best_buy", "womens_clothing"} <= set(example_names())
    for name in example_names():
        settings, root = load_settings(name)
        assert settings.shop == name
        assert root == Path.cwd()


def test_an_unknown_name_lists_the_examples() -> None:
    """A misspelled example is answered with those there are."""
    with pytest.raises(ConfigError, match=r"hom_depot: there is no such file.*best_buy.*home_depot"):
        load_settings("hom_depot")


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    """And the file that was probably meant is named."""
    with pytest.raises(
        ConfigError, match=r"is a folder; name the file in it, for instance .*/debut\.yaml\.$"
    ):
        load_settings(str(tmp_path))


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """The byte is named."""
    path = tmp_path / "debut.yaml"
    path.write_bytes(b"shop: caf\xe9\n")
    with pytest.raises(ConfigError, match="byte 9 is not UTF-8"):
        load_settings(str(path))


def test_an_unknown_key_is_named_with_its_line_and_the_likely_one() -> None:
    """Nested keys too; the sentence proposes the nearest known key."""
    text = complaint(MINIMAL + "training:\n  max_epochs: 2\n  bach_size: 64\n")
    assert text == "debut.yaml, line 9: `training.bach_size` is not a known key; did you mean `batch_size`?"


def test_an_unknown_key_of_a_source_is_named_with_its_line() -> None:
    """Keys under a name of the shop's own choosing are checked as well."""
    text = complaint(MINIMAL.replace("    path: items.csv\n", "    path: items.csv\n    encodng: latin-1\n"))
    assert text.startswith(
        "debut.yaml, line 5: `sources.items_file.encodng` is not a known key; did you mean"
    )


def test_an_unknown_key_of_a_section_that_may_be_absent_is_named_with_the_likely_one() -> None:
    """`knowledge` is a section or nothing."""
    text = complaint(MINIMAL + "knowledge:\n  synonym: []\n")
    assert text == "debut.yaml, line 8: `knowledge.synonym` is not a known key; did you mean `synonyms`?"


def test_an_unknown_key_at_the_top_that_resembles_none() -> None:
    """No proposal where nothing is near."""
    assert complaint(MINIMAL + "zzz: 1\n") == "debut.yaml, line 7: `zzz` is not a known key."


@pytest.mark.parametrize(
    ("section", "line", "part"),
    [
        ("encoder: {item_fields: [title, is_new]}\n", 7, "is_new is no text of an item"),
        ("encoder: {item_fields: [listed_at]}\n", 7, "name one or more of title, description"),
        ("encoder: {item_fields: []}\n", 7, "nothing is no text of an item"),
        ("split:\n  cutoff: soon\n", 8, "`split.cutoff`"),
        ("training:\n  batch_size: many\n", 8, "`training.batch_size`"),
        ("training:\n  ranks: 1.5\n", 8, "training.ranks"),
        ("quality:\n  tolerance: 1.5\n", 8, "less than or equal to 1, not 1.5"),
        ("judge:\n  age_bucket_days:\n    - 1\n    - seven\n", 10, "judge.age_bucket_days.1"),
        ("gate:\n  bounds:\n    size_mb:\n      at_most: big\n", 10, "gate.bounds.size_mb.at_most"),
        ("gate:\n  bounds:\n    size_mb:\n      at_most: .nan\n", 10, "should be a finite number"),
        ("gate:\n  bounds:\n    size_mb: {}\n", 9, "give at_most or at_least"),
        ("gate:\n  bounds:\n    p95_latncy_ms: {at_most: 1}\n", 9, "did you mean `p95_latency_ms`?"),
        ("gate:\n  bounds:\n    size_mb: {at_mots: 1}\n", 9, "did you mean `at_most`?"),
        ("training: fast\n", 7, "`training`"),
        ("quality:\n  table_tolerance:\n    evnts: 0.1\n", 9, "evnts"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(section: str, line: int, part: str) -> None:
    """Types and bounds are checked where the value stands."""
    text = complaint(MINIMAL + section)
    assert text.startswith(f"debut.yaml, line {line}: ")
    assert part in text


def test_a_shops_bound_leaves_the_other_defaults() -> None:
    """A bound that is given replaces its own default only; null switches one off."""
    text = MINIMAL + "gate:\n  bounds:\n    size_mb: {at_most: 500}\n    typo_recall_loss: null\n"
    given, default = dict(parse_settings(text, "debut.yaml").gate.bounds), dict(GatePolicy().bounds)
    assert given == default | {"size_mb": Bound(at_most=500), "typo_recall_loss": None}
    assert len(default) == 10


def test_a_missing_key_is_named() -> None:
    """`shop` has no default."""
    assert "`shop` is missing" in complaint("tables:\n  items: SELECT 1\n")


@pytest.mark.parametrize("name", ["My Shop", "-shop", "caf\u00e9", "s" * 64, '""'])
def test_a_name_that_a_shop_cannot_have_is_told_in_words(name: str) -> None:
    """What it may hold and an example, not the expression that it is held against."""
    told = complaint(f"shop: {name}\ntables:\n  items: SELECT 1\n")
    assert "`shop`: give a name of 1 to 63 small letters (a to z), digits, - and _" in told
    assert "such as my-shop" in told and "^" not in told


def test_items_are_required() -> None:
    """A configuration without items says what it must add."""
    assert "`items` is missing" in complaint("shop: a\ntables:\n  events: SELECT 1\n")


@pytest.mark.parametrize("place", ["s3://acme-log", "s3://acme-log/", "s3://acme-log//"])
def test_a_decision_log_has_a_prefix_in_its_bucket(place: str) -> None:
    """Its reviews lie beside it, which is not to be in another bucket."""
    told = complaint(f"{MINIMAL}decisions: {place}\n")
    assert "`decisions`: name a prefix in the bucket (records of an existing log move there" in told
    assert "s3://acme-log-reviews to s3://acme-log/decisions-reviews" in told
    assert f"such as s3://acme-log/decisions, not '{place}'." in told
    for good in ("s3://acme-log/decisions", "s3://acme-log/shops/corner/", "/srv/decisions", "decisions"):
        assert parse_settings(f"{MINIMAL}decisions: {good}\n", "debut.yaml").decisions == good


def test_further_errors_are_counted() -> None:
    """One sentence about the first, and how many follow."""
    assert "(1 more error follows it.)" in complaint(MINIMAL + "aaa: 1\nbbb: 2\n")


def test_a_value_that_takes_the_next_lines_is_told() -> None:
    """`shop: x` and a list below it, indented, are one text to YAML: the lines are named."""
    text = complaint("shop: x\n  - [\n")
    assert text.startswith("debut.yaml, line 1: `shop`") and "YAML takes the lines to 2 for its value" in text
    assert "YAML takes" not in complaint("shop: |\n  X\n  Y\n") + complaint("shop: X\ntables: {}\n")


def test_a_key_that_stands_twice_is_an_error() -> None:
    """YAML would keep the last in silence."""
    text = complaint(MINIMAL + "split:\n  seed: 1\n  seed: 2\n")
    assert text == "debut.yaml, line 9: `seed` stands here a second time; the first is on line 8."


def test_a_key_twice_inside_a_list_is_an_error() -> None:
    """Lists are walked as well."""
    assert "a second time" in complaint(MINIMAL + "judge:\n  age_bucket_days:\n    - {a: 1, a: 2}\n")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("shop: [a\n", "line 2: this is not YAML"),
        ("shop: a\n\ttables: x\n", "line 2: this is not YAML"),
        ("shop: a\n---\nshop: b\n", "this is not YAML"),
        ("shop: !!python/object:os.system {}\n", "this is not YAML"),
        ("shop: 2011-13-45\n", "this is not YAML"),
        ("shop: \x00\n", "this is not YAML"),
        ("", "expected keys"),
        ("- a\n", "expected keys"),
        ("shop\n", "expected keys"),
    ],
)
def test_what_is_not_a_mapping_in_yaml_is_refused(text: str, part: str) -> None:
    """Syntax errors carry their line; Python objects are never built."""
    assert part in complaint(text)


def test_anchors_and_merges_work() -> None:
    """YAML's own means of repeating a section stay usable, even where an anchor holds itself."""
    text = MINIMAL + "quality: &q\n  tolerance: 0.1\n"
    assert parse_settings(text, "debut.yaml").quality.tolerance == 0.1
    assert complaint("shop: &a\n  b: *a\n")


def test_a_cutoff_with_an_offset_becomes_utc() -> None:
    """All loaded times are naive UTC, so T is as well; a date is its midnight."""
    settings = parse_settings(MINIMAL + "split:\n  cutoff: 2011-09-01T02:00:00+02:00\n", "debut.yaml")
    assert settings.split.cutoff == datetime(2011, 9, 1)
    settings = parse_settings(MINIMAL + "split:\n  cutoff: 2011-09-01\n", "debut.yaml")
    assert settings.split.cutoff == datetime(2011, 9, 1)


def test_reading_settings_and_digests_imports_nothing_heavy() -> None:
    """ "Nothing new" must be answered before DuckDB, boto3 or torch is imported."""
    code = (
        "import sys; import components.data.configuration, components.data.sources\n"
        "print(sorted({'duckdb', 'boto3', 'torch', 'prefect', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "section", ["serving:\n  answers:\n    ", "augment:\n  writer:\n    "], ids=["answers", "writer"]
)
@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ("http://a:secret@h/v1", "leave name and password out of the address"),
        ("https://secret@h/v1", "leave name and password out of the address"),
        ("ftp://a:secret@h/v1", "begins with http:// or https://"),
        ("a:secret@h", "begins with http:// or https://"),
        ("http://a:secret@[h/v1", "whose host can be read"),
        ("http://a:secret@\u2100/v1", "whose host can be read"),
    ],
)
def test_a_password_in_an_endpoint_is_refused_and_not_repeated(
    section: str, endpoint: str, told: str
) -> None:
    """Logs, chat, MLflow and the release's settings would hold the address."""
    text = f"{MINIMAL}{section}endpoint: {endpoint!r}\n    model: m\n"
    refused = complaint(text)
    assert told in refused and "secret" not in refused


def test_pydantics_own_errors_do_not_repeat_a_section() -> None:
    """Built in Python, without debut.yaml."""
    with pytest.raises(ValidationError) as raised:
        WriterSettings(endpoint="http://a:secret@h/v1", model="m")
    assert "secret" not in str(raised.value)
