"""Brings takes of the store back into memory, where they can be edited and exported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from distill_prior_gen.config import no_progress
from distill_prior_gen.ui.page_messages import explain, refusal
from distill_prior_gen.ui.session import Session
from distill_prior_gen.ui.take import Take
from distill_prior_gen.ui.take_maker import TakeMaker, new_take


def open_in_memory(maker: TakeMaker, number: Any, session: Session) -> Take:
    """A take in memory; if it is in the store alone, it is made again from its sidecar.

    Args:
        maker: the maker of the takes, of which this waits for its turn.
        number: number of the take, None for the one on the board.
        session: session of the browser.

    Raises:
        gr.Error: if there is no such take, or its model is not in the list.
    """
    from distill_prior_gen.export.opening import open_take

    saved = session.get_take(number)
    if isinstance(saved, Take):
        return saved
    key = maker.models.find_key(saved, session)
    model = key and maker.models.find_model(key, session)
    if not key or not model:
        raise refusal(
            f"{saved.model.file} is not in the list of models, so take {saved.number} can be "
            "heard and downloaded, but not edited or exported."
        )
    try:
        with maker.turn(model.path, no_progress) as loaded:
            if known := session.takes.get(saved.number):  # another call was faster
                return known
            if loaded.sha256 != saved.model.sha256:
                raise ValueError(f"{model.path.name} has changed since the take was made")
            result = open_take(loaded, saved.sidecar)
    except Exception as error:  # a plugin's vocoder may raise anything
        raise explain(error, maker.context) from error
    take = new_take(saved.number, replace(result, timings={}), loaded, key, saved.origin)
    with maker.storing:
        session.put_in_memory(saved, take)
        maker.limit_memory()
    return take
