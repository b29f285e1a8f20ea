"""`/decide/TOKEN`: shows one person what is decided on, and takes the decision. Looking never decides."""

import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import structlog
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from temporalio.client import Client
from temporalio.service import RPCError

from api.pages import HEADERS, message, page
from api.standing import Standing, State, standing
from contracts.base import Json, canonical
from contracts.decisions import MAX_COMMENT, Decision
from contracts.errors import Refused, ServerUnreachable
from runtime.deciding import look_at_step, receipt_of, send
from runtime.links import PATH, Link, Links

MAX_FORM_BYTES = 1_000_000
MAX_INLINE = 20_000
"""Characters of exact JSON on the page itself, and of arguments that can be edited there."""

EXACT = "exact"
"""With `?exact` the answer is exactly what is decided on, as canonical JSON, however large."""

_STATUS: dict[State, int] = {"open": 200, "not_now": 200, "used": 200}
"""Of a look; a link that can never decide any more is gone."""
_GONE = 410

log = structlog.get_logger()


class DecidePages:
    def __init__(self, client: Client, links: Links) -> None:
        self._client = client
        self._links = links

    def routes(self) -> list[Route]:
        path = f"{PATH}{{token}}"
        return [Route(path, self.show, methods=["GET"]), Route(path, self.decide, methods=["POST"])]

    async def show(self, request: Request) -> Response:
        if (link := self._link(request)) is None:
            return _unknown()
        seen = await self._look(link)
        if EXACT not in request.query_params or seen.waiting is None:
            return _shown(seen)
        named = {"Content-Disposition": 'attachment; filename="decided-on.json"'}
        return Response(to_json(canonical(seen.exact)), 200, {**HEADERS, **named}, "application/json")

    async def decide(self, request: Request) -> Response:
        if (link := self._link(request)) is None:
            return _unknown()
        if not self._from_here(request):
            return message(403, "That came from another site", "Nothing was decided. Open the link itself.", again=True)
        form = await _form(request)
        if form is None:
            return message(413, "That is too much", "Nothing was decided. Shorten it and try again.", again=True)
        seen = await self._look(link)
        if seen.state == "used":
            return _look_again(request)
        if seen.state != "open":
            return _shown(seen, status=409)
        try:
            decision = _decision(link, seen, form)
        except Refused as error:
            return _shown(seen, status=422, refused=str(error), form=form)
        return await self._say(request, decision, link, form)

    async def _say(self, request: Request, decision: Decision, link: Link, form: dict[str, str]) -> Response:
        try:
            receipt = await send(self._client, link.run, decision)
        except Refused as error:
            seen = await self._look(link)
            if seen.state == "used":  # by a decision that came at the same time
                return _look_again(request)
            return _shown(seen, status=409, refused=str(error), form=form)
        except (ServerUnreachable, RPCError) as error:
            log.warning("a decision may not have been taken", run=link.run, step=link.step, error=str(error))
            return message(
                503,
                "It is not known whether your decision counts",
                "It was sent, and no answer came. Look again: this link shows whether it counts, and can be used again "
                "if it does not. It never counts twice.",
                again=True,
                retry_after=20,
            )
        log.info("decided by link", run=link.run, step=link.step, by=link.person, outcome=receipt.outcome)
        return _look_again(request)

    def _link(self, request: Request) -> Link | None:
        try:
            return self._links.read(request.path_params["token"])
        except LookupError:
            return None

    def _from_here(self, request: Request) -> bool:
        """Whether a browser says that the form was on our own page. The address alone is what entitles; a page that
        has learnt it should still not decide in passing."""
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = request.headers.get("origin")
        own = (request.headers.get("host", "").lower(), urlsplit(self._links.base).netloc.lower())
        return origin is None or urlsplit(origin).netloc.lower() in own

    async def _look(self, link: Link) -> Standing:
        view = await look_at_step(self._client, link.run, link.step)
        # After the view: a vote that it shows then has its receipt.
        receipt = await receipt_of(self._client, link.run, link.id)
        return standing(link, view, receipt, datetime.now(UTC))


def _unknown() -> Response:
    return message(404, "There is no such page", "If a link brought you here, it may have been cut.")


def _look_again(request: Request) -> Response:
    """Another look by GET, so that a reload decides nothing."""
    return RedirectResponse(f"./{request.path_params['token']}", 303, HEADERS)


def _shown(
    seen: Standing, *, status: int | None = None, refused: str = "", form: dict[str, str] | None = None
) -> Response:
    exact = json.dumps(canonical(seen.exact), indent=2, ensure_ascii=False)
    arguments = "" if seen.arguments is None else _written(seen.arguments)
    return page(
        "decide.html",
        status or _STATUS.get(seen.state, _GONE),
        seen=seen,
        refused=refused,
        form=form or {},
        max_comment=MAX_COMMENT,
        exact=exact[:MAX_INLINE],
        cut=max(0, len(exact) - MAX_INLINE),
        arguments=arguments if len(arguments) <= MAX_INLINE else "",
    )


def _decision(link: Link, seen: Standing, form: dict[str, str]) -> Decision:
    """Raises:
    Refused: the form does not say what a decision needs.
    """
    said, comment = form.get("decision", ""), form.get("comment", "").strip()
    if said not in ("approve", "reject"):
        raise Refused("Press Approve or Reject.")
    if len(comment) > MAX_COMMENT:
        raise Refused(f"The comment has {len(comment)} characters; {MAX_COMMENT} is the most.")
    if said == "reject" and not comment:
        raise Refused("A rejection needs a reason: write it as the comment.")
    edits = _edits(seen, form) if said == "approve" else None
    return Decision.model_validate(
        {
            "step": link.step,
            "decision": said,
            "by": link.person,
            "comment": comment,
            "id": link.id,
            "hash": link.hash,
            "edits": edits,
        }
    )


def _edits(seen: Standing, form: dict[str, str]) -> Json:
    """The arguments as the person changed them; None when they are as they were."""
    text = form.get("edits", "").replace("\r\n", "\n").strip()
    if seen.arguments is None or not text or text == _written(seen.arguments):
        return None
    try:
        edits = json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        raise Refused(f"The changed arguments are no JSON: {error}.") from error
    return None if to_json(canonical(edits)) == to_json(canonical(seen.arguments)) else edits


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number in JSON")


def _written(value: Json) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


async def _form(request: Request) -> dict[str, str] | None:
    """The fields of the form; None when it is larger than a person writes."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            return None
    try:
        fields = parse_qs(body.decode("utf-8", errors="replace"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return None
    return {name: values[-1] for name, values in fields.items()}
