"""The settings of the page, which the browser remembers."""

from __future__ import annotations

from typing import Any

import gradio as gr

from distill_prior_gen.ui.board_events import NO_PROGRESS
from distill_prior_gen.ui.controls import SettingsPanel
from distill_prior_gen.ui.model_list import ModelList
from distill_prior_gen.ui.session import Session
from distill_prior_gen.ui.setting_controls import fits

RECALL = """(_, ...rest) => {{
  if (!window.distillPrior) {{ {scripts} }}
  return [window.distillPrior.settings.recall(), ...rest];
}}"""
SETTLE = "(...values) => window.distillPrior.settings.settle(values)"
REMEMBER = "(...values) => window.distillPrior.settings.remember(values)"


def connect_memory(
    models: ModelList, session: gr.State, settings: SettingsPanel, scripts: str
) -> Any:
    """Let the browser remember the model and the controls, but not the sound to start from.

    Args:
        models: the models of the tab.
        session: session of the browser.
        settings: the components.
        scripts: JavaScript that the page needs, which runs when it is loaded.

    Returns:
        The event after which the scripts can be called and the former values are back.
    """
    names = [name for name in settings.controls if name != "prompt"]
    remembered = [settings.model, settings.count, *(settings.controls[name] for name in names)]

    def recall(values: Any, session: Session) -> list[Any]:
        if not isinstance(values, list) or len(values) != len(remembered):
            return [models.show(None, session), *[gr.skip()] * (len(remembered) - 1)]
        key = values[0] if models.find_model(values[0], session) else None
        back = [
            value if fits(control, value) else gr.skip()
            for control, value in zip(remembered[1:], values[1:], strict=True)
        ]
        if key is not None:  # else there are no choices to begin like
            like = 1 + names.index("like")
            back[like], _ = models.describe_steering(values[1 + like], key, session)
        return [models.show(key, session), *back]

    stored = gr.JSON(visible=False)
    js = RECALL.format(scripts=scripts)
    # Without triggers it runs when the page is loaded. It is one event with the scripts, because
    # Gradio 5 lets nothing follow an event that has only JavaScript.
    recalled = gr.on(
        None, recall, [stored, session], remembered, js=js, preprocess=False, **NO_PROGRESS
    )
    recalled.then(None, remembered, js=SETTLE)
    gr.on([control.change for control in remembered], None, remembered, js=REMEMBER)
    return recalled
