"""The list of models on the page: its choices, uploads, and notes on the chosen model."""

from __future__ import annotations

import os
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import gradio as gr

from distill_prior_gen.hookspecs import TabContext
from distill_prior_gen.store.saved_take import SavedTake
from distill_prior_gen.ui import library
from distill_prior_gen.ui.library import SUFFIXES, ModelEntry
from distill_prior_gen.ui.page_messages import refusal, visible_path
from distill_prior_gen.ui.session import Session
from distill_prior_gen.ui.setting_controls import TOP_K_INFO, build_like_choices

NO_STEERING = (
    "This model has no timeline prior, so these settings cannot be used with it. "
    "`distill-prior train-timeline MODEL FOLDER` trains one."
)
"""Note on a model that cannot be steered."""

MAX_UPLOAD_BYTES = 512 * 2**20
"""Size of the largest model that may be uploaded."""


class ModelList:
    """The models of one tab. Uploads belong to a session."""

    def __init__(self, context: TabContext) -> None:
        self.context = context

    def find_model(self, key: Any, session: Session) -> ModelEntry | None:
        """The model behind an identifier from the page, or None if there is no such model."""
        if not isinstance(key, str):
            return None
        return library.find_model(key, self.context.models_dirs, session.uploads)

    def get_model(self, key: Any, session: Session) -> ModelEntry:
        """The model behind an identifier from the page.

        Raises:
            gr.Error: if there is no such model.
        """
        found = self.find_model(key, session)
        if found is None:
            raise refusal(f"There is no model {shortened(key)}; choose one from the list.")
        return found

    def find_key(self, take: SavedTake, session: Session) -> str | None:
        """The identifier of the model of a take, or else of a file of that name, or None."""
        models, path = (
            library.find_models(self.context.models_dirs, session.uploads),
            take.model_path,
        )
        same = [key for key, model in models.items() if os.path.realpath(model.path) == str(path)]
        named = [key for key, model in models.items() if model.path.name == take.model.file]
        return next((key for key in same + named if models[key].reason is None), None)

    def model_choices(self, key: Any, session: Session) -> dict[str, Any]:
        """Current choices and value of the list.

        If the app has loaded another model since the last call, the value is that model.
        Otherwise `key` is kept if it is still in the list.
        """
        models = library.find_models(self.context.models_dirs, session.uploads)
        identifiers = {model.path: identifier for identifier, model in models.items()}
        selected = self.context.selected()
        if selected in identifiers and selected != session.selected:
            session.selected = selected
            key = identifiers[selected]
        if key not in models:
            playable = (name for name, model in models.items() if model.reason is None)
            key = next(playable, next(iter(models), None))
        choices = [(model.label, name) for name, model in models.items()]
        return {"choices": choices, "value": key}

    def show(self, key: Any, session: Session) -> gr.Dropdown:
        """The list with a value, which is another one if `key` is not in the list."""
        found = self.model_choices(key, session)
        session.model_choices = found["choices"]
        return gr.Dropdown(**found)

    def refresh(self, key: Any, session: Session) -> Any:
        """Look for models again. A list that stays is not sent, as the page may be ahead of it."""
        known = session.model_choices
        if known is None:
            return gr.skip()
        found = self.model_choices(key, session)
        session.model_choices = found["choices"]
        return gr.skip() if found == {"choices": known, "value": key} else gr.Dropdown(**found)

    def upload(self, file: str | None, session: Session) -> gr.Dropdown:
        """Check an uploaded model and add it to the list.

        Raises:
            gr.Error: if the file is missing, too large, or cannot be played.
        """
        if file is None:
            raise refusal("file is missing; choose a model.")
        path = Path(file)
        key = f"{path.name} (uploaded)"
        if path.suffix not in SUFFIXES:
            raise refusal(f"{path.name} is no model; its name must end in .distill.")
        if path.stat().st_size > MAX_UPLOAD_BYTES:
            raise refusal(f"{path.name} is larger than {MAX_UPLOAD_BYTES // 2**20} MB.")
        if reason := library.get_entry(path, path.name).reason:
            raise refusal(reason)
        session.uploads[key] = path
        return self.show(key, session)

    def describe_choice(self, key: str | None, session: Session) -> tuple[gr.Markdown, gr.Button]:
        """A note on the chosen model, and the button that makes a take of it.

        The button is disabled if the model cannot be played, and as long as the page waits for its
        takes, which would replace a take that is made meanwhile.
        """
        found = self.find_model(key, session)
        reason = found.reason if found else "Choose a model from the list."
        text = found.note if found and not reason else reason
        if not session.uploads and not library.has_models(self.context.models_dirs):
            folders = ", ".join(f"`{visible_path(folder)}`" for folder in self.context.models_dirs)
            text = (
                f"Only the demo model is here. **No models in {folders}.** Make one of your own "
                "recordings in the tab *Train model*, or with `distill-prior train FOLDER -o "
                "MODEL.distill`; or put one there and click *Refresh*, or upload one."
            )
        return (
            gr.Markdown(text or "", visible=text is not None),
            gr.Button(interactive=reason is None and session.entered),
        )

    def describe_steering(
        self, like: str, key: str | None, session: Session
    ) -> tuple[gr.Dropdown, gr.Markdown]:
        """The recordings that a take can begin like, and a note if the model cannot be steered."""
        model = self.find_model(key, session)
        names = model.recordings if model else ()
        kept = like if like in names else ""
        note = NO_STEERING if model and not model.reason and not model.has_timeline else ""
        return (
            gr.Dropdown(build_like_choices(names), value=kept),
            gr.Markdown(note, visible=bool(note)),
        )

    def describe_top_k(self, top_k: float, key: str | None, session: Session) -> gr.Slider:
        """The slider, with a note if its value reaches the size of the model's codebook."""
        model = self.find_model(key, session)
        size = model.codebook_size if model else None
        if size is None or top_k < size:
            return gr.Slider(info=TOP_K_INFO)
        return gr.Slider(info=f"This model has {size} codes: {size} and above leave out none.")
