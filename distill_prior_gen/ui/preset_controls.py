"""Presets in the tab: their components, and what these do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.store.presets import (
    list_presets,
    read_preset,
    remove_preset,
    rename_preset,
    save_preset,
)
from distill_prior_gen.ui.model_list import ModelList
from distill_prior_gen.ui.page_messages import explain, is_served_locally, refusal
from distill_prior_gen.ui.session import Session
from distill_prior_gen.ui.setting_controls import fits
from distill_prior_gen.ui.settings import SETTINGS, to_config, to_page

OWN = ("seed", "prompt", "start", "vary")
"""Controls that presets leave as they are."""

MAX_NAME = 60
"""Characters of the name of a preset."""


@dataclass(frozen=True)
class PresetPanel:
    """The components for presets.

    Attributes:
        chosen: the list of presets. One that is selected is put into the controls.
        name: name to save or rename to.
    """

    chosen: gr.Dropdown
    name: gr.Textbox
    save: gr.Button
    rename: gr.Button
    remove: gr.Button


def build_preset_panel() -> PresetPanel:
    """Build the list of presets and what changes them."""
    with gr.Accordion("Presets", open=False):
        chosen = gr.Dropdown(
            [],
            value=None,
            label="Preset",
            info="All settings but the seed and the sound to start from.",
            interactive=True,
            elem_id="distill-prior-preset",
        )
        name = gr.Textbox(
            label="Name of the preset",
            placeholder="slow and dark",
            max_lines=1,
            max_length=MAX_NAME,
        )
        with gr.Row():
            save = gr.Button("Save", size="sm", min_width=70)
            rename = gr.Button("Rename", size="sm", min_width=70)
            remove = gr.Button("Delete", size="sm", min_width=70)
    return PresetPanel(chosen, name, save, rename, remove)


class Presets:
    """What the components for presets do. The methods raise `gr.Error` if something is wrong.

    Args:
        models: the models of the tab.
        controls: the controls of `SETTINGS` by their names.
    """

    def __init__(self, models: ModelList, controls: dict[str, Any]) -> None:
        self.models = models
        self.controls = controls

    def choose(self, name: Any, key: Any, session: Session) -> list[Any]:
        """Values of the controls for a preset. Settings that it lacks get their defaults."""
        try:
            page = to_page(GenerationConfig(**read_preset(str(name)), seed=0))
        except (OSError, ValueError) as error:
            raise explain(error, self.models.context) from error
        like, _ = self.models.describe_steering(page["like"], key, session)
        values: dict[str, Any] = {}
        for setting, control in self.controls.items():
            if setting not in (*OWN, "like"):
                values[setting] = page[setting]
                if not fits(control, page[setting]):
                    gr.Warning(f"{setting} cannot be {page[setting]} here, and stays as it is.")
                    values[setting] = gr.skip()
        model = self.models.find_model(key, session)
        if page["like"] and not (model and page["like"] in model.recordings):
            gr.Warning(f"This model has no recording {page['like']} to begin like.")
        values["like"] = like
        return [values.get(setting, gr.skip()) for setting in SETTINGS]

    def save(self, name: Any, chosen: Any, *values: Any) -> gr.Dropdown:
        """Save the controls under a name. Only the chosen preset is replaced."""
        name = _clean(name)
        page = dict(zip(SETTINGS, values, strict=True))
        page |= {"prompt": None, "start": "continue", "seed": ""}
        return self._changed(
            lambda: save_preset(name, asdict(to_config(page)), overwrite=name == chosen), name
        )

    def rename(self, name: Any, chosen: Any) -> gr.Dropdown:
        """Give the chosen preset another name."""
        name, chosen = _clean(name), _chosen(chosen)
        return self._changed(lambda: rename_preset(chosen, name), name)

    def remove(self, chosen: Any) -> gr.Dropdown:
        """Delete the chosen preset."""
        chosen = _chosen(chosen)
        return self._changed(lambda: remove_preset(chosen), None)

    def _changed(self, change: Any, value: str | None) -> gr.Dropdown:
        if not is_served_locally():
            raise refusal("Presets can be changed only on a page that no other machine can reach.")
        try:
            change()
        except (OSError, ValueError) as error:
            raise explain(error, self.models.context) from error
        return gr.Dropdown(list_presets(), value=value)


def _clean(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise refusal("Write a name for the preset first.")
    return name.strip()


def _chosen(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise refusal("Choose the preset first.")
    return name
