"""Training the timeline prior on a medley: the recordings one after the other in random order.

A network that only ever sees parts of one recording learns how endless sounds go on, and never
what follows when a sound has ended.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.config import DESCRIPTORS, Progress, no_progress
from distill_prior_gen.devices import find_device
from distill_prior_gen.networks.timeline import NUM_BINS, TimelineNetwork, count_parameters
from distill_prior_gen.networks.vqvae import STRIDE, VQVAE
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.interrupts import defer_signals
from distill_prior_gen.training.loop import TrainingHistory, seeded, train_network
from distill_prior_gen.training.medley import (
    Columns,
    Medleys,
    encode_recordings,
    encode_whole,
    to_bins,
)
from distill_prior_gen.training.resuming import Stage, TrainingState
from distill_prior_gen.training.settings import TimelineSettings

MAX_PARAMETERS = 1_990_000
"""Largest number of weights; in half precision they take 4 MB. Where there are very many codes, the
network is narrower than the settings say."""

MAX_FILE_BYTES = 2 * MAX_PARAMETERS + 30_000
"""Largest size of a timeline prior in a file."""

WINDOW_COLUMNS = 64
"""Columns of a window of a training step."""

PREDICTED_COLUMNS = 10
"""Number of random columns of each window whose codes are predicted in a training step. All of them
would take longer, and neighbours tell nearly the same."""

EPOCH_STEPS = 25

CHANGE_WEIGHT = 0.1
"""Weight of the loss of changes of recording relative to that of codes."""

OPEN_SHARE = 0.1
"""Share of the windows in which the recording is left open."""

DESCRIPTOR_OPEN_SHARE, ALL_OPEN_SHARE = 0.5, 0.6
"""Share of the windows in which a descriptor is left open, and in which all are."""

WRONG_SHARE = 0.08
"""Share of the remembered codes that are replaced by random ones, so that the network learns to go
on after its own mistakes."""


@dataclass(frozen=True, eq=False)
class TrainedTimeline:
    """A trained timeline prior and how its training went.

    Attributes:
        network: the network, in evaluation mode, with weights as exact as in the file.
        settings: settings of the training.
        history: losses of each epoch, mean cross-entropy in nats. The last epoch is kept: takes
            come closer to the recordings even where the loss of other recordings rises.
        recordings: names of the recordings that the network knows by their numbers.
    """

    network: TimelineNetwork
    settings: TimelineSettings
    history: TrainingHistory
    recordings: tuple[str, ...]

    @property
    def metadata(self) -> dict[str, Any]:
        """Description for the model file."""
        return {
            "recordings": list(self.recordings),
            "epochs_trained": len(self.history.val_losses),
            "training_perplexity": math.exp(self.history.train_losses[self.history.epoch - 1]),
            "held_out_perplexity": math.exp(self.history.val_loss),
        }


def train_timeline(
    vqvae: VQVAE,
    dataset: Dataset,
    settings: TimelineSettings | None = None,
    device: str | torch.device = "auto",
    progress: Progress | None = None,
    state: TrainingState | None = None,
    initial: tuple[TimelineNetwork, Sequence[str]] | None = None,
) -> TrainedTimeline:
    """Train a timeline prior on the codes that a VQ-VAE gives the recordings of a dataset.

    Ctrl-C ends the training early and keeps the last epoch. See `train_prior` about seeds.

    Args:
        vqvae: the VQ-VAE, which is not changed.
        dataset: result of `read_dataset` with the spectrogram settings of the VQ-VAE.
        settings: settings of the training; by default `TimelineSettings.for_files` of the number
            of files.
        device: name of the device to train on; see `load_model`.
        progress: called after each batch with the share that is done and the losses.
        state: where the state of the training is saved, and from which it goes on.
        initial: a network of the same sizes, whose weights the training begins with, and the names
            of its recordings.

    Raises:
        ValueError: if there is no such device, or the network would have too many weights.
        FloatingPointError: if a loss is not finite; the message says what to lower.
        MemoryError: if there is not enough memory; the message says what to lower.
        KeyboardInterrupt: if Ctrl-C came before there was anything to keep.
    """
    settings = settings or TimelineSettings.for_files(dataset.files)
    target, report = find_device(device), progress or no_progress
    with defer_signals() as interruption, seeded(settings.seed, target) as generator:
        with interruption.allowed():
            report(0.0, "Encoding the recordings...")
            vqvae = vqvae.to(target).eval()
            encodings = encode_recordings(vqvae, dataset, generator)
            names = tuple(recording.name for recording in dataset.training)
            network = _new_network(vqvae, dataset, names, settings, initial).to(target)
            spectrogram, held = dataset.spectrogram, dataset.validation
            held_out = [encode_whole(vqvae, spectrogram, r.samples).codes for r in held]
            frame_rate = spectrogram.sample_rate / spectrogram.hop_length
            medleys = Medleys(encodings, frame_rate, generator)
            network.profile.copy_(medleys.profile())
            training = _TimelineTraining(network, settings, generator, medleys, held_out)
        history = train_network(
            network,
            settings,
            training.batches,
            training.loss,
            training.validate,
            report,
            "timeline",
            math.inf,
            Stage(state, "timeline", generator) if state else None,
        )
        network.half().float()  # as exact as in the file
        history.interrupted |= interruption.pending
    return TrainedTimeline(network, settings, history, names)


def _new_network(
    vqvae: VQVAE,
    dataset: Dataset,
    names: Sequence[str],
    settings: TimelineSettings,
    initial: tuple[TimelineNetwork, Sequence[str]] | None,
) -> TimelineNetwork:
    """A network of the settings' width, or narrower if it were new and had too many weights.

    Raises:
        ValueError: if even the narrowest one has too many weights.
    """
    rvq = vqvae.quantizer.rvq
    shape = {
        "rows": math.ceil(dataset.spectrogram.n_mels / STRIDE),
        "levels": rvq.num_quantizers,
        "codebook_size": rvq.codebook_size,
        "num_layers": settings.layers,
        "column_layers": settings.column_layers,
        "memory": settings.memory,
        "recordings": len(names),
    }
    if initial:
        network = TimelineNetwork(**shape, width=settings.width, dropout=settings.dropout)
        _take_over(network, names, *initial)
        return network
    for width in range(settings.width, 0, -1):
        if count_parameters(shape | {"width": width}) <= MAX_PARAMETERS:
            return TimelineNetwork(**shape, width=width, dropout=settings.dropout)
    raise ValueError(
        f"a timeline prior for {rvq.num_quantizers} levels of {rvq.codebook_size} codes would "
        f"have more than {MAX_PARAMETERS:,} weights; use the sampler 'continue'"
    )


def _take_over(
    network: TimelineNetwork,
    names: Sequence[str],
    initial: TimelineNetwork,
    initial_names: Sequence[str],
) -> None:
    """Begin with the weights of another network; recordings that it does not know stay new."""
    state = initial.state_dict()
    state["profile"] = network.profile
    known = state["recording.weight"]
    rows = network.recording.weight.detach().clone()
    rows[-1] = known[-1]  # where the recording is left open
    for number, name in enumerate(names):
        if name in initial_names:
            rows[number] = known[initial_names.index(name)]
    network.load_state_dict(state | {"recording.weight": rows})


@dataclass(frozen=True, eq=False)
class _TimelineTraining:
    """Batches, losses and validation of a timeline prior, for `train_network`.

    Attributes:
        medleys: what it is trained on.
        held_out: recordings to validate on, ``[column, token]``.
    """

    network: TimelineNetwork
    settings: TimelineSettings
    generator: torch.Generator
    medleys: Medleys
    held_out: Sequence[Tensor]

    def batches(self, epoch: int) -> list[list[Columns]]:
        """Windows that are cut anywhere from a medley, for each step of an epoch."""
        medley = self.medleys.draw()
        while len(medley.codes) < WINDOW_COLUMNS:
            medley = Columns(
                *(torch.cat(pair) for pair in zip(medley, self.medleys.draw(), strict=True))
            )
        starts = torch.randint(
            len(medley.codes) - WINDOW_COLUMNS + 1,
            (EPOCH_STEPS * self.settings.batch_size,),
            generator=self.generator,
        )
        windows = [
            Columns(*(part[start : start + WINDOW_COLUMNS] for part in medley))
            for start in starts.tolist()
        ]
        size = self.settings.batch_size
        return [windows[start : start + size] for start in range(0, len(windows), size)]

    def loss(self, epoch: int, batch: Sequence[Columns]) -> Tensor:
        codes, descriptors, changed, recording = map(torch.stack, zip(*batch, strict=True))
        bins = to_bins(descriptors.flatten(0, 1), self.medleys.edges).view(*changed.shape, -1)
        uniform = torch.rand(len(codes), 1, 2 + bins.shape[2], generator=self.generator)
        recording = recording.masked_fill(uniform[..., 0] < OPEN_SHARE, self.network.recordings)
        left_open = uniform[..., 2:] < DESCRIPTOR_OPEN_SHARE
        left_open |= uniform[..., 1:2] < ALL_OPEN_SHARE
        bins = bins.masked_fill(left_open, NUM_BINS)
        count = len(codes) * PREDICTED_COLUMNS
        chosen = torch.randperm(codes.shape[0] * codes.shape[1], generator=self.generator)[:count]
        wrong = torch.rand(codes.shape, generator=self.generator) < WRONG_SHARE
        random = torch.randint(self.network.codebook_size, codes.shape, generator=self.generator)
        conditions = changed, recording, bins
        loss, change_loss = self._losses(codes, conditions, random.where(wrong, codes), chosen)
        return loss + CHANGE_WEIGHT * change_loss

    def validate(self, epoch: int) -> float:
        """Mean cross-entropy of the held-out recordings, for which all conditions are open."""
        total, columns = 0.0, 0
        for codes in self.held_out:
            changed = torch.zeros(1, len(codes), dtype=torch.int64)
            recording = torch.full_like(changed, self.network.recordings)
            bins = torch.full((*changed.shape, len(DESCRIPTORS)), NUM_BINS)
            conditions, chosen = (changed, recording, bins), torch.arange(len(codes))
            loss, _ = self._losses(codes[None], conditions, codes[None], chosen)
            total += float(loss) * len(codes)
            columns += len(codes)
        return total / columns

    def _losses(
        self,
        codes: Tensor,
        conditions: tuple[Tensor, Tensor, Tensor],
        remembered: Tensor,
        chosen: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy of the codes of chosen columns, and of all changes.

        Args:
            codes: int64 ``[window, column, token]``.
            conditions: arguments of `TimelineNetwork.condition`, ``[window, column]``.
            remembered: codes of the columns as they are remembered.
            chosen: indices into the columns of all windows.
        """
        network, device = self.network, self.network.start.device
        codes, changed = codes.to(device), conditions[0].to(device)
        condition = network.condition(*(each.to(device) for each in conditions))
        memory = network.remember(network.embed(remembered.to(device), condition))
        logits = network.predict(
            memory[:, :-1].flatten(0, 1)[chosen],
            condition.flatten(0, 1)[chosen],
            codes.flatten(0, 1)[chosen],
        )
        loss = F.cross_entropy(logits.flatten(0, 1), codes.flatten(0, 1)[chosen].flatten())
        if codes.shape[1] == 1:
            return loss, loss.new_zeros(())
        change = network.change(memory[:, 1:-1])[..., 0]
        return loss, F.binary_cross_entropy_with_logits(change, changed[:, 1:].float())
