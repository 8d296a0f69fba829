"""The words of each page: what happened, and what a visitor can do about it.

Plain English for people who do not know what a tunnel is. The keys are the reasons that
docs/reference/errors.md lists; a test compares them.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

__all__ = ["WORDS", "Words"]

Icon = Literal["away", "work", "nowhere", "busy", "refused", "broken"]


class Words(NamedTuple):
    """What one page says."""

    status: int  #: that it comes with
    icon: Icon
    title: str
    text: str  #: what happened
    hint: str  #: what the visitor can do; ``{retry_after}``: seconds
    hint_when_sent: str = ""  #: the same, where the request was no GET; empty: as ``hint``
    reloads: bool = False  #: the page loads itself again when the app is back


_BACK: Final = "Leave this page open: it loads the site once it is there."
_SENT_NOTHING: Final = (
    "What you sent did not arrive. Go back in a moment, and send it again when the site is there."
)
_AGAIN: Final = "Try again in a moment."
_MISTAKE: Final = (
    "If you think that this is a mistake, tell the operator, and quote the request number below."
)
_PROGRAM: Final = "If you wrote the program that sent it, the line below says what is wrong."

WORDS: Final[dict[str, Words]] = {
    # -- for a while: these pages load themselves again
    "offline": Words(
        503,
        "away",
        "This site is offline at the moment",
        "The computer that serves it is not connected right now. It may be starting again, be "
        "switched off, or have no internet.",
        _BACK,
        _SENT_NOTHING,
        reloads=True,
    ),
    "maintenance": Words(
        503,
        "work",
        "This site is closed for maintenance",
        "Somebody is working on it, and it comes back when that is done.",
        _BACK,
        _SENT_NOTHING,
        reloads=True,
    ),
    # -- doors
    "login-required": Words(
        401,
        "refused",
        "You have to log in first",
        "What is here is not open to everybody.",
        "Open the first page of this site: it leads to the login.",
    ),
    "access-denied": Words(
        403,
        "refused",
        "This is not open to you",
        "You are logged in, and your account may not see this page.",
        "Ask who runs this site for access, or log in with another account.",
    ),
    "app-busy": Words(
        503,
        "busy",
        "This site takes no visitors at the moment",
        "It is probably starting again, and will be there soon.",
        _BACK,
        _SENT_NOTHING,
        reloads=True,
    ),
    "app-full": Words(
        503,
        "busy",
        "This site is very busy",
        "It has as many visitors right now as it can serve.",
        _BACK,
        _SENT_NOTHING,
        reloads=True,
    ),
    "too-many-waiting": Words(
        503,
        "busy",
        "Too many visitors are waiting",
        "The site is not connected right now, and many others wait for it already.",
        _BACK,
        _SENT_NOTHING,
        reloads=True,
    ),
    "inbox-full": Words(
        503,
        "busy",
        "This site cannot take what you sent",
        "It is offline at the moment, and as much waits for it as can be kept.",
        "Send it again later. It was not kept.",
    ),
    "overloaded": Words(
        503,
        "busy",
        "This server is very busy",
        "It has no room for another visitor right now.",
        _BACK,
        _SENT_NOTHING,
        reloads=True,
    ),
    "stopping": Words(
        503,
        "busy",
        "This server is starting again",
        "It takes no new connections, and will be there soon.",
        _BACK,
        _SENT_NOTHING,
        reloads=True,
    ),
    # -- too much of something
    "too-many-connections": Words(
        503,
        "busy",
        "Too many connections from your network",
        "Your network has as many connections to this server open as one network may have.",
        "Close other pages and downloads of this site, wait a moment, and try again.",
    ),
    "too-many-tunnels": Words(
        503,
        "busy",
        "Too many tunnels",
        "The token of this app has as many tunnel connections as it may have.",
        "Stop processes of the app that are not needed, or ask the operator for more.",
    ),
    "rate-limited": Words(
        429,
        "busy",
        "Too many requests",
        "More requests came in a short time than this server takes.",
        "You can try again in {retry_after} s.",
    ),
    # -- there is nothing
    "unknown-path": Words(
        404,
        "nowhere",
        "There is no such page on this site",
        "The address may have been mistyped, or the page was moved.",
        "Check the address for spelling, or begin at the first page of the site.",
    ),
    "access-unknown": Words(
        503,
        "broken",
        "This page is not open to anybody at the moment",
        "It is behind a login, and the server in front of it does not know which.",
        _MISTAKE,
    ),
    "unknown-hostname": Words(
        404,
        "nowhere",
        "There is no site at this address",
        "Nothing is served under this name. There may be a typing mistake in the address, or the "
        "site has moved or ended.",
        "Look at the address. If a link brought you here, tell the person who gave it to you.",
    ),
    "probe": Words(
        404,
        "nowhere",
        "There is nothing at this address",
        "No page is served under this path.",
        "Look at the address, or begin at the first page of the site.",
    ),
    # -- not for this visitor
    "banned": Words(
        403,
        "refused",
        "Your network is blocked here",
        "This server does not take visits from the address that you have right now.",
        _MISTAKE,
    ),
    "address-refused": Words(
        403,
        "refused",
        "You cannot visit this site from here",
        "It is open to some networks only, and yours is not among them.",
        "Use the network that the site is meant for, a company's or a VPN. " + _MISTAKE,
    ),
    "origin-refused": Words(
        403,
        "refused",
        "This connection is not allowed",
        "The page that you came from may open no connection to this site.",
        _MISTAKE,
    ),
    "token-refused": Words(
        401,
        "refused",
        "This token is not accepted",
        "Only an app with a valid token can open a tunnel here.",
        _PROGRAM,
    ),
    "refused": Words(
        400,
        "refused",
        "This request was refused",
        "The server does not take it as it is.",
        _MISTAKE,
    ),
    # -- the request
    "bad-request": Words(
        400,
        "broken",
        "This request was not understood",
        "What your browser or program sent breaks the rules of HTTP.",
        "Go back and try again. " + _PROGRAM,
    ),
    "request-timeout": Words(
        408,
        "broken",
        "This request took too long",
        "It did not arrive whole in the time that it may take.",
        "Look whether your connection is slow or was interrupted, and try again.",
    ),
    "body-too-large": Words(
        413,
        "broken",
        "What you sent is too large",
        "This site takes less in one request.",
        "Go back and send a smaller file.",
    ),
    "address-too-long": Words(
        414,
        "broken",
        "This address is too long",
        "It has more characters than this server takes.",
        "Begin at the first page of the site, and come from there.",
    ),
    "head-too-large": Words(
        431,
        "broken",
        "Your browser sent too much",
        "What it sends with each request, cookies most of all, is more than this server takes.",
        "Delete the cookies of this site in the settings of your browser, and try again.",
    ),
    "misdirected": Words(
        421,
        "broken",
        "This site was asked for in the wrong place",
        "Your browser used a connection that belongs to another site.",
        "Close this page, and open the address in a new one.",
    ),
    "https-only": Words(
        301,
        "nowhere",
        "This site is served over https only",
        "The connection that you used is not encrypted.",
        "Write https:// in place of http:// in the address.",
    ),
    "method-refused": Words(
        405,
        "refused",
        "This kind of request is not served",
        "No site here takes requests with this method.",
        _PROGRAM,
    ),
    "expectation-failed": Words(
        417,
        "broken",
        "This kind of request is not served",
        "It expects something of the server that the server does not know.",
        _PROGRAM,
    ),
    "upgrade-required": Words(
        426,
        "broken",
        "This kind of request is not served",
        "It asks for a version of WebSocket that the server does not speak.",
        _PROGRAM,
    ),
    "not-implemented": Words(
        501,
        "broken",
        "This kind of request is not served",
        "It is sent in a form that the server does not know.",
        _PROGRAM,
    ),
    "http-version": Words(
        505,
        "broken",
        "This kind of request is not served",
        "It is of a version of HTTP that the server does not speak.",
        _PROGRAM,
    ),
    # -- the app
    "tunnel-lost": Words(
        502,
        "away",
        "The connection to this site was lost",
        "It broke before the site's response was here.",
        _AGAIN,
        "It is not known whether what you sent arrived. Look whether it did before you send it "
        "again.",
    ),
    "app-failed": Words(
        502,
        "broken",
        "This site has a problem",
        "It gave up on the request without a response.",
        _AGAIN + " If it stays like this, tell who runs the site.",
        "It is not known what became of what you sent. Look at that before you send it again.",
    ),
    "bad-response": Words(
        502,
        "broken",
        "This site has a problem",
        "Its response was damaged, and could not be passed on.",
        _AGAIN + " If it stays like this, tell who runs the site.",
        "It is not known what became of what you sent. Look at that before you send it again.",
    ),
    "app-timeout": Words(
        504,
        "away",
        "This site took too long",
        "Its response was not here in the time that it may take.",
        _AGAIN,
        "It is not known what became of what you sent. Look at that before you send it again.",
    ),
}
