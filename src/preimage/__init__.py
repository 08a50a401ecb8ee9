"""Preimage learns the latent space of your images, and finds the point in it behind any image.

    import preimage as pi

    run = pi.train("photos/", out="runs/photos")
    model = pi.load("runs/photos")
    x = pi.images("me.jpg", model.data)

Names are imported when they are first used, so that `import preimage` is instant.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from preimage.api.anomalies import (
        Detector,
        Inspector,
        detect_files,
        evaluate_detector,
        fit_detector,
        load_detector,
        save_detector,
        saved_detectors,
    )
    from preimage.api.basics import (
        CacheEntry,
        NamedSet,
        Proposal,
        Recipe,
        Reconstruction,
        Run,
        Training,
        cached,
        class_labels,
        clear_cache,
        dataset,
        datasets,
        fitted,
        images,
        load,
        plan,
        recipe,
        recipes,
        reconstruct,
        resume,
        save_animation,
        save_images,
        save_latents,
        save_sheet,
        train,
        training,
        wrap,
    )
    from preimage.api.charts import explain, latent_map, manifold
    from preimage.api.comparison import compare
    from preimage.api.concepts import direction, directions, unlabelled_directions
    from preimage.api.counterfactuals import (
        counterfactual,
        load_counterfactual,
        remove_counterfactual,
        save_counterfactual,
        saved_counterfactual,
    )
    from preimage.api.edits import Edit, edit, edit_files
    from preimage.api.encoders import (
        Difference,
        EncodedModel,
        PivotalTuning,
        applied,
        encoder_training,
        has_encoder,
        load_difference,
        load_encoder,
        resume_encoder,
        save_difference,
        train_encoder,
        tune,
        tuned,
    )
    from preimage.api.evaluations import evaluate
    from preimage.api.guidance import GuidedSamples, density_ratio, guided
    from preimage.api.indexes import Indexed, index
    from preimage.api.inversions import (
        invert,
        inverter,
        inverting,
        inverting_files,
        latents,
        operator,
    )
    from preimage.api.restorations import (
        Restored,
        inpaint,
        inpaint_files,
        restore,
        restore_files,
        restorer,
    )
    from preimage.api.sampling import Samples, sample
    from preimage.api.searches import Found, Hit, Index, open_index, search
    from preimage.api.traversals import (
        export_direction,
        import_direction,
        load_direction,
        remove_direction,
        save_direction,
        save_directions,
        save_directions_sheet,
        save_traversal,
        saved_directions,
        traverse_files,
    )
    from preimage.api.walks import arithmetic, interpolate
    from preimage.core import (
        DataSpec,
        Gaussian,
        GaussianMixture,
        ImageSpec,
        InputError,
        LatentModel,
        LatentSpace,
        Step,
        Unsupported,
    )
    from preimage.evaluation import Report
    from preimage.exploration.counterfactual import Counterfactual
    from preimage.exploration.direction import Direction
    from preimage.exploration.traversal import Effects, Traversal, effects, traverse
    from preimage.inversion import Inversion, Inverter, Inverting, Settings, Status, Verdict
    from preimage.inversion.operators import Blur, Compose, Custom, Downsample, Grey, Mask, Noise

_API = (
    "CacheEntry",
    "NamedSet",
    "Proposal",
    "Recipe",
    "Reconstruction",
    "Run",
    "Training",
    "cached",
    "class_labels",
    "clear_cache",
    "dataset",
    "datasets",
    "fitted",
    "images",
    "load",
    "plan",
    "recipe",
    "recipes",
    "reconstruct",
    "resume",
    "save_animation",
    "save_images",
    "save_latents",
    "save_sheet",
    "train",
    "training",
    "wrap",
)
_CORE = (
    "DataSpec",
    "Gaussian",
    "GaussianMixture",
    "ImageSpec",
    "InputError",
    "LatentModel",
    "LatentSpace",
    "Step",
    "Unsupported",
)

_ENCODERS = (
    "Difference",
    "EncodedModel",
    "PivotalTuning",
    "applied",
    "encoder_training",
    "has_encoder",
    "load_difference",
    "load_encoder",
    "resume_encoder",
    "save_difference",
    "train_encoder",
    "tune",
    "tuned",
)

_ANOMALIES = (
    "Detector",
    "Inspector",
    "detect_files",
    "evaluate_detector",
    "fit_detector",
    "load_detector",
    "save_detector",
    "saved_detectors",
)

_CONCEPTS = ("direction", "directions", "unlabelled_directions")
_COUNTERFACTUALS = (
    "counterfactual",
    "load_counterfactual",
    "remove_counterfactual",
    "save_counterfactual",
    "saved_counterfactual",
)
_TRAVERSAL = ("Effects", "Traversal", "effects", "traverse")
_TRAVERSALS = (
    "export_direction",
    "import_direction",
    "load_direction",
    "remove_direction",
    "save_direction",
    "save_directions",
    "save_directions_sheet",
    "save_traversal",
    "saved_directions",
    "traverse_files",
)

_INVERSION = ("Inversion", "Inverter", "Inverting", "Settings", "Status", "Verdict")
_OPERATORS = ("Blur", "Compose", "Custom", "Downsample", "Grey", "Mask", "Noise")
_INVERTING = ("invert", "inverter", "inverting", "inverting_files", "latents", "operator")

_RESTORATIONS = (
    "Restored",
    "inpaint",
    "inpaint_files",
    "restore",
    "restore_files",
    "restorer",
)

_ROOM = {
    **dict.fromkeys(_API, "preimage.api.basics"),
    **dict.fromkeys(_ANOMALIES, "preimage.api.anomalies"),
    **dict.fromkeys(_CORE, "preimage.core"),
    **dict.fromkeys(_ENCODERS, "preimage.api.encoders"),
    **dict.fromkeys(_INVERSION, "preimage.inversion"),
    **dict.fromkeys(_OPERATORS, "preimage.inversion.operators"),
    **dict.fromkeys(_INVERTING, "preimage.api.inversions"),
    **dict.fromkeys(("Edit", "edit", "edit_files"), "preimage.api.edits"),
    **dict.fromkeys(_CONCEPTS, "preimage.api.concepts"),
    **dict.fromkeys(_COUNTERFACTUALS, "preimage.api.counterfactuals"),
    "Counterfactual": "preimage.exploration.counterfactual",
    **dict.fromkeys(_TRAVERSAL, "preimage.exploration.traversal"),
    **dict.fromkeys(_TRAVERSALS, "preimage.api.traversals"),
    "Direction": "preimage.exploration.direction",
    **dict.fromkeys(("explain", "latent_map", "manifold"), "preimage.api.charts"),
    **dict.fromkeys(("GuidedSamples", "density_ratio", "guided"), "preimage.api.guidance"),
    **dict.fromkeys(_RESTORATIONS, "preimage.api.restorations"),
    "Samples": "preimage.api.sampling",
    **dict.fromkeys(("arithmetic", "interpolate"), "preimage.api.walks"),
    "compare": "preimage.api.comparison",
    "evaluate": "preimage.api.evaluations",
    "Report": "preimage.evaluation",
    "sample": "preimage.api.sampling",
    **dict.fromkeys(("Indexed", "index"), "preimage.api.indexes"),
    **dict.fromkeys(("Found", "Hit", "Index", "open_index", "search"), "preimage.api.searches"),
}

# fmt: off
__all__ = [
    "Blur", "CacheEntry", "Compose", "Counterfactual", "Custom", "DataSpec", "Detector",
    "Difference", "Direction", "Downsample", "Edit", "Effects", "EncodedModel", "Found",
    "Gaussian", "GaussianMixture", "Grey", "GuidedSamples", "Hit", "ImageSpec", "Index",
    "Indexed", "InputError", "Inspector", "Inversion", "Inverter", "Inverting", "LatentModel",
    "LatentSpace", "Mask", "NamedSet", "Noise", "PivotalTuning", "Proposal", "Recipe",
    "Reconstruction", "Report", "Restored", "Run", "Samples", "Settings", "Status", "Step",
    "Training", "Traversal", "Unsupported", "Verdict", "applied", "arithmetic", "cached",
    "class_labels", "clear_cache", "compare", "counterfactual", "dataset", "datasets",
    "density_ratio", "detect_files", "direction", "directions", "edit", "edit_files", "effects",
    "encoder_training", "evaluate", "evaluate_detector", "explain", "export_direction",
    "fit_detector", "fitted", "guided", "has_encoder", "images", "import_direction", "index",
    "inpaint", "inpaint_files", "interpolate", "invert", "inverter", "inverting",
    "inverting_files", "latent_map", "latents", "load", "load_counterfactual", "load_detector",
    "load_difference", "load_direction", "load_encoder", "manifold", "open_index", "operator",
    "plan", "recipe", "recipes", "reconstruct", "remove_counterfactual", "remove_direction",
    "restore", "restore_files", "restorer", "resume", "resume_encoder", "sample",
    "save_animation", "save_counterfactual", "save_detector", "save_difference", "save_direction",
    "save_directions", "save_directions_sheet", "save_images", "save_latents", "save_sheet",
    "save_traversal", "saved_counterfactual", "saved_detectors", "saved_directions", "search",
    "train", "train_encoder", "training", "traverse", "traverse_files", "tune", "tuned",
    "unlabelled_directions", "wrap",
]
# fmt: on


def __getattr__(name: str) -> Any:
    if name in _ROOM:
        value = getattr(importlib.import_module(_ROOM[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'preimage' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


class _Package(ModuleType):
    """`preimage.training` is the function, although a room below bears the same name."""

    @property
    def training(self) -> Any:
        return importlib.import_module("preimage.api.basics").training

    @training.setter
    def training(self, room: ModuleType) -> None:
        """What importing the room does; `from preimage.training import …` works without it."""


sys.modules[__name__].__class__ = _Package
