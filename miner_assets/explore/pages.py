"""The pages: each reads its address, asks the index, and fills a template. Nothing here writes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, cast, get_args

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from miner_assets.explore import charts
from miner_assets.explore.cards import Card, make_cards, title_of, web_link
from miner_assets.explore.index import ACROSS, IN_VIDEO, Fate
from miner_assets.explore.project import Project
from miner_assets.explore.queries import Filters, GroupOrder, Queries, reasons, start_with
from miner_assets.explore.rendering import Templates
from miner_assets.explore.text_search import TextSearch
from miner_resources.errors import InvalidData, MinerError
from miner_resources.tables import read_table

FRAMES_A_PAGE: Final = 60
GROUPS_A_PAGE: Final = 20
VIDEOS_A_PAGE: Final = 60
SHOWN_REPEATS: Final = 12
"""Of a group on the page of all groups."""
TICKS: Final = 2000
"""Frames on a timeline; more would be narrower than a pixel."""


class Pages:
    """All pages of one project.

    Args:
        project: what they are about.
        playable: whether a browser can play a video.
    """

    def __init__(self, project: Project, playable: Callable[[str], bool]) -> None:
        self._project = project
        self._storage = project.workspace.storage
        self._playable = playable
        self._search = TextSearch(project.workspace)
        self._templates = Templates(project=self._storage.root.name, fates=[fate.value for fate in Fate])

    def frames(self, request: Request) -> Response:
        """A grid of frames that meet the filters."""
        asked = Filters.parse(request.query_params)
        queries = self._project.latest
        counts = queries.counts(replace(asked, show="", order="time"))
        filters = start_with(asked, counts)
        rows = queries.select(filters)
        page, pages = _page(request, len(rows), FRAMES_A_PAGE)
        start = (page - 1) * FRAMES_A_PAGE
        return self._show(
            "frames.html",
            queries,
            filters=filters,
            counts=counts,
            cards=make_cards(queries.index, rows[start : start + FRAMES_A_PAGE]),
            page=page,
            pages=pages,
            found=len(rows),
            reasons=reasons(queries.index),
            keywords=sorted(set(queries.index.frames["keyword"].drop_nulls().unique())),
            splits=sorted(set(queries.index.frames["split"].drop_nulls().unique())),
            video_title=title_of(queries.index, filters.video) if filters.video else "",
        )

    def frame(self, request: Request) -> Response:
        """One frame, with all that is known about it."""
        queries = self._project.latest
        row = self._row(queries, request)
        filters = Filters.parse(request.query_params)
        counts = queries.counts(replace(filters, show="", order="time"))
        filters = start_with(filters, counts)
        rows = queries.select(filters)
        places = (rows == row).nonzero()[0]
        if not len(places):  # a link from elsewhere: neighbours are those of the video
            filters = Filters(show="all", video=queries.index.frames["video_id"][row])
            rows = queries.select(filters)
            places = (rows == row).nonzero()[0]
        place = int(places[0])
        before, after = rows[max(0, place - 1) : place], rows[place + 1 : place + 2]
        group = queries.group(row)
        card, *around = make_cards(queries.index, [row, *before, *after])
        others = [other for other in group.rows if other != row]
        root = queries.index.frames["frame_id"][group.root]
        return self._show(
            "frame.html",
            queries,
            filters=filters,
            card=card,
            before=around[0] if len(before) else None,
            after=around[-1] if len(after) else None,
            place=place + 1,
            found=len(rows),
            page=place // FRAMES_A_PAGE + 1,
            group=make_cards(queries.index, others[:SHOWN_REPEATS]),
            root=root,
            video=queries.index.videos.get(card.video_id),
            source=self._source(queries, card),
            scores=self._class_scores(queries, card),
        )

    def videos(self, request: Request) -> Response:
        """All videos, or those whose title or id holds a text."""
        queries = self._project.latest
        wanted = request.query_params.get("title", "").strip()
        keyword = request.query_params.get("keyword", "").strip()
        rows = [
            row
            for row in charts.count_videos(queries.index)
            if wanted.casefold() in f"{row.video.title} {row.video.video_id} {row.video.channel}".casefold()
            and keyword in ("", row.video.source_keyword)
        ]
        page, pages = _page(request, len(rows), VIDEOS_A_PAGE)
        shown = rows[(page - 1) * VIDEOS_A_PAGE : page * VIDEOS_A_PAGE]
        return self._show(
            "videos.html", queries, rows=shown, found=len(rows), title=wanted, keyword=keyword, page=page, pages=pages
        )

    def video(self, request: Request) -> Response:
        """One video along its time."""
        queries = self._project.latest
        video_id = request.path_params["video_id"]
        row = next((row for row in charts.count_videos(queries.index) if row.video.video_id == video_id), None)
        if row is None:
            raise HTTPException(404, "There is no such video in this project.")
        filters = replace(Filters.parse(request.query_params), video=video_id)
        filters = filters if filters.show else replace(filters, show="all")
        rows = queries.select(filters)
        page, pages = _page(request, len(rows), FRAMES_A_PAGE)
        first, count = queries.index.rows.get(video_id, (0, 0))
        step = max(1, -(-count // TICKS))
        ticks = make_cards(queries.index, range(first, first + count, step))
        length = max([row.video.duration_s or 0.0, *(tick.timestamp_s for tick in ticks)]) or 1.0
        return self._show(
            "video.html",
            queries,
            row=row,
            link=web_link(row.video.url),
            playable=self._playable(video_id),
            ticks=ticks,
            step=step,
            length=length,
            filters=filters,
            counts=queries.counts(replace(filters, show="", order="time")),
            cards=make_cards(queries.index, rows[(page - 1) * FRAMES_A_PAGE : page * FRAMES_A_PAGE]),
            page=page,
            pages=pages,
            found=len(rows),
        )

    def repeats(self, request: Request) -> Response:
        """Groups of near-duplicates."""
        queries = self._project.latest
        order = _choice(request, "order", get_args(GroupOrder))
        kind = _choice(request, "kind", ("", IN_VIDEO, ACROSS))
        video = request.query_params.get("video", "").strip()
        groups = queries.groups(cast("GroupOrder", order), kind, video)
        page, pages = _page(request, len(groups), GROUPS_A_PAGE)
        shown = groups[(page - 1) * GROUPS_A_PAGE : page * GROUPS_A_PAGE]
        cut = [[group.root, *[row for row in group.rows if row != group.root][:SHOWN_REPEATS]] for group in shown]
        cards = {card.row: card for card in make_cards(queries.index, [row for rows in cut for row in rows])}
        return self._show(
            "repeats.html",
            queries,
            groups=[
                (cards[rows[0]], [cards[row] for row in rows[1:]], len(group.rows) - len(rows))
                for group, rows in zip(shown, cut, strict=True)
            ],
            found=len(groups),
            order=order,
            kind=kind,
            video=video,
            video_title=title_of(queries.index, video) if video else "",
            page=page,
            pages=pages,
        )

    def group(self, request: Request) -> Response:
        """All near-duplicates of one frame, side by side."""
        queries = self._project.latest
        group = queries.group(self._row(queries, request))
        others = [row for row in group.rows if row != group.root]
        page, pages = _page(request, len(others), FRAMES_A_PAGE)
        root, *cards = make_cards(
            queries.index, [group.root, *others[(page - 1) * FRAMES_A_PAGE : page * FRAMES_A_PAGE]]
        )
        return self._show("group.html", queries, root=root, cards=cards, found=len(others), page=page, pages=pages)

    def charts(self, request: Request) -> Response:  # noqa: ARG002 (all pages take one)
        """Classes and scores in numbers."""
        queries = self._project.latest
        classes = charts.count_classes(queries.index)
        return self._show(
            "charts.html",
            queries,
            classes=classes,
            scores=[(row, charts.score_bars(queries.index, row.name)) for row in classes if row.frames],
            boxes=charts.box_bars(queries.index),
            similarities=charts.similarity_bars(queries.index),
            counts=queries.counts(Filters()),
            reasons=reasons(queries.index),
        )

    def funnel(self, request: Request) -> Response:  # noqa: ARG002
        """What became of what each search found."""
        queries = self._project.latest
        return self._show("funnel.html", queries, rows=charts.count_funnel(queries.index))

    def search(self, request: Request) -> Response:
        """Frames that match a text, or are like a frame."""
        queries = self._project.latest
        text = " ".join(request.query_params.get("q", "").split())[:300]
        like = request.query_params.get("like", "")[:200]
        example: Card | None = None
        if like:
            name, _, number = like.rpartition(":")
            row = queries.index.row_of(name, int(number)) if number.isascii() and number.isdecimal() else None
            if row is None:
                raise HTTPException(404, "There is no such frame in this project.")
            (example,) = make_cards(queries.index, [row])
        if not text and example is None:
            return self._show("search.html", queries, text="", example=None, cards=[], answer=None, waiting=False)
        kind, value = ("text", text) if example is None else ("frame", example.frame_id)
        answer = self._search.ask(kind, value, queries.version)
        hits = {hit.frame_id: hit.score for hit in answer.hits or ()}
        places = [(queries.index.row_of(*_split(frame)), score) for frame, score in hits.items()]
        known = [(row, score) for row, score in places if row is not None]
        cards = make_cards(queries.index, [row for row, _ in known])
        return self._show(
            "search.html",
            queries,
            text=text,
            example=example,
            cards=list(zip(cards, [score for _, score in known], strict=True)),
            answer=answer,
            waiting=answer.hits is None and answer.trouble is None,
        )

    def problem(self, request: Request, error: Exception) -> Response:  # noqa: ARG002
        """A page about what went wrong."""
        if isinstance(error, HTTPException):
            status, message, remedy = error.status_code, str(error.detail), ""
        elif isinstance(error, InvalidData):
            status, message, remedy = 400, f"This address cannot be understood: {error.message}", error.remedy
        else:
            known = error if isinstance(error, MinerError) else None
            status = 503
            message, remedy = (known.message, known.remedy) if known else (str(error), "")
        return self._templates.show("problem.html", {"message": message, "remedy": remedy}, status)

    def _show(self, template: str, queries: Queries, **values: object) -> Response:
        index = queries.index
        problems = index.artifacts.problems
        return self._templates.show(
            template, values | {"problems": problems, "colors": index.colors, "total": len(index.frames)}
        )

    def _row(self, queries: Queries, request: Request) -> int:
        row = queries.index.row_of(request.path_params["video_id"], request.path_params["frame_index"])
        if row is None:
            raise HTTPException(404, "There is no such frame in this project.")
        return row

    def _source(self, queries: Queries, card: Card) -> str | None:
        video = queries.index.videos.get(card.video_id)
        return None if video is None else web_link(video.url, card.timestamp_s)

    def _class_scores(self, queries: Queries, card: Card) -> Sequence[tuple[str, float, str]]:
        """Class, score and colour, best first; empty if the filter has not looked at the frame."""
        try:
            table = read_table(self._storage.scores_table(card.video_id)).filter(frame_index=card.frame_index)
        except MinerError:
            return []
        pairs = [
            (str(name), float(score))
            for names, scores in table.select("classes", "scores").iter_rows()
            for name, score in zip(names, scores, strict=False)
        ]
        colors = queries.index.colors
        return [(name, score, colors.get(name, "#888888")) for name, score in sorted(pairs, key=lambda p: -p[1])]


def _split(frame_id: str) -> tuple[str, int]:
    name, _, number = frame_id.rpartition(":")
    return name, int(number)


def _page(request: Request, found: int, size: int) -> tuple[int, int]:
    """The page that is asked for, at most the last, and how many there are."""
    pages = max(1, -(-found // size))
    text = request.query_params.get("page", "1")
    if not (text.isascii() and text.isdecimal()):
        raise InvalidData(f"page={text[:40]!r}", remedy="give a whole number from 1")
    return min(max(1, int(text[:9])), pages), pages


def _choice(request: Request, name: str, allowed: Sequence[str]) -> str:
    value = request.query_params.get(name) or allowed[0]
    if value not in allowed:
        raise InvalidData(f"{name}={value[:40]!r}", remedy=f"choose one of {', '.join(filter(None, allowed))}")
    return value
