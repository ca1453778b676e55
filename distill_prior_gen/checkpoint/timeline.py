"""The timeline prior in a model file: its entries, and whether they fit the model."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from distill_prior_gen.checkpoint.checks import (
    compare_tensors,
    read_sizes,
    read_state,
)
from distill_prior_gen.messages import printable
from distill_prior_gen.networks.timeline import TimelineNetwork

STATE, CONFIG, METADATA = "timeline_state_dict", "timeline_config", "timeline_metadata"
"""Keys of the file: weights, sizes, and how the training went."""

ARCHITECTURE = "rq-transformer"
"""Name of the kind of network; other kinds are refused."""

MAX_NAME_LENGTH = 200
"""Characters of the name of a recording that are shown."""

MAX_SIZES = {
    "width": 1024,
    "num_layers": 32,
    "column_layers": 32,
    "memory": 4096,
    "recordings": 10_000,
}


def read_timeline(
    contents: dict[str, Any], rows: int, levels: int, codebook_size: int
) -> tuple[dict[str, int], dict[str, Tensor]]:
    """Arguments and tensors of the `TimelineNetwork` of a file.

    Raises:
        ValueError: if they do not fit the model, or the kind of network is unknown.
    """
    shape = {"rows": rows, "levels": levels, "codebook_size": codebook_size}
    shape |= read_sizes(contents, CONFIG, ARCHITECTURE, MAX_SIZES)
    state = read_state(contents, STATE)
    compare_tensors(STATE, state, TimelineNetwork, shape)
    return shape, state


def read_recordings(contents: dict[str, Any], count: int) -> tuple[str, ...]:
    """Names of the recordings of the timeline prior in printable form.

    There are none if the file does not have a name for each of `count` recordings.
    """
    metadata = contents.get(METADATA)
    names = metadata.get("recordings") if isinstance(metadata, dict) else None
    if not isinstance(names, list) or len(names) != count:
        return ()
    if not all(type(name) is str for name in names):
        return ()
    return tuple(printable(name[:MAX_NAME_LENGTH])[:MAX_NAME_LENGTH] for name in names)


def timeline_entries(network: TimelineNetwork, metadata: dict[str, Any]) -> dict[str, Any]:
    """The entries of a file with a timeline prior. Weights are stored in half precision."""
    return {
        STATE: {name: t.half().cpu() for name, t in network.state_dict().items()},
        CONFIG: {
            "architecture": ARCHITECTURE,
            "width": network.column.out_features,
            "num_layers": len(network.blocks),
            "column_layers": len(network.column_blocks),
            "memory": network.memory,
            "recordings": network.recordings,
        },
        METADATA: metadata,
    }
