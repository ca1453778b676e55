"""Training a vocoder on the recordings of a model.

The recordings are encoded with the model's own encoder and decoded again. The network learns which
magnitudes the recordings have where the decoder gives such a mel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import mean

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.audio.griffin_lim import mel_griffin_lim
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.audio.spectral_distance import log_spectral_distance
from distill_prior_gen.config import Progress, no_progress
from distill_prior_gen.devices import find_device
from distill_prior_gen.networks.vocoder import VocoderNetwork, count_parameters
from distill_prior_gen.networks.vqvae import STRIDE, VQVAE, interpolate_columns
from distill_prior_gen.neural_vocoder import ITERATIONS, VocoderInput, render
from distill_prior_gen.sampling.random_streams import Purpose, random_generator
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.encoded_sound import (
    EncodedSound,
    encode_recording,
    training_sounds,
)
from distill_prior_gen.training.interrupts import defer_signals
from distill_prior_gen.training.loop import TrainingHistory, seeded, train_network
from distill_prior_gen.training.resuming import Stage, TrainingState
from distill_prior_gen.training.settings import VocoderSettings

MAX_PARAMETERS = 1_990_000
"""Largest number of weights; in half precision they take 4 MB. Where spectra are large, the network
is narrower than the settings say."""

MAX_FILE_BYTES = 2 * MAX_PARAMETERS + 20_000
"""Largest size of a vocoder in a file."""

SEGMENT_COLUMNS = 4
"""Columns of codes in a segment of a training step."""

EPOCH_STEPS = 50

TOLERANCE = 0.15
"""Share by which the validation loss may exceed its lowest value. It soon stops falling, since the
network cannot know recordings that it has not heard. But takes are made of the others, and are
rendered better the longer it trains."""

WHOLE_SHARE = 0.75
"""Share of the segments that are from whole recordings at full level."""

MAX_COMPARED_S = 40.0
"""Most seconds that are rendered for the comparison."""

MAGNITUDE_FLOOR = 5e-6
"""Magnitude below which differences do not count in training, divided by the length of the window;
it is 94 dB below a sine at full scale."""

HEARD_RANGE = 1e-3
"""Magnitude below which they do not count in validation, divided by the peak of the recording."""


@dataclass(frozen=True, eq=False)
class TrainedVocoder:
    """A trained vocoder and how its training went.

    Attributes:
        network: the network, in evaluation mode, with weights as exact as in the file.
        settings: settings of the training.
        history: losses of each epoch: mean absolute differences of log magnitudes.
        distance: `log_spectral_distance` in dB of held-out recordings, rendered from their codes.
        reference_distance: the same for the vocoder ``mel-griffin-lim``.
    """

    network: VocoderNetwork
    settings: VocoderSettings
    history: TrainingHistory
    distance: float
    reference_distance: float

    @property
    def better(self) -> bool:
        """Whether held-out recordings are rendered better than by ``mel-griffin-lim``."""
        return self.distance < self.reference_distance

    @property
    def metadata(self) -> dict[str, float]:
        """Description for the model file."""
        return {
            "epochs_trained": len(self.history.val_losses),
            "validation_loss": self.history.val_loss,
            "log_spectral_distance_db": self.distance,
            "reference_distance_db": self.reference_distance,
        }


def train_vocoder(
    vqvae: VQVAE,
    dataset: Dataset,
    settings: VocoderSettings | None = None,
    device: str | torch.device = "auto",
    progress: Progress | None = None,
    state: TrainingState | None = None,
    initial: VocoderNetwork | None = None,
) -> TrainedVocoder:
    """Train a vocoder for a VQ-VAE on the recordings of a dataset.

    Ctrl-C ends the training early and keeps the best epoch so far. See `train_prior` about seeds.

    Args:
        vqvae: the VQ-VAE, which is not changed.
        dataset: result of `read_dataset` with the spectrogram settings of the model.
        settings: settings of the training; by default `VocoderSettings.for_files` of the number
            of files.
        device: name of the device to train on; see `load_model`.
        progress: called after each batch with the share that is done and the losses.
        state: where the state of the training is saved, and from which it goes on.
        initial: a network of the same sizes, whose weights the training begins with.

    Raises:
        ValueError: if there is no such device.
        FloatingPointError: if a loss is not finite; the message says what to lower.
        MemoryError: if there is not enough memory; the message says what to lower.
        KeyboardInterrupt: if Ctrl-C came before there was anything to keep.
    """
    settings = settings or VocoderSettings.for_files(dataset.files)
    target, report = find_device(device), progress or no_progress
    with defer_signals() as interruption, seeded(settings.seed, target) as generator:
        with interruption.allowed():
            report(0.0, "Encoding the recordings...")
            vqvae = vqvae.to(target).eval()
            network = _new_network(vqvae, dataset.spectrogram, settings).to(target)
            if initial:
                network.load_state_dict(initial.state_dict())
            spectrogram = dataset.spectrogram
            encoded = [encode_recording(vqvae, spectrogram, r) for r in dataset.validation]
            sounds = training_sounds(vqvae, dataset, generator)
            training = _VocoderTraining(
                network, spectrogram, settings, generator, *sounds, list(chain(*encoded))
            )
        history = train_network(
            network,
            settings,
            training.batches,
            training.loss,
            training.validate,
            lambda share, text: report(0.95 * share, text),
            "vocoder",
            TOLERANCE,
            Stage(state, "vocoder", generator) if state else None,
        )
        report(0.95, "Comparing with mel-griffin-lim...")
        network.half().float()  # as exact as in the file
        distance, reference = _compare(network, spectrogram, training.held_out)
        history.interrupted |= interruption.pending
    return TrainedVocoder(network, settings, history, distance, reference)


def _new_network(
    vqvae: VQVAE, spectrogram: SpectrogramSettings, settings: VocoderSettings
) -> VocoderNetwork:
    """A network of the settings' width, or narrower if it would have too many weights.

    Raises:
        ValueError: if even the narrowest one has too many weights.
    """
    rows = math.ceil(spectrogram.n_mels / STRIDE)
    shape = {
        "n_mels": spectrogram.n_mels,
        "embedding_size": rows * vqvae.quantizer.rvq.codebook_dim,
        "n_bins": spectrogram.n_fft // 2 + 1,
        "num_blocks": settings.blocks,
    }
    for width in range(settings.width, 0, -1):
        if count_parameters(shape | {"width": width}) <= MAX_PARAMETERS:
            return VocoderNetwork(**shape, width=width)
    raise ValueError(
        f"a vocoder for n_fft {spectrogram.n_fft} with n_mels {spectrogram.n_mels} and "
        f"codebook_dim {vqvae.quantizer.rvq.codebook_dim} would have more than "
        f"{MAX_PARAMETERS:,} weights; use the vocoder mel-griffin-lim"
    )


@dataclass(frozen=True, eq=False)
class _VocoderTraining:
    """Batches, losses and validation of a vocoder, for `train_network`.

    Attributes:
        whole, others: see `training_sounds`.
    """

    network: VocoderNetwork
    spectrogram: SpectrogramSettings
    settings: VocoderSettings
    generator: torch.Generator
    whole: Sequence[EncodedSound]
    others: Sequence[EncodedSound]
    held_out: Sequence[EncodedSound]

    @property
    def sounds(self) -> list[EncodedSound]:
        return [*self.whole, *self.others]

    @property
    def training_floor(self) -> float:
        return MAGNITUDE_FLOOR * self.spectrogram.n_fft

    def batches(self, epoch: int) -> list[list[tuple[int, int]]]:
        """Number of a sound and column at which a segment begins, for each segment."""
        columns = torch.tensor([sound.embeddings.shape[2] for sound in self.sounds])
        starts = (columns - SEGMENT_COLUMNS + 1).clamp(min=1)
        count = EPOCH_STEPS * self.settings.batch_size
        weights = columns.double()
        whole, others = weights.split([len(self.whole), len(self.others)])  # views
        whole *= WHOLE_SHARE / whole.sum()
        others *= (1 - WHOLE_SHARE) / others.sum()
        chosen = torch.multinomial(weights, count, replacement=True, generator=self.generator)
        places = (torch.rand(count, generator=self.generator) * starts[chosen]).long()
        segments = list(zip(chosen.tolist(), places.tolist(), strict=True))
        size = self.settings.batch_size
        return [segments[start : start + size] for start in range(0, count, size)]

    def loss(self, epoch: int, batch: Sequence[tuple[int, int]]) -> Tensor:
        segments = [self.sounds[sound].segment(column, SEGMENT_COLUMNS) for sound, column in batch]
        mel, embeddings, target, inside = (
            torch.stack(part).to(next(self.network.parameters()).device)
            for part in zip(*segments, strict=True)
        )
        difference = self._difference(mel, embeddings, target, self.training_floor).mean(dim=2)
        return (difference * inside).sum() / inside.sum()

    def validate(self, epoch: int) -> float:
        """Mean difference of log magnitudes over all frames of the held-out recordings."""
        device = next(self.network.parameters()).device
        total, frames = 0.0, 0
        for sound in self.held_out:
            mel, embeddings, target, _ = sound.segment(0, sound.embeddings.shape[2])
            floor = max(HEARD_RANGE * float(target.max()), self.training_floor)
            mel, embeddings, target = (t[None].to(device) for t in (mel, embeddings, target))
            difference = self._difference(mel, embeddings, target, floor)
            total += float(difference.mean(dim=2)[0, : sound.frames].sum())
            frames += sound.frames
        return total / frames

    def _difference(self, mel: Tensor, embeddings: Tensor, target: Tensor, floor: float) -> Tensor:
        """Absolute differences of log magnitudes plus a floor, ``[batch, frame, n_bins]``.

        Embeddings are those of columns, as in `EncodedSound.segment`.
        """
        embedded = interpolate_columns(self.network.embedding(embeddings.mT).mT).mT
        guess = self.spectrogram.guess_log_magnitudes(mel)
        log_magnitudes = self.network(mel, embedded, guess)
        # softplus(x) = log(1 + exp(x))
        difference = F.softplus(log_magnitudes - math.log(floor)) - (target / floor).log1p()
        return difference.abs()


def _compare(
    network: VocoderNetwork, spectrogram: SpectrogramSettings, held_out: Sequence[EncodedSound]
) -> tuple[float, float]:
    """Mean `log_spectral_distance` of the trained vocoder and of ``mel-griffin-lim``."""
    device, distances = next(network.parameters()).device, []
    left = round(MAX_COMPARED_S * spectrogram.sample_rate)
    for number, sound in enumerate(held_out):
        if left <= 0:
            break
        recording = sound.gain * sound.samples[:left]
        frames = min(sound.frames, spectrogram.frames_to_cover(left))
        left -= len(recording)
        mel = sound.decoded[:, :frames].to(device)
        _, embeddings, *_ = sound.segment(0, sound.embeddings.shape[2])
        embeddings = interpolate_columns(embeddings[None])[0, :, :frames].to(device)
        source = VocoderInput(network, spectrogram, mel, embeddings)
        generators = [random_generator(number, Purpose.PHASE) for _ in range(2)]
        trained = render(source, generators[0], ITERATIONS["normal"], no_progress)
        untrained = mel_griffin_lim(mel, spectrogram, generators[1], "normal", no_progress)
        distances.append(
            [log_spectral_distance(wave.cpu(), recording) for wave in (trained, untrained)]
        )
    trained_distances, reference_distances = zip(*distances, strict=True)
    return mean(trained_distances), mean(reference_distances)
