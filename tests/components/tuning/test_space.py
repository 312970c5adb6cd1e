"""Values of searched parameters: what is shown is what is trained with."""

import json

import pytest
import yaml

from components.contract.errors import ConfigError
from components.contract.settings import Settings, changed
from components.contract.tuning import Dimension
from components.data.configuration import load_settings, parse_settings
from components.tuning.space import check_space, configured, exact, yaml_lines

SHOP = "shop: demo\ntables:\n  items: SELECT 1\n"


def settings(space: str = "", **sections: object) -> Settings:
    return parse_settings(SHOP + yaml.safe_dump(sections) * bool(sections) + space, "debut.yaml")


def base(tmp_path, **config: float):
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "value", "dimension", "expected"),
    [
        ("learning_rate", 0.000123456, Dimension(low=1e-5, high=1e-3), 0.000123),
        ("learning_rate", 0.00012345, Dimension(low=0.00012341, high=1e-3), 0.00012341),
        ("max_epochs", 2.0, Dimension(low=1, high=3), 2),
        ("batch_size", 64.0, Dimension(choices=(64, 128)), 64),
        ("dropout", 0.12345, Dimension(choices=(0.12345, 0.2)), 0.12345),
    ],
)
def test_a_drawn_value_becomes_the_one_that_is_shown(name, value, dimension, expected):
    """Three digits that stay within the range; whole numbers; choices as they are written."""
    found = exact(name, value, dimension)
    assert (found, type(found)) == (expected, type(expected))


def test_the_lines_for_debut_yaml_give_the_settings_that_were_trained(tmp_path):
    """Pasted into the file they parse to the trial's own settings, small learning rates too."""
    values = {"learning_rate": 1.23e-5, "max_epochs": 2, "hard_negatives": 3, "fine_tuned_share": 0.75}
    pasted = parse_settings(SHOP + yaml_lines(values), "debut.yaml")
    assert pasted == changed(settings(), values)
    assert (pasted.training.learning_rate, pasted.augment.hard_negatives) == (1.23e-5, 3)


def test_debut_yamls_own_values_are_known_where_the_space_holds_them(tmp_path):
    """The encoder's own dropout counts where none is given; a value outside the space gives none."""
    folder = base(tmp_path, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    assert configured(settings(), folder) == {
        "learning_rate": 1e-4, "temperature": 0.05, "max_epochs": 1, "batch_size": 128,
        "hard_negatives": 1, "dropout": 0.1, "fine_tuned_share": 1.0,
    }  # fmt: skip
    # As a trial would have it, so that it is known again among the trials.
    assert configured(settings(training={"learning_rate": 3.1623e-5}), folder)["learning_rate"] == 3.16e-5
    assert configured(settings(training={"learning_rate": 0.5}), folder) is None
    assert configured(settings(training={"batch_size": 100}), folder) is None
    mixed = base(tmp_path, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.0)
    assert configured(settings(), mixed) is None
    assert configured(settings(training={"dropout": 0.2}), mixed)["dropout"] == 0.2


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ("lr: {low: 1, high: 2}", "line 6: `tune.space.lr`: Input should be 'learning_rate'"),
        ("learning_rate: {lo: 1, high: 2}", "`tune.space.learning_rate.lo` is not a known key; did you mean"),
        ("learning_rate: {low: 0, high: 1}", "space.learning_rate: 0 is refused"),
        ("learning_rate: {low: 2, high: 1}", "low: 2 is more than high: 1"),
        ("learning_rate: {low: 0.1}", "give `low` and `high`, or `choices`"),
        ("learning_rate: {low: 0.1, choices: [1]}", "either `choices`, or `low` and `high`"),
        ("learning_rate: {low: .nan, high: 1}", "finite number"),
        ("dropout: {low: 0, high: 0.1, log: true}", "low: 0 must be above 0 where log is true"),
        ("dropout: {choices: [0.1, 2]}", "space.dropout: 2 is refused"),
        ("dropout: {choices: []}", "`choices` needs at least one value"),
        ("max_epochs: {low: 1, high: 2.5}", "space.max_epochs: takes whole numbers"),
        ("{}", "names no parameter"),
    ],
)
def test_a_space_that_makes_no_sense_is_told_with_its_line(space, told):
    with pytest.raises(ConfigError, match=r"debut\.yaml, line \d+: ") as caught:
        settings(f"tune:\n  space:\n    {space}\n")
    assert told in str(caught.value)


NO_NEGATIVES = {"augment": {"hard_negatives": 0}}
TAUGHT = {"training": {"distillation": {"weight": 1}}}
NO_FIELDS = {"encoder": {"item_fields": ["title", "description"]}}
LORA_ALONE = {"training": {"method": "lora", "adapter_only": True}, "retrieval": {"inference": "torch"}}
NOT_MINED = "tune.space: no negative is mined where augment.hard_negatives is 0"


@pytest.mark.parametrize(
    ("space", "sections", "told"),
    [
        ("lora_rank: {low: 4, high: 8}", {}, "tune.space: training.method is full, and only lora has a rank: "
         "leave lora_rank out."),
        ("lora_rank: {choices: [8]}", {"training": {"method": "ia3"}}, "training.method is ia3"),
        ("fine_tuned_share: {low: 0, high: 1}", {"training": {"method": "prompt"}}, "neither a prompt nor"),
        ("fine_tuned_share: {low: 0, high: 1}", LORA_ALONE, "averaged with its base: leave fine_tuned_share"),
        ("mining_depth: {low: 5, high: 50}", NO_NEGATIVES, f"{NOT_MINED}: leave mining_depth out."),
        ("positive_ceiling: {low: 0.8, high: 1}", NO_NEGATIVES, f"{NOT_MINED}: leave positive_ceiling out."),
        ("{mining_depth: {low: 5, high: 9}, hard_negatives: {choices: [0]}}", {}, NOT_MINED),
        ("positive_ceiling: {choices: [0.9, 1]}", NO_NEGATIVES | TAUGHT, NOT_MINED),
        ("attribute_dropout: {low: 0, high: 0.5}", NO_FIELDS, "encoder.item_fields is title, description, so "
         "an item's text has no brand, category or attributes beside other fields: leave attribute_dropout"),
        ("attribute_dropout: {choices: [0.1]}", {"encoder": {"item_fields": ["brand"]}}, "is brand, so an"),
        ("learning_rate: {low: 0.1, high: 0.2}", {"training": {"method": "query_side", "start": "champion"}},
         "query_side has none of the settings that are searched"),
    ],
)  # fmt: skip
def test_a_parameter_that_changes_nothing_is_not_searched(space, sections, told):
    """The sentence says why, and what to leave out."""
    with pytest.raises(ConfigError) as caught:
        check_space(settings(f"tune:\n  space:\n    {space}\n", **sections))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("space", "sections"),
    [
        ("lora_rank: {low: 4, high: 8}", {"training": {"method": "lora"}}),
        ("fine_tuned_share: {low: 0, high: 1}", {"training": {"method": "lora"}}),
        ("mining_depth: {low: 5, high: 50}", NO_NEGATIVES | TAUGHT),
        ("{positive_ceiling: {low: 0.8, high: 1}, hard_negatives: {low: 0, high: 1}}", NO_NEGATIVES),
        ("attribute_dropout: {low: 0, high: 0.5}", {}),
        ("{dropout: {low: 0, high: 0.5}, typo_share: {low: 0, high: 0.5}}", NO_NEGATIVES | NO_FIELDS),
    ],
)
def test_a_parameter_that_other_settings_or_the_space_itself_make_count_is_searched(space, sections):
    """Mined at a depth are a teacher's candidates too; negatives where only some trials have any."""
    check_space(settings(f"tune:\n  space:\n    {space}\n", **sections))


@pytest.mark.parametrize("example", ["demo", "home_depot", "online_retail"])
def test_the_default_space_changes_something_in_the_examples(example):
    check_space(load_settings(example)[0])


def test_searching_changes_no_other_section():
    """A trial differs in the searched parameters and in nothing else."""
    before = settings(training={"seed": 3})
    after = changed(before, {"temperature": 0.03, "hard_negatives": 2})
    assert after.training == before.training.model_copy(update={"temperature": 0.03})
    assert after.augment == before.augment.model_copy(update={"hard_negatives": 2})
    assert after.model_dump(exclude={"training", "augment"}) == before.model_dump(
        exclude={"training", "augment"}
    )


@pytest.mark.parametrize("example", ["demo", "home_depot", "online_retail"])
def test_the_default_space_holds_what_the_examples_use(example, tmp_path):
    """So their own values are the first trial."""
    folder = base(tmp_path, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    assert configured(load_settings(example)[0], folder) is not None
