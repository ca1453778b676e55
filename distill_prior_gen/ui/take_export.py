"""Writes takes to files: in the output folder, or for the browser alone."""

from __future__ import annotations

from pathlib import Path
from reprlib import repr as shortened
from tempfile import TemporaryDirectory
from typing import Any

# Gradio has no public functions for this; both are private and may change.
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from distill_prior_gen.export.naming import sidecar_path
from distill_prior_gen.formats import LOOP_NOTES, ExportConfig
from distill_prior_gen.store.saved_take import SavedTake
from distill_prior_gen.ui.page_messages import explain, visible_path
from distill_prior_gen.ui.results import MAX_TAG_LENGTH
from distill_prior_gen.ui.session import Session
from distill_prior_gen.ui.take_maker import TakeMaker
from distill_prior_gen.ui.take_opener import open_in_memory


class TakeExporter:
    """Writes the takes of one tab.

    The methods take the number of a take, the values of `ExportPanel.values` in their order, and
    the session of the browser. They raise `gr.Error` if there is no such take, a value is wrong,
    or the file cannot be written.
    """

    def __init__(self, maker: TakeMaker) -> None:
        self.maker = maker
        self.context = maker.context

    def export(self, number: Any, values: list[Any], session: Session) -> tuple[list[str], str]:
        """Write a take to the output folder.

        Returns:
            Paths of copies of the file and its sidecar for the browser, and a message.
        """
        path = self._write(number, values, self.context.output_dir, session)
        text = f"Saved as `{visible_path(path)}`"
        note = LOOP_NOTES.get(path.suffix[1:])
        if note and session.get_take(number).config.loop:
            text += f"  \n{note}."
        return _copy_pair(path), text

    def download(self, number: Any, values: list[Any], session: Session) -> list[str]:
        """Write a take and its sidecar for the browser alone, and return their paths.

        A take of the store whose model is not there is given as it was saved.
        """
        saved = session.get_take(number)
        if isinstance(saved, SavedTake) and not self.maker.models.find_key(saved, session):
            return _copy_pair(saved.path)
        with TemporaryDirectory() as folder:
            return _copy_pair(self._write(number, values, Path(folder), session))

    def _write(self, number: Any, values: list[Any], folder: Path, session: Session) -> Path:
        from distill_prior_gen.export.files import write_named_take

        take = open_in_memory(self.maker, number, session)
        # On the page, 0 stands for the model's sample rate, and for a format without bit depths.
        format_, sample_rate, bit_depth = (None if value == 0 else value for value in values[:3])
        tags = dict(zip(("title", "artist", "album"), values[3:6], strict=True))
        try:
            cleaned = {name: _clean_tag(name, text) for name, text in tags.items()}
            given = {name: text for name, text in cleaned.items() if text}
            if not isinstance(format_, str):
                raise ValueError(f"format must be a name, not {shortened(format_)}")
            export = ExportConfig(format_, sample_rate, bit_depth, _parse_loudness(values[6]))
            folder.mkdir(parents=True, exist_ok=True)
            path, _ = write_named_take(take.result, take.model, folder, export, given)
        except (ValueError, OSError) as error:
            raise explain(error, self.context) from error
        return path


def _parse_loudness(text: Any) -> Any:
    """The number in a text, or None if it is empty; other values stay as they are."""
    if not isinstance(text, str):
        return text
    try:
        return float(text) if text.strip() else None
    except ValueError:
        return text


def _clean_tag(name: str, text: Any) -> str:
    """A tag without characters that cannot be printed, and not longer than is allowed."""
    if not isinstance(text, str | None):
        raise ValueError(f"{name} must be text, not {shortened(text)}")
    return "".join(filter(str.isprintable, text or "")).strip()[:MAX_TAG_LENGTH]


def copy_for_browser(path: Path) -> str:
    """Copy a file to Gradio's folder, the only one that pages may read."""
    return save_file_to_cache(path, get_upload_folder())


def _copy_pair(path: Path) -> list[str]:
    return [copy_for_browser(file) for file in (path, sidecar_path(path))]
