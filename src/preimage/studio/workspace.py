"""One opened run: its model, its images and their latents, the map, directions, what was kept.

Opening takes as long as loading the weights does. All else comes in the background, in the order in
which a person will want it: the images' latents and a first map, a quicker form of the generator,
directions that nobody named, and a better map.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from preimage.api.inversions import encoded
from preimage.core import InputError, Step
from preimage.data import Dataset
from preimage.data import cache as store
from preimage.exploration import unlabelled
from preimage.exploration.direction import Direction, owner
from preimage.runs.directions import all_directions
from preimage.runs.files import read_json, write_json
from preimage.runs.latents import SavedLatents
from preimage.runs.pictures import save_latents
from preimage.runs.run import Run
from preimage.studio.atlas import Atlas
from preimage.studio.chart import Chart
from preimage.studio.images import Images
from preimage.studio.mapping import PLANE, better_chart, first_charts
from preimage.studio.points import Points, Progress, load_data, points_of
from preimage.studio.quick import Decode, plain, quick

KEPT = 4096  # latents that a session keeps
UNLABELLED = 8  # directions that nobody named
FOR_DIRECTIONS = 4096  # latents that they are found from

Publish = Callable[[dict[str, Any]], None]


class Workspace:
    """What the studio knows of one run."""

    def __init__(
        self,
        path: Path,
        *,
        source: str | None = None,
        device: str = "auto",
        publish: Publish = lambda message: None,
    ):
        """source: images to show instead of the run's own."""
        self.run = Run.open(path)
        self.path, self.source, self.publish = self.run.path, source, publish
        self.model = encoded(path, device=device)
        self.model.eval().requires_grad_(False)
        if self.model.data.kind != "image" or self.model.data.channels not in (1, 3):
            raise InputError(f"{path}: its data are {self.model.data}, and the studio shows images")
        self.id = secrets.token_hex(4)
        self.exact: Decode = plain(self.model)
        self.decode: Decode = self.exact  # until there is a quicker form
        self.images = Images(self)
        self.settled = threading.Event()
        self.points: Points | None = None
        self.charts: dict[str, Chart] = {}
        self.atlas: Atlas | None = None
        self.progress: dict[str, Any] = {"stage": "begin", "share": 0.0}
        self.complaint: str | None = None  # why there are no images
        self.columns: dict[str, np.ndarray] = {}
        self.geodesics: dict[tuple, Future[Tensor]] = {}  # nodes of curves between latents
        self.searching = threading.Lock()
        self.curves = ThreadPoolExecutor(1, "curves", initializer=_yield_to_others)
        self._kept: dict[str, tuple[Tensor, str | None]] = {}
        self._directions: dict[str, Direction] | None = None
        self._unlabelled: dict[str, Direction] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def data(self) -> Dataset | None:
        return None if self.points is None else self.points.data

    @property
    def latents(self) -> Tensor | None:
        """Of the points on the map, (N, *space.shape)."""
        return None if self.points is None else self.points.latents

    @property
    def chart(self) -> Chart | None:
        """The map that is shown: the last one made."""
        return next(reversed(self.charts.values()), None)

    @property
    def folder(self) -> Path:
        """Where what the studio writes for this run goes: beside it, if that can be."""
        own = self.path / "studio"
        if os.access(own if own.exists() else self.path, os.W_OK):
            return own
        return store.root() / "kept" / f"{self.name}-{owner(self.model)}"

    # --- what comes in the background ---

    def settle(self) -> None:
        """Begin all that is done in the background, once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._settle, daemon=True, name="settle")
            self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self.curves.shutdown(wait=False, cancel_futures=True)
        self.images.close()

    def _settle(self) -> None:
        _yield_to_others()
        try:
            self._place_first()
            self.decode = quick(self.model) or self.decode
            self._name()
            self._place_better()
            self._report("done", 1.0)
        except _Stopped:
            pass
        except Exception as error:  # the page says so, and all else goes on
            logging.getLogger(__name__).warning("%s: %s", self.name, error)
            self.complaint = str(error)
            self._report("failed", 1.0)
        finally:
            self.settled.set()

    def place(self, progress: Progress | None = None) -> None:
        """Images, their latents and the maps that are to be had at once."""
        data, self.complaint = load_data(self.run, self.source, progress)
        points = points_of(self.model, data, progress=progress)
        self.columns = columns_of(points)
        self.charts = {chart.method: chart for chart in first_charts(points)}
        self.atlas = Atlas(points, self.model)
        self.points = points
        self.settled.set()

    def _place_first(self) -> None:
        def report(step: Step) -> None:
            self._report(step.stage or "load", step.step / max(step.total, 1))

        self.place(report)
        self._report("ready", 1.0)

    def _place_better(self) -> None:
        points = self.points
        if points is None or list(self.charts) != [PLANE]:
            return
        better = better_chart(points, stopping=self._stopping)
        if better is not None:
            self.charts = {**self.charts, better.method: better}
            self._report("ready", 1.0)

    def _name(self) -> None:
        """Directions that nobody named: of the images' latents, or of the generator."""
        points = self.points
        if points is None or len(points) < 2:
            return
        z = points.latents[:: max(1, len(points) // FOR_DIRECTIONS)]
        count = min(UNLABELLED, self.model.space.size, len(z) - 1)
        try:
            if points.data is not None:
                found = unlabelled.pca(z, count=count, model=owner(self.model))
            else:
                y = None if points.told is None else points.told[:1].expand(len(z))
                found = unlabelled.sefa(self.model, z, count=count, labels=y)
        except InputError:
            return
        names = [f"{one.method}:{k}" for k, one in enumerate(found, 1)]
        self._unlabelled = {
            name: replace(one, name=name) for name, one in zip(names, found, strict=True)
        }
        self.forget_directions()

    def _report(self, stage: str, share: float) -> None:
        if self._stopping.is_set():
            raise _Stopped
        self.progress = {"stage": stage, "share": share}
        self.publish({"map": {"workspace": self.id}})

    # --- directions ---

    def directions(self) -> dict[str, Direction]:
        """Those saved with the run that fit its model, then those that nobody named."""
        if self._directions is None:
            saved = all_directions(self.path)
            weights, shape = owner(self.model), self.model.space.shape
            known = {
                name: one
                for name, one in saved.items()
                if one.model == weights and one.vector.shape == shape
            }
            self._directions = {**known, **self._unlabelled}
        return self._directions

    def forget_directions(self) -> None:
        """Read the saved ones again; to be called when one was saved or removed."""
        self._directions = None
        self.publish({"session": True})

    # --- latents that were kept ---

    def keep(self, latent: Tensor, label: str | None = None, *, name: str | None = None) -> str:
        """An id for a latent (1, *space.shape), for as long as the studio runs.

        name: the id itself, of a latent that has one already.
        """
        if len(self._kept) >= KEPT:
            self._kept.pop(next(iter(self._kept)))
        name = name or secrets.token_hex(8)
        known, found = self._kept.get(name), latent.detach().cpu().float()
        self._kept[name] = (found, label)
        if known is not None and not torch.equal(known[0], found):
            self.publish({"latent": True})
        return name

    def kept(self, name: str) -> tuple[Tensor, str | None]:
        """The latent of an id and its class, of this session or from the disk.

        Raises InputError where there is none.
        """
        if name not in self._kept:
            path = self.latents_path(name)
            if not path.is_file():
                raise InputError("this latent is no longer there; make it again")
            label = read_json(path.with_suffix(".json")).get("label")
            self._kept[name] = SavedLatents(path).read(self.model), label
        return self._kept[name]

    def latents_path(self, name: str) -> Path:
        return self.folder / "latents" / f"{name}.npz"

    def store(self, latent: Tensor, label: str | None = None) -> str:
        """`keep`, on the disk: for what is to be there when the studio is started again."""
        name = self.keep(latent, label)
        path = self.latents_path(name)
        save_latents(path, model=self.model, latents=self._kept[name][0])
        write_json(path.with_suffix(".json"), {"label": label})
        return name

    # --- the map's columns ---

    def add_column(self, name: str, values: np.ndarray) -> None:
        """Something more to colour the map by, (N,)."""
        if self.points is None or len(values) != len(self.points):
            raise InputError(f"'{name}' must have a value for each point of the map")
        self.columns = {**self.columns, name: np.asarray(values, np.float32)}
        self._report("ready", 1.0)


class _Stopped(Exception):
    """The workspace was closed."""


def columns_of(points: Points) -> dict[str, np.ndarray]:
    """What is known of each point, and how far from the others it lies."""
    found = {name: np.asarray(values, np.float32) for name, values in points.attributes.items()}
    if len(points) > 1:
        z = points.latents.flatten(1)
        off = (z - z.mean(0)) / z.std(0).clamp_min(1e-6)
        found["rarity"] = off.square().mean(1).sqrt().numpy()
    return found


def _yield_to_others() -> None:
    """On Linux a thread has a niceness of its own: no picture is to wait for this one."""
    torch.set_num_threads(1)
    if hasattr(os, "setpriority"):
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        except OSError:
            return


def label_index(workspace: Workspace, label: str | None) -> Tensor | None:
    """The class (1,) of a name; of a conditional model the first, where none is named.

    Raises InputError for a class that there is none of.
    """
    model = workspace.model
    return model.labels_for(1, 0 if label is None and model.conditional else label)
