"""What a reader of a hostile file must not do: run something, reach the network, write elsewhere, hang, or swell."""

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS, SECONDS_OF_WAITING = 10, 60
"""Of the processor's time, however busy the machine is; and of a clock's, for what waits."""
LARGEST_GROWTH = 2**30
"""Bytes of memory in use, beyond what was before."""

_FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pickle.find_class")
_FORBIDDEN += ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request")
_CHANGES = {"os.remove": 1, "os.rename": 2, "os.rmdir": 1, "os.mkdir": 1, "os.truncate": 1, "os.chmod": 1}
_CHANGES |= {"os.symlink": 2, "os.link": 2, "shutil.rmtree": 1, "os.utime": 1}
"""By event, how many of its first arguments are paths."""

_watched: list[Path] = []
_seen: list[str] = []


class Hang(BaseException):
    """No `except Exception` swallows it."""


def _hook(event: str, arguments: tuple) -> None:
    if not _watched:
        return
    if event in _FORBIDDEN:
        _seen.append(f"{event} {arguments!r:.200}")
    elif event == "open":
        path, mode, flags = arguments
        writes = (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC) or set(str(mode)) & set("wax+")
        if writes and not isinstance(path, int) and _is_elsewhere(path):
            _seen.append(f"open {path!r} {mode} {flags}")
    elif event in _CHANGES:
        below = arguments[-1] if isinstance(arguments[-1], int) else -1  # of a folder that is open: its own event told
        for path in arguments[: _CHANGES[event]]:
            if not isinstance(path, int) and not (below >= 0 and not os.path.isabs(path)) and _is_elsewhere(path):
                _seen.append(f"{event} {path!r}")


def _is_elsewhere(path) -> bool:
    full = os.path.realpath(os.fsdecode(path))
    mine = any(full == str(each) or full.startswith(f"{each}/") for each in _watched)
    return not (mine or full == "/dev/null" or "__pycache__" in full)


sys.addaudithook(_hook)


def _memory(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


@contextmanager
def guarded(*folders: Path) -> Iterator[list[str]]:
    """Whatever is forbidden in the with-block is listed; only in the folders may anything be written."""
    said: list[str] = []
    on_linux = Path("/proc/self/clear_refs").exists()
    limit = resource.getrlimit(resource.RLIMIT_AS)
    if on_linux:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _memory("VmRSS")
        resource.setrlimit(resource.RLIMIT_AS, (_memory("VmSize") + 6 * 2**30, limit[1]))
    old = {each: signal.signal(each, _stop) for each in (signal.SIGALRM, signal.SIGPROF)}
    signal.setitimer(signal.ITIMER_REAL, SECONDS_OF_WAITING)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    _seen.clear()
    _watched[:] = [Path(os.path.realpath(each)) for each in folders]
    try:
        yield said
    except Hang:
        said.append(f"no end after {SECONDS} s, or {SECONDS_OF_WAITING} s of waiting")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for each, handler in old.items():
            signal.signal(each, handler)
        _watched.clear()
        said += _seen
        if on_linux:
            resource.setrlimit(resource.RLIMIT_AS, limit)
            if (growth := _memory("VmHWM") - before) > LARGEST_GROWTH:
                said.append(f"{growth / 2**30:.1f} GiB of memory")


def _stop(*_):
    raise Hang
