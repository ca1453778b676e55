"""The Prior tab: choose a model, set how to sample it, listen."""

from __future__ import annotations

from typing import Any

from distill_prior_gen.config import LIMITS, ExportConfig, GenerationConfig
from distill_prior_gen.plugins import TabContext
from distill_prior_gen.ui.library import loaded_model, playable_models


def build_tab(context: TabContext) -> None:
    """Build the tab's components and events into the Blocks that are open."""
    import gradio as gr

    def slider(field: str, step: float, label: str, info: str) -> gr.Slider:
        low, high = LIMITS[field]
        default = getattr(GenerationConfig, field)
        return gr.Slider(low, high, default, step=step, label=label, info=info)

    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            model = gr.Dropdown(label="Model", interactive=True, **_choices(context))
            temperature = slider(
                "temperature", 0.05, "Temperature", "Low: the most typical sounds. High: surprises."
            )
            top_p = slider("top_p", 0.05, "Top-p", "Leaves out the unlikeliest sounds; 0 is off.")
            top_k = slider("top_k", 1, "Top-k", "Leaves out all but so many sounds; 0 is off.")
            duration = slider("duration", 1, "Duration (seconds)", "A longer take begins alike.")
            seed = gr.Textbox(
                label="Seed",
                info="The same seed makes the same take again. Empty: a new one each time.",
            )
            button = gr.Button("Generate", variant="primary")
        with gr.Column(scale=3, min_width=360):
            player = gr.Audio(label="Take", interactive=False)
            report = gr.Markdown()

    def find_models() -> tuple[Any, str]:
        found = _choices(context)
        if found["choices"]:
            return gr.Dropdown(**found), ""
        folders = ", ".join(f"`{folder}`" for folder in context.models_dirs)
        return gr.Dropdown(**found), (
            f"No model that can be sampled in {folders}. Train one with a prior in Distill "
            "(`distill train-prior MODEL DATASET`), put it there and load this page again."
        )

    def make_take(
        path: str | None,
        temperature: float,
        top_p: float,
        top_k: float,
        duration: float,
        seed: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio's way to ask for one
    ) -> tuple[tuple[int, Any], str]:
        from distill_prior_gen.audio.files import write_take
        from distill_prior_gen.generation import generate
        from distill_prior_gen.paths import free_path

        if path not in playable_models(context.models_dirs):
            raise gr.Error("Choose a model from the list.")
        try:
            config = GenerationConfig(
                temperature=temperature,
                top_p=top_p,
                top_k=int(top_k),
                duration=duration,
                seed=_seed(seed),
            )
            progress(0.0, desc="Loading the model...")
            loaded = loaded_model(path, context.device)
            result = generate(loaded, config, lambda share, text: progress(share, desc=text))
            context.output_dir.mkdir(parents=True, exist_ok=True)
            export = ExportConfig()
            file = free_path(context.output_dir, loaded.name, result.seed, export)
            write_take(result, loaded, file, export)
        except (ValueError, ArithmeticError, OSError) as error:
            raise gr.Error(str(error)) from error
        # Gradio would convert floats too, but scale them to full level.
        samples = (result.audio * 32767).astype("int16")
        return (result.sample_rate, samples), f"Seed **{result.seed}**, saved as `{file}`"

    # Without triggers and inputs: when the page is loaded.
    gr.on(None, find_models, outputs=[model, report], show_progress="hidden")
    button.click(
        make_take,
        inputs=[model, temperature, top_p, top_k, duration, seed],
        outputs=[player, report],
        concurrency_id="distill-prior",
        concurrency_limit=1,
        api_name="generate_prior_take",
    )


def _choices(context: TabContext) -> dict[str, Any]:
    """What the dropdown offers, and which of it is chosen at first."""
    models = playable_models(context.models_dirs)
    selected = str(context.selected())
    return {
        "choices": [(name, path) for path, name in models.items()],
        "value": selected if selected in models else next(iter(models), None),
    }


def _seed(text: str) -> int | None:
    if not text.strip():
        return None
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"seed must be a whole number or empty, not {text!r}") from None
