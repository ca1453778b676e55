"""Edits the take on the board: redraws its regions, joins and blends it with another take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from reprlib import repr as shortened
from typing import Any

from distill_prior_gen.config import GAP_LIMITS, GenerationConfig, Progress, Region
from distill_prior_gen.editing.takes import redraw
from distill_prior_gen.editing.transitions import fill, morph
from distill_prior_gen.model import PriorModel
from distill_prior_gen.result import GenerationResult
from distill_prior_gen.ui.board_controls import MAX_ALTERNATIVES
from distill_prior_gen.ui.history import Step
from distill_prior_gen.ui.page_messages import explain, refusal
from distill_prior_gen.ui.session import Session
from distill_prior_gen.ui.settings import SETTINGS, to_config
from distill_prior_gen.ui.take import Listed, Take
from distill_prior_gen.ui.take_maker import TakeMaker
from distill_prior_gen.ui.take_opener import open_in_memory
from distill_prior_gen.validation import check_number

MAX_REGIONS = 100
"""Largest number of regions that are redrawn at once."""

Change = Callable[[PriorModel, Progress], GenerationResult]


@dataclass(frozen=True)
class EditRequest:
    """What the page asks for.

    Attributes:
        regions: places on the board, see `read_regions`.
        levels: numbers of the levels.
        count: number of alternatives.
        other: number of the other take.
        gap: seconds between the two takes.
        amount: share of the other take.
    """

    regions: Any
    levels: Any
    count: Any
    other: Any
    gap: Any
    amount: Any


def edit(
    maker: TakeMaker,
    operation: str,
    asked: EditRequest,
    values: list[Any],
    session: Session,
    stop_key: str | None,
    progress: Any,
) -> Iterator[Step[Listed]]:
    """Edit the take on the board.

    Args:
        maker: the maker of the takes.
        operation: ``"redraw"``, ``"fill"`` or ``"morph"``.
        asked: what the page asks for.
        values: values of the controls of `SETTINGS`, in that order.
        session: session of the browser.
        stop_key: see `TakeMaker.edit`.
        progress: a function like `gr.Progress`.

    Yields:
        The step of the history, whenever it has another alternative.

    Raises:
        gr.Error: if there is no take, a value is wrong, or the take cannot be edited.
    """
    take = open_in_memory(maker, None, session)
    other = None
    if operation != "redraw" and asked.other is not None:
        other = open_in_memory(maker, asked.other, session)
    try:
        change, origin, count = _plan(operation, asked, read_controls(values), take, other)
    except ValueError as error:
        raise explain(error, maker.context) from error
    step: Step[Listed] | None = None

    def add(edited: Take) -> None:
        nonlocal step
        edited = replace(edited, origin=origin)
        if step is None:
            step = session.history.add(take, edited)
        else:
            step.options.append(edited)

    for number in range(count):

        def report(share: float, desc: str, number: int = number) -> None:
            progress((number + share) / count, desc=desc)

        done = maker.edit(take, change, add, session, stop_key, report)
        if not done or step is None:
            return
        yield step


def _plan(
    operation: str, asked: EditRequest, config: GenerationConfig, take: Take, other: Take | None
) -> tuple[Change, str, int]:
    """The change that was asked for, where its result comes from, and how often it is made."""
    levels = read_levels(asked.levels, take)
    count = int(check_number("alternatives", asked.count, 1, MAX_ALTERNATIVES, True))
    first = take.result
    if operation == "redraw":
        regions = read_regions(asked.regions, levels, take)
        origin = f"edited from take {take.number}" if take.number else take.origin
        return lambda model, report: redraw(model, first, regions, config, report), origin, count
    if other is None:
        raise ValueError("choose the other take first")
    if other.model.sha256 != take.model.sha256:
        raise ValueError("the two takes must be of the same model")
    second = other.result
    if operation == "fill":
        gap = check_number("seconds between", asked.gap, *GAP_LIMITS)
        origin = f"from {take.title} to {other.title}"
        return lambda model, report: fill(model, first, second, gap, config, report), origin, count
    share = check_number("how much of the other take", asked.amount, 0.0, 1.0)
    origin = f"{take.title} with {share:.0%} of {other.title}"
    return (
        lambda model, report: morph(model, first, second, share, levels, config, report),
        origin,
        1,
    )


def read_controls(values: list[Any]) -> GenerationConfig:
    """Settings for sound that is added to a take, with a new seed.

    Args:
        values: values of the controls of `SETTINGS`, in that order.

    Raises:
        ValueError: if a value is wrong.
    """
    page = dict(zip(SETTINGS, values, strict=True))
    page |= {"prompt": None, "start": "continue", "loop": False, "seed": "", "like": ""}
    return to_config(page)


def read_levels(given: Any, take: Take) -> tuple[int, ...]:
    """Numbers of levels from the page.

    Raises:
        ValueError: if they are no levels of the take, or there are none.
    """
    levels = take.result.codes.shape[-1]
    if not isinstance(given, list) or not all(type(level) is int for level in given):
        raise ValueError(f"levels must be a list of numbers, not {shortened(given)}")
    chosen = tuple(sorted(level for level in set(given) if 0 <= level < levels))
    if not chosen:
        raise ValueError("choose at least one of the levels")
    return chosen


def read_regions(given: Any, levels: tuple[int, ...], take: Take) -> tuple[Region, ...]:
    """Regions from the page.

    Args:
        given: list of dictionaries with the numbers of the first and the last column (``first``,
            ``last``) and row (``low``, ``high``).
        levels: levels of all regions.
        take: the take.

    Raises:
        ValueError: if there are none, or they do not lie on the board of the take.
    """
    if not given:
        raise ValueError("select what to redraw: drag over the picture")
    seconds, hertz = take.column_edges(), take.row_edges()
    if not isinstance(given, list) or len(given) > MAX_REGIONS:
        raise ValueError(f"regions must be a list of at most {MAX_REGIONS}")
    regions = []
    for place in given:
        names = ("first", "last", "low", "high")
        if not isinstance(place, dict) or not all(type(place.get(n)) is int for n in names):
            raise ValueError(f"a region must have {', '.join(names)}, not be {shortened(place)}")
        first, last, low, high = (place[name] for name in names)
        if not (0 <= first <= last < len(seconds) - 1 and 0 <= low <= high < len(hertz) - 1):
            raise ValueError("a region lies outside of the take; select it again")
        band = None
        if high - low + 1 < take.rows:
            # Whole numbers within the rows, which mean these rows only.
            band = float(-(-hertz[low] // 1)), float(hertz[high + 1] // 1)
        start, end = max(0.0, seconds[first]), min(seconds[last + 1], take.result.duration)
        regions.append(Region(start, end, band, levels))
    return tuple(regions)


def choose(number: Any, session: Session) -> None:
    """Show another of the alternatives.

    Raises:
        gr.Error: if there is no such alternative.
    """
    step = session.history.step
    if step is None or type(number) is not int or not 0 <= number < len(step.options):
        raise refusal(f"There is no alternative {shortened(number)}; choose one from the list.")
    session.history.choose(number)
