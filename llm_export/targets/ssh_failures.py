"""What the ssh client says when it cannot connect, and how to fix it."""

from __future__ import annotations

from llm_export.targets.command import last_line

_FAILURES: tuple[tuple[str, str, str], ...] = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "the host key of {host} is another than before",
     "if the device was set up anew: ssh-keygen -R {known}"),
    ("Host key verification failed", "the host key of {host} is not known yet",
     "compare and accept it once: ssh {words}"),
    ("Permission denied", "{host} does not accept the login",
     "install your key: ssh-copy-id {words}; then ssh {words} must log in without a password"),
    ("Too many authentication failures", "{host} does not accept the login",
     "name the key in ~/.ssh/config: IdentityFile, IdentitiesOnly yes"),
    ("Could not resolve hostname", "there is no host {host}",
     "the name or address that `ssh HOST` takes; names of ~/.ssh/config hold too"),
    ("Connection refused", "{host} accepts no ssh connection{at}",
     "start its ssh server, or give its port: ssh:{login}:PORT"),
    ("timed out", "{host} does not answer{at}", "is it on, and in this network?"),
    ("No route to host", "{host} cannot be reached", "is it on, and in this network?"),
    ("Network is unreachable", "{host} cannot be reached", "is this machine in its network?"),
)  # fmt: skip


def reason_of(said: str, host: str, port: int | None, user: str | None) -> tuple[str, str]:
    """(what failed, how to fix it), of what ssh printed on standard error."""
    login = f"{user}@{host}" if user else host
    values = {
        "host": host,
        "login": login,
        "words": f"-p {port} {login}" if port is not None else login,
        "known": f"'[{host}]:{port}'" if port not in (None, 22) else host,
        "at": f" at port {port}" if port is not None else "",
    }
    for sign, what, fix in _FAILURES:
        if sign in said:
            return what.format(**values), fix.format(**values)
    last = last_line(said) or "ssh says nothing"
    return f"the connection to {host} failed: {last}", f"try: ssh {values['words']} true"
