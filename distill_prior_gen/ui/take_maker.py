"""What the controls of the Prior tab do. Everything that comes from the page is checked here."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from reprlib import repr as shortened
from tempfile import TemporaryDirectory
from typing import Any
from weakref import WeakSet, WeakValueDictionary

import gradio as gr
import numpy as np
import torch
from gradio.context import LocalContext
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from distill_prior_gen.config import LIMITS, ExportConfig
from distill_prior_gen.export.naming import sidecar_path
from distill_prior_gen.generation import GenerationResult
from distill_prior_gen.hookspecs import TabContext
from distill_prior_gen.messages import in_words
from distill_prior_gen.plugins import get_registered, samplers, vocoders
from distill_prior_gen.ui.controls import MOST_TAKES, TOP_K
from distill_prior_gen.ui.library import (
    SUFFIXES,
    Entry,
    any_models,
    entry,
    find_model,
    find_models,
    loaded_model,
)
from distill_prior_gen.ui.results import MOST_LETTERS
from distill_prior_gen.ui.server import LOCAL
from distill_prior_gen.ui.session import Session, Take, names
from distill_prior_gen.ui.settings import SETTINGS, to_config, to_page

UPLOAD_BYTES = 512 * 2**20
"""Size of the largest model that may be uploaded."""

MOST_BYTES = 256 * 2**20
"""Of the takes of all sessions; the oldest go first."""

MOST_WAITING = 8
"""Calls that may wait for one another where Gradio's queue was bypassed."""

LONGEST_MESSAGE = 500
"""Letters of it that are shown."""

REPORT_S = 0.1
"""Seconds between two updates of the progress bar."""


refusal = partial(gr.Error, print_exception=False)
"""An error of the user, for the page and not for the server's console."""


class _CancelledError(Exception):
    """Raised out of the work when the user has had enough of it."""


class Actions:
    """The actions of one tab in one app; what belongs to a browser is in its `Session`."""

    def __init__(self, context: TabContext) -> None:
        self.context = context
        self.working = threading.Lock()
        self.waiting = threading.BoundedSemaphore(MOST_WAITING)
        self.keeping = threading.Lock()
        self.stops: dict[str | None, threading.Event] = {}
        self.sessions: WeakValueDictionary[str, Session] = WeakValueDictionary()
        _everywhere.add(self)

    def find(self, key: Any, session: Session) -> Entry | None:
        """The model behind an identifier from the page, if there is one."""
        if not isinstance(key, str):
            return None
        return find_model(key, self.context.models_dirs, session.uploads)

    def model(self, key: Any, session: Session) -> Entry:
        found = self.find(key, session)
        if found is None:
            raise refusal(f"There is no model {shortened(key)}; choose one from the list.")
        return found

    def listed(self, key: Any, session: Session) -> dict[str, Any]:
        """Choices and value of the list as it is now.

        A model that the app has loaded since it was asked last is chosen; else `key` stays if
        it is still there.
        """
        models = find_models(self.context.models_dirs, session.uploads)
        paths = {model.path: name for name, model in models.items()}
        selected = self.context.selected()
        if selected in paths and selected != session.selected:
            session.selected = selected
            key = paths[selected]
        if key not in models:
            playable = (name for name, model in models.items() if model.reason is None)
            key = next(playable, next(iter(models), None))
        choices = [(model.label, name) for name, model in models.items()]
        return {"choices": choices, "value": key}

    def refresh(self, key: Any, session: Session) -> gr.Dropdown:
        return gr.Dropdown(**self.listed(key, session))

    def upload(self, file: str | None, session: Session) -> gr.Dropdown:
        if file is None:
            raise refusal("file is missing; choose a model.")
        path = Path(file)
        key = f"{path.name} (uploaded)"
        if path.suffix not in SUFFIXES:
            raise refusal(f"{path.name} is no model; its name must end in .distill.")
        if path.stat().st_size > UPLOAD_BYTES:
            raise refusal(f"{path.name} is larger than {UPLOAD_BYTES // 2**20} MB.")
        if reason := entry(path, path.name).reason:
            raise refusal(reason)
        session.uploads[key] = path
        return self.refresh(key, session)

    def chosen(self, key: str | None, session: Session) -> tuple[gr.Markdown, gr.Button]:
        """What to know before playing the chosen model, and whether it can be played."""
        found = self.find(key, session)
        reason = found.reason if found else "Choose a model from the list."
        text = reason
        if not session.uploads and not any_models(self.context.models_dirs):
            folders = ", ".join(f"`{_shown(folder)}`" for folder in self.context.models_dirs)
            text = (
                f"Only the demo model is here. **No models in {folders}.** Make one of your own "
                "recordings with `distill-prior train FOLDER -o MODEL.distill`, or in the Distill "
                "app with `distill train-prior MODEL DATASET`; put it there and click *Refresh*, "
                "or upload one."
            )
        return (
            gr.Markdown(text or "", visible=text is not None),
            gr.Button(interactive=reason is None),
        )

    def about_top_k(self, top_k: float, key: str | None, session: Session) -> gr.Slider:
        """The slider with a note where the model's codebook makes its value meaningless."""
        model = self.find(key, session)
        size = model.codebook_size if model else None
        if size is None or top_k < size:
            return gr.Slider(info=TOP_K)
        return gr.Slider(info=f"This model has {size} codes: {size} and above leave out none.")

    def make(
        self,
        key: Any,
        values: list[Any],
        count: Any,
        session: Session,
        stop_key: str | None,
        progress: Any,
    ) -> None:
        """Make takes and add each to the session when it is finished."""
        from distill_prior_gen.generation import generate_takes

        model = self.model(key, session)
        if model.reason:
            raise refusal(model.reason)
        if not self.waiting.acquire(blocking=False):
            raise refusal("Too many takes are being made at once; try again later.")
        owner = stop_key or str(id(session))
        self.sessions[owner] = session
        stop = self.stops[stop_key] = threading.Event()
        page = dict(zip(SETTINGS, values, strict=True))
        if isinstance(page["prompt"], dict):  # a file as Gradio describes it
            page["prompt"] = page["prompt"].get("path")
        reported = 0.0

        def report(share: float, text: str) -> None:
            nonlocal reported
            if stop.is_set():
                raise _CancelledError
            if time.monotonic() - reported >= REPORT_S:
                reported = time.monotonic()
                progress(share, desc=text)

        try:
            config = to_config(page)
            get_registered("sampler", config.sampler, samplers())
            get_registered("vocoder", config.vocoder, vocoders())
            if count not in range(1, MOST_TAKES + 1):
                raise ValueError(
                    f"takes per click (count) must be from 1 to {MOST_TAKES}, not "
                    f"{shortened(count)}"
                )
            while not self.working.acquire(timeout=REPORT_S):
                report(0.0, "Waiting for another take...")
            try:
                report(0.0, "Loading the model...")
                loaded = loaded_model(model.path, self.context.device)
                made_of = loaded.identity, key, loaded.spectrogram, loaded.grid
                for result in generate_takes(loaded, config, int(count), report):
                    self._keep(Take(session.made + 1, _without_mel(result), *made_of), owner)
            finally:
                self.working.release()
        except _CancelledError:
            gr.Info("Cancelled.")
        except Exception as error:  # of a plugin's sampler or vocoder, too
            text = in_words(error)
            if isinstance(page["prompt"], str):
                text = text.replace(page["prompt"], Path(page["prompt"]).name)
            text = self._without_folders(text)
            raise refusal(text[:LONGEST_MESSAGE]) from error
        finally:
            # After a cancelled take, the next may have begun already.
            if self.stops.get(stop_key) is stop:
                del self.stops[stop_key]
            self.waiting.release()

    def _keep(self, take: Take, owner: str) -> None:
        """Add a take to its session; where all need too much memory, the oldest go."""
        session = self.sessions.get(owner)
        if session is None:  # the page was closed
            return
        with self.keeping:
            session.add(take)
            kept = [(each, one) for one in list(self.sessions.values()) for each in one.all()]
            kept.sort(key=lambda pair: pair[0].made_at)
            size = sum(each.size for each, _ in kept)
            for each, one in kept[:-1]:
                if size <= MOST_BYTES:
                    break
                one.forget(each)
                size -= each.size

    def leave(self, stop_key: str | None) -> None:
        """End the work for a page that was closed or loaded again, and free its memory."""
        self.stop(stop_key)
        if session := self.sessions.pop(stop_key or "", None):
            session.takes.clear()
            session.removed.clear()

    def stop(self, stop_key: str | None) -> None:
        if stop := self.stops.get(stop_key):
            stop.set()

    def take(self, number: Any, session: Session) -> Take:
        if not isinstance(number, int) or number not in session.takes:
            raise refusal(f"There is no take {shortened(number)}; choose one from the list.")
        return session.takes[number]

    def details(
        self, number: int | None, screen: dict[str, bool], session: Session
    ) -> tuple[np.ndarray | None, str, gr.File]:
        """What takes longer to show of a take, or belongs to the one shown before.

        Args:
            screen: whether the browser's window is `narrow`, and the page `dark`.

        Returns:
            The picture, and no export.
        """
        from distill_prior_gen.ui.pictures import draw_take, pixels

        picture = None
        if take := session.takes.get(number or 0):
            looks = screen["narrow"], screen["dark"]
            picture = pixels(draw_take(take.result, take.spectrogram, take.grid, *looks))
        return picture, "", gr.File(None, visible=False)

    def settings(self, number: Any, session: Session, longer: bool = False) -> list[Any]:
        """Values for the model's control and those of `SETTINGS`."""
        take = self.take(number, session)
        page = to_page(take.result.config)
        gone = []
        if page["prompt"] and not Path(page["prompt"]).is_file():
            gone.append(f"{Path(page['prompt']).name} is no longer there.")
            page["prompt"] = None
        known = self.find(take.model_key, session) is not None
        if not known:
            gone.append(f"{take.model.name} is no longer in the list of models.")
        if longer and gone:
            raise refusal(f"A longer take cannot be made: {' '.join(gone)}")
        for text in gone:
            gr.Warning(text)
        if longer:
            page["duration"] = _longer(take.result.duration)
        return [take.model_key if known else gr.skip(), *page.values()]

    def export(self, number: Any, values: list[Any], session: Session) -> tuple[list[str], str]:
        """Write a take to the output folder.

        Args:
            values: of the controls of the export, in their order.

        Returns:
            Copies of both files for the browser, and what to say.
        """
        path = self._write(number, values, self.context.output_dir, session)
        return _for_browser(path), f"Saved as `{_shown(path)}`"

    def download(self, number: Any, values: list[Any], session: Session) -> list[str]:
        """Write a take for the browser alone; its file and sidecar."""
        with TemporaryDirectory() as folder:
            return _for_browser(self._write(number, values, Path(folder), session))

    def _write(self, number: Any, values: list[Any], folder: Path, session: Session) -> Path:
        from distill_prior_gen.export.files import write_named_take

        take = self.take(number, session)
        # The page has 0 for what it leaves to the model and to the format.
        format_, sample_rate, bit_depth = (None if value == 0 else value for value in values[:3])
        tags = dict(zip(("title", "artist", "album"), values[3:], strict=True))
        try:
            cleaned = {name: _tag(name, text) for name, text in tags.items()}
            given = {name: text for name, text in cleaned.items() if text}
            if not isinstance(format_, str):
                raise ValueError(f"format must be a name, not {shortened(format_)}")
            export = ExportConfig(format_, sample_rate, bit_depth)
            folder.mkdir(parents=True, exist_ok=True)
            path, _ = write_named_take(take.result, take.model, folder, export, given)
        except (ValueError, OSError) as error:
            text = self._without_folders(in_words(error))
            raise refusal(text[:LONGEST_MESSAGE]) from error
        return path

    def _without_folders(self, text: str) -> str:
        """A message that does not tell others where the server's files are."""
        if not _served_locally():
            for folder in (*self.context.models_dirs, self.context.output_dir, Path.home()):
                for name in (folder.resolve(), folder.absolute()):
                    text = text.replace(f"{name}/", "").replace(str(name), folder.name)
        return text

    def show(self, number: int | None, session: Session) -> list[Any]:
        """What the page shows of a take, and the takes there are; see `TakePanel.shown`."""
        takes = session.takes
        if number not in takes:
            number = next(reversed(takes), None)
        called = names(takes.values())
        listed = gr.Radio([(called[each], each) for each in reversed(takes)], value=number)
        removed = f"Bring back take {session.removed[-1].number}" if session.removed else ""
        undo = gr.Button(removed, visible=bool(removed))
        if number is None:
            return [None, "", "", gr.skip(), listed, gr.Column(visible=False), undo, False]
        take = takes[number]
        # Gradio would convert floats too, but scale them to full level.
        samples = (take.result.audio * 32767).astype("int16")
        duration = _longer(take.result.duration)
        varied = take.result.config.vary is not None
        can_be_longer = duration > take.result.duration and not varied
        label = f"Same seed, longer ({duration:g} s)" if can_be_longer else "Same seed, longer"
        return [
            (take.result.sample_rate, samples),
            take.in_words(),
            take.command(paths=_served_locally()),
            gr.Button(label, interactive=can_be_longer),
            listed,
            gr.Column(visible=True),
            undo,
            take.result.config.loop,
        ]

    def remove(self, number: Any, session: Session) -> list[Any]:
        session.remove(self.take(number, session).number)
        return self.show(None, session)

    def undo(self, session: Session) -> list[Any]:
        """Bring back the take that was removed last."""
        return self.show(session.bring_back(), session)


_everywhere: WeakSet[Actions] = WeakSet()


def stop_all() -> None:
    """Stop all work at its next report, since the server ends."""
    for actions in list(_everywhere):
        for stop in list(actions.stops.values()):
            stop.set()


def _served_locally() -> bool:
    """Whether those who see the page sit at this machine, whose folders are no secret to them."""
    blocks = LocalContext.blocks.get(None)
    host = getattr(blocks, "server_name", None) or ""
    return blocks is None or (host.strip("[]") in LOCAL and not blocks.share)


def _shown(path: Path) -> str:
    return str(path) if _served_locally() else path.name


def _without_mel(result: GenerationResult) -> GenerationResult:
    """A take without what the page does not need of it."""
    return replace(result, mel=torch.empty(0))


def _tag(name: str, text: Any) -> str:
    if not isinstance(text, str | None):
        raise ValueError(f"{name} must be text, not {shortened(text)}")
    return "".join(filter(str.isprintable, text or "")).strip()[:MOST_LETTERS]


def _for_browser(path: Path) -> list[str]:
    """Copies of a take and its sidecar in Gradio's folder, the only one that pages may read."""
    cache = get_upload_folder()
    return [save_file_to_cache(file, cache) for file in (path, sidecar_path(path))]


def _longer(duration: float) -> float:
    return min(2 * duration, LIMITS["duration"][1])
