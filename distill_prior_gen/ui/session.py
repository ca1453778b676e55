"""The takes of one browser session."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.export.naming import free_path, sidecar_path
from distill_prior_gen.formats import ExportConfig
from distill_prior_gen.model import ModelIdentity
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.result import GenerationResult
from distill_prior_gen.sampling.continuous_layout import ContinuousLayout
from distill_prior_gen.sampling.crossfaded_layout import CrossfadedLayout
from distill_prior_gen.sampling.timeline import TIMELINE
from distill_prior_gen.ui.history import History
from distill_prior_gen.ui.library import DEMO
from distill_prior_gen.ui.page_messages import refusal
from distill_prior_gen.ui.settings import DESCRIPTOR_LABELS, format_course, format_value

MAX_SESSION_TAKES = 20
"""Takes that a session keeps. The oldest take is dropped first."""

OPTIONS = {"temperature": "-t", "duration": "-d", "seed": "-s"}
"""Options of ``distill-prior sample`` that are shorter than the name of their field."""


@dataclass(eq=False)
class Take:
    """A take, and what it was made from.

    Attributes:
        number: number of the take in its session, from 1; 0 for an edited take that is not kept.
        result: the sound and its settings.
        model: the model that made the take.
        model_key: identifier of the model in the list of models.
        spectrogram: spectrogram settings of the model.
        rows: number of rows of the model's code map.
        usage: how often the recordings of the model use each code, see `PriorModel.code_usage`.
        origin: which takes it was edited from, or "".
        made_at: time at which the take was made, on the clock of `time.monotonic`.
    """

    number: int
    result: GenerationResult
    model: ModelIdentity
    model_key: str
    spectrogram: SpectrogramSettings
    rows: int
    usage: list[list[float]]
    origin: str = ""
    made_at: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        """Approximate memory that the take needs, in bytes."""
        result = self.result
        sounds = [edit.sound.nbytes for edit in result.edits if edit.sound is not None]
        maps = [edit.codes.nbytes for edit in result.edits]
        sound = result.audio.nbytes * (3 if result.config.width else 1)
        return int(sound + result.codes.nbytes + sum(sounds) + sum(maps))

    @property
    def title(self) -> str:
        """What the take is called in the origin of others."""
        return f"take {self.number}" if self.number else self.origin

    def column_edges(self) -> list[float]:
        """Seconds at which the columns that can be drawn again begin, and the last one ends.

        The first and the last may lie outside of the take.
        """
        layout, start = self.result.layout, 0.0
        if isinstance(layout, ContinuousLayout):
            start = layout.trim_start / STRIDE
        first = int(start)
        end = math.ceil(len(self.result.audio) / layout.column_samples + start - 1e-6)
        column = layout.column_samples / self.result.sample_rate
        return [(edge - start) * column for edge in range(first, end + 1)]

    def row_edges(self) -> list[float]:
        """Frequencies in Hz at which the rows of the codes begin, and the last one ends."""
        bands = (min(row * STRIDE, self.spectrogram.n_mels) for row in range(self.rows + 1))
        return [self.spectrogram.hertz_at(band) for band in bands]

    def summary(self) -> str:
        """Seed, duration, cost and settings, as Markdown."""
        duration, seconds = self.result.duration, sum(self.result.timings.values())
        length = f"{round(duration, 2):g} s of sound"
        settings = ", ".join(self.setting_phrases())
        cost = f"{length} in {seconds:.1f} s ({duration / seconds:.1f} times real time)"
        if count := len(self.result.edits):
            edits = "1 edit" if count == 1 else f"{count} edits, the last"
            cost = f"{length}, {edits} in {seconds:.1f} s"
        return f"**Seed {self.result.seed}**, {cost}  \n{settings[0].upper()}{settings[1:]}"

    def setting_phrases(self) -> list[str]:
        """A phrase of Markdown for each setting except the seed and the duration."""
        config = self.result.config
        phrases = [f"temperature {format_value(config.temperature)}"]
        if config.temperature_end is not None:
            phrases[0] += f" to {format_value(config.temperature_end)}"
        for name, off in (("top_p", (0, 1)), ("top_k", (0,)), ("min_p", (0,))):
            value = getattr(config, name)
            phrases.append(
                f"{name.replace('_', '-')} {'off' if value in off else format_value(value)}"
            )
        phrases.append(f"{config.sampler} sampler")
        if isinstance(self.result.layout, CrossfadedLayout):
            phrases.append(f"overlap {config.overlap:g} ms, {config.join} join")
        elif config.sampler == TIMELINE:
            phrases.append(f"wander {config.wander:g}")
            if config.like:
                phrases.append(f"like `{config.like}`")
            values = {name: getattr(config, name) for name in DESCRIPTOR_LABELS}
            phrases += [f"{n} {format_course(v)}" for n, v in values.items() if v is not None]
        elif config.vary is None:
            columns = "column" if config.context_columns == 1 else "columns"
            phrases.append(f"{config.context_columns} context {columns}")
        if config.prompt:
            name = f"`{Path(config.prompt).name}`"
            if config.vary is not None:
                phrases.append(f"{config.vary:.0%} of {name} new")
            elif config.prompt_crossfade:
                phrases.append(f"continues the recording {name} itself")
            else:
                phrases.append(f"continues {name}")
        if config.loop:
            phrases.append("loop")
        if config.width:
            phrases.append(f"width {config.width:g}")
        if self.origin:
            phrases.append(self.origin)
        phrases.append(f"{config.vocoder} ({config.quality})")
        return phrases

    def command(self, full_paths: bool = True) -> str:
        """The command that makes the same take, for an edited one from the sidecar of its export.

        Args:
            full_paths: whether files are named with their folders, so that the command works
                from any folder.
        """
        if self.result.edits:
            name = free_path(Path(), self.model.name, self.result.seed, ExportConfig())
            return "# Download or export the take; its sidecar has the edits. Then:\n" + shlex.join(
                ["distill-prior", "replay", str(sidecar_path(name))]
            )
        words = ["distill-prior", "sample"]
        if self.model_key != DEMO:
            words.append(str(self.model.path) if full_paths else self.model.path.name)
        config = self.result.config
        if config.temperature_end is not None:
            start, end = format_value(config.temperature), format_value(config.temperature_end)
            words += ["--evolve", f"{start}:{end}"]
        for item in fields(GenerationConfig):
            value = getattr(config, item.name)
            evolves = item.name.startswith("temperature") and config.temperature_end is not None
            if value != item.default and not evolves:
                words.append(OPTIONS.get(item.name, f"--{item.name.replace('_', '-')}"))
                if item.name == "prompt" and not full_paths:
                    value = Path(value).name
                if value is not True:
                    course = item.name in DESCRIPTOR_LABELS
                    words.append(format_course(value) if course else format_value(value))
        return shlex.join(words)


def label_takes(takes: Collection[Take]) -> dict[int, str]:
    """Labels of takes by their numbers: number, seed, and the settings in which they differ."""
    traits = {
        take.number: [
            take.model.name,
            f"{round(take.result.duration, 2):g} s",
            *take.setting_phrases(),
        ]
        for take in takes
    }
    shared = set.intersection(*map(set, traits.values())) if traits else set()
    return {
        take.number: ", ".join(
            [
                f"{take.number}: seed {take.result.seed}",
                *(trait.replace("`", "") for trait in traits[take.number] if trait not in shared),
            ]
        )
        for take in takes
    }


@dataclass
class Session:
    """What one browser session has uploaded and made.

    Attributes:
        uploads: uploaded model files by their identifiers.
        takes: takes by their numbers.
        removed: takes that can be brought back. The last one was removed last.
        history: what the board has shown.
        last_number: number of the last take that was made.
        selected: model that the app had loaded when it was last asked.
        error: reason why the last take could not be made.
    """

    uploads: dict[str, Path] = field(default_factory=dict)
    takes: dict[int, Take] = field(default_factory=dict)
    removed: list[Take] = field(default_factory=list)
    history: History[Take] = field(default_factory=History)
    last_number: int = 0
    selected: Path | None = None
    error: str = ""

    def add(self, take: Take) -> None:
        """Add a take. If there are too many, removed takes are dropped first, then the oldest."""
        self.last_number = take.number
        self.takes[take.number] = take
        while self.removed and len(self.removed) + len(self.takes) > MAX_SESSION_TAKES:
            del self.removed[0]
        for oldest in list(self.takes)[:-MAX_SESSION_TAKES]:
            del self.takes[oldest]

    def get_take(self, number: Any) -> Take:
        """The take of a number from the page. None stands for the one on the board.

        Raises:
            gr.Error: if there is no such take.
        """
        if number is None and self.history.state:
            return self.history.state
        if not isinstance(number, int) or number not in self.takes:
            raise refusal(f"There is no take {shortened(number)}; choose one from the list.")
        return self.takes[number]

    def all_takes(self) -> list[Take]:
        """The takes, those that can be brought back, and those of the history, each once."""
        takes = [*list(self.takes.values()), *self.removed, *list(self.history.states())]
        return list({id(take): take for take in takes}.values())

    def show(self, take: Take) -> None:
        """Put a take onto the board."""
        if self.history.state is not take:
            self.history.add(take)

    def is_kept(self, take: Take) -> bool:
        """Whether a take is in the list."""
        return self.takes.get(take.number) is take

    def keep(self) -> None:
        """Add the take on the board to the list, under a new number."""
        take = self.history.state
        if take and not self.is_kept(take):
            kept = replace(take, number=self.last_number + 1)
            self.history.replace(take, kept)
            self.add(kept)

    def drop(self, take: Take) -> None:
        """Drop a take for good."""
        if self.is_kept(take):
            del self.takes[take.number]
        self.history.drop(take)
        self.removed = [other for other in self.removed if other is not take]

    def remove(self, number: int) -> None:
        """Remove a take, so that it can be brought back."""
        self.removed.append(self.takes.pop(number))

    def bring_back(self) -> int | None:
        """Bring back the take that was removed last, and return its number."""
        if not self.removed:
            return None
        take = self.removed.pop()
        self.takes = dict(sorted({**self.takes, take.number: take}.items()))
        return take.number
