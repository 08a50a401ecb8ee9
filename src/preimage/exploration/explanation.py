"""What is known of a model's latent space, on one page that a person reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from preimage.core import LatentModel
from preimage.core.words import counted, words
from preimage.exploration.direction import Direction, owner
from preimage.exploration.manifold import manifold
from preimage.exploration.maps import LatentMap
from preimage.exploration.traversal import traverse
from preimage.exploration.understanding import Dimension, Understanding
from preimage.metrics.measure import Measure
from preimage.pictures import Figure, Plot, Section, Table, bars, curves, page, sheet
from preimage.pictures import manifold as drawn_manifold
from preimage.pictures.map import shaded

WALKED = 8  # dimensions whose traversals are shown
STRENGTHS = tuple(torch.linspace(-2.5, 2.5, 9).tolist())  # standard deviations
DIRECTED = 8  # saved directions whose traversals are shown
LISTED = 24  # dimensions in the table
FEW, BARS = 4, 48  # dimensions that a plot is worth, and that it has room for
GRID, WHOLE = 11, 15  # places on an axis of a plane, and of one that is the whole space
SAMPLES = 20
GAP = 14  # pixels between a traversal and where it acts
NO_BREAK = "\u00a0"


@dataclass(frozen=True)
class Explanation:
    """All that `preimage explain` has found of one model."""

    name: str  # of the run or model
    understanding: Understanding
    map: LatentMap
    page: str  # HTML, with everything it needs inside
    directions: tuple[str, ...] = ()  # that were saved with the run
    facts: Mapping[str, Any] = field(default_factory=dict)  # of the model and its data

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            **self.facts,
            **self.understanding.to_json(),
            "map": self.map.to_json(),
            "directions": list(self.directions),
        }


def explanation_page(
    model: LatentModel,
    name: str,
    known: Understanding,
    mapped: LatentMap,
    drawn: Plot,  # the map
    centre: Tensor,  # (*space.shape): the latent that walks begin at
    *,
    data: Tensor,  # (N, *space.shape): latents that set the axes' spread
    label: Tensor | None = None,  # (1,), the class of the centre, of a conditional model
    directions: Sequence[Direction] = (),
    seed: int = 0,
    command: str | None = None,
) -> str:
    """The whole page as text."""
    ranked = known.ranked
    sections = [_walks(model, known, centre, label), _numbers(known)]
    if known.size > 1:
        sections.append(_plane(model, known, centre, data, label))
    sections.append(_map(mapped, drawn, known))
    if directions:
        sections.append(_directions(model, directions, centre, label))
    sections.append(_geometry(known))
    of = counted(len(known.dimensions), "number")
    used = (
        f"All {of}"
        if len(known.active) == len(known.dimensions)
        else f"{len(known.active)} of {of}"
    )
    strongest = ranked[0].follows.attribute if ranked[0].follows else None
    lead = (
        f"It draws {model.data} images from {counted(known.size, 'number')}. {used} "
        f"{'does' if len(known.active) == 1 else 'do'} something. What they draw varies in about "
        f"{known.image_mle.value:.0f} ways at any one place."
    )
    if strongest:
        lead += f" Its strongest number tells most about {words(strongest)}."
    return page(
        f"What {name} has learned",
        lead,
        sections,
        cover=Figure(
            "Nobody's images: drawn from random latents.",
            sheet(model.sample(SAMPLES, seed=seed), columns=10, padding=4),
            pixelated=_small(model),
        ),
        facts=(
            (f"{known.size:,}", "numbers in a latent"),
            (f"{len(known.active):,}", "of them in use"),
            (_near(known.two_nn), "dimensions of its latents (TwoNN)"),
            (f"{known.n:,}", "images encoded" if known.encoded else "samples drawn"),
        ),
        footer=f"Made by {command}." if command else "",
    )


def _walks(
    model: LatentModel, known: Understanding, centre: Tensor, label: Tensor | None
) -> Section:
    shown = known.ranked[:WALKED]
    weights = owner(model)
    axes = []
    for dimension in shown:
        vector = torch.zeros(known.size)
        vector[dimension.index] = dimension.deviation
        vector = vector.reshape(model.space.shape)
        axes.append(Direction(dimension.name, vector, weights, "a number of the latent"))
    walked = traverse(model, axes, centre[None], labels=label, strengths=STRENGTHS)
    maps = torch.stack([known.map_of(dimension) for dimension in shown])
    hot = shaded(maps.mean(1) if model.data.kind == "image" else maps)
    rows = {
        _title(dimension): _beside(walked.images[0, i], torch.from_numpy(hot[i : i + 1]))
        for i, dimension in enumerate(shown)
    }
    return Section(
        "What its numbers do",
        "One number changes along each row and all others stay: from two and a half standard "
        "deviations below its mean to as many above, starting from the most ordinary image. At "
        "the end of the row, in bright colours, where in the image it acts.",
        [Figure(_walks_caption(known), rows, pixelated=_small(model))],
        id="numbers",
    )


def _walks_caption(known: Understanding) -> str:
    shown = min(WALKED, len(known.dimensions))
    text = f"The {shown} that change the image most, of {len(known.dimensions)}."
    if known.attributes:
        text += (
            " A name says which known attribute a number tells most about, and how much of what "
            "there is to know of it."
        )
    return text


def _numbers(known: Understanding) -> Section:
    ranked = known.ranked
    dead = len(known.dimensions) - len(known.active)
    sentence = (
        "How far one standard deviation of each number moves the image, root mean square over its "
        "pixels, in percent of the range from black to white."
    )
    kl = known.dimensions[0].kl is not None
    if kl:
        sentence += (
            " The KL, in nats, is what a number costs the model to use; at less than 0.01 it is "
            "dead, and says nothing about the image."
        )
    sentence += f" {'None is' if not dead else f'{dead} are' if dead > 1 else 'One is'} dead."
    tells = ["follows"] if known.attributes or dead else []
    header = ["number", *(["KL"] if kl else []), "spread", "change of image, %", *tells]
    rows = [
        [
            dimension.name,
            *([round(dimension.kl, 3)] if dimension.kl is not None else []),
            round(dimension.deviation, 3),
            round(50 * dimension.effect, 2),
            *([_followed(dimension) if dimension.active else "dead"] if tells else []),
        ]
        for dimension in ranked[:LISTED]
    ]
    hidden = len(ranked) - len(rows)
    caption = (
        f"Held against {len(known.attributes)} attributes; shown is what shuffled ones would not "
        "reach one time in twenty. The share is mutual information over the attribute's entropy."
        if known.attributes
        else ""
    )
    if hidden > 0:
        caption = f"{caption} {hidden} more, each weaker, are in the JSON.".strip()
    first = ranked[:BARS]
    plot = bars(
        {"change of image, %": [50 * d.effect for d in first]},
        [d.name for d in first] if len(first) <= 16 else ["" for _ in first],
        ylabel="change of image, %",
        xlabel="numbers, the strongest first",
    )
    figures = [Figure("", plot)] if len(first) >= FEW else []
    if kl and figures:
        costs = {"KL, nats": [d.kl or 0.0 for d in first]}
        names = [d.name for d in first] if len(first) <= 16 else ["" for _ in first]
        figures.append(
            Figure("", bars(costs, names, ylabel="KL, nats", xlabel="numbers in the same order"))
        )
    return Section(
        "How much each is worth",
        sentence,
        figures,
        table=Table(header, rows, caption),
        columns=max(1, len(figures)),
    )


def _plane(
    model: LatentModel, known: Understanding, centre: Tensor, data: Tensor, label: Tensor | None
) -> Section:
    whole = known.size == 2
    strongest = tuple(dimension.index for dimension in known.ranked[:2])
    plane = manifold(
        model,
        (0, 1) if whole else strongest,
        centre=centre,
        data=None if whole and known.encoded else data,
        size=WHOLE if whole else GRID,
        label=None if label is None else int(label),
    )
    low, high = plane.edges
    across, up = plane.names
    sentence = (
        "With two numbers for a latent, this is all there is: every place of the plane, decoded."
        if whole
        else f"The plane of the two strongest numbers, {across} to the right and {up} upwards, "
        "through the most ordinary image."
    )
    caption = (
        f"{plane.size} × {plane.size} latents, evenly spaced in probability, from the {low:.0%} "
        f"quantile to the {high:.0%} one."
    )
    picture = drawn_manifold(plane.images)
    return Section(
        "The manifold",
        sentence,
        [Figure(caption, picture, pixelated=_small(model))],
    )


def _map(mapped: LatentMap, drawn: Plot, known: Understanding) -> Section:
    what = "images" if known.encoded else "samples"
    trust = mapped.trustworthiness
    sentence = (
        f"{len(mapped):,} {what}, each where its latent lies; images stand near others that the "
        f"model takes for similar. Trustworthiness {trust.value:.3f} of 1: "
        f"{_trusted(trust.value)}, and {mapped.kept.value:.0%} of each one's "
        f"{mapped.neighbours} nearest are its nearest here too."
    )
    how = {"pca": "Principal components", "t-sne": "t-SNE", "umap": "UMAP"}[mapped.method]
    if mapped.explained is not None:
        how += f": the plane holds {mapped.explained:.0%} of the variance"
    return Section("The map", sentence, [Figure(f"{how}.", drawn, wide=True)])


def _trusted(value: float) -> str:
    if value >= 0.95:
        return "who is near here is near in truth"
    if value >= 0.8:
        return "who is near here is mostly near in truth"
    return "two axes cannot hold this many numbers, and strangers meet here"


def _directions(
    model: LatentModel, directions: Sequence[Direction], centre: Tensor, label: Tensor | None
) -> Section:
    shown = directions[:DIRECTED]
    walked = traverse(model, shown, centre[None], labels=label, strengths=STRENGTHS)
    rows = {
        words(direction.name): sheet(walked.images[0, i], columns=len(STRENGTHS), padding=4)
        for i, direction in enumerate(shown)
    }
    more = len(directions) - len(shown)
    caption = "From −2.5 to 2.5 units of each." + (f" {more} more are saved." if more else "")
    return Section(
        "Its named directions",
        "Ways through the latent space that were saved with this run: each changes what it is "
        "named after.",
        [Figure(caption, rows, pixelated=_small(model))],
    )


def _geometry(known: Understanding) -> Section:
    σ = known.singular_values
    order = list(range(1, σ.shape[1] + 1))
    low, middle, high = (σ.quantile(q, dim=0).clamp_min(1e-9).numpy() for q in (0.1, 0.5, 0.9))
    spectrum = curves(
        {
            "nine latents in ten are below": (order, high),
            "median": (order, middle),
            "one in ten": (order, low),
        },
        xlabel="direction, the strongest first",
        ylabel="singular value",
        log=True,
    )
    of = "images" if known.encoded else "samples"
    rows = [
        ["TwoNN", _interval(known.two_nn), _interval(known.image_two_nn)],
        ["Levina–Bickel MLE", _interval(known.mle), _interval(known.image_mle)],
        ["Jacobian rank", _interval(known.rank), None],
    ]
    return Section(
        "How many ways there are to vary",
        f"The {of} and their latents are written with many numbers, and yet lie on a sheet of "
        "fewer dimensions. Two estimates come from distances to nearest neighbours; the Jacobian's "
        "rank counts the directions in which one standard deviation shows at all in 8 bits.",
        []
        if len(order) < FEW
        else [
            Figure(
                "How far the image moves along each principal direction of the generator's "
                f"Jacobian, for a step of one standard deviation, at {len(σ)} latents.",
                spectrum,
            )
        ],
        table=Table(
            ["intrinsic dimension", "of the latents", f"of the {of}"],
            rows,
            "With 95 % intervals, which do not hold an estimate's bias: the more dimensions, the "
            "more images it takes, and with few the estimate is too low.",
        ),
        id="geometry",
    )


def _beside(images: Tensor, heated: Tensor) -> Image.Image:
    """A row of images and, after a gap, where they change."""
    row = sheet(images, columns=len(images), padding=4, background=None)
    last = sheet(heated, scale=row.height // heated.shape[-2], background=None)
    whole = Image.new("RGBA", (row.width + GAP + last.width, row.height))
    whole.paste(row, (0, 0))
    whole.paste(last, (row.width + GAP, 0))
    return whole


def _title(dimension: Dimension) -> str:
    if dimension.follows is None:
        return dimension.name
    followed = dimension.follows
    return f"{dimension.name} · {words(followed.attribute)} {followed.information:.0%}"


def _followed(dimension: Dimension) -> str | None:
    found = dimension.follows
    if found is None:
        return None
    text = f"{words(found.attribute)}, {found.information:.0%}"
    if found.correlation is not None and abs(found.correlation) >= 0.1:
        text += f" (r{NO_BREAK}={NO_BREAK}{found.correlation:.2f})".replace("-", "−")
    return text


def _near(measure: Measure) -> str:
    return f"≈ {measure.value:.1f}"


def _interval(measure: Measure) -> str:
    return f"{measure.value:.1f} ({measure.low:.1f} to {measure.high:.1f})".replace(" ", NO_BREAK)


def _small(model: LatentModel) -> bool:
    return model.data.shape[-1] <= 32
