"""The page's section on inversion, from what `recovery.py` wrote of each generator."""

from __future__ import annotations

import math
from typing import Any

from tables import Target, table

Row = dict[str, Any]

FEW = 9  # iterations of ours, in rows where speed counts for more than the last digits
STARTS = (1, 2, 3, 4)  # of each image, where the error may count for more than the speed
GENERATED = {  # row → what the table calls it
    "textbook": "textbook: Adam, one at a time",
    "projector": "StyleGAN projector, one at a time",
    "batched Adam": "batched Adam at its best rate",
    "SciPy L-BFGS": "SciPy L-BFGS, one at a time",
    "SciPy LM": "SciPy Levenberg–Marquardt, one at a time",
    "PyPose LM": "PyPose Levenberg–Marquardt, one at a time",
    "ours": "**ours**, on the module as it comes",
    "ours, folded": "**ours**, folded",
    "ours, few": f"**ours**, folded, {FEW} iterations",
}
REAL = {
    "ours, real": "**ours**, folded where it can be",
    "ours, few, real": f"**ours**, likewise, {FEW} iterations",
    "own encoder, real": "its own encoder alone",
}
ENCODERS = {
    "search": "**ours**: a search",
    "own": "the encoder it was trained with, alone",
    "learned": "an encoder learned afterwards, alone",
}
THOROUGH = ("textbook", "ours", "ours, folded")  # the same, of a run with `cascade="thorough"`
CONDITION = 1e-3  # σmin/σmax above which the latent itself must be recovered
LARGEST = 128  # latents of a generator that the first target is for

ABOUT = """Each generator draws images at known latents, and each method looks for the latents; it
stops by a rule that never sees them. *Recovered*: relative error of z below 1e-2. Errors are
squared, per pixel on [−1, 1], by the generator as it is. One thread, process CPU seconds, starts
included; what is prepared once for a generator stands beside. Slow methods were given fewer images
(n). The rate of batched Adam was chosen on other targets out of .01, .03, .1, .3, and its cost is
not counted. All generators are in evaluation mode. σmin/σmax is of the Jacobian at the true
latents: where it is small, many latents have all but the same image, and only the image can be
asked for. Ours ends at a squared error of 1e-8. Where thorough preparation came to a better
cascade, it has a table of its own.

On real images nobody knows the latent: there the error stands against the best of 8 starts of Adam
× 2,000 at its best rate on the same images (*against the best*: ratio of mean errors, with 95 % of
2,000 bootstrap samples of the images)."""

SHORT = """What falls short, and why. *MLP GAN*: 9 iterations of Levenberg–Marquardt and the
Jacobians they take are the time. Begun from an encoder that was learned for it they end at a median
error of 1e-4, where they come to 1.1e-5 from where they begin now: what the encoder finds is
nearer, in valleys that are worse. *Real images*: what is left above 1 are other valleys. Searched
to the last digit, faces end at 1.001 and the MLP VAE at 1.005. Searches from beyond leave the MLP
VAE 1.0015 after two, 1.0003 after three, 1.0001 after four, each a smaller share; eight that raced
about the rough start had left 1.004. (On the MLP GAN such a race had left about as much in the same
time, and on `gan` less.) Begun where another loss ends (cross-entropy, L1, Huber, a
pyramid), at the encoder's latent, on the prior, or by Levenberg–Marquardt, second searches gained
as much or less, and to give up early those that lag saved nothing. On 16 faces, seen and not
recorded, the tenth search comes to 1.0002, and there is time for one. How far starts are shrunk and
where others begin, and when a Jacobian of an image's own is worth it, was chosen on 64 to 512 other
real images. *Encoders*:
`dcgan` and `vae-conv` are searched so far that a few passes do not follow. Training goes on to pay,
less and less (`dcgan` had 4.0 after 250 steps, 2.9 after 1,500, 2.43 after 3,000, and what the
table has after 9,000, on images it was trained on no less than on others), and so do passes: the
same encoder comes to 2.03 with a fourth and 1.97 with a fifth, for which there is no time left.
Kept apart for each pass, or stretching each coordinate of the step, the nets were no better;
without the basis in which the average JᵀJ is the identity they were worse (3.6 for 3.4 after two
minutes); with a quarter as many generated images as real ones, or half as wide again, they learned
more slowly. Muon in the place of Adam needed two thirds of the steps and four times as long for
each (2.86 after 1,000).

*Thorough preparation*: where a target is met by it alone, what falls short without is six
regressions, which are ready in a sixth to a quarter of the time. On the way to 400 times: with six
regressions two images of three of `vae-conv` need a Jacobian, and that alone takes 4 ms of the 3.2
there are. 12 and 20 regressions from 8,192 pairs leave 49 and 30 decodings, 28 from 16,384 pairs
20, from 24,576 19; 36 no fewer. Where acceleration brings all images home, more of them gain
nothing (`dcgan`, the MLP VAE, both VAEs of CelebA), and `gan` loses. A ridge for each direction of
what is left, for one that all share, took as many steps or more. For `celeba-vae`, nets that say
how to step from each latent halve the decodings; for 128 latents they are slower than regressions.
Twice as many gates and 65,536 pairs gained next to nothing, and a step that is any matrix lost.

All but the encoders, several starts, thorough preparation and the two VAEs of CelebA was measured
on a processor with AMX, and real images from one start before small ones went in batches of 256. On
one without, where the textbook loop is a fourth quicker and Jacobians in bfloat16 bring nothing,
the two MLPs were measured anew, in the folder `without-amx` of the results: 9 iterations on the MLP
GAN leave 1/640 of the error, 51 times as quick; on real images it has .851 at 51 times, and the MLP
VAE 1.005 at 123 times."""


def recovery(results: list[Row]) -> str:
    """Every generator, then the targets."""
    parts = ["## Finding the latent behind an image", ABOUT]
    for r in results:
        parts += generator(r)
    targets = [target.row() for r in results for target in targets_of(r)]
    head = ["what", "figure", "bound", "met"]
    return "\n\n".join([*parts, "### Targets", table(head, targets), SHORT])


def generator(r: Row) -> list[str]:
    """One generator: two tables and a picture."""
    rows = r["rows"]
    head = ["method", "n", "images a CPU s", "× textbook", "median error", "90 %", "recovered"]
    body = [
        [name, str(row["n"]), *_speed(row, rows), *_exactness(row), _prepared(row)]
        for key, name in GENERATED.items()
        if (row := rows.get(key))
    ]
    parts = [f"### `{r['generator']}`: {r['what']}", _facts(r)]
    parts += [table([*head, "prepared, CPU s"], body)]
    if thorough := rows.get("thorough"):
        parts += thorough_of(thorough)
    head = ["on real images", "n", "images a CPU s", "× textbook", "mean error"]
    body = [
        [name, str(row["n"]), *_speed(row, rows), f"{row['mean']:.2e}", *_beside(row)]
        for key, name in REAL.items()
        if (row := rows.get(key))
    ]
    if body:
        parts += [table([*head, "against the best", "prepared, CPU s"], body)]
    if several := rows.get("several starts, real"):
        parts += several_of(several)
    if encoders := rows.get("encoders"):
        parts += encoders_of(encoders)
    if picture := rows.get("picture"):
        parts += [f"![{r['generator']}](results/{picture['file']})"]
    return parts


def thorough_of(rows: Row) -> list[str]:
    """What thorough preparation makes of it: a run of its own, on a machine of its own."""
    head = ["`cascade=thorough`", "n", "images a CPU s", "× textbook", "median error", "90 %"]
    body = [
        [GENERATED[key], str(row["n"]), *_speed(row, rows), *_exactness(row), _prepared(row)]
        for key in THOROUGH
        if (row := rows.get(key))
    ]
    about = f"Prepared thoroughly, in a run of its own, on a processor {_amx(rows)}:"
    return [about, table([*head, "recovered", "prepared, CPU s"], body)]


def several_of(rows: Row) -> list[str]:
    """What more starts make of real images: a run of its own, on a machine of its own."""
    head = ["`starts`, on real images", "n", "images a CPU s", "× textbook", "mean error"]
    body = [
        [str(k), str(row["n"]), *_speed(row, rows), f"{row['mean']:.2e}", *_beside(row)]
        for k in STARTS
        if (row := rows.get(str(k)))
    ]
    about = f"Several starts, in a run of their own, on a processor {_amx(rows)}"
    if rows["reference"]:
        about += f"; against the best, on {rows['reference']['n']} images"
    return [f"{about}:", table([*head, "against the best", "prepared, CPU s"], body)]


def encoders_of(rows: Row) -> list[str]:
    """Encoders beside a search: a run of its own, on a machine of its own."""
    head = ["encoders, on real images", "n", "images a CPU s", "× textbook", "mean error"]
    best = rows["search"]["mean"]
    body = [
        [
            *(name, str(row["n"]), *_speed(row, rows), f"{row['mean']:.2e}"),
            *(f"{row['mean'] / best:.2f}", _prepared(row)),
        ]
        for key, name in ENCODERS.items()
        if (row := rows.get(key))
    ]
    about = (
        f"Encoders and what they stand beside, in a run of their own, on a processor {_amx(rows)}:"
    )
    return [about, table([*head, "against the search", "prepared, CPU s"], body)]


def targets_of(r: Row) -> list[Target]:
    """What the inversion of one generator is held to, as far as it has been measured."""
    rows = r["rows"]
    name = f"`{r['generator']}`"
    if "textbook" not in rows:
        return []
    return [
        *_on_samples(name, r, rows),
        *_on_real_images(name, rows),
        *(_encoders(name, rows["encoders"]) if "encoders" in rows else []),
        *_memory(name, rows),
    ]


def _on_samples(name: str, r: Row, rows: Row) -> list[Target]:
    targets = []
    if r["generator"] == "other-mnist-gan" and (row := rows.get("ours, few")):
        ratio = row["median"] / rows["textbook"]["median"]
        targets += [
            Target(
                f"{name}, {FEW} iterations: median error against the textbook's", ratio, 1 / 500
            ),
            Target(f"{name}, {FEW} iterations: times as quick", _times(row, rows), 100, least=True),
        ]
    if not r["convolutional"] or r["d"] > LARGEST or "conditioning" not in rows:
        return targets
    exact = rows["conditioning"]["median"] > CONDITION
    for of, more in ((rows, ""), (rows.get("thorough", {}), ", `cascade=thorough`")):
        for key, least in (("ours", 100), ("ours, folded", 400)):
            row = of.get(key)
            if row is None or (key == "ours, folded" and not row["folded"]):
                continue
            what = f"{name}, {'folded' if row['folded'] else 'as it comes'}{more}"
            if exact:
                targets += [Target(f"{what}: recovered", row["recovered"], 0.95, least=True)]
            else:
                targets += [Target(f"{what}: squared error, 90 %", row["p90"], 1e-8)]
            targets += [Target(f"{what}: times as quick", _times(row, of), least, least=True)]
    return targets


def _on_real_images(name: str, rows: Row) -> list[Target]:
    row = rows.get("ours, real", {})
    if "against_best" not in row:
        return []
    targets = _against_best(f"{name}, real", row, rows)
    several = rows.get("several starts, real", {})
    for k in STARTS[1:]:  # the fewest that do, where one does not
        more = several.get(str(k), {"against_best": math.inf})
        if more["against_best"] <= 1 < row["against_best"]:
            return [*targets, *_against_best(f"{name}, real, `starts={k}`", more, several)]
    return targets


def _against_best(what: str, row: Row, rows: Row) -> list[Target]:
    return [
        Target(f"{what}: error against the best of 8 starts", row["against_best"], 1.0),
        Target(f"{what}: times as quick", _times(row, rows), 50, least=True),
    ]


def _encoders(name: str, rows: Row) -> list[Target]:
    """Of the quickest encoder that is near enough, or else of the nearest."""
    keys = [key for key in ("learned", "own") if rows.get(key)]
    ratio = {key: rows[key]["mean"] / rows["search"]["mean"] for key in keys}
    near = [key for key in keys if ratio[key] <= 2]
    key = (
        max(near, key=lambda k: _times(rows[k], rows)) if near else min(keys, key=ratio.__getitem__)
    )
    what = f"{name}, {key} encoder"
    return [
        Target(f"{what}: error against the optimised", ratio[key], 2),
        Target(f"{what}: times as quick", _times(rows[key], rows), 2000, least=True),
    ]


def _memory(name: str, rows: Row) -> list[Target]:
    if "memory" not in rows:
        return []
    peaks = rows["memory"]["peak_mib"]
    least, most = min(peaks, key=int), max(peaks, key=int)
    what = f"{name}: peak memory at {int(most):,} images against {int(least):,}"
    return [Target(what, peaks[most] / peaks[least], 1.1)]


def _facts(r: Row) -> str:
    """What is known of a generator besides its tables."""
    rows = r["rows"]
    facts = [f"{r['d']} latents"]
    if condition := rows.get("conditioning"):
        facts += [
            f"σmin/σmax {condition['median']:.1e} (median of {condition['n']}; "
            f"{100 * condition['above']:.0f} % above {CONDITION:g})"
        ]
    if r["cpu_minutes"]:
        facts += [f"trained for {r['cpu_minutes']:.1f} CPU minutes"]
    facts += [f"real images: {r['domain']}"]
    if rate := rows.get("rate"):
        facts += [f"Adam's best rate {rate['rate']:g} (on {rate['n']} other targets)"]
    if verdict := rows.get("verdict"):
        facts += [
            f"the verdict tells held-out digits from Fashion-MNIST with an AUC of "
            f"{verdict['auc']:.3f} ({verdict['n'][0]} and {verdict['n'][1]} images)"
        ]
    if memory := rows.get("memory"):
        peaks = ", ".join(f"{mib:.0f} MiB at {int(n):,}" for n, mib in memory["peak_mib"].items())
        facts += [f"peak memory of a process {peaks} images"]
    return "; ".join(facts) + "."


def _amx(rows: Row) -> str:
    """Whether the machine of a run of its own has the instructions."""
    return "with AMX" if "amx_bf16" in rows["machine"]["extensions"] else "without AMX"


def _times(row: Row, rows: Row) -> float:
    return row["images_a_second"] / rows["textbook"]["images_a_second"]


def _speed(row: Row, rows: Row) -> list[str]:
    times = f"{_times(row, rows):,.1f}" if "textbook" in rows else ""
    return [f"{row['images_a_second']:,.3g}", times]


def _exactness(row: Row) -> list[str]:
    return [f"{row['median']:.1e}", f"{row['p90']:.1e}", f"{100 * row['recovered']:.0f} %"]


def _prepared(row: Row) -> str:
    return f"{row['prepared_cpu_seconds']:.1f}" if "prepared_cpu_seconds" in row else ""


def _beside(row: Row) -> list[str]:
    against = f"{row['against_best']:.3f}" if "against_best" in row else ""
    if "against_best_interval" in row:
        against += " ({:.3f} to {:.3f})".format(*row["against_best_interval"])
    return [against, _prepared(row)]
