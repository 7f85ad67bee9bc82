"""What runs, and who listens where: read from /proc, or asked of ps and lsof without it."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LISTEN = "0A"


def listening_addresses(process_id: int) -> set[tuple[str, int]]:
    """The addresses that a process and all of its group listen on."""
    members = group_members(process_id)
    if sys.platform == "linux":
        inodes = {inode for member in members for inode in _socket_inodes(member)}
        return {
            address
            for table in ("tcp", "tcp6")
            for address, inode in _listeners(Path("/proc/net", table))
            if inode in inodes
        }
    ids = ",".join(map(str, members))
    command = ["lsof", "-a", "-nP", "-iTCP", "-sTCP:LISTEN", "-Fn", "-p", ids]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return {
        (host, int(port))
        for host, port in re.findall(r"^n(.*):(\d+)$", listed.stdout, re.MULTILINE)
    }


def group_members(process_id: int) -> list[int]:
    """The living processes of the group that a process leads, or led."""
    return [
        member
        for member, _, group, state in _processes()
        if group == process_id and not state.startswith("Z")
    ]


def children_of(process_id: int) -> list[int]:
    """The processes that a process started, in whatever group, and has not waited for yet."""
    return [member for member, parent, _, _ in _processes() if parent == process_id]


def _processes() -> Iterator[tuple[int, int, int, str]]:
    """Each process, its parent, group and state. Small images have /proc, but no `ps`."""
    if sys.platform == "linux":
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                # The second field is the program's name in parentheses, with anything in it.
                state, parent, group, *_ = path.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                continue
            yield int(path.parent.name), int(parent), int(group), state
        return
    command = ["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    for line in listed.stdout.splitlines():
        member, parent, group, state = line.split()
        yield int(member), int(parent), int(group), state


def _socket_inodes(process_id: int) -> set[str]:
    inodes = set()
    for descriptor in Path(f"/proc/{process_id}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:  # closed meanwhile
            continue
        if match := re.fullmatch(r"socket:\[(\d+)\]", target):
            inodes.add(match[1])
    return inodes


def _listeners(table: Path) -> list[tuple[tuple[str, int], str]]:
    found = []
    for line in table.read_text().splitlines()[1:]:
        _, local, _, state, *rest = line.split()
        if state == LISTEN:
            host, _, port = local.partition(":")
            family = socket.AF_INET if len(host) == 8 else socket.AF_INET6
            # Each 32-bit word is in the machine's byte order.
            packed = b"".join(
                bytes.fromhex(host[start : start + 8])[::-1] for start in range(0, len(host), 8)
            )
            found.append(((socket.inet_ntop(family, packed), int(port, 16)), rest[5]))
    return found
