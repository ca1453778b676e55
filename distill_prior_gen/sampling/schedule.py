"""The order in which the rows of chunks are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def wavefront_schedule(
    sources: Sequence[set[int]], height: int, max_lanes: int
) -> Iterator[list[tuple[int, int]]]:
    """Batches of rows that can be drawn at the same time.

    A code map is drawn row by row, and a chunk that continues another needs, for each of its
    rows, no more of the other than the same row. So it can follow one row behind. With three
    rows, chunk 1 continuing chunk 0, chunk 2 continuing chunk 1, and two lanes::

        step      0     1     2     3     4     5
        lane 0   0.0   0.1   0.2   2.0   2.1   2.2     (chunk.row)
        lane 1         1.0   1.1   1.2   1.2   1.2

    Args:
        sources: the chunks that each chunk shares columns with and that are drawn before it.
        height: rows of a code map.
        max_lanes: largest batch.

    Yields:
        The chunk and the row of each lane. A chunk that is finished keeps its lane, at its last
        row, until another chunk takes it.
    """
    waiting = list(range(len(sources)))
    rows_done = [0] * len(sources)
    lanes: list[int] = []
    while min(rows_done, default=height) < height:
        for chunk in [c for c in waiting if all(rows_done[source] for source in sources[c])]:
            finished = [lane for lane, other in enumerate(lanes) if rows_done[other] == height]
            if finished:
                lanes[finished[0]] = chunk
            elif len(lanes) < max_lanes:
                lanes.append(chunk)
            else:
                break
            waiting.remove(chunk)
        yield [(chunk, min(rows_done[chunk], height - 1)) for chunk in lanes]
        for chunk in lanes:
            rows_done[chunk] = min(rows_done[chunk] + 1, height)
