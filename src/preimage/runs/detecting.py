"""Detection that leaves a folder behind: each photograph's findings as soon as they are known.

DIR/settings.json      what was asked for; `--resume` goes on only with the same
DIR/rows.jsonl         what was found, a line a photograph, as it came
DIR/masks/NAME.png     where each anomalous photograph is, white, at its full size
DIR/heat/NAME.png      each photograph under its heat map, with boxes
and at the end, when all are done:
DIR/scores.csv, anomalies.json    all of it
DIR/explanations.png              what was seen, what the model made of it, and the difference
DIR/report.html                   the worst first
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from preimage.applications.anomaly.inspection import Finding, Inspector
from preimage.applications.anomaly.photos import Photo, Pictures
from preimage.core import InputError, Step
from preimage.core.words import counted
from preimage.pictures import pairs, png
from preimage.pictures.heat import heat
from preimage.runs.detection_page import detection_page
from preimage.runs.files import check_free, read_json, readable_errors, write_bytes, write_json

RESUME = "choose another --out, or give --resume"
SIDE = 640  # pixels of the longer side of a heat map, at the most
ENLARGED = 256  # and at the least, where photographs are smaller
EXPLAINED = 8  # photographs on the sheet of explanations
COLUMNS = ("name", "page", "score", "p_value", "verdict", "area", "share", "boxes")
VERDICTS = {True: "anomalous", False: "good"}


class FiledDetection:
    """`for step in job:` looks and writes; `stop()` ends it; `finish()` writes the whole."""

    def __init__(
        self,
        inspector: Inspector,
        pictures: Pictures,
        folder: Path,
        *,
        settings: Mapping[str, Any],
        resume: bool = False,
        n: int | None = None,
    ):
        """Raises InputError for a folder that holds something, or was begun with other options."""
        self.inspector, self.pictures, self.folder = inspector, pictures, folder
        self.settings = json.loads(json.dumps(dict(settings)))
        self.total = len(pictures) if n is None else min(n, len(pictures))
        self.stopped = False
        self.rows: dict[int, dict[str, Any]] = self._kept() if resume else {}
        if not resume:
            check_free(folder, RESUME)
        self._began = resume

    def stop(self) -> None:
        """Keep the photographs that are done, and end."""
        self.stopped = True

    @property
    def finished(self) -> bool:
        return len(self.rows) == self.total

    def __iter__(self) -> Iterator[Step]:
        """Raises InputError where not one photograph could be looked at; nothing is written."""
        left = [k for k in range(self.total) if k not in self.rows]
        opened: list[tuple[int, Photo]] = []

        def photos() -> Iterator[Photo]:
            for k in left:
                if self.stopped:
                    return
                try:
                    photo = self.pictures.open(k)
                except InputError as error:
                    self._add({"index": k, **self._place(k), "skipped": str(error)})
                    continue
                opened.append((k, photo))
                yield photo

        for finding in self.inspector.inspected(photos()):
            k, photo = opened.pop(0)
            self._add(self._written(k, photo, finding))
            yield Step(len(self.rows), self.total, stage="look for anomalies")
            if self.stopped:
                return
        if not self._found():
            raise InputError(self._none_usable())

    def finish(self) -> dict[str, Any]:
        """All that is known; written down as a whole if all photographs are done."""
        rows = [self.rows[k] for k in sorted(self.rows)]
        found = self._found()
        skipped = [{"name": name, "reason": reason} for name, reason in self.pictures.skipped]
        skipped += [{"name": r["name"], "reason": r["skipped"]} for r in rows if "skipped" in r]
        result: dict[str, Any] = {
            **self.settings,
            "out": str(self.folder),
            "finished": self.finished,
            "looked_at": len(found),
            "anomalous": sum(row["verdict"] == VERDICTS[True] for row in found),
            "threshold": self.inspector.threshold,
            "skipped": skipped,
            "images": found,
        }
        if not self.finished:
            return result
        result |= {"csv": str(self.folder / "scores.csv")}
        result |= {"report": str(self.folder / "report.html")}
        worst = sorted(found, key=lambda row: -row["score"])
        sheet = self._explanations(worst[:EXPLAINED])
        write_bytes(self.folder / "explanations.png", png(sheet))
        write_bytes(self.folder / "scores.csv", _table(found))
        page = detection_page(self.inspector, worst, self.folder, sheet, skipped=skipped)
        write_bytes(self.folder / "report.html", page.encode())
        write_json(self.folder / "anomalies.json", result)
        return result

    # --- one photograph ---

    def _place(self, k: int) -> dict[str, Any]:
        i, page, pages = self.pictures.pages[k]
        return {"name": self.pictures.names[i], "page": page, "pages": pages}

    def _written(self, k: int, photo: Photo, finding: Finding) -> dict[str, Any]:
        """Its mask and its heat map in files; what there is to say of it."""
        place = self._place(k)
        file = file_name(place["name"], place["page"], place["pages"])
        row: dict[str, Any] = {
            "index": k,
            **place,
            "height": finding.size[0],
            "width": finding.size[1],
            "score": finding.score,
            "p_value": finding.p_value,
            "verdict": VERDICTS[finding.anomalous],
            "area": finding.area,
            "share": finding.area / (finding.size[0] * finding.size[1]),
            "regions": [region.to_json() for region in finding.regions],
            "mask": None,
            "heat": f"heat/{file}",
            "worst": list(finding.worst),
        }
        if finding.anomalous:
            row["mask"] = f"masks/{file}"
            self._image(row["mask"], Image.fromarray(finding.mask))
        self._image(row["heat"], warmed(photo, finding, self.inspector.pixel_threshold))
        return row

    def _image(self, file: str, image: Image.Image) -> None:
        path = self.folder / file
        with readable_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, png(image, quick=True))

    def _explanations(self, worst: Sequence[Mapping[str, Any]]) -> Image.Image:
        """The oddest tiles of some photographs, looked at again."""
        tiles = []
        for row in worst:
            left, top, right, bottom = row["worst"]
            photo = self.pictures.open(row["index"])
            tiles.append(self.inspector.framing.seen(photo, (left, top, right, bottom)))
        return explained(self.inspector, tiles, [f"p = {row['p_value']:.2g}" for row in worst])

    # --- what is kept ---

    def _add(self, row: dict[str, Any]) -> None:
        with readable_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        if not self._began:
            write_json(self.folder / "settings.json", self.settings)
            self._began = True
        with readable_errors(self.folder), (self.folder / "rows.jsonl").open("ab") as file:
            file.write((json.dumps(row) + "\n").encode())
        self.rows[row["index"]] = row

    def _kept(self) -> dict[int, dict[str, Any]]:
        """The lines of an earlier run; one that was cut short is dropped, and done again."""
        path = self.folder / "settings.json"
        if not path.is_file():
            raise InputError(
                f"{self.folder} holds no detection to resume; leave --resume out to begin"
            )
        before = read_json(path)
        if not isinstance(before, dict):
            raise InputError(f"{path} is not of a detection; choose another --out")
        for name in sorted({*before, *self.settings}):
            if before.get(name) != self.settings.get(name):
                raise InputError(
                    f"{self.folder} was begun with {name} = {before.get(name)}, not "
                    f"{self.settings.get(name)}; give the same to --resume it, or another --out"
                )
        lines = self.folder / "rows.jsonl"
        content = lines.read_bytes() if lines.is_file() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            write_bytes(lines, whole)
        try:
            rows = [json.loads(line) for line in whole.splitlines()]
            return {row["index"]: row for row in rows if self._stands(row)}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InputError(f"{lines} is damaged; choose another --out") from None

    def _stands(self, row: Mapping[str, Any]) -> bool:
        """Whether a line is of the photograph it says, and its files are there; else it is redone.

        Raises KeyError or TypeError for what is no such line.
        """
        if not 0 <= row["index"] < self.total:
            return False
        place = self._place(row["index"])
        if any(row[key] != value for key, value in place.items()):
            return False
        if "skipped" in row:
            return True
        file = file_name(place["name"], place["page"], place["pages"])
        files = [f"heat/{file}", *([f"masks/{file}"] if row["verdict"] == VERDICTS[True] else [])]
        named = [row["heat"], *([] if row["mask"] is None else [row["mask"]])]
        return named == files and all((self.folder / one).is_file() for one in files)

    def _found(self) -> list[dict[str, Any]]:
        return [row for _, row in sorted(self.rows.items()) if "skipped" not in row]

    def _none_usable(self) -> str:
        reasons = [reason for _, reason in self.pictures.skipped]
        reasons += [row["skipped"] for row in self.rows.values()]
        more = counted(len(reasons) - 1, "other")
        return reasons[0] if len(reasons) == 1 else f"{reasons[0]}; nor can {more}"


def file_name(name: str, page: int, pages: int) -> str:
    """Where what belongs to a picture is written: below the folder, whatever its name says."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
    path = "/".join(parts) + (f".page{page}" if pages > 1 else "")
    return path if path.lower().endswith(".png") else f"{path}.png"


def warmed(
    photo: Photo, finding: Finding, threshold: float, *, scale: int | None = None
) -> Image.Image:
    """A photograph under its heat map: half as hot as can be at the threshold of masks.

    scale: pixels drawn for each of its own; unset, as many as make it large enough to be seen.
    """
    height, width = photo.size
    ratio = min(1.0, SIDE / max(height, width))
    size = max(1, round(height * ratio)), max(1, round(width * ratio))
    shown = photo.shown((0, 0, width, height), size)
    boxes = [
        (r.left * ratio, r.top * ratio, (r.left + r.width) * ratio, (r.top + r.height) * ratio)
        for r in finding.regions
    ]
    level = max(threshold, 1e-6)
    scale = scale or max(1, ENLARGED // max(size))
    return heat(shown, finding.map / (2 * level), boxes=boxes, scale=scale)


def explained(inspector: Inspector, tiles: Sequence[Tensor], under: Sequence[str]) -> Image.Image:
    """What was seen in tiles, what the model made of them, the difference, and heat."""
    rows: dict[str, list[Tensor]] = {}
    for tile in tiles:
        why = inspector.detector.explain(tile[None])
        parts: dict[str, Any] = {"seen": tile}
        if why.reconstruction is not None and why.residual is not None:
            parts |= {"redrawn": why.reconstruction[0], "difference": why.residual[0]}
        hot = why.maps[0].numpy() / (2 * max(inspector.pixel_threshold, 1e-6))
        seen = ((tile + 1) * 127.5).round().to(torch.uint8).expand(3, -1, -1)
        warm = np.array(heat(seen.permute(1, 2, 0).numpy(), hot))
        parts["heat"] = torch.from_numpy(warm).permute(2, 0, 1) / 127.5 - 1
        for name, part in parts.items():
            rows.setdefault(name, []).append(_square(part))
    return pairs({name: torch.stack(part) for name, part in rows.items()}, under=under, padding=4)


def _square(x: Tensor) -> Tensor:
    """In three channels, and where it is large no larger than can be looked at."""
    x = x.expand(3, -1, -1) if x.shape[0] == 1 else x[:3]
    if max(x.shape[1:]) <= 128:
        return x
    return torch.nn.functional.interpolate(x[None], (128, 128), mode="area")[0]


def _table(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """One line a picture; boxes as left top width height, pixels."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for row in rows:
        boxes = "; ".join(
            f"{r['left']} {r['top']} {r['width']} {r['height']}" for r in row["regions"]
        )
        writer.writerow([*(row[name] for name in COLUMNS[:-1]), boxes])
    return buffer.getvalue().encode("utf-8", "surrogateescape")
