# SPDX-License-Identifier: Apache-2.0
"""build/fault and build/allocations.so, as the walks use them: the calls and the allocations of a command, and what
became of it with a fault in one."""
import collections
import os
import re
import socket
import struct
import subprocess
import sys

FAULT = os.environ["BIN"] + "/fault"
LOG = os.environ["HOST"] + "/fault.log"
ALLOCATIONS = os.environ["BIN"] + "/allocations.so"
PLAN = os.environ["HOST"] + "/allocations"
JOURNAL = "/run/systemd/journal/socket"
SHOWN = 20
EVERY = os.environ.get("FAULTS", "")

# How each kind of call fails, for a fault that is no death.
FAILURES = {
    "write": ["ENOSPC", "EIO"],
    "pwrite": ["ENOSPC", "EIO"],
    "fsync": ["ENOSPC", "EIO"],
    "fdatasync": ["ENOSPC", "EIO"],
    "ftruncate": ["EIO"],
    "rename": ["ENOSPC", "EIO"],
    "unlink": ["EIO"],
    "mkdir": ["ENOSPC"],
    "mknod": ["ENOSPC"],
    "fchown": ["EIO"],
    "fchmod": ["EIO"],
    "flock": ["ENOLCK"],
    "mount": ["ENOMEM"],
    "openat:w": ["ENOSPC", "EIO", "EMFILE"],
    "openat:r": ["EMFILE"],
    "clone": ["EAGAIN"],
    "pidfd": ["EMFILE"],
    "getrandom": ["EIO"],
    "read": ["EIO"],
    "pread": ["EIO"],
    "mmap": ["ENOMEM"],
    "brk": ["ENOMEM"],
    "malloc": ["ENOMEM"],
}
SANITIZED = "asan" in FAULT
if SANITIZED:
    del FAILURES["mmap"], FAILURES["brk"]  # the sanitizers' own
REASON = re.compile(
    "No space left|Input/output error|Too many open files|Cannot allocate memory|No locks available|out of memory|disk is full|disk I/O error"
    "|temporarily unavailable|could not be opened for writing|is damaged|no random numbers|cannot write the output"
)

# The C library says of a thread that it has no memory for that it may be tried again.
STARVED_REASON = re.compile("out of memory|Cannot allocate memory|[Mm]emory allocation failed|allocate memory|no memory for TLS"
                            "|no thread to do so: |cannot start the witness's thread: ")


def is_told(point, said):
    """Whether the reason of a failure there is."""
    return (STARVED_REASON if point.name == "malloc" else REASON).search(said)


class Point:
    """A system call, the nth of its name by its task."""

    def __init__(self, task, name, nth, path):
        self.name = name
        self.path = path
        self.place = "%s/%s/%d" % (task, name, nth)

    def __str__(self):
        return "%s %s" % (self.place, os.path.basename(self.path))


def points_of(log):
    seen = collections.Counter()
    points = []
    for line in log:
        if line[:1].isdigit():
            task, _, name, path = line.split(" ", 3)
            seen[task, name] += 1
            points.append(Point(task, name, seen[task, name], path))
    return points


def since_our_own(points):
    """What comes before the first file of ours is the C library's."""
    return points[next(i for i, point in enumerate(points) if point.path.endswith("agent.yaml")) :]


class Outcome:
    """What became of one run."""

    def __init__(self, status, out, said, log):
        self.status = status
        self.out = out
        self.said = said
        self.reached = "reached" in log
        self.signals = [line for line in log if line.startswith("signal ")]
        self.points = points_of(log)


class Journal:
    """Stands where journald does."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if os.path.exists(JOURNAL):
            os.unlink(JOURNAL)
        self.socket.bind(JOURNAL)
        self.socket.setblocking(False)

    def take_problems(self):
        problems = ""
        while True:
            try:
                entry = self.socket.recv(65536).decode()
            except BlockingIOError:
                return problems
            if "EVENT=problem" in entry:
                problems += entry.split("\n")[0] + "\n"


JOURNAL_READER = Journal()


class Allocations:
    """What allocations.so is told, and tells: its struct plan."""

    HEAD, PATHS_MAX, PATH, TASKS_MAX = struct.Struct("<Qqqq"), 32768, struct.Struct("<Qq"), 16

    def __init__(self, path=0, nth=0):
        with open(PLAN, "wb") as file:
            file.write(self.HEAD.pack(path, nth, 0, 0))
            file.truncate(self.HEAD.size + self.PATHS_MAX * self.PATH.size)
        os.chmod(PLAN, 0o666)
        self.environment = {"LD_PRELOAD": ALLOCATIONS, "FAULT_ALLOCATIONS": PLAN}

    def read(self):
        with open(PLAN, "rb") as file:
            return file.read()

    def reached(self):
        return self.HEAD.unpack_from(self.read())[2] == 1

    def points(self):
        """Each of them, those first that are the first of their path."""
        taken = sorted(path for path in self.PATH.iter_unpack(self.read()[self.HEAD.size :]) if path[0])
        points = [(nth, path) for path, count in taken for nth in range(1, count + 1)]
        return [Point("%d/%x" % (path % self.TASKS_MAX, path), "malloc", nth, "") for nth, path in sorted(points)]


def starved(place):
    """Allocations of which the one at this place will fail."""
    _, path, _, nth = place.split("/")
    return Allocations(int(path, 16), int(nth))


def is_first(point):
    """Whether no allocation before it came by its path of calls."""
    return point.place.endswith("/1")


def ended_by_signal(status):
    return ["signal 0 %d" % -status] if status < 0 else []


def run_starved(command, allocations):
    """The command with what it has to allocate by."""
    environment = dict(os.environ, **allocations.environment)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment)
    outcome = Outcome(done.returncode, done.stdout, done.stderr + JOURNAL_READER.take_problems(),
                      ended_by_signal(done.returncode))
    outcome.reached = allocations.reached()
    return outcome


def run(command, *fault):
    """The command, by itself or (fault given) by the harness."""
    harness = [FAULT, LOG, *fault] if fault else []
    done = subprocess.run(harness + command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if fault and done.returncode == 126:
        sys.exit("the harness does not work here: " + done.stderr)
    log = open(LOG).read().splitlines() if fault else []
    return Outcome(done.returncode, done.stdout, done.stderr + JOURNAL_READER.take_problems(), log)


def planned(faults):
    """Sanitizers take their time, and are after other things; on the second release, of "few", the libraries are."""
    return faults[::4] if EVERY == "few" or (SANITIZED and EVERY != "all") else faults


def conclude(wrong, visited, points):
    """The whole walk in a line, or what was wrong first."""
    what = "allocations" if points[0].name == "malloc" else "calls"
    print("\n".join(wrong[:SHOWN]) if wrong else "all well at %d of %d %s" % (visited, len(points), what))
    sys.exit(1 if wrong else 0)
