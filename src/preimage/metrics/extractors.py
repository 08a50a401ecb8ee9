"""What to compare images by: anything that turns them into rows, with its name and its hash.

A score means something only beside scores of the same features, so features know what made them:
extractor, hash of its weights, and what was done to the images before. Two sets that differ in
any of these are refused. Only published networks in their published form give scores that can be
held against other people's; all others are comparable within themselves.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preimage.core import InputError, LatentModel, Unsupported
from preimage.core.errors import nearest_name
from preimage.core.hashing import hash_tensors
from preimage.metrics import inception
from preimage.metrics.features import RandomFeatures, check_rows, extract
from preimage.metrics.score import Stamp
from preimage.metrics.stored import Stored

INCEPTION_SHA256 = "6726825d"  # how the hash of its file begins, which is why it is named so
DINO = "facebook/dinov2-base"
DINO_SIDE = 224
DINO_MEAN, DINO_SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Extractor:
    """A network and what identifies it: images (B, C, H, W) in [−1, 1] → features (B, d)."""

    name: str
    hash: str
    net: Callable[[Tensor], Tensor]
    resize: str = "none"
    comparable: bool = False  # with scores that others publish
    logits: Callable[[Tensor], Tensor] | None = None  # of features, where it classifies
    known: bool = False  # name and hash say all that features follow from, so they can be kept

    def __call__(self, batches: Iterable[Tensor]) -> Features:
        """The features of images that come in batches."""
        return Features(
            extract(self.net, batches), self.name, self.hash, self.resize, self.comparable
        )


@dataclass(frozen=True)
class Features:
    """Rows, and what made them."""

    rows: Tensor | Stored  # (N, d)
    extractor: str = "features"  # given as they are
    hash: str = ""
    resize: str = "none"
    comparable: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def identity(self) -> str:
        return f"{self.extractor} {self.hash}, resize: {self.resize}"

    @property
    def held(self) -> Tensor:
        """All rows, in memory."""
        return self.rows[:]

    def drawn(self, rows: Tensor | slice) -> Features:
        """Some of the rows; what is stored stays where it is."""
        some = self.rows.of(rows) if isinstance(self.rows, Stored) else self.rows[rows]
        return Features(some, self.extractor, self.hash, self.resize, self.comparable)


def stamp(real: Features, fake: Features) -> Stamp:
    """What a score of two sets is computed with; InputError where they cannot be compared."""
    for what in ("extractor", "hash", "resize"):
        if getattr(real, what) != getattr(fake, what):
            raise InputError(
                f"the real features are of {real.identity}, the generated ones of {fake.identity}: "
                "compute both with the same"
            )
    check_rows(real.rows, fake.rows)
    dtypes = {str(x.rows.dtype).removeprefix("torch.") for x in (real, fake)}
    return Stamp(
        extractor=real.extractor,
        hash=real.hash,
        resize=real.resize,
        real=len(real),
        fake=len(fake),
        dtype=" and ".join(sorted(dtypes)),
        comparable=real.comparable and fake.comparable,
    )


def extractor(
    what: str | nn.Module | Callable[[Tensor], Tensor],
    *,
    channels: int = 3,  # of the images
    model: LatentModel | None = None,  # whose features "model" means
) -> Extractor:
    """An extractor from its name, a model, a module, or any function of images.

    Names: "random" (a seeded net, no download), "model" (the model's own encoder or discriminator),
    "inception:FILE" (the FID network's weights), "dinov2" or "dinov2:FOLDER".
    """
    if isinstance(what, LatentModel):
        return of_model(what)
    if isinstance(what, nn.Module):
        return Extractor(type(what).__name__, hash_tensors(what.state_dict().items()), what)
    if not isinstance(what, str):
        return of_function(what)
    name, _, place = what.partition(":")
    if name not in NAMES:
        raise InputError(f"no features '{name}'; {nearest_name(name, NAMES)}")
    if name == "model":
        if model is None:
            raise InputError("features 'model' need a model; choose 'random'")
        return of_model(model)
    if name == "inception" and not place:
        raise InputError("features 'inception' need their file: inception:FILE")
    if name == "random":
        return random(channels)
    return NAMES[name](place)


def random(channels: int) -> Extractor:
    """The seeded random net: the same on every machine, comparable only within itself."""
    net = RandomFeatures(channels)
    found = hash_tensors(net.state_dict().items())
    return Extractor("random", found, net, "average, to 4 stages", known=True)


def of_model(model: LatentModel) -> Extractor:
    """A model's own features, else its encoder's mean: good for models of one architecture."""
    if not (model.can("features") or model.can("encode")):
        raise Unsupported(f"{type(model).__name__} has no features of its own; choose 'random'")
    found = hash_tensors(model.state_dict().items())
    return Extractor(f"{type(model).__name__}'s own", found, OwnFeatures(model), known=True)


class OwnFeatures(nn.Module):
    """Images → features (B, d) of a model's encoder or discriminator."""

    def __init__(self, model: LatentModel):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        if self.model.can("features"):
            return self.model.features(x)
        # the class is not known of an image: every one is asked about the first
        label = 0 if self.model.conditional else None
        return self.model.encode(x, self.model.labels_for(len(x), label)).mean


def of_function(function: Callable[[Tensor], Tensor]) -> Extractor:
    """Any function of images; its hash is of its code, not of what the code refers to."""
    code = getattr(function, "__code__", None)
    name = getattr(function, "__qualname__", type(function).__name__)
    written = name.encode() if code is None else _code(code)
    return Extractor(name, hashlib.blake2b(written, digest_size=8).hexdigest(), function)


def _code(code: CodeType) -> bytes:
    """What a function does: its steps, and the names and constants in them."""
    inner = [x for x in code.co_consts if isinstance(x, CodeType)]
    constants = [x for x in code.co_consts if not isinstance(x, CodeType)]
    own = code.co_code + repr((code.co_names, constants)).encode()
    return b"".join([own, *map(_code, inner)])


def inception_v3(file: str | os.PathLike[str], *, sha256: str = INCEPTION_SHA256) -> Extractor:
    """The network of the Fréchet Inception distance, from `pt_inception-2015-12-05-6726825d.pth`.

    sha256: how the file's hash begins. Raises InputError where it begins otherwise.
    """
    path = Path(file)
    found = _sha256(path, sha256)
    net = inception.Inception()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        own = net.state_dict()
        counters = {k: v for k, v in own.items() if k.endswith("num_batches_tracked")}
        net.load_state_dict(counters | dict(state))
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} does not hold the weights of Inception-v3: {reason}") from None
    net.eval().requires_grad_(False)
    return Extractor(
        "inception-v3",
        found[:16],
        net,
        inception.RESIZE,
        comparable=sha256 == INCEPTION_SHA256,
        logits=net.logits,
        known=True,
    )


def dinov2(model: str | os.PathLike[str] = "", *, sha256: str | None = None) -> Extractor:
    """DINOv2's class token, from a folder or the Hugging Face hub, with the extra `dino`.

    sha256: how the hash of the folder's `model.safetensors` must begin.
    """
    try:
        from transformers import AutoModel
    except ImportError:
        raise InputError("features 'dinov2' need an extra: pip install 'preimage[dino]'") from None
    place = str(model) or DINO
    if sha256 is not None:
        _sha256(Path(place) / "model.safetensors", sha256)
    try:
        net = AutoModel.from_pretrained(place, use_safetensors=True)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{place} is not a DINOv2 that can be loaded: {reason}") from None
    if net.config.model_type != "dinov2":
        raise InputError(f"{place} is a {net.config.model_type}, not a DINOv2")
    found = hash_tensors(net.state_dict().items())
    return Extractor(
        f"dinov2:{Path(place).name}",
        found,
        ClassToken(net).eval().requires_grad_(False),
        f"bicubic to {DINO_SIDE}, smoothed",
        comparable=place == DINO,
        known=True,
    )


class ClassToken(nn.Module):
    """Images (B, 1 or 3, H, W) in [−1, 1] → the last class token (B, d) of a vision transformer."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(DINO_MEAN).view(3, 1, 1))
        self.register_buffer("spread", torch.tensor(DINO_SPREAD).view(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = (x.expand(-1, 3, -1, -1) + 1) / 2
        x = F.interpolate(x, (DINO_SIDE, DINO_SIDE), mode="bicubic", antialias=True)
        x = (x.clamp(0, 1) - self.get_buffer("mean")) / self.get_buffer("spread")
        return self.net(pixel_values=x).last_hidden_state[:, 0]


NAMES: dict[str, Callable[..., Extractor]] = {
    "random": random,
    "model": of_model,
    "inception": inception_v3,
    "dinov2": dinov2,
}


def _sha256(path: Path, beginning: str) -> str:
    """The file's hash, which must begin so."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if not found.startswith(beginning.lower()):
        raise InputError(
            f"{path} has SHA-256 {found[:16]}…, not {beginning}…: it is another file, or damaged"
        )
    return found
