"""The peers of `calibrators_speed.py`: each fitted through its public interface, in float64.

A peer is a function from a sample to the function that predicts held-out rows. It imports what it
needs when it is first called, which is a warm-up that is not timed.

The environment, apart from the project's own requirements:

    pip install torch==2.13.0 netcal probmetrics numba scikit-learn==1.9.1
    pip install --no-deps torch-uncertainty; pip install lightning einops
    pip install setuptools==57.5.0 wheel==0.37.1 && pip wheel --no-deps --no-build-isolation dirichletcal
    pip install jax autograd; pip install --no-deps dirichletcal-*.whl

dirichletcal states its requirements in a form that newer build tools refuse, imports a module that
newer versions of jax lack, calls scikit-learn in a way that newer versions refuse, and a function
of scipy that is gone; the last three are bridged here. Of torch-uncertainty only the calibrators
are loaded, because the rest needs torchvision.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import io
import logging
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from scipy.special import softmax

PACKAGES = (
    "torch",
    "netcal",
    "probmetrics",
    "scikit-learn",
    "torch-uncertainty",
    "dirichletcal",
    "jax",
)
MODULES = ("netcal", "probmetrics", "sklearn", "torch_uncertainty", "dirichletcal")
Fit = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Sample:
    """Class logits (N, K) to fit on and held out, and the logits of the true distribution."""

    fit: np.ndarray
    fit_label: np.ndarray
    held: np.ndarray
    held_label: np.ndarray
    truth: np.ndarray


@dataclasses.dataclass(frozen=True)
class Scalar:
    """Confidences (N,) to fit on and held out."""

    fit: np.ndarray
    fit_label: np.ndarray
    held: np.ndarray
    held_label: np.ndarray


def left_out() -> list[str]:
    """The peers that are not installed."""
    return [
        name
        for name in MODULES
        if name not in sys.modules and importlib.util.find_spec(name) is None
    ]


def settle() -> None:
    """One thread in torch and jax, and no log lines from any peer."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    logging.disable(logging.WARNING)
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.set_num_threads(1)


def quiet(run: Callable[[], Any]) -> Any:
    """What `run` returns; what it prints is dropped."""
    with contextlib.redirect_stdout(io.StringIO()):
        return run()


def netcal(name: str) -> Callable[[Sample], Fit]:
    """netcal takes probabilities."""

    def fit(sample: Sample) -> Fit:
        from netcal.scaling import LogisticCalibration, TemperatureScaling

        made = {
            "TemperatureScaling": TemperatureScaling,
            "LogisticCalibration": LogisticCalibration,
        }
        calibrator = made[name](method="mle")
        probs = softmax(sample.fit, axis=1)
        quiet(lambda: calibrator.fit(probs, sample.fit_label, tensorboard=False))
        return lambda held: calibrator.transform(softmax(held, axis=1))

    return fit


def probmetrics(name: str) -> Callable[[Sample], Fit]:
    """probmetrics takes logits as a distribution of torch."""

    def fit(sample: Sample) -> Fit:
        import torch
        from probmetrics import calibrators
        from probmetrics.distributions import CategoricalLogits

        options = {} if name in PLAIN else {"print_init_info": False}
        calibrator = getattr(calibrators, name)(**options)
        stated = CategoricalLogits(torch.from_numpy(sample.fit))
        label = torch.from_numpy(sample.fit_label)
        quiet(lambda: calibrator.fit_torch(stated, label))

        def predict(held: np.ndarray) -> np.ndarray:
            out = calibrator.predict_proba_torch(CategoricalLogits(torch.from_numpy(held)))
            return out.get_probs().detach().numpy()

        return predict

    return fit


PLAIN = ("TemperatureScalingCalibrator", "VectorScalingCalibrator", "MatrixScalingCalibrator")


def sklearn_temperature(sample: Sample) -> Fit:
    """The only public way to it: calibration of a classifier that is already fitted."""
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    class Stated(ClassifierMixin, BaseEstimator):
        """A classifier whose decision function is its input."""

        def fit(self, x: Any, y: Any) -> Stated:
            self.classes_ = np.unique(y)
            return self

        def decision_function(self, x: np.ndarray) -> np.ndarray:
            return x

        def predict(self, x: np.ndarray) -> np.ndarray:
            return self.classes_[x.argmax(axis=1)]

    stated = Stated().fit(sample.fit, np.arange(sample.fit.shape[1]))
    calibrator = CalibratedClassifierCV(FrozenEstimator(stated), method="temperature")
    return calibrator.fit(sample.fit, sample.fit_label).predict_proba


def sklearn_regression(strength: float) -> Callable[[Sample], Fit]:
    """Multinomial regression on the logits: matrix scaling drawn to 0 instead of to the identity."""

    def fit(sample: Sample) -> Fit:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=strength, max_iter=1000)
        return model.fit(sample.fit, sample.fit_label).predict_proba

    return fit


def torch_uncertainty(name: str, **options: float) -> Callable[[Sample], Fit]:
    """torch-uncertainty takes logits in float32 from a loader; one batch holds all."""

    def fit(sample: Sample) -> Fit:
        import torch

        scaler = getattr(_torch_uncertainty_scalers(), name)
        sized = {} if name == "TemperatureScaler" else {"num_classes": sample.fit.shape[1]}
        calibrator = scaler(**sized, **options)
        logits = torch.from_numpy(sample.fit.astype(np.float32))
        calibrator.fit([(logits, torch.from_numpy(sample.fit_label))], progress=False)

        def predict(held: np.ndarray) -> np.ndarray:
            scaled = calibrator(torch.from_numpy(held.astype(np.float32)))
            return softmax(scaled.detach().numpy().astype(np.float64), axis=1)

        return predict

    return fit


def _torch_uncertainty_scalers() -> ModuleType:
    """Its calibrators without its trainers, plots and data sets, which need torchvision."""
    inner = "torch_uncertainty.post_processing"
    if inner not in sys.modules:
        spec = importlib.util.find_spec("torch_uncertainty")
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError("torch_uncertainty")
        folder = Path(spec.submodule_search_locations[0])
        for name, place in (("torch_uncertainty", folder), (inner, folder / "post_processing")):
            package = ModuleType(name)
            package.__path__ = [str(place)]
            sys.modules[name] = package
        abstract = importlib.import_module(f"{inner}.abstract")
        vars(sys.modules[inner])["PostProcessing"] = abstract.PostProcessing
    return importlib.import_module(f"{inner}.calibration")


def dirichletcal(name: str, **options: Any) -> Callable[[Sample], Fit]:
    """dirichletcal's scalings take logits; its Dirichlet calibration takes probabilities."""

    def fit(sample: Sample) -> Fit:
        import jax

        if "jax.config" not in sys.modules:
            old = ModuleType("jax.config")
            vars(old)["config"] = jax.config
            sys.modules["jax.config"] = old
        from dirichletcal.calib import fulldirichlet, matrixscaling, multinomial, vectorscaling
        from scipy import linalg
        from sklearn.preprocessing import label_binarize

        vars(linalg).setdefault("pinv2", linalg.pinv)
        vars(multinomial)["label_binarize"] = lambda y, classes: label_binarize(y, classes=classes)

        made = {
            "VectorScaling": (vectorscaling.VectorScaling, {"logit_input": True}),
            "MatrixScaling": (matrixscaling.MatrixScaling, {"logit_input": True}),
            "FullDirichlet": (fulldirichlet.FullDirichletCalibrator, {}),
        }
        kind, inputs = made[name]
        calibrator = kind(**inputs, **options)
        turned = (lambda x: x) if inputs else (lambda x: softmax(x, axis=1))
        stated = turned(sample.fit)
        quiet(lambda: calibrator.fit(stated, sample.fit_label))
        return lambda held: np.asarray(calibrator.predict_proba(turned(held)))

    return fit


CLASS_PEERS: dict[tuple[str, str], Callable[[Sample], Fit]] = {
    ("temperature", "scikit-learn"): sklearn_temperature,
    ("temperature", "netcal"): netcal("TemperatureScaling"),
    ("temperature", "probmetrics"): probmetrics("TemperatureScalingCalibrator"),
    ("temperature", "torch-uncertainty"): torch_uncertainty("TemperatureScaler"),
    ("vector", "netcal"): netcal("LogisticCalibration"),
    ("vector", "probmetrics"): probmetrics("VectorScalingCalibrator"),
    ("vector", "probmetrics SVS"): probmetrics("SVSCalibrator"),
    ("vector", "torch-uncertainty"): torch_uncertainty("VectorScaler"),
    ("vector", "dirichletcal"): dirichletcal("VectorScaling"),
    ("matrix", "probmetrics"): probmetrics("MatrixScalingCalibrator"),
    ("matrix", "probmetrics SMS"): probmetrics("SMSCalibrator"),
    ("matrix", "scikit-learn LogisticRegression, C=1"): sklearn_regression(1.0),
    ("matrix", "scikit-learn LogisticRegression, C=0.001"): sklearn_regression(1e-3),
    ("matrix", "torch-uncertainty"): torch_uncertainty("MatrixScaler"),
    ("matrix", "torch-uncertainty Dirichlet"): torch_uncertainty("DirichletScaler"),
    ("matrix", "torch-uncertainty Dirichlet, 0.01"): torch_uncertainty(
        "DirichletScaler", lambda_reg=1e-2, mu_reg=1e-2
    ),
    ("matrix", "dirichletcal"): dirichletcal("MatrixScaling"),
    ("matrix", "dirichletcal ODIR, 0.01"): dirichletcal(
        "MatrixScaling", reg_lambda_list=[1e-2], reg_mu_list=[1e-2]
    ),
}


def scalar_netcal(name: str, **options: Any) -> Callable[[Scalar], Fit]:
    """netcal's calibrators of one confidence."""

    def fit(sample: Scalar) -> Fit:
        from netcal import binning, scaling

        kind = getattr(scaling, name, None) or getattr(binning, name)
        label = sample.fit_label.astype(np.int64)
        calibrator = kind(**options)
        extra = {"tensorboard": False} if hasattr(scaling, name) else {}
        quiet(lambda: calibrator.fit(sample.fit, label, **extra))
        return lambda held: np.asarray(calibrator.transform(held)).reshape(-1)

    return fit


def _logit(confidence: np.ndarray) -> np.ndarray:
    return (np.log(confidence) - np.log1p(-confidence))[:, None]


def sklearn_platt(sample: Scalar) -> Fit:
    """Logistic regression on the logit, without a penalty."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=math.inf).fit(_logit(sample.fit), sample.fit_label)
    return lambda held: model.predict_proba(_logit(held))[:, 1]


def sklearn_isotonic(sample: Scalar) -> Fit:
    """Isotonic regression with linear interpolation, its only form."""
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(out_of_bounds="clip", y_min=0.0, y_max=1.0)
    return model.fit(sample.fit, sample.fit_label).predict


SCALAR_PEERS: dict[tuple[str, str], Callable[[Scalar], Fit]] = {
    ("temperature", "netcal"): scalar_netcal("TemperatureScaling"),
    ("Platt", "scikit-learn LogisticRegression"): sklearn_platt,
    ("Platt", "netcal"): scalar_netcal("LogisticCalibration"),
    ("beta", "netcal"): scalar_netcal("BetaCalibration"),
    ("isotonic", "scikit-learn"): sklearn_isotonic,
    ("isotonic", "netcal"): scalar_netcal("IsotonicRegression"),
    ("histogram", "netcal"): scalar_netcal("HistogramBinning", bins=15),
}
