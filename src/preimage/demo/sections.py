"""The sections of the demo's report: one function each, from the trained models to a Section."""

from __future__ import annotations

from collections.abc import Callable

import torch

from preimage.api import basics
from preimage.demo.detecting import detection
from preimage.demo.evaluating import evaluation
from preimage.demo.exploring import exploration
from preimage.demo.inverting import inversion
from preimage.demo.jobs import JOBS
from preimage.demo.material import SCALE, Material
from preimage.demo.restoring import restoration
from preimage.demo.searching import searching
from preimage.evaluation import Comparison, compare, table
from preimage.exploration.manifold import manifold
from preimage.pictures import Figure, Plot, Section, curves, pairs, sheet
from preimage.pictures import manifold as drawn_manifold
from preimage.runs.run import Run

FRAMES = 8  # of an interpolation
PATHS = 4  # interpolations shown
PAIRS = 8  # images shown beside their reconstructions


def cover(material: Material) -> Figure:
    """Faces nobody drew, above everything."""
    samples = material.models["faces"].sample(20, seed=material.seed + 1)
    picture = sheet(samples, columns=10, scale=SCALE["faces"], padding=4)
    caption = "Faces that do not exist: random codes, decoded."
    return Figure(caption, picture, pixelated=False)


def data(material: Material) -> Section:
    figures = []
    for name, columns in (("digits", 12), ("faces", 8)):
        images = material.data[name]
        some = images.batch(images.train[: columns * columns // 2])
        caption = (
            f"{len(images):,} {name}, {images.spec}: {len(images.train):,} to train on, "
            f"{len(images.heldout):,} held out"
        )
        picture = sheet(some, columns=columns, padding=4)
        figures.append(Figure(caption, picture, pixelated=name == "digits"))
    return Section(
        "The data",
        "Handwritten digits come with scikit-learn and are real; the faces are drawn by this "
        "package from eighteen known factors, from the turn of the head to the glasses.",
        figures,
        command="preimage datasets",
        columns=2,
    )


def training(material: Material) -> Section:
    figures = [
        Figure(f"{job.title}: recipe {job.recipe}", losses(material.runs[job.name])) for job in JOBS
    ]
    return Section(
        "Learning",
        "An autoencoder's held-out loss falls with its training loss until it has nothing more "
        "to learn that carries over; a GAN's two losses only balance each other.",
        figures,
        columns=2,
    )


def losses(run: Run) -> Plot:
    """Training and held-out loss of a run's first stage, or the two players' of a GAN.

    Without the fall of the very first steps, beside which nothing else would be seen.
    """
    records = run.metrics()
    first = [record for record in records if record["stage"] == records[0]["stage"]]
    begin = 0.03 * first[-1]["step"]
    names = {
        "loss": "training",
        "heldout_loss": "held-out",
        "critic_loss": "critic",
        "generator_loss": "generator",
    }
    series = {}
    for key, name in names.items():
        points = [
            (r["step"], r[key]) for r in first if r.get(key) is not None and r["step"] > begin
        ]
        if points:
            series[name] = tuple(zip(*points, strict=True))
    return curves(series, xlabel="step", ylabel="loss")


def reconstructions(material: Material) -> Section:
    figures = []
    for name in ("digits", "faces"):
        made = basics.reconstruct(material.models[name], material.heldout(name, PAIRS))
        rows = {"original": made.original, "reconstruction": made.reconstruction}
        error = made.error.mean().sqrt().item() / 2
        caption = f"{name}: off by {error:.1%} of the range, root mean square"
        picture = pairs(rows, scale=SCALE[name])
        figures.append(Figure(caption, picture, pixelated=name == "digits"))
    return Section(
        "There and back",
        "Images the models have never seen, encoded to 16 numbers (digits) and 32 (faces) and "
        "decoded again: what is lost is what the code has no room for.",
        figures,
        command="preimage reconstruct RUN IMAGES",
    )


def digits(material: Material) -> Section:
    seed = material.seed
    return Section(
        "Digits nobody wrote",
        "Random codes, decoded: both models write most digits so that they can be read, each in "
        "many hands. Nothing was picked.",
        [
            Figure(
                "drawn by the VAE",
                sheet(material.models["digits"].sample(64, seed=seed), padding=4),
            ),
            Figure(
                "drawn by the GAN",
                sheet(material.models["digits-gan"].sample(64, seed=seed), padding=4),
            ),
        ],
        command=f"preimage sample {material.runs['digits'].path}",
        columns=2,
    )


def faces(material: Material) -> Section:
    samples = material.models["faces"].sample(48, seed=material.seed)
    picture = sheet(samples, columns=12, scale=SCALE["faces"], padding=4)
    return Section(
        "Faces nobody drew",
        "Random codes again: the VAE has found out by itself that faces have hair, glasses, "
        "beards and a direction to look in, and puts them together anew.",
        [Figure("drawn by the VAE", picture, pixelated=False)],
        command=f"preimage sample {material.runs['faces'].path}",
    )


@torch.no_grad()
def interpolation(material: Material) -> Section:
    figures = []
    for name in ("faces", "digits"):
        model = material.models[name]
        images = material.heldout(name, 2 * PATHS)
        z = model.encode(images).mean
        rows = []
        for i in range(PATHS):
            t = torch.linspace(0, 1, FRAMES)[:, None]
            walk = model.decode(torch.lerp(z[2 * i], z[2 * i + 1], t))
            rows.append(torch.cat([images[2 * i, None], walk, images[2 * i + 1, None]]))
        picture = sheet(torch.cat(rows), columns=FRAMES + 2, scale=SCALE[name], padding=4)
        figures.append(Figure(name, picture, pixelated=name == "digits"))
    return Section(
        "Between two images",
        "Held-out images stand at both ends of each row; between them the code moves in a "
        "straight line. Heads turn and mouths close by degrees; where there is no shape halfway, "
        "as between two cuts of hair, both are faintly seen.",
        figures,
    )


def plane(material: Material) -> Section:
    grid = manifold(material.models["digits-2d"])
    low, high = grid.edges
    figure = Figure(
        f"{grid.size} × {grid.size} codes, evenly spaced in probability from {low:.0%} to "
        f"{high:.0%} of the normal distribution along both axes",
        drawn_manifold(grid.images),
    )
    return Section(
        "The whole space",
        "With two numbers for a code the space is a plane: its digits lie in neighbourhoods, and "
        "every step from one to the next passes through shapes in between.",
        [figure],
        command=f"preimage manifold {material.runs['digits-2d'].path}",
    )


def side_by_side(material: Material) -> Section:
    models = {"VAE": material.models["digits"], "GAN": material.models["digits-gan"]}
    *_, found = compare(models, material.data["digits"], seed=material.seed)
    assert isinstance(found, Comparison)
    return Section(
        "VAE against GAN",
        "On the same digits: the GAN learns only to draw, the VAE also to encode. A number whose "
        "interval overlaps that of real images cannot be told from them.",
        [
            Figure(
                f"{c.name}: from one sample to another",
                sheet(c.strips.flatten(0, 1), columns=8, padding=4),
            )
            for c in found.contenders
        ],
        table=table(found),
        command="preimage compare digits",
        columns=2,
    )


SECTIONS: tuple[Callable[[Material], Section], ...] = (
    data,
    training,
    reconstructions,
    digits,
    faces,
    interpolation,
    plane,
    inversion,
    exploration,
    restoration,
    searching,
    detection,
    side_by_side,
    evaluation,
)
"""In the order of the page."""
