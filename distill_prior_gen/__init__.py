"""Generate new sound from the second-generation models of the Distill app.

The names below are imported on first use, so that ``import distill_prior_gen``
costs neither torch nor gradio.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distill_prior_gen.audio.vocoders import invert_mel as invert_mel
    from distill_prior_gen.checkpoint import ModelFileError as ModelFileError
    from distill_prior_gen.config import GenerationConfig as GenerationConfig
    from distill_prior_gen.generation import GenerationResult as GenerationResult
    from distill_prior_gen.generation import generate as generate
    from distill_prior_gen.generation import generate_takes as generate_takes
    from distill_prior_gen.generation import sample_codes as sample_codes
    from distill_prior_gen.hookspecs import hookimpl as hookimpl
    from distill_prior_gen.hookspecs import hookspec as hookspec
    from distill_prior_gen.model import PriorModel as PriorModel
    from distill_prior_gen.model import load_model as load_model
    from distill_prior_gen.sampling.filters import filter_logits as filter_logits
    from distill_prior_gen.training.data import read_dataset as read_dataset
    from distill_prior_gen.training.output import save_model as save_model
    from distill_prior_gen.training.prior import train_prior as train_prior
    from distill_prior_gen.training.settings import PriorSettings as PriorSettings
    from distill_prior_gen.training.settings import VQVAESettings as VQVAESettings
    from distill_prior_gen.training.vqvae import train_vqvae as train_vqvae

__version__ = "0.1.0"

_MODULES = {
    "GenerationConfig": "config",
    "GenerationResult": "generation",
    "ModelFileError": "checkpoint",
    "PriorModel": "model",
    "PriorSettings": "training.settings",
    "VQVAESettings": "training.settings",
    "filter_logits": "sampling.filters",
    "generate": "generation",
    "generate_takes": "generation",
    "hookimpl": "hookspecs",
    "hookspec": "hookspecs",
    "invert_mel": "audio.vocoders",
    "load_model": "model",
    "read_dataset": "training.data",
    "sample_codes": "generation",
    "save_model": "training.output",
    "train_prior": "training.prior",
    "train_vqvae": "training.vqvae",
}

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
