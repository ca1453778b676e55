"""The settings of the page, which the browser remembers."""

from __future__ import annotations

from typing import Any

import gradio as gr

from distill_prior_gen.ui.board_events import NO_PROGRESS
from distill_prior_gen.ui.controls import SettingsPanel
from distill_prior_gen.ui.model_list import ModelList
from distill_prior_gen.ui.session import Session

MAX_TEXT = 1000
"""Characters of a text that is taken back."""

RECALL = "(_, ...rest) => [window.distillPrior.settings.recall(), ...rest]"
SETTLE = "() => window.distillPrior.settings.settle()"
REMEMBER = "(...values) => window.distillPrior.settings.remember(values)"


def connect_memory(
    models: ModelList, session: gr.State, settings: SettingsPanel, ready: Any
) -> Any:
    """Let the browser remember the model and the controls, but not the sound to start from.

    Args:
        models: the models of the tab.
        session: session of the browser.
        settings: the components.
        ready: event after which the scripts of the page can be called.

    Returns:
        The event after which the former values are back.
    """
    names = [name for name in settings.controls if name != "prompt"]
    remembered = [settings.model, settings.count, *(settings.controls[name] for name in names)]

    def recall(values: Any, session: Session) -> list[Any]:
        if not isinstance(values, list) or len(values) != len(remembered):
            return [gr.skip()] * len(remembered)
        key = values[0]
        found = models.find_model(key, session)
        back = [
            value if fits(control, value) else gr.skip()
            for control, value in zip(remembered[1:], values[1:], strict=True)
        ]
        like = 2 + names.index("like")
        if found:
            back[like - 1], _ = models.describe_steering(values[like], key, session)
        return [key if found else gr.skip(), *back]

    stored = gr.JSON(visible=False)
    recalled = ready.then(
        recall, [stored, session], remembered, js=RECALL, preprocess=False, **NO_PROGRESS
    )
    recalled.then(None, js=SETTLE)
    gr.on([control.change for control in remembered], None, remembered, js=REMEMBER)
    return recalled


def fits(control: Any, value: Any) -> bool:
    """Whether a control can have a value. The browser may have stored it for another version."""
    if isinstance(control, gr.Slider):
        return type(value) in (int, float) and control.minimum <= value <= control.maximum
    if isinstance(control, gr.Checkbox):
        return isinstance(value, bool)
    if isinstance(control, gr.Textbox):
        return isinstance(value, str) and len(value) <= MAX_TEXT
    choices = [choice for _, choice in control.choices]
    chosen = value if isinstance(control, gr.CheckboxGroup) else [value]
    return isinstance(chosen, list) and all(each in choices for each in chosen)
