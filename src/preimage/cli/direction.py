"""`preimage direction`: named ways through a run's latent space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preimage.cli.options import Device, Json, RunFolder, Seed, parse_names
from preimage.cli.output import show, table
from preimage.cli.progress import Bar

if TYPE_CHECKING:
    from preimage import Counterfactual, Direction

WAYS = (
    "--positive and --negative, --attribute, --all, --counterfactual, --unlabelled, --list, "
    "--remove or --from"
)
COUNTERFACTUAL = "counterfactual"  # the name it is listed and removed by
MORE = "give more images, or clearer ones"
STARTS = 4  # samples on the sheet of a single direction


def direction(
    run: RunFolder,
    positive: Annotated[
        str | None, typer.Option(metavar="IMAGES", help="Images that have the attribute.")
    ] = None,
    negative: Annotated[
        str | None, typer.Option(metavar="IMAGES", help="Images that do not.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the direction; unset, the attribute's.")
    ] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(help="An attribute that is known of the images: smile, hair:red. Repeatable."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All attributes of the images.")] = False,
    counterfactual: Annotated[
        bool,
        typer.Option(
            "--counterfactual",
            help="Instead of directions moves that bend with the image and hold all attributes but "
            "the one: of all of them, or of each --attribute. Takes thousands of images, and "
            "minutes.",
        ),
    ] = False,
    images: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Images with attributes. Unset, the run's own."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV or JSON-lines file of file names and what is known of them."),
    ] = None,
    unlabelled: Annotated[
        str | None, typer.Option(help="Without labels: pca, features, sefa or jacobian.")
    ] = None,
    count: Annotated[int, typer.Option(help="How many of these.")] = 8,
    method: Annotated[
        str,
        typer.Option(
            help="mean-difference, svm, logistic, ridge, or joint: other attributes stay. "
            "auto is joint where others are known."
        ),
    ] = "auto",
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Attributes or directions that must stay: age,hair. Repeatable."),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate/--no-calibrate", help="Make one unit one standard deviation in images."
        ),
    ] = True,
    n: Annotated[
        int | None, typer.Option("-n", "--number", min=1, help="At most so many images.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Class of all images, of a conditional model.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the run's directions.")] = False,
    remove: Annotated[str | None, typer.Option(metavar="NAME", help="Delete one.")] = None,
    share: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the direction --name to a file for others."),
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Take one from such a file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the sheet. Unset, RUN/directions.")
    ] = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Find directions along which one attribute of the images changes.

    Each is saved with the run under its name, for `traverse` and `edit`, with a sheet of steps
    along it. One unit of strength is one standard deviation of the attribute.
    """
    import preimage as pi

    sides = positive is not None or negative is not None
    one = bool(attribute) and not counterfactual
    asked = (sides, one, every, counterfactual, unlabelled, listed, remove, share, source)
    if sum(map(bool, asked)) != 1:
        raise typer.BadParameter(f"give one of {WAYS}", param_hint="'direction'")
    if listed:
        saved = list(pi.saved_directions(run).values())
        show(*_listed(run, saved, pi.saved_counterfactual(run)), as_json=as_json)
        return
    if remove is not None:
        if remove == COUNTERFACTUAL and remove not in pi.saved_directions(run):
            gone = pi.remove_counterfactual(run)
        else:
            gone = pi.remove_direction(run, remove)
        show({"run": str(run), "removed": remove}, f"removed {gone}", as_json=as_json)
        return
    if share is not None:
        if name is None:
            raise typer.BadParameter("say which direction with --name", param_hint="'--share'")
        written = pi.export_direction(pi.load_direction(run, name), share)
        result = {"run": str(run), "direction": name, "file": str(written)}
        show(result, f"{name}: {written}", as_json=as_json)
        return

    kept = parse_names(keep)
    options: dict[str, Any] = {"n": n, "label": label, "seed": seed, "device": device}
    fitting = {"method": method, "keep": kept, "calibrate": calibrate}
    with Bar() as bar:
        options["progress"] = bar
        if counterfactual:
            wanted = parse_names(attribute) or None
            learned = pi.counterfactual(run, images, attributes=wanted, labels=labels, **options)
            written = pi.save_counterfactual(run, learned)
            result = {"run": str(run), "file": str(written), **learned.report()}
            show(result, f"{_learned(learned)}\nsaved in {written}", as_json=as_json)
            return
        if source is not None:
            found = [pi.import_direction(source, run)]
        elif sides:
            fitting |= {"positive": positive, "negative": negative}
            found = [pi.direction(run, name=name or "direction", **fitting, **options)]
        elif unlabelled is not None:
            options = {key: value for key, value in options.items() if value is not None}
            options |= {"count": count, "images": images}
            found = pi.unlabelled_directions(run, unlabelled, **options)
        else:
            wanted = parse_names(attribute) or None
            fitting |= {"labels": labels, "attributes": wanted}
            found = list(pi.directions(run, images, **fitting, **options).values())
    if name is not None:
        if len(found) > 1:
            raise typer.BadParameter(
                f"{len(found)} directions cannot have one name; leave --name out",
                param_hint="'--name'",
            )
        found = [found[0].named(name)]
    files = pi.save_directions(run, found)
    title = unlabelled or (found[0].name if len(found) == 1 else "attributes")
    sheet = (out or run / "directions") / f"{title.replace(':', '=')}.png"
    seen = pi.save_directions_sheet(
        run,
        found,
        sheet,
        starts=STARTS if len(found) == 1 else 1,
        seed=seed,
        label=label,
        device=device,
    )
    result = {
        "run": str(run),
        **seen,
        "files": [str(path) for path in files],
        "sheet": str(sheet),
    }
    lines = [_table(result["directions"])]
    lines += [f"alike: {a} and {b}" for a, b in result["alike"]]
    lines += [f"'{d.name}' tells images no better than chance; {MORE}" for d in found if d.unread]
    lines.append(f"saved in {run / 'directions'}; sheet: {sheet}")
    show(result, "\n".join(lines), as_json=as_json)


def _listed(
    run: Path, found: list[Direction], learned: Counterfactual | None
) -> tuple[dict[str, Any], str]:
    from preimage.exploration.direction import summary

    rows = [summary(direction) for direction in found]
    text = _table(rows) if rows else f"{run} has no directions yet"
    if learned is not None:
        text += f"\n{_learned(learned)}"
    report = None if learned is None else learned.report()
    return {"run": str(run), "directions": rows, COUNTERFACTUAL: report}, text


def _learned(found: Counterfactual) -> str:
    """Of how many images, and how well each attribute is read, in a line or a few."""
    rows = zip(found.columns, found.reader.r_squared.tolist(), strict=True)
    title = f"{COUNTERFACTUAL}: of {found.examples} images"
    rows = [(c.name, r) for c, r in rows]
    text = f"{title}\n" + table(["attribute", "R²"], [[name, f"{r:.2f}"] for name, r in rows])
    if unread := [name for name, r in rows if r <= 0]:
        text += f"\nread no better than by its mean: {', '.join(unread)}; {MORE}"
    return text


def _table(rows: list[dict[str, Any]]) -> str:
    """What is known of each direction, in a line."""
    seen = any("share" in row for row in rows)
    header = ["name", "from → to", "method", "examples", "reads", "unit in images", "goes with"]
    header += ["pixels"] if seen else []
    return table(header, [_cells(row) + ([_percent(row["share"])] if seen else []) for row in rows])


def _cells(row: dict[str, Any]) -> list[str]:
    accuracy, r_squared = row.get("accuracy"), row.get("r_squared")
    reads = "–"
    if accuracy:
        reads = f"{_percent(accuracy['value'])} ± {50 * (accuracy['high'] - accuracy['low']):.1f}"
    elif r_squared:
        reads = f"R² {r_squared['value']:.2f}"
    elif share := row.get("explained"):
        reads = f"{_percent(share)} of variance"
    elif length := row.get("singular_value"):
        reads = f"stretched {length:.3g} times"
    slope = row.get("slope")
    others = {k: v for k, v in row.get("correlations", {}).items() if k != row["name"]}
    most = max(others, key=lambda k: abs(others[k]), default=None)
    return [
        row["name"],
        " → ".join(row["meaning"]) if row.get("meaning") else "–",
        row["method"],
        str(row.get("examples", "–")),
        reads,
        f"{slope['value']:.2f} before" if slope else "–",
        f"{most} {others[most]:+.2f}" if most else "–",
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
