"""Source of a stand-in for the Distill app: its state, and its page."""

STATE = """
from pathlib import Path
from types import SimpleNamespace

here = Path(__file__).parents[2]

class ModelLibrary:
    catalog = {}

    def __init__(self, models_dir):
        self.entries = dict(self.catalog)

    def get(self, model_id):
        return self.entries.get(model_id)

app_state = SimpleNamespace(
    models_dir=here / "models",
    generated_dir=here / "generated",
    loaded_vq_model=None,
    loaded_model=None,
    model_library=ModelLibrary(None),
    device="cpu",
)
"""

APP = """
import gradio as gr

def first():
    gr.Textbox(lambda: "set when the page loads", label="Folder")
    gr.Button("Open").click(print)

def second():
    with gr.Tabs(), gr.Tab("Inner"):
        gr.Slider()

def create_app(config=None, device=None, layout="as it is"):
    if layout == "broken":
        raise RuntimeError("the app's own trouble")
    if layout == "not an app":
        return object()
    with gr.Blocks() as app:
        gr.Textbox(label="Above")
        if layout != "no tabs":
            with gr.Column(), gr.Tabs():
                with gr.Tab("First", id="first"):
                    first()
                with gr.Tab("Second", id="second"):
                    second()
        if layout == "two rows of tabs":
            with gr.Tabs(), gr.Tab("Third"):
                gr.Textbox()
    return app

def launch_ui(**options):
    return create_app(**options)
"""
