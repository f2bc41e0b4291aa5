"""The process around one program: it confines, supervises and cleans up. A script for `python -I -S`, never imported.

With namespaces the program sees a new root with the interpreter and its libraries (read-only) and an empty folder of
bounded size, no network, no other process and no /proc. It is process 1 of its PID namespace, so that nothing it
starts, detached or not, outlives it. Without them ("limits only") there are the resource limits, and descendants are
found by this process being their subreaper.

Argument: settings as marshalled hex. Standard input goes to the judge. Standard output: "<wait status> <timed out>
<CPU seconds>" as one line, then what the judge wrote, cut at 4 KiB. Every other exit than 0 is a failure of the jail.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import marshal
import os
import resource
import select
import struct
import sys
import time

# From linux/sched.h, linux/mount.h and linux/prctl.h.
NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NETWORK = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
BIND, RECURSIVE, PRIVATE = 0x1000, 0x4000, 0x40000
NO_SUID, NO_DEVICES, NO_PROGRAMS = 0x2, 0x4, 0x8
DETACH = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
READ_ONLY_ATTRS = 0x1 | NO_SUID | NO_DEVICES
SET_DEATH_SIGNAL, SET_DUMPABLE, SET_SECCOMP, SET_SUBREAPER, SET_NO_NEW_PRIVILEGES = 1, 4, 22, 36, 38
MOUNT_SETATTR = 442
REFUSED = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "perf_event_open": (298, 241), "bpf": (321, 280), "userfaultfd": (323, 282),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "io_uring_setup": (425, 425),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "open_by_handle_at": (304, 265), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
}  # fmt: skip
CLONE, CLONE3 = (56, 220), 435
"""Numbers of calls on x86_64 and elsewhere, from Linux's asm/unistd_64.h and asm-generic/unistd.h."""
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1), "riscv64": (0xC00000F3, 1)}
"""Audit architecture, and which of the numbers above."""
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
NOBODY = 65534
RESULT_FD = 3
SIGKILL = 9
"""As POSIX has it; importing `signal` would be a sixth of a check."""
KEPT_BYTES = 4096

if False:  # for the type checker: the import would be part of every check
    from typing import Any

    Job = dict[str, Any]

libc = ctypes.CDLL(None, use_errno=True)


def checked(name: str, *args: object) -> None:
    """Call a C function; OSError with its errno when it returns -1."""
    if getattr(libc, name)(*args) == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def mount(source: str | None, target: str, kind: str | None = None, flags: int = 0, options: str | None = None) -> None:
    """mount(2)."""
    texts = [None if t is None else os.fsencode(t) for t in (source, target, kind)]
    checked("mount", *texts, ctypes.c_ulong(flags), options and options.encode())


def map_ids(proc: int, uid: int, gid: int) -> None:
    """Be nobody inside the user namespace just created, and `uid`, `gid` outside."""
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{NOBODY} {uid} 1"),
        ("gid_map", f"{NOBODY} {gid} 1"),
    ):
        file = os.open(f"self/{name}", os.O_WRONLY, dir_fd=proc)
        os.write(file, content.encode())
        os.close(file)


def enter_namespaces(job: Job, proc: int, root: bool) -> None:
    """Leave the machine's files, network and processes; the PID namespace takes effect with the next fork."""
    uid, gid = os.getuid(), os.getgid()
    checked("unshare", NEW_MOUNTS | NEW_IPC | NEW_PIDS | NEW_NETWORK | (0 if root else NEW_USER))
    if not root:
        map_ids(proc, uid, gid)
    base = job["folder"]
    mount(None, "/", flags=RECURSIVE | PRIVATE)
    mount("tmpfs", base, "tmpfs", NO_SUID | NO_DEVICES, "size=64k,mode=755")
    for path in job["visible"]:
        if os.path.islink(path):  # /lib -> usr/lib
            os.symlink(os.readlink(path), base + path)
            continue
        os.makedirs(base + path, exist_ok=True)
        mount(path, base + path, flags=BIND | RECURSIVE)
    private = base + job["private"]
    os.makedirs(private, exist_ok=True)
    attributes = (ctypes.c_uint64 * 4)(READ_ONLY_ATTRS, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    checked("syscall", MOUNT_SETATTR, AT_FDCWD, base.encode(), AT_RECURSIVE, attributes, size)
    flags = NO_SUID | NO_DEVICES | NO_PROGRAMS
    mount("tmpfs", private, "tmpfs", flags, f"size={job['disk_bytes']},nr_inodes=2k,mode=1777")
    os.chdir(base)
    checked("syscall", PIVOT_ROOT[os.uname().machine], b".", b".")
    checked("umount2", b".", DETACH)


def be_nobody(job: Job, proc: int) -> None:
    """Give up root; a user namespace of its own makes the process limit count this program alone."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    if job["namespaces"]:
        checked("prctl", SET_DUMPABLE, 1, 0, 0, 0)
        try:
            checked("unshare", NEW_USER)
        except OSError:
            return  # then it counts every process of this user
        map_ids(proc, NOBODY, NOBODY)


def limit(job: Job) -> None:
    """Resource limits of the program; a limit that is lower already stays."""
    values = {
        resource.RLIMIT_CPU: job["cpu_s"],
        resource.RLIMIT_AS: job["memory_bytes"],
        resource.RLIMIT_FSIZE: job["disk_bytes"],
        # A user namespace counts from zero, otherwise every thread of the user counts.
        resource.RLIMIT_NPROC: job["processes"] + (1 if job["namespaces"] else threads_of(os.getuid())),
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in values.items():
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def threads_of(uid: int) -> int:
    """Threads that the machine runs for a user; 0 where that cannot be seen."""
    count = 0
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        try:
            if name.isdecimal() and os.stat(f"/proc/{name}").st_uid == uid:
                count += len(os.listdir(f"/proc/{name}/task"))
        except OSError:
            continue
    return count


def refuse_calls(machine: str) -> None:
    """A seccomp filter for this process and all that it starts: the calls of REFUSED fail with EPERM.

    The program that runs the tests keeps its secrets in memory, so no other process may read it, not even a fresh
    interpreter that it starts itself; and memory that no limit counts (memfd) or a new namespace's mounts would give
    is not to be had. OSError where the kernel has no filters, KeyError for a machine whose call numbers are not here.
    """
    architecture, which = MACHINES[machine]
    load, equal, at_least, any_bit, end = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF: BPF_LD|W|ABS, JMP|JEQ|K, JGE, JSET, RET
    kill, denied, unknown, allowed = 0x80000000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS, 0x7FFF0000
    # (operation, jump if true, jump if false, operand); seccomp_data has the number at 0, the architecture at 4 and the
    # first argument at 16.
    steps = [(load, 0, 0, 4), (equal, 1, 0, architecture), (end, 0, 0, kill), (load, 0, 0, 0)]
    steps += [(at_least, 0, 1, 0x40000000), (end, 0, 0, denied)]  # the x32 calls of x86_64
    for numbers in REFUSED.values():
        steps += [(equal, 0, 1, numbers[which]), (end, 0, 0, denied)]
    # The C library falls back to clone, whose flags can be seen.
    steps += [(equal, 0, 1, CLONE3), (end, 0, 0, unknown)]
    steps += [(equal, 0, 3, CLONE[which]), (load, 0, 0, 16), (any_bit, 0, 1, NEW_USER), (end, 0, 0, denied)]
    steps += [(end, 0, 0, allowed)]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    program = struct.pack("HP", len(steps), ctypes.addressof(kept := ctypes.create_string_buffer(code)))
    checked("prctl", SET_SECCOMP, 2, program, 0, 0)
    del kept


def become_judge(job: Job, proc: int, null: int, result: int) -> None:
    """In the child: drop everything and start a fresh interpreter."""
    os.setsid()
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.dup2(result, RESULT_FD)
    os.set_inheritable(RESULT_FD, True)
    os.chdir(job["private"] if job["namespaces"] else job["folder"])
    if job["nobody"]:
        be_nobody(job, proc)
    if sys.platform == "linux":
        checked("prctl", SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        checked("prctl", SET_DEATH_SIGNAL, SIGKILL, 0, 0, 0)
    limit(job)
    if job["namespaces"]:
        refuse_calls(os.uname().machine)
    os.execve(job["python"], [job["python"], "-sSPB", "-X", "utf8", "-c", job["judge"]], job["environment"])


def descendants() -> set[int]:
    """Process ids below this one, from /proc."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
    found, size = {os.getpid()}, 0
    while size != len(found):
        size = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found - {os.getpid()}


def clean_up(group: int, until_s: float) -> None:
    """Limits only: end whatever the program left running; orphans come to this process."""
    try:  # noqa: SIM105  contextlib would be imported in every check
        os.killpg(group, SIGKILL)
    except OSError:
        pass  # nothing is left of it
    while time.monotonic() < until_s:
        for pid in descendants() if os.path.isdir("/proc/self") else ():
            try:
                os.kill(pid, SIGKILL)
            except OSError:
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return


def supervise(pid: int, result: int, wall_s: float) -> tuple[int, bool, bytes]:
    """(wait status, whether the wall limit passed, what the judge wrote)."""
    deadline_s, kept, over, late = time.monotonic() + wall_s, b"", False, False
    while True:
        late = time.monotonic() > deadline_s
        if late:
            os.kill(pid, SIGKILL)
        if not over and select.select([result], [], [], 0.02)[0]:
            piece = os.read(result, 65536)
            over = not piece
            kept = (kept + piece)[:KEPT_BYTES]
        ended, status = os.waitpid(pid, 0 if late else os.WNOHANG)
        if ended:
            break
        if over:
            time.sleep(0.0005)
    os.set_blocking(result, False)
    try:
        while piece := os.read(result, 65536) if len(kept) < KEPT_BYTES else b"":
            kept = (kept + piece)[:KEPT_BYTES]
    except BlockingIOError:
        pass
    return status, late, kept


def not_started(failure: int) -> str:
    """Why the child never became an interpreter; empty when it did."""
    try:
        return os.read(failure, KEPT_BYTES).decode()
    except BlockingIOError:
        return ""


def main() -> None:
    """Confine, run, report."""
    job = marshal.loads(bytes.fromhex(sys.argv[1]))
    root, linux = os.geteuid() == 0, sys.platform == "linux"
    # Above RESULT_FD, which the child replaces.
    proc = fcntl.fcntl(os.open("/proc", os.O_RDONLY), fcntl.F_DUPFD_CLOEXEC, 10) if linux else -1
    null = os.open(os.devnull, os.O_RDWR)
    if linux:
        checked("prctl", SET_SUBREAPER, 1, 0, 0, 0)
    if job["namespaces"]:
        enter_namespaces(job, proc, root)
    result, written = os.pipe()
    failure, failed = os.pipe()
    failed = fcntl.fcntl(failed, fcntl.F_DUPFD_CLOEXEC, 10)  # closed by a successful exec
    pid = os.fork()
    if pid == 0:
        try:
            become_judge(job, proc, null, written)
        except BaseException as e:  # noqa: BLE001  all of it is told to the parent
            os.write(failed, f"{type(e).__name__}: {e}".encode())
        finally:
            os._exit(1)
    os.close(written)
    os.close(0)
    status, late, kept = supervise(pid, result, job["wall_s"])
    os.set_blocking(failure, False)
    if reason := not_started(failure):
        sys.exit(reason)
    if not job["namespaces"]:
        clean_up(pid, time.monotonic() + 5)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    os.write(1, f"{status} {int(late)} {used.ru_utime + used.ru_stime:.3f}\n".encode() + kept)


main()
