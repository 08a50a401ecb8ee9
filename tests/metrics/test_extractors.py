"""Extractors are told apart, their files checked, and real formats read, without a download."""

import hashlib

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import preimage as pi
from preimage.core import Gaussian, InputError, LatentModel
from preimage.core.errors import Unsupported
from preimage.metrics import inception
from preimage.metrics.extractors import (
    Features,
    dinov2,
    extractor,
    inception_v3,
    stamp,
)


def images(n=6, c=3, side=8, seed=0):
    numbers = np.random.default_rng(seed)
    return torch.from_numpy(numbers.uniform(-1, 1, size=(n, c, side, side)).astype(np.float32))


class Halves(LatentModel):
    """A model that knows an image by its encoder only, a class to each half."""

    def __init__(self, classes=()):
        super().__init__()
        self.data = pi.ImageSpec(3, 8, 8)
        self.spaces = {"z": pi.LatentSpace((4,))}
        self.classes = classes
        self.net = nn.Linear(3 * 64, 4)

    def encode(self, x, labels=None):
        assert (labels is not None) == self.conditional
        return Gaussian(self.net(x.flatten(1)), torch.zeros(len(x), 4))


def test_anything_is_an_extractor():
    x = images()
    random = extractor("random", channels=3)
    assert random([x]).rows.shape == (6, 256)
    assert (random.hash, random.comparable) == (extractor("random").hash, False)
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    torch.testing.assert_close(extractor(module)(x.split(4)).rows, module(x).detach())
    torch.testing.assert_close(extractor(lambda y: y.flatten(1))([x]).rows, x.flatten(1))
    for classes in ((), ("a", "b")):
        model = Halves(classes)
        expected = model.net(x.flatten(1)).detach()
        torch.testing.assert_close(extractor(model)([x]).rows, expected)
        torch.testing.assert_close(extractor("model", model=model)([x]).rows, expected)


def test_a_hash_follows_from_the_weights_or_the_code():
    torch.manual_seed(0)
    one, other = nn.Linear(3, 2), nn.Linear(3, 2)
    assert extractor(one).hash != extractor(other).hash
    other.load_state_dict(one.state_dict())
    assert extractor(one).hash == extractor(other).hash
    assert extractor(lambda x: x.flatten(1)).hash != extractor(lambda x: x.mean((2, 3))).hash
    assert extractor(lambda x: 2 * x).hash != extractor(lambda x: 3 * x).hash


def test_what_is_no_extractor():
    class Silent(LatentModel):
        pass

    with pytest.raises(Unsupported, match="no features of its own; choose 'random'"):
        extractor(Silent())
    with pytest.raises(InputError, match="did you mean 'inception'"):
        extractor("incepton")
    with pytest.raises(InputError, match="need a model"):
        extractor("model")
    with pytest.raises(InputError, match="inception:FILE"):
        extractor("inception")


def test_features_of_different_make_are_not_compared():
    rows = torch.rand(30, 4)
    one = Features(rows, "net", "0a", "none", comparable=True)
    both = stamp(one, one.drawn(slice(20)))
    assert (both.real, both.fake, both.dtype, both.comparable) == (30, 20, "float32", True)
    for other in (
        Features(rows, "other", "0a"),
        Features(rows, "net", "0b"),
        Features(rows, "net", "0a", "bilinear to 299"),
    ):
        with pytest.raises(InputError, match="compute both with the same"):
            stamp(one, other)
    broken = rows.clone()
    broken[:3] = torch.nan
    with pytest.raises(InputError, match="generated features: 3 rows hold NaN"):
        stamp(one, Features(broken, "net", "0a"))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Random weights in the layout of the published file, without the counters, as it has none."""
    torch.manual_seed(0)
    net = inception.Inception()
    state = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    path = tmp_path_factory.mktemp("weights") / "pt_inception.pth"
    torch.save(state, path)
    return path


def test_the_network_is_the_published_one_part_by_part():
    """torchvision states 27,161,264 parameters; without the auxiliary head, with 1008 classes."""
    auxiliary = (768 * 128 + 256) + (128 * 768 * 25 + 2 * 768) + (768 * 1000 + 1000)
    net = inception.Inception()
    assert sum(p.numel() for p in net.parameters()) == 27_161_264 - auxiliary + 8 * 2049
    state = net.state_dict()
    convolutions = [k for k in state if k.endswith(".conv.weight")]
    assert len(convolutions) == 94
    for name, shape in {
        "Conv2d_4a_3x3.conv.weight": (192, 80, 3, 3),
        "Mixed_5c.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6d.branch7x7dbl_4.conv.weight": (160, 160, 7, 1),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "Mixed_7c.branch_pool.bn.running_var": (192,),
        "fc.weight": (1008, 2048),
    }.items():
        assert tuple(state[name].shape) == shape


@pytest.mark.slow
def test_the_inception_file_is_checked_and_read(file):
    with pytest.raises(InputError, match="not 6726825d"):
        inception_v3(file)
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    made = inception_v3(file, sha256=found)
    assert (made.hash, made.comparable) == (found[:16], False)
    grey = images(2, c=1, side=32)
    features = made([grey])
    assert features.rows.shape == (2, 2048)
    assert features.resize == inception.RESIZE
    assert made.logits is not None
    assert made.logits(features.rows).shape == (2, 1008)
    torch.testing.assert_close(made([grey.expand(-1, 3, -1, -1)]).rows, features.rows)


def test_what_is_no_inception_file(tmp_path):
    with pytest.raises(InputError, match=r"absent\.pth cannot be read"):
        extractor(f"inception:{tmp_path / 'absent.pth'}")
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "other.pth")
    found = hashlib.sha256((tmp_path / "other.pth").read_bytes()).hexdigest()
    with pytest.raises(InputError, match="does not hold the weights of Inception-v3"):
        inception_v3(tmp_path / "other.pth", sha256=found)


@pytest.mark.parametrize(("height", "width"), [(8, 5), (37, 37), (32, 500)])
def test_the_resize_is_tensorflows(height, width):
    """Pixel i lies at i · n/299 and takes the two beside it; ours is 299 NumPy interpolations."""
    x = images(1, c=1, side=max(height, width))[..., :height, :width].double()
    rows = np.stack([np.interp(np.arange(299) * width / 299, np.arange(width), r) for r in x[0, 0]])
    both = [np.interp(np.arange(299) * height / 299, np.arange(height), c) for c in rows.T]
    np.testing.assert_allclose(inception.resize(x, 299)[0, 0], np.stack(both, 1), atol=1e-12)
    torch.testing.assert_close(inception.resize(x, 299)[..., 0, 0], x[..., 0, 0])


def test_averages_leave_the_padding_out():
    assert inception.average(torch.ones(1, 1, 4, 4)).eq(1).all()


@pytest.mark.slow
def test_dinov2_is_read_from_a_folder(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the extra dino is not installed")
    config = transformers.Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2)
    torch.manual_seed(0)
    net = transformers.Dinov2Model(config).eval()
    net.save_pretrained(tmp_path / "tiny")
    made = dinov2(tmp_path / "tiny")
    x = images(2, side=50)
    rows = made([x]).rows
    y = F.interpolate((x + 1) / 2, (224, 224), mode="bicubic", antialias=True).clamp(0, 1)
    mean, spread = (
        torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    with torch.no_grad():
        expected = net(pixel_values=(y - mean) / spread).last_hidden_state[:, 0]
    torch.testing.assert_close(rows, expected)
    weights = (tmp_path / "tiny" / "model.safetensors").read_bytes()
    dinov2(tmp_path / "tiny", sha256=hashlib.sha256(weights).hexdigest())
    with pytest.raises(InputError, match="it is another file, or damaged"):
        dinov2(tmp_path / "tiny", sha256="00ff")
    with pytest.raises(InputError, match="is not a DINOv2 that can be loaded"):
        dinov2(tmp_path / "absent")
