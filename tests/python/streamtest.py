# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stream to test with: the owner on a work loop, the client here.

Run with IOSTREAM_TEST_LOCAL=1 both are in this thread, and there is no loop.
"""

import unittest

from iostreamtest import *
from iostreamtest import TIMEOUT, TestCase as _TestCase

LOCAL = 'IOSTREAM_TEST_LOCAL' in os.environ

N_BUFFERS = 4
DATA_SIZE = 4096
CONTROL_SIZE = 64


class Owner(IOStream.Stream):
    """Remembers what was called, in which thread of Python."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = []

    def do_start(self):
        self.calls.append('start')

    def do_stop(self):
        self.calls.append('stop')

    def do_suspend(self):
        self.calls.append('suspend')


def make_owner(loop, cls=Owner, name='camera', **kwargs):
    properties = dict(buffer_count=N_BUFFERS, data_size=DATA_SIZE,
                      control_size=CONTROL_SIZE, timestamps=True,
                      mode=IOStream.StreamMode.OUTPUT)
    properties.update(kwargs)
    return cls(name=name, work_loop=loop, **properties)


def skip_if_local(why):
    return unittest.skipIf(LOCAL, 'in one process: ' + why)


def acquire(stream, timeout):
    """Looks again and again: a thread that serves cannot wait, and what wakes
    the others is the context, which nobody runs."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return stream.acquire_buffer()
        except GLib.Error:
            if time.monotonic() > deadline:
                raise
        with contextlib.suppress(GLib.Error):
            stream.wait_buffer(1000)


def send(stream, text=b'', timeout=10):
    """Fills the next free buffer and sends it."""
    if LOCAL:
        buffer = acquire(stream, timeout)
    else:
        if not stream.wait_buffer(timeout * 1000000):
            raise AssertionError('no buffer came back')
        buffer = stream.acquire_buffer()
    buffer.data[:len(text)] = text
    buffer.control[:len(text)] = text
    stream.send_buffer(buffer)
    return buffer


class StreamTestCase(_TestCase):
    """self.stream is registered as `camera`; open() connects to it."""

    owner_class = Owner
    properties = {}

    def setUp(self):
        super().setUp()
        self.loop = None
        if not LOCAL:
            self.loop = IOStream.WorkLoop.new('owner')
            self.addCleanup(self.loop.shut_down)
        self.stream = make_owner(self.loop, self.owner_class,
                                 **self.properties)
        self.stream.register()
        self.addCleanup(self.stream.terminate)

    def connect(self, name='camera', stream=None):
        if LOCAL:
            return IOStream.StreamConnection.new_for_stream(
                stream or self.stream)
        return IOStream.StreamConnection.new_for_name(name)

    def open(self, name='camera', stream=None):
        if LOCAL:
            return IOStream.StreamConnection.open_stream(
                stream or self.stream)
        return IOStream.StreamConnection.open_name(name)

    @contextlib.contextmanager
    def started(self):
        with self.open() as connection:
            connection.start()
            yield connection

    def count_free(self):
        """How many buffers the owner can have now."""
        buffers = []
        try:
            while True:
                buffers.append(self.stream.acquire_buffer())
        except GLib.Error:
            pass
        for buffer in buffers:
            self.stream.release_buffer(buffer)
        return len(buffers)
