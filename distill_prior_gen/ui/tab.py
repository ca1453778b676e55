"""The Prior tab: choose a model, set how to sample it, listen, keep what is good.

`Actions` is what happens, `build_tab` where it happens on the page.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from distill_prior_gen.config import (
    FORMATS,
    JOINS,
    LIMITS,
    QUALITIES,
    SAMPLE_RATES,
    ExportConfig,
    GenerationConfig,
)
from distill_prior_gen.paths import free_path
from distill_prior_gen.plugins import TabContext, choose, samplers, vocoders
from distill_prior_gen.ui.library import DEMO, SUFFIXES, Entry, entry, find_models, loaded_model
from distill_prior_gen.ui.settings import LEVELS, SETTINGS, STARTS, VARY, to_config, to_page
from distill_prior_gen.ui.takes import Session, Take

MOST_TAKES = 8
"""Takes of one click."""

MOST_LETTERS = 200
"""Of a title, an artist or an album."""

UPLOAD_BYTES = 512 * 2**20
"""Size of the largest model that may be uploaded."""

TOP_K = "How many sounds it may choose among at each step. 0 is all of them."

START = "Start from a sound"

REPORT_S = 0.1
"""Seconds between two updates of the progress bar."""


class _CancelledError(Exception):
    """Raised out of the work when the user has had enough of it."""


class Actions:
    """What the controls of the tab do. Everything that comes from the page is checked here."""

    def __init__(self, context: TabContext) -> None:
        self.context = context
        self.working = threading.Lock()
        self.stops: dict[str | None, threading.Event] = {}

    def models(self, session: Session) -> dict[str, Entry]:
        return find_models(self.context.models_dirs, session.uploads)

    def model(self, key: Any, session: Session) -> Entry:
        """The model behind an identifier from the page."""
        found = self.models(session).get(key) if isinstance(key, str) else None
        if found is None:
            raise gr.Error("Choose a model from the list.")
        return found

    def listed(self, key: Any, session: Session) -> dict[str, Any]:
        """Choices and value of the list as it is now; `key` stays if it is still there."""
        models = self.models(session)
        selected = self.context.selected()
        if key not in models:
            playable = (name for name, model in models.items() if model.reason is None)
            first = next(playable, next(iter(models), None))
            paths = {model.path: name for name, model in models.items()}
            key = paths.get(selected, first) if selected else first
        choices = [(model.label, name) for name, model in models.items()]
        return {"choices": choices, "value": key}

    def refresh(self, key: Any, session: Session) -> gr.Dropdown:
        return gr.Dropdown(**self.listed(key, session))

    def upload(self, file: str, session: Session) -> gr.Dropdown:
        path = Path(file)
        key = f"{path.name} (uploaded)"
        if path.suffix not in SUFFIXES:
            raise gr.Error(f"{path.name} is no model; its name must end in .distill.")
        if path.stat().st_size > UPLOAD_BYTES:
            raise gr.Error(f"{path.name} is larger than {UPLOAD_BYTES // 2**20} MB.")
        if reason := entry(path, path.name).reason:
            raise gr.Error(reason)
        session.uploads[key] = path
        return self.refresh(key, session)

    def chosen(self, key: str | None, session: Session) -> tuple[gr.Markdown, gr.Audio, gr.Button]:
        """What to know before playing the chosen model, and whether it can be played."""
        models = self.models(session)
        reason = models[key].reason if key in models else "Choose a model from the list."
        text = reason
        if list(models) == [DEMO]:
            folders = ", ".join(f"`{folder}`" for folder in self.context.models_dirs)
            text = (
                f"Only the demo model is here. **No models in {folders}.** Make one of your own "
                "recordings with `distill-prior train FOLDER -o MODEL.distill`, or in the Distill "
                "app with `distill train-prior MODEL DATASET`; put it there and click *Refresh*, "
                "or upload one."
            )
        return (
            gr.Markdown(text or "", visible=text is not None),
            gr.Audio(visible=reason is None),
            gr.Button(interactive=reason is None),
        )

    def about_top_k(self, top_k: float, key: str | None, session: Session) -> gr.Slider:
        """The slider with a note where the model's codebook makes its value meaningless."""
        model = self.models(session).get(key or "")
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
            raise gr.Error(model.reason)
        stop = self.stops[stop_key] = threading.Event()
        page = dict(zip(SETTINGS, values, strict=True))
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
            choose("sampler", config.sampler, samplers())
            choose("vocoder", config.vocoder, vocoders())
            if count not in range(1, MOST_TAKES + 1):
                raise ValueError(f"takes must be from 1 to {MOST_TAKES}, not {count}")
            with self.working:
                report(0.0, "Loading the model...")
                loaded = loaded_model(model.path, self.context.device)
                start = time.perf_counter()
                for result in generate_takes(loaded, config, int(count), report):
                    seconds = time.perf_counter() - start
                    session.add(
                        Take(
                            session.made + 1,
                            result,
                            loaded.identity,
                            key,
                            loaded.spectrogram,
                            loaded.grid,
                            seconds,
                        )
                    )
                    start = time.perf_counter()
        except _CancelledError:
            gr.Info("Cancelled.")
        except Exception as error:  # of a plugin's sampler or vocoder, too
            text = str(error) or type(error).__name__
            if page["prompt"]:
                text = text.replace(page["prompt"], Path(page["prompt"]).name)
            raise gr.Error(text) from error
        finally:
            # After a cancelled take, the next may have begun already.
            if self.stops.get(stop_key) is stop:
                del self.stops[stop_key]

    def stop(self, stop_key: str | None) -> None:
        if stop := self.stops.get(stop_key):
            stop.set()

    def take(self, number: Any, session: Session) -> Take:
        if not isinstance(number, int) or number not in session.takes:
            raise gr.Error("Choose a take from the list.")
        return session.takes[number]

    def draw(self, number: int | None, session: Session) -> np.ndarray | None:
        from distill_prior_gen.ui.pictures import draw_take, pixels

        if number not in session.takes:
            return None
        take = session.takes[number]
        if take.picture is None:
            take.picture = pixels(draw_take(take.result, take.spectrogram, take.grid))
        return take.picture

    def settings(self, number: Any, session: Session, longer: bool = False) -> list[Any]:
        """Values for the model's control and those of `SETTINGS`."""
        take = self.take(number, session)
        page = to_page(take.result.config)
        if longer:
            page["duration"] = _longer(take.result.duration)
        if page["prompt"] and not Path(page["prompt"]).is_file():
            gr.Warning(f"{Path(page['prompt']).name} is no longer there.")
            page["prompt"] = None
        known = take.model_key in self.models(session)
        if not known:
            gr.Warning(f"{take.model.name} is no longer in the list of models.")
        return [take.model_key if known else gr.skip(), *page.values()]

    def export(
        self,
        number: Any,
        format_: Any,
        sample_rate: Any,
        bit_depth: Any,
        tags: dict[str, str],
        session: Session,
    ) -> tuple[list[str], str]:
        """Write a take to the output folder.

        Returns:
            Copies of both files for the browser, and what to say.
        """
        from distill_prior_gen.audio.files import write_take
        from distill_prior_gen.paths import sidecar_path

        take = self.take(number, session)
        printable = {name: "".join(filter(str.isprintable, tags[name])).strip() for name in tags}
        given = {name: text[:MOST_LETTERS] for name, text in printable.items() if text}
        try:
            export = ExportConfig(format_, sample_rate, bit_depth)
            folder = self.context.output_dir
            folder.mkdir(parents=True, exist_ok=True)
            path = free_path(folder, take.model.name, take.result.seed, export)
            write_take(take.result, take.model, path, export, given)
        except (ValueError, OSError) as error:
            raise gr.Error(str(error)) from error
        # The page may fetch files from Gradio's own folder only.
        cache = get_upload_folder()
        copies = [save_file_to_cache(file, cache) for file in (path, sidecar_path(path))]
        return copies, f"Saved as `{path}`"


def _longer(duration: float) -> float:
    return min(2 * duration, LIMITS["duration"][1])


def _about_prompt(prompt: str | None) -> gr.Accordion:
    """Names the sound where it can be seen when the accordion is closed."""
    return gr.Accordion(label=f"{START}: {Path(prompt).name}" if prompt else START)


def build_tab(context: TabContext) -> None:
    """Build the tab's components and events into the Blocks that are open."""
    actions = Actions(context)
    session = gr.State(Session())

    def slider(field: str, step: float, label: str, info: str) -> gr.Slider:
        low, high = LIMITS[field]
        default = getattr(GenerationConfig, field)
        return gr.Slider(low, high, default, step=step, label=label, info=info)

    def text(name: str, example: str, info: str | None = None) -> gr.Textbox:
        return gr.Textbox(
            label=LEVELS[name], placeholder=example, info=info, min_width=120, max_lines=1
        )

    with gr.Row():
        with gr.Column(scale=2, min_width=340):
            model = gr.Dropdown(**actions.listed(None, Session()), label="Model", interactive=True)
            with gr.Row():
                refresh = gr.Button("Refresh", size="sm", min_width=80)
                upload = gr.UploadButton(
                    "Upload a model", file_types=list(SUFFIXES), size="sm", min_width=80
                )
            temperature = slider(
                "temperature",
                0.05,
                "Temperature",
                "Low: what it knows best. High: rare sounds, and accidents.",
            )
            top_p = slider(
                "top_p", 0.05, "Top-p", "Leaves out the unlikeliest sounds. 0 leaves out none."
            )
            top_k = slider(
                "top_k",
                1,
                "Top-k",
                TOP_K,
            )
            duration = slider(
                "duration",
                1,
                "Duration (seconds)",
                "With the same seed a longer take begins with the same music.",
            )
            loop = gr.Checkbox(label="Loop", info="The end leads into the beginning.")
            with gr.Row():
                seed = gr.Textbox(
                    label="Seed",
                    info="The same seed makes the same take. Empty: a new one each time.",
                    scale=3,
                    min_width=160,
                )
                randomize = gr.Button("Randomize", size="sm", scale=1, min_width=90)
            with gr.Accordion(START, open=False) as beginning:
                prompt = gr.Audio(label="Sound", sources=["upload", "microphone"], type="filepath")
                start = gr.Radio(
                    [(label, name) for name, label in STARTS.items()],
                    value="continue",
                    label="What to do with it",
                    info="Its last second counts. It is heard as the model hears it, unless you "
                    "continue the recording itself.",
                )
                vary = gr.Slider(
                    *LIMITS["vary"],
                    VARY,
                    step=0.05,
                    label="How much is new",
                    info="0 is the sound as the model hears it. The take is as long as the sound.",
                    visible=False,
                )
            with gr.Accordion("Advanced", open=False):
                min_p = slider(
                    "min_p",
                    0.01,
                    "Min-p",
                    "Leaves out what is so much unlikelier than the likeliest. 0 is off.",
                )
                temperature_end = text(
                    "temperature_end",
                    "0.5",
                    "The temperature moves there over the take. Empty: it stays.",
                )
                temperature_by_level = text(
                    "temperature_by_level",
                    "1.0, 0.8, 0.6",
                    "One value each for structure, timbre and detail. Empty: the slider counts.",
                )
                with gr.Row():
                    top_p_by_level = text("top_p_by_level", "0.9, 0.9, 0.7")
                    top_k_by_level = text("top_k_by_level", "5, 10, 0")
                sampler = gr.Dropdown(
                    list(samplers()),
                    value=GenerationConfig.sampler,
                    label="Sampler",
                    info="Continue: each second follows from the one before. "
                    "Independent: each is drawn by itself.",
                )
                held_columns = slider(
                    "held_columns",
                    1,
                    "Held columns",
                    "How much of each second is carried over into the next. "
                    "More: it follows closer, and takes longer.",
                )
                overlap = slider(
                    "overlap",
                    10,
                    "Crossfade overlap (ms)",
                    "How softly seconds that do not continue each other pass into the next.",
                )
                join = gr.Dropdown(
                    JOINS,
                    value=GenerationConfig.join,
                    label="Join",
                    info="Of seconds that do not continue each other. Spectral: one tone through "
                    "every seam. Crossfade: they fade over.",
                )
                vocoder = gr.Dropdown(
                    list(vocoders()),
                    value=GenerationConfig.vocoder,
                    label="Vocoder",
                    info="How a spectrum becomes a sound.",
                )
                quality = gr.Radio(
                    QUALITIES,
                    value=GenerationConfig.quality,
                    label="Quality",
                    info="Better takes longer, and sounds a little cleaner.",
                )
                count = gr.Slider(
                    1,
                    MOST_TAKES,
                    1,
                    step=1,
                    label="Takes per click",
                    info="All are made together, each with a seed of its own.",
                )
            with gr.Row():
                generate = gr.Button("Generate", variant="primary", scale=3)
                cancel = gr.Button("Cancel", scale=1, min_width=90)
        with gr.Column(scale=3, min_width=380):
            message = gr.Markdown(visible=False)
            player = gr.Audio(label="Take", interactive=False)
            results = gr.Column(visible=False)
            with results:
                words = gr.Markdown()
                picture = gr.Image(label="Spectrum and codes", interactive=False, format="png")
                with gr.Row():
                    command = gr.Textbox(
                        label="The same on the command line",
                        interactive=False,
                        max_lines=4,
                        scale=4,
                    )
                    copy = gr.Button("Copy command", size="sm", scale=1, min_width=120)
                chosen_take = gr.Radio(choices=[], label="Takes of this session", type="value")
                with gr.Row():
                    restore = gr.Button("Use its settings", size="sm", min_width=110)
                    longer = gr.Button("Same seed, longer", size="sm", min_width=110)
                    remove = gr.Button("Remove", size="sm", min_width=80)
                with gr.Accordion("Export", open=False):
                    with gr.Row():
                        format_ = gr.Dropdown(
                            list(FORMATS), value=ExportConfig.format, label="Format", min_width=90
                        )
                        rate = gr.Dropdown(
                            [("the model's", 0), *((f"{r} Hz", r) for r in SAMPLE_RATES)],
                            value=0,
                            label="Sample rate",
                            min_width=120,
                        )
                        depth = gr.Dropdown(
                            _depths(ExportConfig.format), value=24, label="Bit depth", min_width=90
                        )
                    with gr.Row():
                        title = gr.Textbox(label="Title", max_length=MOST_LETTERS, min_width=120)
                        artist = gr.Textbox(label="Artist", max_length=MOST_LETTERS, min_width=120)
                        album = gr.Textbox(label="Album", max_length=MOST_LETTERS, min_width=120)
                    export = gr.Button("Export")
                    saved = gr.Markdown()
                    files = gr.File(label="Download", interactive=False, visible=False)

    controls = [
        temperature, top_p, top_k, duration, loop, seed, prompt, start, vary, min_p,
        temperature_end, temperature_by_level, top_p_by_level, top_k_by_level, sampler,
        held_columns, overlap, join, vocoder, quality,
    ]  # fmt: skip
    shown = [player, words, command, longer, chosen_take, results]

    def show(number: int | None, session: Session) -> list[Any]:
        """What `shown` shows of a take, and the takes there are."""
        takes = session.takes
        if number not in takes:
            number = next(reversed(takes), None)
        choices = [(take.label, take.number) for take in reversed(takes.values())]
        listed = gr.Radio(choices=choices, value=number)
        if number is None:
            return [None, "", "", gr.skip(), listed, gr.Column(visible=False)]
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
            take.command(),
            gr.Button(label, interactive=can_be_longer),
            listed,
            gr.Column(visible=True),
        ]

    def make(
        key: str | None,
        temperature: float,
        top_p: float,
        top_k: float,
        duration: float,
        loop: bool,
        seed: str,
        prompt: str | None,
        start: str,
        vary: float,
        min_p: float,
        temperature_end: str,
        temperature_by_level: str,
        top_p_by_level: str,
        top_k_by_level: str,
        sampler: str,
        held_columns: float,
        overlap: float,
        join: str,
        vocoder: str,
        quality: str,
        count: float,
        session: Session,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio's way to ask for one
    ) -> list[Any]:
        values = [
            temperature, top_p, top_k, duration, loop, seed, prompt, start, vary, min_p,
            temperature_end, temperature_by_level, top_p_by_level, top_k_by_level, sampler,
            held_columns, overlap, join, vocoder, quality,
        ]  # fmt: skip
        actions.make(key, values, count, session, request.session_hash, progress)
        return show(None, session)

    def stop(session: Session, request: gr.Request) -> list[Any]:
        actions.stop(request.session_hash)
        return show(None, session)

    def remove_take(number: Any, session: Session) -> list[Any]:
        del session.takes[actions.take(number, session).number]
        return show(None, session)

    def export_take(
        number: Any,
        format_: str,
        rate: int,
        depth: int | None,
        title: str,
        artist: str,
        album: str,
        session: Session,
    ) -> tuple[gr.File, str]:
        tags = {"title": title, "artist": artist, "album": album}
        copies, text = actions.export(number, format_, rate or None, depth or None, tags, session)
        return gr.File(copies, visible=True), text

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_name": False}
    about_model = {
        "fn": actions.chosen,
        "inputs": [model, session],
        "outputs": [message, player, generate],
        **quiet,
    }
    about_top_k = {
        "fn": actions.about_top_k,
        "inputs": [top_k, model, session],
        "outputs": top_k,
        **quiet,
    }
    listing: dict[str, Any] = {
        "fn": actions.refresh,
        "inputs": [model, session],
        "outputs": model,
        **quiet,
    }
    uploading: dict[str, Any] = {
        "fn": actions.upload,
        "inputs": [upload, session],
        "outputs": model,
        "api_name": "upload_prior_model",
    }
    # Without triggers: when the page is loaded.
    for listed in (gr.on(None, **listing), refresh.click(**listing), upload.upload(**uploading)):
        listed.then(**about_model)
    model.change(**about_model).then(**about_top_k)
    top_k.change(**about_top_k)
    prompt.change(_about_prompt, prompt, beginning, **quiet)
    start.change(lambda start: gr.Slider(visible=start == "vary"), start, vary, **quiet)
    randomize.click(_random_seed, None, seed, **quiet)

    making: dict[str, Any] = {
        "fn": make,
        "inputs": [model, *controls, count, session],
        "outputs": shown,
        "show_progress_on": player,
        "concurrency_id": "distill-prior",
        "concurrency_limit": 1,
    }
    drawing: dict[str, Any] = {
        "fn": actions.draw,
        "inputs": [chosen_take, session],
        "outputs": picture,
        "api_name": False,
    }
    made = generate.click(**making, api_name="generate_prior_take")
    made.success(**drawing)
    lengthened = longer.click(
        lambda number, session: actions.settings(number, session, longer=True),
        [chosen_take, session],
        [model, *controls],
        **quiet,
    )
    made_longer = lengthened.success(**making, api_name=False)
    made_longer.success(**drawing)
    cancel.click(stop, session, shown, queue=False, cancels=[made, made_longer], **quiet).then(
        **drawing
    )
    chosen_take.input(show, [chosen_take, session], shown, **quiet).then(**drawing)
    restore.click(actions.settings, [chosen_take, session], [model, *controls], **quiet)
    remove.click(remove_take, [chosen_take, session], shown, **quiet).then(**drawing)
    copy.click(None, command, None, js="(text) => { navigator.clipboard.writeText(text); }")
    format_.change(
        lambda name: gr.Dropdown(
            _depths(name), value=24 if FORMATS[name] else 0, interactive=bool(FORMATS[name])
        ),
        format_,
        depth,
        **quiet,
    )
    export.click(
        export_take,
        [chosen_take, format_, rate, depth, title, artist, album, session],
        [files, saved],
        concurrency_id="distill-prior-export",
        concurrency_limit=1,
        show_progress_on=saved,
        api_name="export_prior_take",
    )


def _depths(format_: str) -> list[tuple[str, int]]:
    names = {16: "16", 24: "24", 32: "32 (float)"}
    return [(names[depth], depth) for depth in FORMATS[format_]] or [("none", 0)]


def _random_seed() -> str:
    from distill_prior_gen.sampling.streams import new_seed

    return str(new_seed())
