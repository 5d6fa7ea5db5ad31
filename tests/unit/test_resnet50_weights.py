"""resnet50's ImageNet weights, on random ones in torchvision's own format and size."""

import hashlib
from pathlib import Path

import pytest
import torch
from servers import serving
from torchvision.models import ResNet50_Weights
from torchvision.models import resnet50 as torchvisions_resnet50

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.models import resnet50
from adaptive_smoothing.pipeline.validation import Place, validate_options

V1 = "IMAGENET1K_V1"
MEMBERS = [member.name for member in ResNet50_Weights]  # without DEFAULT, whose meaning changes
FILE = Path(ResNet50_Weights[V1].url).name


@pytest.fixture(scope="module")
def state():
    """Return the state dict of a ResNet-50 with ImageNet's 1000 classes, every tensor different from a new one's."""
    torch.manual_seed(1)
    return {
        name: torch.rand_like(value) if value.is_floating_point() else value + 7
        for name, value in torchvisions_resnet50().state_dict().items()
    }


@pytest.fixture(scope="module")
def saved(state, tmp_path_factory):
    """Return the state dict's file (98 MB), removed after these tests."""
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(state, path)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return resnet50.build(resnet50.Options(weights="random"), 3, (32, 32), 14)


@pytest.fixture
def root(tmp_path, saved):
    """Return a data root in which the random weights stand under the published file's name."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / FILE).symlink_to(saved)
    return tmp_path


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    """Give torch hub an empty cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def publish(monkeypatch):
    """Return a function that lets torchvision name another address of its weights; it returns the file's name."""

    def publish_at(url):
        monkeypatch.setattr(ResNet50_Weights[V1].value, "url", url)
        return Path(url).name

    return publish_at


def load(network, weights, root, published=False, fetch=False):
    return resnet50.load_pretrained(network, resnet50.Options(weights=weights), root, published, fetch)


def holds(network, state):
    own = network.state_dict()
    return all(torch.equal(own[name], value) for name, value in state.items() if not name.startswith("fc."))


def test_every_member_of_torchvisions_enum_is_an_option_and_nothing_else():
    for name in ("random", *MEMBERS, "mine.pth", "/data/mine.pt"):
        assert validate_options("model", "resnet50", {"weights": name}, "here").weights == name
    with pytest.raises(UserError) as caught:
        validate_options("model", "resnet50", {"weights": "imagenet"}, Place("config/mine.yaml", ("setups", "x")))
    legal = f"legal: random, {', '.join(MEMBERS)}, or a file *.pth, *.pt"
    assert str(caught.value) == f'config/mine.yaml, setups.x.weights: "imagenet" is not allowed; {legal}'


def test_random_weights_load_nothing(network, tmp_path):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert load(network, "random", tmp_path, published=True, fetch=True) is None
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_grey_images_are_refused():
    with pytest.raises(UserError, match="needs colour images"):
        resnet50.build(resnet50.Options(weights=V1), 1, (32, 32), 10)


@pytest.mark.parametrize("weights", [V1, "weights/" + FILE, "absolute"])
def test_all_but_the_classifier_is_loaded(network, root, state, saved, weights):
    with torch.no_grad():
        for value in network.state_dict().values():
            value.zero_()
    classifier = network.fc.weight.detach().clone()
    told = load(network, str(saved) if weights == "absolute" else weights, root)
    assert holds(network, state)
    assert network.fc.weight.shape == (14, 2048)
    assert torch.equal(network.fc.weight, classifier)
    assert hashlib.sha256(saved.read_bytes()).hexdigest() in told
    assert "pth" in told
    assert network.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 14)


def test_loading_draws_nothing_from_torchs_generator(network, root):
    before = torch.get_rng_state()
    load(network, V1, root)
    assert torch.equal(before, torch.get_rng_state())


def true_name(saved):
    """Return the name that torchvision would give the random weights: their hash stands in it."""
    return f"resnet50-{hashlib.sha256(saved.read_bytes()).hexdigest()[:8]}.pth"


def test_published_weights_must_have_the_hash_in_their_name(network, root, saved, publish):
    with pytest.raises(UserError, match=rf"{FILE} is truncated or damaged .*expected 0676ba61\), published at https"):
        load(network, V1, root, published=True)
    name = publish(f"https://nowhere.invalid/{true_name(saved)}")
    (root / "weights" / name).symlink_to(saved)
    assert name in load(network, V1, root, published=True)


def test_absent_weights_say_where_they_belong(network, tmp_path):
    target = tmp_path / "weights" / FILE
    with pytest.raises(UserError, match=rf"model resnet50: {target} is missing \(sha256:0676ba61\), published at http"):
        load(network, V1, tmp_path, published=True)
    assert not target.parent.exists()
    with pytest.raises(UserError, match=f"no file of weights {tmp_path / 'mine.pth'}"):
        load(network, "mine.pth", tmp_path, fetch=True)


def test_weights_are_downloaded_once_into_the_data_root(network, tmp_path, saved, state, publish):
    with serving() as server:
        name = publish(f"{server.url}/{true_name(saved)}")
        server.answers[f"/{name}"] = [saved.read_bytes()]
        for _ in range(2):
            load(network, V1, tmp_path, published=True, fetch=True)
        assert server.requests == {f"/{name}": 1}
    assert holds(network, state)
    assert [path.name for path in (tmp_path / "weights").iterdir()] == [name]
    (tmp_path / "weights" / name).unlink()


def test_a_damaged_download_is_replaced_and_a_wrong_one_refused(network, tmp_path, saved, publish, capfd):
    with serving() as server:
        name = publish(f"{server.url}/{true_name(saved)}")
        server.answers[f"/{name}"] = [b"wrong"]
        (tmp_path / "weights").mkdir()
        (tmp_path / "weights" / name).write_bytes(b"damaged")
        with pytest.raises(UserError, match=rf"model resnet50: {name} cannot be fetched .*\(5 bytes with sha256"):
            load(network, V1, tmp_path, published=True, fetch=True)
    assert "(7 bytes with sha256" in capfd.readouterr().out
    assert not (tmp_path / "weights" / name).exists()


def test_torchs_own_cache_is_used_only_where_fetching_is_allowed(network, tmp_path, saved, state, publish):
    name = publish(f"https://nowhere.invalid/{true_name(saved)}")
    cache = tmp_path / "torch/hub/checkpoints"
    cache.mkdir(parents=True)
    (cache / name).symlink_to(saved)
    with pytest.raises(UserError, match="is missing"):
        load(network, V1, tmp_path, published=True)
    load(network, V1, tmp_path, published=True, fetch=True)
    assert holds(network, state)
    (tmp_path / "weights" / name).unlink()


def test_a_damaged_file_is_named(network, tmp_path, saved):
    for name, content in [("short.pth", saved.read_bytes()[:100_000]), ("text.pth", b"not weights\n"), ("0.pth", b"")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{tmp_path / name}: the file of weights is damaged"):
            load(network, name, tmp_path)


class Code:
    def __reduce__(self):
        return (print, ("run by a file of weights",))


def test_a_file_that_holds_code_is_not_run(network, tmp_path, capsys):
    torch.save({"conv1.weight": Code()}, tmp_path / "code.pth")
    with pytest.raises(UserError, match="is damaged"):
        load(network, "code.pth", tmp_path)
    assert "run by" not in capsys.readouterr().out


def test_other_networks_are_refused_by_name(network, tmp_path):
    for content, message in [
        ([torch.zeros(1)], "holds no state dict"),
        ({"state_dict": {"conv1.weight": torch.zeros(1)}}, "holds no state dict"),
        ({"conv1.weight": torch.zeros(64, 3, 3, 3)}, r"missing: bn1.weight, .* and 261 more; of another shape: conv1"),
        ({"module.conv1.weight": torch.zeros(1)}, r"missing: conv1.weight, .* unexpected: module.conv1.weight"),
    ]:
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(UserError, match=f"other.pth: .*{message}"):
            load(network, "other.pth", tmp_path)


def test_weights_from_before_batch_norm_counted_its_batches_are_taken(network, tmp_path, state):
    older = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    assert len(older) < len(state)
    torch.save(older, tmp_path / "older.pth")
    try:
        load(network, "older.pth", tmp_path)
        assert holds(network, older)
    finally:
        (tmp_path / "older.pth").unlink()
