"""`preimage.evaluate`: every score with an interval, a null and a meaning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from preimage.api import basics
from preimage.api.observations import PathLike, Progress, report_skipped
from preimage.core import DataSpec, InputError, LatentModel
from preimage.data import Dataset, load_as
from preimage.evaluation import Material, Report, chosen
from preimage.evaluation import evaluate as _evaluate
from preimage.evaluation.material import Classifier, factors_of, labels_among
from preimage.evaluation.membership import Candidates, candidates
from preimage.evaluation.scorecard import scorecard
from preimage.evaluation.sides import Computed, Generator, Held, Rows, Samples, Side, generated
from preimage.inversion.terms import LPIPS
from preimage.metrics.extractors import Extractor, Features, extractor, stamp
from preimage.metrics.reconstruction import Distance
from preimage.metrics.stored import stored
from preimage.runs.files import check_free, readable_errors, write_bytes, write_json
from preimage.runs.run import Run
from preimage.training.likelihood import Likelihood

Subject = PathLike | LatentModel | Dataset | Generator | Tensor | np.ndarray | Features
Images = PathLike | Dataset | Tensor | np.ndarray | Features

Notes = tuple[str, ...]

LEAST = 20  # images on each side, without which nothing can be said
SMALLEST = 32  # pixels, which LPIPS's network needs
TRAINED = 10_000  # training images that are looked at, at most


def evaluate(
    subject: Subject,
    images: Images | None = None,
    *,
    metrics: str | Sequence[str] | None = None,
    features: str | torch.nn.Module | Callable[[Tensor], Tensor] | Extractor = "random",
    classifier: Classifier | None = None,
    reference: PathLike | None = None,
    n: int = 10_000,
    prior: str | None = None,
    pictures: bool | None = None,
    out: PathLike | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> Report:
    """Judge a model, or any images, beside real images.

    subject: the folder of a run; a model; a folder or other source of images; a function of n and
        a seed that returns images (n, C, H, W) in [−1, 1]; such images; or features (N, d),
        perhaps in a .npy file, which is read a batch at a time: a million need little memory.
    images: real images, or their features (M, d), alike. Of a run, unset: those it held out.
    metrics: a group of scores ("quality", "memorisation", …) or a single one ("fid"), or several;
        all that can be taken where None.
    features: what images are compared by, of `preimage.metrics.extractors`: "random", a seeded net
        that needs no download, "model", "inception:FILE", "dinov2", a module, or a function.
    classifier: images → probabilities or logits (B, K); unset, one is fitted to labelled images.
    reference: a run of the same kind on other images, by which membership is calibrated.
    n: samples, and real images, at most.
    pictures: whether to make figures too; unset, where there is an `out`.
    out: a folder for `report.html` and `evaluation.json`.

    Raises InputError for sides that cannot be compared, too few images, and unknown metrics.
    """
    metrics = (metrics,) if isinstance(metrics, str) else metrics
    chosen(metrics)  # or say at once what is unknown
    folder = None if out is None else Path(out)
    if folder is not None:
        check_free(folder)
    if n < LEAST:
        raise InputError(f"n={n} (--number) says nothing; give at least {LEAST}")
    subject, images = _stored(subject, images)
    options = {"n": n, "prior": prior, "seed": seed, "device": device, "progress": progress}
    if isinstance(subject, Features | Tensor | np.ndarray) and _is_features(subject):
        material, names = _of_features(subject, images, seed)
    elif _is_run(subject):
        material, names = _of_run(Path(subject), images, features, reference, **options)  # type: ignore[arg-type]
    else:
        material, names = _of_images(subject, images, features, **options)
    material.classifier = classifier
    if metrics is not None and "lpips" in metrics:
        material.perceptual = _lpips(material)
    _check_enough(material)
    pictures = out is not None if pictures is None else pictures
    for step in _evaluate(
        material, metrics=metrics, subject=names[0], against=names[1], pictures=pictures
    ):
        if isinstance(step, Report):
            if folder is not None:
                save_report(step, folder)
            return step
        if progress is not None:
            progress(step)
    raise AssertionError("measuring ends with a Report")


def save_report(report: Report, folder: PathLike) -> Path:
    """Write `report.html` and `evaluation.json` into a folder; the path of the page."""
    folder = Path(folder)
    with readable_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "evaluation.json", report.to_json())
    write_bytes(folder / "report.html", scorecard(report).encode())
    return folder / "report.html"


def _is_features(x: Any) -> bool:
    return isinstance(x, Features) or x.ndim == 2


def _is_run(subject: Any) -> bool:
    return isinstance(subject, str | Path) and (Path(subject) / "config.json").is_file()


def _stored(subject: Any, images: Any) -> tuple[Any, Any]:
    """Features in .npy files, which stay there, in the place of the files' names."""

    def opened(given: Any) -> Any:
        path = Path(given) if isinstance(given, str | Path) else Path()
        rows = stored(path) if path.suffix == ".npy" and path.is_file() else None
        return given if rows is None else Features(rows)

    sides = opened(subject), opened(images)
    both = all(isinstance(x, Features | Tensor | np.ndarray) and _is_features(x) for x in sides)
    return sides if both else (subject, images)  # a run may judge vectors that a file holds


def _of_features(subject: Any, images: Any, seed: int) -> tuple[Material, tuple[str, str]]:
    if images is None or isinstance(images, str | Path | Dataset) or not _is_features(images):
        raise InputError("features are compared with features; give those of real images too")
    made, real = (
        x if isinstance(x, Features) else _features(torch.as_tensor(x)) for x in (subject, images)
    )

    def none(x: Tensor) -> Tensor:
        raise InputError("only features were given, and this takes images")

    stamp(real, made)  # or say at once why they cannot be compared
    extract = Extractor(real.extractor, real.hash, none, real.resize, real.comparable)
    material = Material(Computed(real, name="real"), Computed(made), extract, seed=seed)
    return material, ("the features given", "real ones")


def _features(rows: Tensor) -> Features:
    return Features(rows if rows.is_floating_point() else rows.float())


def _of_run(
    path: Path,
    images: Any,
    features: Any,
    reference: PathLike | None,
    *,
    n: int,
    prior: str | None,
    seed: int,
    device: str,
    progress: Progress | None,
) -> tuple[Material, tuple[str, str]]:
    """A run against the images it held out, or against others."""
    run = Run.open(path)
    model = basics.load(path, device=device)
    own, notes = _own(run, needed=images is None or reference is not None, progress=progress)
    mixed = np.random.default_rng(seed)
    if images is not None:
        data = _real(images, model.data, progress)
        rows, against = mixed.permutation(len(data))[:n], _name(data)
    else:
        assert own is not None
        data, against = own, f"held-out images of {own.name}"
        rows = mixed.permutation(own.heldout)[:n]
    extract = _extractor(features, model.data.channels, model)
    known = model.classes if own is None else own.classes
    material = _material(data, rows, extract, known, seed=seed)
    material.model, material.prior, material.likelihood = model, prior, _likelihood(run)
    if model.space.priors:
        material.made = Samples(model, material.real.n, seed=seed, prior=prior)
    if own is not None:
        trained = mixed.permutation(own.train)[:TRAINED]
        material.train = Rows(own, trained, name="training images")
        material.train_labels = own.batch_labels(trained)
        if images is not None:
            notes += _beside(material, own, data, rows, mixed.permutation(own.heldout)[:n])
        material.candidates, material.reference = _attacked(
            own, reference, device=device, seed=seed, progress=progress
        )
    if (promised := run.guarantee) is not None:
        notes += (f"The run is private, {promised}.",)
    material.notes = notes
    return material, (path.resolve().name, against)


def _beside(
    material: Material, own: Dataset, data: Dataset | Tensor, rows: np.ndarray, heldout: np.ndarray
) -> Notes:
    """What other images mean for a run: copies are still told by its own."""
    material.heldout = Rows(own, heldout, name="held-out images")
    if not isinstance(data, Dataset):
        return ()
    trained = int(np.isin(data.hashes[rows], own.hashes[own.train]).sum())
    if not trained:
        return ()
    return (f"{trained} of the {len(rows)} real images are images that the run was trained on.",)


def _own(run: Run, *, needed: bool, progress: Progress | None) -> tuple[Dataset | None, Notes]:
    """What a run was trained on, or why that is not known. Raises InputError where it must be."""
    try:
        return basics.run_dataset(run, progress=progress), ()
    except InputError as reason:
        if needed:
            raise
        return None, (f"What the run was trained on could not be read: {reason}",)


def _of_images(
    subject: Any,
    images: Any,
    features: Any,
    *,
    n: int,
    prior: str | None,
    seed: int,
    device: str,
    progress: Progress | None,
) -> tuple[Material, tuple[str, str]]:
    """A model, a function, or images, against images."""
    if images is None and isinstance(subject, str | Path):
        raise InputError(f"{subject} is not the folder of a run; give one, or real images beside")
    if images is None:
        raise InputError("nothing to hold it against; give real images as the second argument")
    if isinstance(subject, str | Path):
        subject = basics.dataset(subject, progress=progress)
    elif isinstance(subject, Tensor | np.ndarray):
        subject = _real(subject, None, progress)
    model = subject if isinstance(subject, LatentModel) else None
    data = _real(images, model.data if model else None, progress)
    data, notes = _of_one_size(subject, images, data, progress)
    mixed = np.random.default_rng(seed)
    shape = data.spec.shape if isinstance(data, Dataset) else tuple(data.shape[1:])
    extract = _extractor(features, shape[0], model)
    known = model.classes if model else ()
    material = _material(data, mixed.permutation(len(data))[:n], extract, known, seed=seed)
    material.notes = notes
    if isinstance(subject, LatentModel):
        material.model, material.prior = subject, prior
        if subject.space.priors:
            material.made = Samples(subject, material.real.n, seed=seed, prior=prior)
    elif isinstance(subject, Dataset | Tensor):
        material.made = _side(subject, mixed.permutation(len(subject))[:n])
    elif callable(subject):
        draw = cast(Generator, subject)
        material.made = generated(draw, material.real.n, seed=seed, shape=shape)
    else:
        raise InputError(f"{type(subject).__name__} is nothing that can be evaluated")
    if material.made is not None and (made := material.made.pick([0]).shape[1:]) != shape:
        raise InputError(
            f"images of {tuple(made)} against {tuple(shape)} (channels, height, width); "
            "bring them to one size"
        )
    return material, (_name(subject), _name(data))


def _of_one_size(
    subject: Any, images: Any, data: Dataset | Tensor, progress: Progress | None
) -> tuple[Dataset | Tensor, Notes]:
    """Real images as they stand, or brought to the size of those that are judged, which is said."""
    if not (isinstance(subject, Dataset) and isinstance(images, str | Path)):
        return data, ()
    if not isinstance(data, Dataset) or data.spec.shape == subject.spec.shape:
        return data, ()
    note = (
        f"The images of {data.name}, {data.spec}, were brought to {subject.spec}, as those judged "
        "are. Resizing alone moves every score: judge images of one size where you can."
    )
    return load_as(images, subject.spec, progress=progress), (note,)


def _name(what: Any) -> str:
    """What to call one side, for people."""
    if isinstance(what, Dataset):
        return what.name
    if isinstance(what, LatentModel):
        return type(what).__name__
    return "the images given" if isinstance(what, Tensor) else "the generator"


def _material(
    data: Dataset | Tensor,
    rows: np.ndarray,
    extract: Extractor,
    known: Sequence[str],  # classes that a model or its images have; the data's own where none
    *,
    seed: int,
) -> Material:
    """The real side, with what is known of each image."""
    classes = tuple(known or (data.classes if isinstance(data, Dataset) else ()))
    return Material(
        _side(data, rows),
        None,
        extract,
        labels=labels_among(classes, data, rows) if isinstance(data, Dataset) else None,
        classes=classes,
        factors=factors_of(data, rows) if isinstance(data, Dataset) else {},
        seed=seed,
    )


def _real(images: Any, spec: DataSpec | None, progress: Progress | None) -> Dataset | Tensor:
    """Real images from whatever is given, brought to a spec where there is one."""
    if isinstance(images, str | Path):
        if spec is None:
            data = basics.dataset(images, progress=progress)
        else:
            data = load_as(images, spec, progress=progress)
        report_skipped(data, progress)
        return data
    if isinstance(images, Dataset):
        return images
    x = torch.as_tensor(images).float()
    if x.ndim != 4:
        raise InputError(f"images of shape {tuple(x.shape)}; give (N, C, H, W) in [−1, 1]")
    return x


def _side(data: Dataset | Tensor, rows: np.ndarray) -> Side:
    if isinstance(data, Dataset):
        return Rows(data, rows, name=data.name)
    return Held(data[torch.from_numpy(rows)])


def _extractor(features: Any, channels: int, model: LatentModel | None) -> Extractor:
    if isinstance(features, Extractor):
        return features
    return extractor(features, channels=channels, model=model)


def _attacked(
    own: Dataset,
    reference: PathLike | None,
    *,
    device: str,
    seed: int,
    progress: Progress | None,
) -> tuple[Candidates | None, LatentModel | None]:
    """The images whose membership is asked, and the model that calibrates the answer."""
    if reference is None:
        try:
            return candidates(own, seed=seed), None
        except InputError:
            return None, None
    other = Run.open(Path(reference))
    known = basics.run_dataset(other, progress=progress)
    return candidates(own, reference=known, seed=seed), basics.load(other.path, device=device)


def _likelihood(run: Run) -> str:
    """What p(x|z) a run's autoencoder was trained with."""
    stages = (stage for stage in run.plan.stages if isinstance(stage, Likelihood))
    stage = next(stages, None)
    return "bernoulli" if stage is not None and stage.likelihood == "bernoulli" else "gaussian"


def _lpips(material: Material) -> Distance:
    """Zhang et al.'s distance. Raises InputError where the extra is missing or images are small."""
    side = min(material.real.pick([0]).shape[-2:])
    if side < SMALLEST:
        raise InputError(f"lpips (--metrics) takes images of {SMALLEST} pixels or more, not {side}")
    term = LPIPS()

    @torch.no_grad()
    def distance(x: Tensor, x̂: Tensor) -> Tensor:
        return term.loss(x̂, term.prepare(x))

    return distance


def _check_enough(material: Material) -> None:
    for side, what in ((material.real, "real images"), (material.made, "samples")):
        if side is not None and side.n < LEAST:
            raise InputError(f"{side.n} {what} are too few to say anything; give {LEAST}")
