from .checkpoint import ModelFileError as ModelFileError
from .config import GenerationConfig as GenerationConfig
from .config import Region as Region
from .editing.takes import redraw as redraw
from .generation import generate as generate
from .generation import generate_takes as generate_takes
from .generation import invert_mel as invert_mel
from .generation import sample_codes as sample_codes
from .hookspecs import hookimpl as hookimpl
from .hookspecs import hookspec as hookspec
from .model import PriorModel as PriorModel
from .model import load_model as load_model
from .result import GenerationResult as GenerationResult
from .sampling.filters import filter_logits as filter_logits
from .training.data import read_dataset as read_dataset
from .training.output import save_model as save_model
from .training.prior import train_prior as train_prior
from .training.settings import PriorSettings as PriorSettings
from .training.settings import TimelineSettings as TimelineSettings
from .training.settings import VocoderSettings as VocoderSettings
from .training.settings import VQVAESettings as VQVAESettings
from .training.timeline import train_timeline as train_timeline
from .training.vocoder import train_vocoder as train_vocoder
from .training.vqvae import train_vqvae as train_vqvae
from .version import __version__ as __version__
from .vocoding import Conditioning as Conditioning

__all__: list[str]
