"""`preimage.direction` and what belongs to it: named ways through a model's latent space.

Functions of the public interface like those in `api`, upon which they stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from preimage.api.examples import (
    EXAMPLES,
    Classifier,
    Examples,
    Model,
    Values,
    asked,
    named,
    of_images,
    of_samples,
    of_sides,
    opened,
    usable,
)
from preimage.api.observations import Images, PathLike, Progress
from preimage.core import InputError, LatentModel, Step, seeds
from preimage.core.errors import nearest_name
from preimage.exploration import unlabelled
from preimage.exploration.attributes import Attribute
from preimage.exploration.calibration import Reader, calibrated, calibrated_jointly
from preimage.exploration.conditioning import conditioned, kept
from preimage.exploration.direction import Direction, owner
from preimage.exploration.joint import METHOD as JOINT
from preimage.exploration.joint import fit_jointly
from preimage.exploration.labelled import CLASSIFIERS, METHODS, check_kind, fit
from preimage.runs import directions as files
from preimage.runs.run import Run

CALIBRATION = 1024  # latents, times directions, at which strengths are calibrated


def direction(
    model: Model,
    *,
    positive: Images | None = None,
    negative: Images | None = None,
    attribute: str | None = None,
    images: Images | None = None,
    labels: PathLike | Mapping[str, Values] | None = None,
    classifier: Classifier | None = None,
    name: str | None = None,
    method: str = "auto",
    keep: Sequence[str | Direction] = (),
    calibrate: bool = True,
    n: int | None = None,
    label: int | str | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
    **search: Any,
) -> Direction:
    """The direction along which one attribute changes; one unit is one standard deviation of it.

    model: a model, the folder of a run, or an `inverter`.
    positive, negative: images with the attribute and without: folders, files, tensors, …
    attribute: or the name of one that is known of `images`.
    images: a data set with attributes; unset, the run's own.
    labels: what is known of `images`: a CSV or JSON-lines file, or values (N,) by name.
    classifier: or a function from images (B, C, H, W) in [−1, 1] to values or classes (B,): it
        labels samples of the model, so that no encoder and no image is needed.
    name: of the direction; unset, the attribute's.
    method: mean-difference, svm, logistic, ridge, or joint, which takes all that is known of the
        images into account, so that only this attribute changes. "auto" is joint where other
        attributes are known, and else mean-difference.
    keep: attributes that must stay: names of `images`' attributes or of directions saved with the
        run, or directions.
    calibrate: correct the length by what becomes of it in images, read by the model's encoder or
        the classifier; left out where there is neither.
    n: how many images or samples at most.
    label: the class of all of them, of a conditional model.
    search: settings of `latents`: method of inversion and others, as `inversion="search"`.

    Raises InputError for too few examples or one class only, for an attribute to keep that is
    not known or leaves nothing to move, and for images that cannot be used.
    """
    ways = [positive is not None or negative is not None, attribute is not None, bool(classifier)]
    if sum(ways) != 1:
        raise InputError("give positive= and negative=, or attribute=, or classifier=: one of them")
    ready, run = opened(model, device)
    options = {"n": n, "label": label, "seed": seed, "progress": progress, **search}
    how = {"method": method, "keep": keep, "calibrate": calibrate, "seed": seed}
    if attribute is not None:
        examples = of_images(ready, run, images, labels, options)
        column = named(examples.columns, attribute)
        check_kind(column, method)
        made = _made(ready.model, run, examples, [column], progress, **how)[0]
        return made if name is None else made.named(name)
    if classifier is not None:
        name = name or "classifier"
        examples = of_samples(ready.model, classifier, name, n or EXAMPLES, label, seed)
    else:
        if positive is None or negative is None:
            raise InputError("a direction goes from negative to positive images: give both")
        name = name or "direction"
        examples = of_sides(ready, run, positive, negative, name, options)
    column = examples.columns[name]
    # Classes hardly answer to a small step; values do.
    judge = None if column.binary else classifier
    return _made(ready.model, run, examples, [column], progress, classifier=judge, **how)[0]


def directions(
    model: Model,
    images: Images | None = None,
    *,
    attributes: Sequence[str] | None = None,
    labels: PathLike | Mapping[str, Values] | None = None,
    method: str = "auto",
    keep: Sequence[str | Direction] = (),
    calibrate: bool = True,
    n: int | None = None,
    label: int | str | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
    **search: Any,
) -> dict[str, Direction]:
    """A direction for each attribute that is known of images, by name.

    An attribute of several values gives one for each, `hair:red`, against the rest. Attributes
    with too few examples are left out, and a step's notes say so.

    attributes: only these; those with too few examples are then refused.
    method: as `direction` takes it; continuous attributes have ridge instead of a classifier.
    The rest as there.
    """
    ready, run = opened(model, device)
    options = {"n": n, "label": label, "seed": seed, "progress": progress, **search}
    examples = of_images(ready, run, images, labels, options)
    if attributes is None:
        chosen = usable(list(examples.columns.values()), (), progress)
        examples = replace(examples, columns={column.name: column for column in chosen})
    else:
        chosen = asked(examples.columns, attributes)
    made = _made(
        ready.model,
        run,
        examples,
        chosen,
        progress,
        method=method,
        keep=keep,
        calibrate=calibrate,
        seed=seed,
    )
    return {one.name: one for one in made}


def _made(
    model: LatentModel,
    run: Run | None,
    examples: Examples,
    chosen: list[Attribute],
    progress: Progress | None,
    *,
    method: str,
    keep: Sequence[str | Direction],
    calibrate: bool,
    seed: int,
    classifier: Classifier | None = None,
) -> list[Direction]:
    """A direction for each chosen column of examples: fitted, calibrated, conditioned."""
    names = [column.name for column in chosen]
    several = len({column.group for column in examples.columns.values()}) > 1
    method = _method(method, several)
    jointly, weights = method == JOINT, owner(model)
    if jointly:
        together = {c.name: c for c in usable(list(examples.columns.values()), names, progress)}
        made = list(fit_jointly(examples.latents, together, model=weights).values())
    else:
        made = [
            fit(
                examples.latents,
                column,
                method=method if column.binary or method not in CLASSIFIERS else "ridge",
                others={k: c for k, c in examples.columns.items() if c.group != column.group},
                model=weights,
            )
            for column in chosen
        ]
    if calibrate:
        if progress is not None:
            progress(Step(0, 1, stage="calibrate"))
        made = _calibrated(model, made, examples, classifier, seed, jointly)
    made = [one for one in made if one.name in names]
    if not keep:
        return made
    columns = {column.name: column for column in chosen}
    return [
        conditioned(one, _kept(keep, examples, columns[one.name], weights, run)) for one in made
    ]


def unlabelled_directions(
    model: Model,
    method: str = "pca",
    *,
    count: int = 8,
    images: Images | None = None,
    n: int = 2048,
    label: int | str | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
    **search: Any,
) -> list[Direction]:
    """Directions that nobody named, the strongest first.

    method: "pca" of latents, "features" of what is seen in images, "sefa" of the generator's first
        affine map, or "jacobian" of the generator at one point.
    images: whose latents spread along them, the first of them the Jacobian's point; unset, the
        run's own where it has an encoder, and else samples.

    Raises InputError for a method that is none, and for the PCA of samples of a prior that is
    alike in all directions.
    """
    if method not in unlabelled.METHODS:
        raise InputError(f"no method '{method}'; {nearest_name(method, unlabelled.METHODS)}")
    ready, run = opened(model, device)
    generator = ready.model
    if images is not None or (run is not None and generator.can("encode")):
        options = {"n": n, "label": label, "seed": seed, "progress": progress, **search}
        examples = of_images(ready, run, images, None, options)
    else:
        if method == "pca" and generator.space.prior != "mixture":
            raise InputError(
                "samples of this model's prior spread alike in all directions; give images, or "
                "use features, sefa or jacobian"
            )
        z = generator.space.sample(n, seed=seed)
        examples = Examples(z, {}, generator.labels_for(n, label))
    z, y = examples.latents, examples.labels
    if y is None and generator.conditional:
        y = generator.labels_for(len(z), label)
    if method == "sefa":
        return unlabelled.sefa(generator, z, count=count, labels=y)
    if method == "jacobian":
        at = None if y is None else y[0]
        return unlabelled.jacobian_svd(generator, z[0], z, count=count, label=at)
    if method == "pca":
        return unlabelled.pca(z, count=count, model=owner(generator))
    seen = unlabelled.image_features(generator, z, labels=y)
    return unlabelled.feature_pca(z, seen, count=count, model=owner(generator))


def _method(method: str, several: bool) -> str:
    known = (*METHODS, JOINT)
    if method == "auto":
        return JOINT if several else "mean-difference"
    if method not in known:
        raise InputError(f"no method '{method}'; {nearest_name(method, known)}")
    return method


def _kept(
    keep: Sequence[str | Direction],
    examples: Examples,
    column: Attribute,
    weights: str,
    run: Run | None,
) -> list[Direction]:
    """What names mean: attributes of the same examples, else directions saved with the run.

    The reading of each attribute by itself would hold that of its company: age may be read off
    the glasses. So readings are fitted jointly.
    """
    found = [d for d in keep if isinstance(d, Direction)]
    names = [name for name in keep if isinstance(name, str)]
    if column.group in names:
        raise InputError(f"'{column.group}' cannot move and be kept at once")
    others = [c for c in examples.columns.values() if c.group != column.group]
    of_images = {n: [c for c in others if n in (c.name, c.group)] for n in names}
    wanted = [c.name for cs in of_images.values() for c in cs]
    if wanted:
        together = {c.name: c for c in usable([column, *others], wanted, None)}
        readings = fit_jointly(examples.latents, together, model=weights)
        found += [readings[name] for name in wanted]
    if elsewhere := [name for name in names if not of_images[name]]:
        found += kept(
            elsewhere, {} if run is None else files.all_directions(run.path, needed=elsewhere)
        )
    return found


def _reader(classifier: Classifier, made: Direction) -> Reader:
    """Readings of images by the classifier: standard deviations above the samples' mean."""

    def read(x: Tensor, labels: Tensor | None) -> Tensor:
        said = torch.as_tensor(classifier(x)).detach().flatten()
        return ((said - made.mean) / made.deviation)[:, None]

    return read


def _calibrated(
    model: LatentModel,
    made: list[Direction],
    examples: Examples,
    classifier: Classifier | None,
    seed: int,
    jointly: bool,
) -> list[Direction]:
    """Strengths made true in images, where something reads images; else as they are."""
    if classifier is None and not model.can("encode"):
        return made
    rows = torch.randperm(len(examples.latents), generator=seeds.generator(seed, "calibration"))
    rows = rows[: min(max(CALIBRATION // len(made), 16), 64)]
    z, y = examples.latents[rows], examples.labels
    y = model.labels_for(len(rows)) if y is None else y[rows]
    if jointly:
        return calibrated_jointly(model, made, z, labels=y)
    result = []
    for one in made:
        try:
            read = None if classifier is None else _reader(classifier, one)
            result.append(calibrated(model, one, z, labels=y, read=read))
        except InputError as error:
            result.append(replace(one, report={**one.report, "notes": [str(error)]}))
    return result
