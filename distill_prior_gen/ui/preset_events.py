"""Connects the components for presets with functions."""

from __future__ import annotations

from typing import Any

import gradio as gr

from distill_prior_gen.store.presets import list_presets
from distill_prior_gen.ui.board_events import NO_PROGRESS
from distill_prior_gen.ui.controls import SettingsPanel
from distill_prior_gen.ui.model_list import ModelList
from distill_prior_gen.ui.preset_controls import Presets


def connect_presets(
    models: ModelList, session: gr.State, settings: SettingsPanel, loaded: Any
) -> None:
    """Connect the components for presets with their functions.

    Args:
        models: the models of the tab.
        session: session of the browser.
        settings: the components.
        loaded: event after which the list of presets is filled.
    """
    panel, controls = settings.presets, list(settings.controls.values())
    presets = Presets(models, settings.controls)
    chosen, raw = panel.chosen, NO_PROGRESS | {"preprocess": False}
    loaded.then(lambda: gr.Dropdown(list_presets()), None, chosen, **NO_PROGRESS)
    chosen.select(presets.choose, [chosen, settings.model, session], controls, **raw)
    panel.save.click(presets.save, [panel.name, chosen, *controls], chosen, **raw)
    panel.rename.click(presets.rename, [panel.name, chosen], chosen, **raw)
    panel.remove.click(presets.remove, chosen, chosen, **raw)
