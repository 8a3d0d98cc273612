"""A command on a device that ends with the connection, and whose peak of memory is known."""

from __future__ import annotations

import re

from llm_export.targets.base import Target
from llm_export.targets.command import Finished

_MARK = "llm_export-peak-kilobytes"
_PEAK = re.compile(rf"^{_MARK} (\d+)\n?", re.MULTILINE)

_SCRIPT = """
exec 3<&0
group=
command -v setsid >/dev/null 2>&1 && group=-
${group:+setsid} sh -c 'exec "$@"' sh COMMAND </dev/null 3<&- &
child=$!
(
  while read -r line; do :; done
  kill -TERM $group$child
  sleep 2
  kill -KILL $group$child
) <&3 >/dev/null 2>&1 &
watch=$!
exec 3<&-
peak=
look() {
  while read -r key value unit; do
    case $key in
      State:) state=$value ;;
      VmHWM:) peak=$value ;;
    esac
  done </proc/$child/status
}
state=
while look 2>/dev/null && [ "$state" != Z ]; do
  sleep INTERVAL
done
wait $child
code=$?
kill $watch 2>/dev/null
[ -n "$peak" ] && echo "MARK $peak" >&2
exit $code
"""
"""The connection closes the standard input of the script when it ends, whoever ends it: then the
command and what it started get SIGTERM. A shell without ``setsid`` signals the command alone.
A command that has ended is a zombie until the shell waits for it."""


def run_supervised(
    target: Target,
    command: str,
    *,
    timeout: float | None,
    interval: float = 0.5,
) -> tuple[Finished, int | None]:
    """Run a command on the device; it ends when this process stops waiting for it.

    Args:
        command: words of ``sh``, quoted.
        timeout: seconds; None is no limit.
        interval: seconds between looks at its memory.

    Returns:
        How it ended, and its peak resident memory in bytes: as last seen, or as the command itself
        says in a line ``llm_export-peak-kilobytes N`` on standard error. None where the device has
        no /proc and the command says nothing.

    Raises:
        TargetError: the connection failed, or the time is over.
    """
    script = (
        _SCRIPT.replace("COMMAND", command)
        .replace("INTERVAL", f"{interval:g}")
        .replace("MARK", _MARK)
    )

    done = target.run(script, timeout=timeout, hold_stdin=True)
    found = [int(each) for each in _PEAK.findall(done.err)]
    plain = Finished(done.code, done.out, _PEAK.sub("", done.err), done.timed_out)
    return plain, max(found) * 1024 if found else None
