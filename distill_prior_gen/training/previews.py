"""Previews of a training: a recording through the codes, and takes, after some of its epochs."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import soundfile
import torch
from torch import Tensor, nn

from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.audio.griffin_lim import mel_griffin_lim
from distill_prior_gen.checkpoint import write_checkpoint
from distill_prior_gen.config import GenerationConfig, no_progress
from distill_prior_gen.generation import generate
from distill_prior_gen.messages import in_words
from distill_prior_gen.model import load_model
from distill_prior_gen.networks.prior import Prior
from distill_prior_gen.networks.timeline import TimelineNetwork
from distill_prior_gen.networks.vocoder import VocoderNetwork
from distill_prior_gen.networks.vqvae import VQVAE, interpolate_columns
from distill_prior_gen.neural_vocoder import ITERATIONS, VocoderInput, render
from distill_prior_gen.sampling.random_streams import Purpose, random_generator
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.encoded_sound import encode_sound

SECONDS = 3.0
"""Length of a preview."""

SEED = 0
"""Seed of the takes, so that they differ in what was learned only."""

NAMES = {"VQ-VAE": "1-vqvae", "prior": "2-prior", "timeline": "3-timeline", "vocoder": "4-vocoder"}
"""Beginning of the name of a preview, by stage."""


def preview_folder(model: Path) -> Path:
    """The folder of the previews of a model."""
    return model.with_name(f"{model.stem}-previews")


@dataclass
class Previews:
    """Writes previews after every `every`-th epoch of a stage.

    The stages VQ-VAE and vocoder give the same seconds of a recording through the codes, those of
    the priors a take. ``0-recording.wav`` is the recording itself.

    Attributes:
        folder: where they are written to, as ``1-vqvae-00010.wav`` and so on.
        dataset: the recordings. The preview is of the longest that is held out.
        every: number of epochs from one preview to the next.
        vqvae, prior: networks of the stages that are finished.
        failure: why a preview could not be written the last time; empty if it could.
    """

    folder: Path
    dataset: Dataset
    every: int
    vqvae: VQVAE | None = None
    prior: Prior | None = None
    failure: str = field(default="", init=False)

    @property
    def recording(self) -> Tensor:
        """Seconds of a recording with a peak of 1, float32 ``[samples]``."""
        longest = max(self.dataset.validation, key=lambda r: len(r.samples)).samples
        count = round(SECONDS * self.dataset.spectrogram.sample_rate)
        loudest = int(longest.abs().argmax())
        start = max(0, min(loudest - count // 2, len(longest) - count))
        samples = longest[start : start + count]
        return samples / samples.abs().max()

    def epoch_done(
        self,
        stage: str,
        train_losses: Sequence[float],
        val_losses: Sequence[float | None],
        network: nn.Module,
    ) -> None:
        """Write a preview if it is time for one; see `EpochDone`."""
        epoch = len(train_losses)
        # The first input of the quantizer would initialize its codes.
        if epoch % self.every or val_losses[-1] is None:
            return
        with torch.random.fork_rng(), torch.no_grad():
            sound = self._take(network) if stage in ("prior", "timeline") else self._copy(network)
        original = self.folder / "0-recording.wav"
        try:
            self.folder.mkdir(exist_ok=True)
            if not original.exists():
                self._write(original, self.recording)
            self._write(self.folder / f"{NAMES[stage]}-{epoch:05}.wav", sound)
        except OSError as error:
            self.failure = in_words(error)

    def _copy(self, network: nn.Module) -> Tensor:
        """The recording through the codes."""
        vqvae = network if isinstance(network, VQVAE) else self.vqvae
        assert vqvae
        spectrogram, generator = self.dataset.spectrogram, random_generator(SEED, Purpose.PHASE)
        sound = encode_sound(vqvae, spectrogram, self.recording, 1.0)
        if not isinstance(network, VocoderNetwork):
            return mel_griffin_lim(sound.decoded, spectrogram, generator, "normal", no_progress)
        device = next(network.parameters()).device
        _, embeddings, *_ = sound.segment(0, sound.embeddings.shape[2])
        embeddings = interpolate_columns(embeddings[None])[0, :, : sound.frames].to(device)
        source = VocoderInput(network, spectrogram, sound.decoded.to(device), embeddings)
        return render(source, generator, ITERATIONS["normal"], no_progress)

    def _take(self, network: nn.Module) -> Tensor:
        """A take, drawn with the prior or the timeline prior that is being trained."""
        prior = network if isinstance(network, Prior) else self.prior
        timeline = network if isinstance(network, TimelineNetwork) else None
        assert self.vqvae
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "preview.distill")
            write_checkpoint(
                path,
                self.vqvae,
                prior,
                self.dataset.spectrogram,
                float(self.dataset.chunk_duration),
                timeline=timeline,
            )
            model = load_model(path, next(network.parameters()).device)
        take = generate(model, GenerationConfig(duration=SECONDS, seed=SEED))
        return torch.from_numpy(take.audio)

    def _write(self, path: Path, sound: Tensor) -> None:
        """Write a sound as loud as it can be, as a whole or not at all."""
        samples = sound.cpu().numpy()
        scaled = samples / max(1.0, float(abs(samples).max()))
        with atomic_write(path, overwrite=True) as partial:
            rate = self.dataset.spectrogram.sample_rate
            soundfile.write(partial, scaled, rate, "PCM_16", format="WAV")
