"""Training that begins with the networks of an existing model, and what the model forgets by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from distill_prior_gen.checkpoint import Checkpoint
from distill_prior_gen.checkpoint.provenance import read_provenance
from distill_prior_gen.checkpoint.timeline import read_recordings
from distill_prior_gen.networks.timeline import TimelineNetwork
from distill_prior_gen.networks.vqvae import VQVAE
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.recording import Recording
from distill_prior_gen.training.vqvae import reconstruction_error


class Change(NamedTuple):
    """Errors of the reconstruction of some recordings; see `reconstruction_error`.

    Attributes:
        recordings: number of files.
        before: error of the former model.
        after: error of the new one.
    """

    recordings: int
    before: float
    after: float


class Memory(NamedTuple):
    """What a model that was trained further remembers of its former recordings.

    Attributes:
        recordings: number of former recordings that its file names.
        old: those of them that are in the folder; None if there are none.
        new: the other recordings in the folder; None if there are none.
    """

    recordings: int
    old: Change | None
    new: Change | None


@dataclass(frozen=True)
class FormerModel:
    """The model that a training begins with."""

    checkpoint: Checkpoint

    @property
    def sizes(self) -> dict[str, dict[str, int]]:
        """Settings of each stage that the weights determine, by the name of the stage."""
        codes, prior = self.checkpoint.vqvae_shape, self.checkpoint.prior_shape
        timeline, vocoder = self.checkpoint.timeline_shape, self.checkpoint.vocoder_shape
        sizes = {
            "vqvae": {
                "codebook_size": codes["codebook_size"],
                "levels": codes["num_quantizers"],
                "codebook_dim": codes["codebook_dim"],
            }
        }
        if prior:
            names = {"hidden_size": "hidden_size", "layers": "num_layers", "heads": "num_heads"}
            sizes["prior"] = {name: prior[key] for name, key in names.items()}
        if timeline:
            names = {"layers": "num_layers"} | {n: n for n in ("width", "column_layers", "memory")}
            sizes["timeline"] = {name: timeline[key] for name, key in names.items()}
        if vocoder:
            sizes["vocoder"] = {"width": vocoder["width"], "blocks": vocoder["num_blocks"]}
        return sizes

    @property
    def timeline(self) -> tuple[TimelineNetwork, Sequence[str]] | None:
        """The timeline prior, and the names of its recordings."""
        network = self.checkpoint.build_timeline()
        return (network, self._timeline_names) if network else None

    @property
    def _timeline_names(self) -> tuple[str, ...]:
        shape = self.checkpoint.timeline_shape
        return read_recordings(self.checkpoint.contents, shape["recordings"]) if shape else ()

    @cached_property
    def _told(self) -> list[dict[str, Any]]:
        """Names of the recordings that the file tells, with the digests of their samples."""
        if provenance := read_provenance(self.checkpoint.contents):
            return list(provenance["recordings"])
        return [{"name": name} for name in dict.fromkeys(self._timeline_names)]

    def knows(self, name: str, digest: str) -> bool:
        """Whether the model was trained on a recording; names count where no digest is told."""
        return any(
            digest == told["sha256"] if "sha256" in told else name == told["name"]
            for told in self._told
        )

    def compare(self, vqvae: VQVAE, dataset: Dataset, digests: dict[str, str]) -> Memory:
        """Measure what a network that was trained further remembers.

        Args:
            vqvae: the network.
            dataset: the recordings that it was trained on.
            digests: result of `recording_digests`.
        """
        former = self.checkpoint.build_vqvae().to(next(vqvae.parameters()).device)

        def change(recordings: list[Recording]) -> Change | None:
            if not recordings:
                return None
            errors = (reconstruction_error(each, dataset, recordings) for each in (former, vqvae))
            return Change(len({recording.name for recording in recordings}), *errors)

        known = {name for name, digest in digests.items() if self.knows(name, digest)}
        return Memory(
            len(self._told),
            change([r for r in dataset.recordings if r.name in known]),
            change([r for r in dataset.recordings if r.name not in known]),
        )
