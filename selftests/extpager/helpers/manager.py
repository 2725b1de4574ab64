# SPDX-License-Identifier: GPL-2.0-only
"""For tests in Python: a service manager, played by the test."""
import array
import os
import socket
import time

from configured import Pagerd


class Manager:
    """The service manager's end of sd_notify(3). Used in `with`: it lets go of the port
    after it, which keeps the module."""

    def __init__(self):
        self.path = f"/tmp/notify-{time.monotonic_ns()}"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.port = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        os.unlink(self.path)
        self.keep(None)

    def keep(self, port):
        if self.port is not None:
            os.close(self.port)
        self.port = port

    def message(self, seconds):
        """The next one, as a dict, or None. A port that comes with it is kept."""
        self.socket.settimeout(seconds)
        try:
            text, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(64))
        except TimeoutError:
            return None
        words = dict(line.split("=", 1) for line in text.decode().splitlines())
        for _, _, data in ancillary:
            fds = array.array("i", data)
            assert len(fds) == 1 and words["FDNAME"] == "port" and words["FDPOLL"] == "0", words
            self.keep(fds[0])
        return words

    def wait_for(self, seconds=30, **want):
        """The message that has these words."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            words = self.message(end - time.monotonic())
            if words and want.items() <= words.items():
                return words
        raise AssertionError(f"the manager was not told {want} in {seconds} s")

    def drain(self):
        while self.message(0.01):
            pass

    def start(self, *args, **environment):
        """With the port, as after a restart, if there is one."""
        more = {"env": {**os.environ, "NOTIFY_SOCKET": self.path, **environment}}
        before = ()
        if self.port is not None:
            before = ("sh", "-c", f'exec 3<&{self.port}; LISTEN_PID=$$ exec "$@"', "sh")
            more["pass_fds"] = (self.port,)
            more["env"].update(LISTEN_FDS="1", LISTEN_FDNAMES="port")
        return Pagerd(*args, before=before, **more)
