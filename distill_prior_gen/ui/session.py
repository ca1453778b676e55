"""The takes of one browser session."""

from __future__ import annotations

import shlex
import time
from collections.abc import Collection
from dataclasses import dataclass, field, fields
from pathlib import Path

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.generation import GenerationResult
from distill_prior_gen.model import ModelIdentity
from distill_prior_gen.sampling.crossfaded_layout import CrossfadedLayout
from distill_prior_gen.ui.library import DEMO
from distill_prior_gen.ui.settings import written

KEPT = 20
"""Takes that a session keeps; the oldest goes first."""

OPTIONS = {"temperature": "-t", "duration": "-d", "seed": "-s"}
"""Fields whose option of ``distill-prior sample`` is not called after them."""


@dataclass(eq=False)
class Take:
    """A take, and what it was made from.

    Attributes:
        number: counts the takes of the session, from 1.
        result: the sound and its settings.
        model: that made it.
        model_key: identifies the model in the list of models.
        spectrogram: settings of the model.
        grid: rows and columns of the model's code map.
        made_at: when it was made, on the clock of `time.monotonic`.
    """

    number: int
    result: GenerationResult
    model: ModelIdentity
    model_key: str
    spectrogram: SpectrogramSettings
    grid: tuple[int, int]
    made_at: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        """Bytes of memory that the take needs, roughly."""
        return int(self.result.audio.nbytes + self.result.codes.nbytes)

    def in_words(self) -> str:
        """Seed, duration, cost and settings, as Markdown."""
        duration, seconds = self.result.duration, sum(self.result.timings.values())
        settings = ", ".join(self.settings())
        return (
            f"**Seed {self.result.seed}**, {round(duration, 2):g} s of sound in "
            f"{seconds:.1f} s ({duration / seconds:.1f} times real time)  \n"
            f"{settings[0].upper()}{settings[1:]}"
        )

    def settings(self) -> list[str]:
        """The settings but the seed and the duration, a phrase each, as Markdown."""
        config = self.result.config
        settings = [f"temperature {written(config.temperature)}"]
        if config.temperature_end is not None:
            settings[0] += f" to {written(config.temperature_end)}"
        for field_, off in (("top_p", (0, 1)), ("top_k", (0,)), ("min_p", (0,))):
            value = getattr(config, field_)
            name = field_.replace("_", "-")
            settings.append(f"{name} {'off' if value in off else written(value)}")
        settings.append(f"{config.sampler} sampler")
        if isinstance(self.result.layout, CrossfadedLayout):
            settings.append(f"overlap {config.overlap:g} ms, {config.join} join")
        elif config.vary is None:
            columns = "column" if config.context_columns == 1 else "columns"
            settings.append(f"{config.context_columns} {columns} held")
        if config.prompt:
            name = f"`{Path(config.prompt).name}`"
            if config.vary is not None:
                settings.append(f"{config.vary:.0%} of {name} new")
            elif config.prompt_crossfade:
                settings.append(f"continues the recording {name} itself")
            else:
                settings.append(f"continues {name}")
        if config.loop:
            settings.append("loop")
        settings.append(f"{config.vocoder} ({config.quality})")
        return settings

    def command(self, paths: bool = True) -> str:
        """What makes the same take on the command line.

        Args:
            paths: whether files are named with their folders, so that it works from any folder.
        """
        words = ["distill-prior", "sample"]
        if self.model_key != DEMO:
            words.append(str(self.model.path) if paths else self.model.path.name)
        config = self.result.config
        if config.temperature_end is not None:
            words += ["--evolve"]
            words += [f"{written(config.temperature)}:{written(config.temperature_end)}"]
        for item in fields(GenerationConfig):
            value = getattr(config, item.name)
            evolves = item.name.startswith("temperature") and config.temperature_end is not None
            if value != item.default and not evolves:
                words.append(OPTIONS.get(item.name, f"--{item.name.replace('_', '-')}"))
                if item.name == "prompt" and not paths:
                    value = Path(value).name
                if value is not True:
                    words.append(written(value))
        return shlex.join(words)


def names(takes: Collection[Take]) -> dict[int, str]:
    """What to call takes: the number, the seed, and the settings that not all of them have."""
    traits = {
        take.number: [take.model.name, f"{round(take.result.duration, 2):g} s", *take.settings()]
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
        uploads: model files by their identifiers.
        takes: by their numbers.
        removed: takes that can be brought back, the last removed last.
        made: number of the last take.
        selected: the model that the app had loaded when it was asked last.
        fault: why the last take could not be made.
    """

    uploads: dict[str, Path] = field(default_factory=dict)
    takes: dict[int, Take] = field(default_factory=dict)
    removed: list[Take] = field(default_factory=list)
    made: int = 0
    selected: Path | None = None
    fault: str = ""

    def add(self, take: Take) -> None:
        """Keep a take; those removed go first where there are too many, then the oldest."""
        self.made = take.number
        self.takes[take.number] = take
        while self.removed and len(self.removed) + len(self.takes) > KEPT:
            del self.removed[0]
        for oldest in list(self.takes)[:-KEPT]:
            del self.takes[oldest]

    def all(self) -> list[Take]:
        """The takes, and those that can be brought back."""
        return [*list(self.takes.values()), *self.removed]

    def forget(self, take: Take) -> None:
        self.takes.pop(take.number, None)
        self.removed = [other for other in self.removed if other is not take]

    def remove(self, number: int) -> None:
        self.removed.append(self.takes.pop(number))

    def bring_back(self) -> int | None:
        """Put back the take that was removed last, and give its number."""
        if not self.removed:
            return None
        take = self.removed.pop()
        self.takes = dict(sorted({**self.takes, take.number: take}.items()))
        return take.number
