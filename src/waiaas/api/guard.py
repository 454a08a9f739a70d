"""Before anything else: is this request meant for us, and from here?

A web page in the operator's browser can reach a loopback port, under any name it likes (DNS
rebinding) and with forms (CSRF). So the Host must be exactly ours, an Origin other than exactly our
own is refused, and both are decided before routing, authentication and body.
"""

from starlette.requests import Request

from waiaas.domain.errors import ErrorCode, Refusal


class Guard:
    """Knows the addresses under which this daemon may be called."""

    def __init__(self, port: int) -> None:
        self.hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
        self.origins = frozenset(f"http://{host}" for host in self.hosts)

    def check(self, request: Request) -> None:
        """Return if the request may go on.

        Raises:
            Refusal: HOST_REFUSED or ORIGIN_REFUSED.
        """
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            raise Refusal(
                ErrorCode.HOST_REFUSED,
                "the Host header does not name this daemon",
                hint="Call the daemon by the address that `waiaas status` shows.",
            )
        if any(origin not in self.origins for origin in request.headers.getlist("origin")):
            raise Refusal(ErrorCode.ORIGIN_REFUSED, "web pages of other origins may not call")
        sites = request.headers.getlist("sec-fetch-site")
        if any(site not in ("none", "same-origin") for site in sites):
            raise Refusal(ErrorCode.ORIGIN_REFUSED, "web pages of other sites may not call")
