"""Names of systems: what each stands for, and what message comes where none stands behind it."""

import hashlib
from pathlib import Path

import pytest

import hbaf
from hbaf.baselines.systems import SYSTEMS
from hbaf.comparison.systems import UnknownSystem, parse_systems
from hbaf.comparison.variants import ABLATIONS, VARIANTS
from hbaf.features.own_class import OwnClassError
from hbaf.model.hbaf import HBAF
from hbaf.parameters import ModelParameters

DIMS = {"audio_dim": 6, "text_dim": 7, "commonsense_dim": None, "emotions": 4}
SMALL = ModelParameters(dim=16, heads=2, encoder_layers=1, feedforward=32, conv_channels=8)


def test_commas_stand_between_systems_and_between_settings(own: Path) -> None:
    found = parse_systems(f"hbaf:gate=false,dropout=0.2,bc-lstm@paper:learning_rate=1e-3,{own}/systems.py:Joined:dim=4")
    assert [each.name for each in found] == [
        "hbaf:gate=false,dropout=0.2",
        "bc-lstm@paper:learning_rate=1e-3",
        f"{own}/systems.py:Joined:dim=4",
    ]
    hbaf, lstm, mine = found
    assert hbaf.model == {"gate": False, "dropout": 0.2}
    assert hbaf.standing == "variant"
    assert (lstm.recipe, lstm.model, lstm.training) == ("paper", {}, {"learning_rate": 0.001})
    assert (mine.standing, mine.model) == ("own", {"dim": 4})


def test_groups_and_seeds_of_one() -> None:
    found = {each.name: each for each in parse_systems("all,dialogue-rnn:seeds=5,hbaf")}
    assert set(found) == {"hbaf", "logistic-regression+chain", *SYSTEMS}
    assert found["dialogue-rnn"].seeds == 5
    assert found["hbaf"].standing == "hbaf"


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_builds_and_is_a_run_of_its_own(name: str) -> None:
    (entrant,) = parse_systems(name)
    assert isinstance(entrant.build(DIMS, SMALL), HBAF)
    changed = entrant.arguments(SMALL) != ModelParameters(**SMALL.model_dump()).model_dump()
    defaults = {"hbaf", "hbaf-literal", "hbaf-query-context", "hbaf-projection", "hbaf-equation-anchor"}
    assert changed == (name not in defaults)


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_has_fewer_numbers_or_another_loss(name: str) -> None:
    def size(of: str) -> int:
        return sum(p.numel() for p in parse_systems(of)[0].build(DIMS, SMALL).parameters())

    assert size(name) < size("hbaf")


def test_every_compared_system_has_the_common_width() -> None:
    for entrant in parse_systems("published,readings"):
        assert entrant.arguments(SMALL)["dim"] == 16, entrant.name
        small = sum(p.numel() for p in entrant.build(DIMS, SMALL).parameters())
        wide = sum(p.numel() for p in entrant.build(DIMS, SMALL.model_copy(update={"dim": 32})).parameters())
        assert wide > small, entrant.name


def test_the_digest_follows_the_code_alone(tmp_path: Path) -> None:
    assert parse_systems("hbaf")[0].digest() == parse_systems("hbaf-no-gate")[0].digest()
    assert parse_systems("bc-lstm")[0].digest() != parse_systems("telme")[0].digest()
    mine = tmp_path / "mine.py"
    code = "from torch import nn\n\n\nclass Mine(nn.Module):\n    pass\n"
    digests = []
    for text in (code, code + "\n# another\n", code):
        mine.write_text(text)
        digests.append(parse_systems(f"{mine}:Mine")[0].digest())
    assert digests[0] == digests[2] != digests[1]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no-such", "no system 'no-such'; there are majority"),
        ("hbaf:gates=false", "no setting gates; hbaf takes"),
        ("bc-lstm:gate=false", "no setting gate; bc-lstm takes"),
        ("hbaf:seed=3", "no setting seed"),
    ],
)
def test_a_misspelt_name_says_what_there_is(name: str, said: str) -> None:
    with pytest.raises(UnknownSystem, match=said):
        parse_systems(name)


def test_an_own_file_without_the_class(own: Path) -> None:
    with pytest.raises(OwnClassError, match="holds no class Absent"):
        parse_systems(f"{own}/systems.py:Absent")
    with pytest.raises(UnknownSystem, match=r"is a torch\.nn\.Module"):
        parse_systems(f"{own}/systems.py:NoModule")


def test_the_digest_names_a_baseline_without_its_folder() -> None:
    """Runs kept before the systems had folders of their own are found again."""
    root, hasher = Path(hbaf.__path__[0]), hashlib.sha256()
    for name, file in (
        ("hbaf.baselines.majority", "baselines/floors/majority.py"),
        ("hbaf.model.batch", "model/batch.py"),
    ):
        hasher.update(name.encode() + b"\0" + (root / file).read_bytes())
    assert parse_systems("majority")[0].digest() == hasher.hexdigest()
