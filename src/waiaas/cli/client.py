"""A client of the daemon on this machine: finds it, authenticates, asks, and explains refusals."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import quote, urlsplit

from waiaas.cli.context import ExitCode, fail, fail_as
from waiaas.cli.layout import in_words
from waiaas.cli.progress import working
from waiaas.directory import (
    COOKIE_NAME,
    SOCKET_NAME,
    Address,
    DaemonError,
    find_daemon,
    read_cookie,
)

if TYPE_CHECKING:
    from waiaas.keystore.guarded import Guarded

ANSWER_S_MAX: Final = 30.0
"""How long one answer may take; an airdrop waits for the chain."""

_FACTS: Final = (
    "rule",
    "asset",
    "bound",
    "limit",
    "observed",
    "maxAllowed",
    "retryAt",
    "transactionId",
)
"""Members of a refusal that its hint may speak of."""

_POLL_S: Final = 0.1

Json = dict[str, Any]
Value = TypeVar("Value")


class Refused(Exception):  # noqa: N818 -- an answer, not a malfunction
    """The daemon understood and said no."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.problem = problem
        super().__init__(str(problem.get("message", problem)))


class NotReachable(Exception):  # noqa: N818 -- a state of the world, named as one
    """No daemon runs, so nothing was asked."""


class OutOfReach(NotReachable):
    """Somebody has the directory and cannot be asked; *hint* says what a person can do."""

    def __init__(self, problem: str, *, hint: str, code: ExitCode = ExitCode.ERROR) -> None:
        super().__init__(problem)
        self.hint = hint
        self.code = code


class SocketGone(OutOfReach):
    """A daemon runs, and somebody removed the file of its socket, so nothing was asked."""

    def __init__(self, socket: Path, pid: int) -> None:
        super().__init__(
            f"a daemon runs (process {pid}), but {socket}, where it takes connections, was removed",
            hint="It goes on paying all the same; its port is not used instead, where anybody may"
            f" listen. End it with `kill {pid}`, which loses nothing, and start it again.",
        )


class CookieGone(OutOfReach):
    """A daemon runs, and somebody removed what shows it that its own user asks."""

    def __init__(self, cookie: Path, pid: int) -> None:
        super().__init__(
            f"a daemon runs (process {pid}), but {cookie}, which shows it who asks, was removed",
            hint=f"End it with `kill {pid}`, which loses nothing, and start it again.",
        )


class NoAnswer(Exception):  # noqa: N818 -- a state of the world, named as one
    """A daemon runs but did not answer; what was asked may have been done."""


class Client:
    """Speaks to the daemon at *url* with one token, or none; through its Unix socket if it has one.

    With the standard library: there are no proxies, no redirects and no TLS on the way to a process
    of this machine, and what can do all that takes longer to load than the daemon to answer.
    """

    def __init__(self, url: str, token: str | None = None, *, socket: Path | None = None) -> None:
        self.url = url
        self.socket = socket
        self._headers: Final = {} if token is None else {"Authorization": f"Bearer {token}"}
        from http.client import HTTPConnection  # A tenth of a start, and `--help` asks nobody.

        self._connection: Final = HTTPConnection(urlsplit(url).netloc)

    @classmethod
    def to_daemon(cls, directory: Path, token: str | None = None) -> Self:
        """Return a client of the daemon that runs on *directory*.

        Raises:
            NotReachable: none runs.
            OutOfReach: one may, and there is nothing by which it is found.
        """
        address = find_daemon(directory) or _found_late(directory)
        socket = None if address.socket is None else directory / SOCKET_NAME
        return cls(address.url, token, socket=socket)

    @classmethod
    def with_cookie(cls, directory: Path) -> Self:
        """Return a client that may look and tighten.

        Raises:
            NotReachable: no daemon runs.
            OutOfReach: one may, and has no means of telling who asks, or of being found.
        """
        with cls.to_daemon(directory) as anybody:
            cookie = read_cookie(directory)
            # A daemon makes it before the file by which it is found, and removes it after.
            if cookie is None and (address := find_daemon(directory)) is not None:
                raise CookieGone(directory / COOKIE_NAME, address.pid)
            return cls(anybody.url, cookie, socket=anybody.socket)

    @classmethod
    def logged_in(cls, directory: Path, password: "Callable[[], Guarded | bytes]") -> Self:
        """Return a client with the operator's full rights, for 15 minutes at most.

        Args:
            directory: the daemon's.
            password: gets the master password; asked once there is somebody to give it to.

        Raises:
            NotReachable: no daemon runs.
        """
        from waiaas.cli.secret import as_text  # Guarded memory is not for `--help`.

        with cls.to_daemon(directory) as anybody:
            # If it is there: so strangers who try passwords do not make us wait.
            cookie = read_cookie(directory)
            with cls(anybody.url, cookie, socket=anybody.socket) as local_user:
                body = {"password": as_text(password())}
                with working("logging in"):  # The daemon derives a key.
                    token = local_user.post("/v1/admin/login", body)["token"]
            return cls(anybody.url, token, socket=anybody.socket)

    def get(self, path: str) -> Json:
        """Return the answer to a GET."""
        return self._ask("GET", path, None, {})

    def post(
        self,
        path: str,
        body: Json | None = None,
        *,
        key: str | None = None,
        seconds: float = ANSWER_S_MAX,
    ) -> Json:
        """Return the answer to a POST; *key* is its Idempotency-Key."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return self._ask("POST", path, body, headers, seconds=seconds)

    def put(self, path: str, body: Json) -> Json:
        """Return the answer to a PUT."""
        return self._ask("PUT", path, body, {})

    def delete(self, path: str) -> Json:
        """Return the answer to a DELETE."""
        return self._ask("DELETE", path, None, {})

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(
        self,
        method: str,
        path: str,
        body: Json | None,
        headers: Mapping[str, str],
        *,
        seconds: float = ANSWER_S_MAX,
    ) -> Json:
        from http.client import HTTPException

        from waiaas.local_socket import connect_to

        connection = self._connection
        connection.close()  # Anew each time: the daemon ends what was idle for some seconds.
        connection.timeout = seconds
        try:
            if self.socket is None:
                connection.connect()
            else:  # Never the port instead: who answers there may be anybody.
                connection.sock = connect_to(self.socket, timeout_s=seconds)
        except OSError as error:
            raise self._not_reached(error) from error
        content = None if body is None else json.dumps(body).encode()
        types = {} if body is None else {"Content-Type": "application/json"}
        try:
            connection.request(method, path, content, {**self._headers, **types, **headers})
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, HTTPException, ValueError) as error:
            raise NoAnswer(f"the daemon does not answer ({type(error).__name__})") from error
        if not isinstance(answer, dict):
            raise NoAnswer("what answers is not a daemon of this kind")
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise Refused(answer)
        return answer

    def _not_reached(self, error: OSError) -> NotReachable:
        """Return why nobody takes a connection: no daemon does, or it cannot be got at."""
        if self.socket is not None and isinstance(error, FileNotFoundError):
            address = find_daemon(self.socket.parent)
            if address is not None:
                return SocketGone(self.socket, address.pid)
        return NotReachable("the daemon takes no connections")


def _found_late(directory: Path) -> Address:
    """Return where a daemon is that was not found at first: it may have become ready since.

    Raises:
        NotReachable: none runs.
        OutOfReach: what it is found by is not there.
    """
    from waiaas.holder import Holder, look_for_daemon

    found = look_for_daemon(directory)
    if found is None:
        raise NotReachable(f"no daemon runs on {directory}")
    if isinstance(found, Holder):
        code = ExitCode.ERROR if found.answers else ExitCode.NOT_RUNNING
        raise OutOfReach(found.problem(directory), hint=found.remedy(), code=code)
    return found


@contextmanager
def confirming(
    directory: Path, read: "Callable[[], Guarded | bytes]"
) -> Iterator[tuple[Client, str]]:
    """Log in, and hand over the password for what asks for it once more; it is read once.

    Raises:
        NotReachable: no daemon runs.
    """
    from waiaas.cli.secret import as_text

    typed: list[Guarded | bytes] = []

    def password() -> "Guarded | bytes":
        typed.append(read())
        return typed[0]

    with Client.logged_in(directory, password) as client:
        yield client, as_text(typed[0])


def segment(text: str) -> str:
    """Return *text* as one segment of a path, whatever a person typed.

    Ends the command where it could not be one: nothing, or dots, would be another path.
    """
    if not text.strip("."):
        fail(f"{text!r} is no id", hint="An id is what `list` shows.", code=ExitCode.USAGE)
    return quote(text, safe="")


def explained(work: Callable[[], Value]) -> Value:
    """Run *work*; if the daemon refuses or is not there, say so to a person and end."""
    try:
        return work()
    except Refused as refused:
        problem = refused.problem
        code = ExitCode.REFUSED if problem.get("status") in (401, 403) else ExitCode.ERROR
        fail(
            f"{problem.get('code')}: {problem.get('message')}",
            hint=problem.get("hint"),
            facts=", ".join(
                f"{name} {in_words(name, problem[name])}" for name in _FACTS if problem.get(name)
            ),
            code=code,
        )
    except OutOfReach as error:
        fail(str(error), hint=error.hint, code=error.code)
    except NotReachable as error:
        fail(str(error), hint="Start it with `waiaas start`.", code=ExitCode.NOT_RUNNING)
    except NoAnswer as error:
        fail(str(error), hint="Look at its log.", code=ExitCode.TIMEOUT)
    except DaemonError as error:
        fail_as(error)
    except OSError as error:  # Of a file that a person named: no space, say.
        fail(f"{error.filename or 'the file'}: {error.strerror or error}")


def wait_for(
    look: Callable[[], Value | None], *, seconds: float, pause_s: float = _POLL_S
) -> Value | None:
    """Look until there is something to see, or *seconds* have passed; then return None."""
    deadline_s = time.monotonic() + seconds
    while (seen := look()) is None and time.monotonic() < deadline_s:
        time.sleep(pause_s)  # noqa: TID251 -- a person's terminal waits for another process
    return seen
