"""The rules of politeness for one site, as a value without clock, threads or files.

Everybody who wants something of a site takes a ticket. The line is served in the order of the tickets, one at a time,
never faster than the site's spacing; while the site cools down nobody is served. `governor.py` keeps one `Pool` for
each site in the registry, where all processes see it.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

YOUTUBE: Final = "youtube"
NO_SITE: Final = "other"
MAX_COOL_DOWN_S: Final = 24 * 3600.0
FORGOTTEN_AFTER_S: Final = 90.0
"""A ticket whose owner has not asked for so long belongs to a process that was killed."""

_YOUTUBE_HOST: Final = re.compile(r"([a-z0-9-]+\.)*(youtube(kids|-nocookie)?\.com|youtu\.be)")


def pool_of(url: str) -> str:
    """The site that a request for `url` is a burden to: `youtube`, or the host; `other` for what has none."""
    if re.match(r"yt(search\w*|user|playlist|channel)?:", url):
        return YOUTUBE
    try:
        host = (urlsplit(url).hostname or "").lower()
    except ValueError:  # such as half an IPv6 address
        return NO_SITE
    return YOUTUBE if _YOUTUBE_HOST.fullmatch(host) else host or NO_SITE


@dataclass(frozen=True)
class Ticket:
    """A place in the line. `seen_at` is when its owner asked last, in seconds since 1970."""

    name: str
    seen_at: float


@dataclass(frozen=True)
class Answer:
    """What the line says to one ticket.

    Attributes:
        granted: it is served; the ticket is used up.
        wait_s: when to ask again.
        ahead: tickets before it.
    """

    granted: bool
    wait_s: float = 0.0
    ahead: int = 0


@dataclass(frozen=True)
class Pool:
    """One site. All times are seconds since 1970.

    Attributes:
        next_at: nobody is served before.
        cooling_until: end of the present or last cool-down.
        reason: what the site said when the cool-down began.
        strikes: cool-downs since the last success; each doubles the next.
        line: tickets, the next one first.
    """

    next_at: float = 0.0
    cooling_until: float = 0.0
    reason: str = ""
    strikes: int = 0
    line: tuple[Ticket, ...] = field(default_factory=tuple)

    def ask(self, name: str, now: float, spacing_s: float) -> tuple["Pool", Answer]:
        """The pool after a ticket asked for its turn, and the answer.

        Args:
            name: unlike all other tickets; joins the end of the line when it asks first.
            now: the time.
            spacing_s: how long the next one has to wait if this one is served.
        """
        line = [ticket for ticket in self.line if now - ticket.seen_at <= FORGOTTEN_AFTER_S or ticket.name == name]
        if name not in [ticket.name for ticket in line]:
            line.append(Ticket(name, now))
        ahead = [ticket.name for ticket in line].index(name)
        # A clock that was set back must not hold the line for longer than the rules do.
        next_at = min(self.next_at, now + spacing_s)
        opens_at = max(next_at, self.cooling_until)
        if ahead == 0 and now >= opens_at:
            return replace(self, next_at=now + spacing_s, line=tuple(line[1:])), Answer(granted=True)
        line[ahead] = Ticket(name, now)
        wait = max(opens_at - now, 0.0) + ahead * spacing_s
        return replace(self, next_at=next_at, line=tuple(line)), Answer(granted=False, wait_s=wait, ahead=ahead)

    def leave(self, name: str) -> "Pool":
        """The pool after a ticket was given up."""
        return replace(self, line=tuple(ticket for ticket in self.line if ticket.name != name))

    def cool(self, reason: str, now: float, seconds: float) -> "Pool":
        """The pool after the site asked for a rest of that many seconds, doubled for every strike before.

        Trouble that comes back from requests made before a cool-down began does not lengthen it.
        """
        if now < self.cooling_until:
            return self
        rest = min(seconds * 2**self.strikes, MAX_COOL_DOWN_S)
        return replace(self, cooling_until=now + rest, reason=reason, strikes=min(self.strikes + 1, 16))

    def reopen(self) -> "Pool":
        """The pool after a person ended its cool-down, having changed the address or the account."""
        return replace(self, cooling_until=0.0, strikes=0, reason="")

    def succeed(self, now: float) -> "Pool":
        """The pool after a request went well: the next cool-down is a short one again."""
        return self if now < self.cooling_until or not self.strikes else replace(self, strikes=0, reason="")
