#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Notification ports in Python: both ends in one process."""

from iostreamtest import *

import select


class TestPort(TestCase):

    def setUp(self):
        super().setUp()
        result, self.one, self.two = IOStream.NotificationPort.new_pair()

    def test_wait(self):
        self.one.send_notification()
        self.two.wait(10 * 1000000)

    def test_wait_across_pieces(self):
        timer = threading.Timer(0.25, self.one.send_notification)
        timer.start()
        self.two.wait(-1)
        timer.join()

    def test_timeout(self):
        before = time.monotonic()
        with self.assertStreamError(IOStream.StreamError.TIMEOUT):
            self.two.wait(150000)
        self.assertGreaterEqual(time.monotonic() - before, 0.15)

    def test_look(self):
        with self.assertStreamError(IOStream.StreamError.TIMEOUT):
            self.two.wait(0)

    def test_wrong_arguments(self):
        for arguments in (('x',), (1, 'x'), (1, self.one), (), (2**70,)):
            with self.assertRaises((TypeError, OverflowError)):
                self.two.wait(*arguments)

    def test_long_timeout(self):
        self.one.send_notification()
        self.assertTrue(self.two.wait(2**63 - 1))

    def test_cancelled(self):
        cancellable = Gio.Cancellable()
        timer = threading.Timer(0.05, cancellable.cancel)
        timer.start()
        with self.assertRaises(GLib.Error) as context:
            self.two.wait(-1, cancellable)
        timer.join()
        self.assertTrue(context.exception.matches(
            Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED))

    def test_poll(self):
        if self.two.prepare_wait():
            self.one.send_notification()
            poll = select.poll()
            poll.register(self.two.get_fd(), select.POLLIN)
            self.assertTrue(poll.poll(10000))
        self.two.finish_wait()

    def test_source(self):
        calls = []

        def dispatch(*args):
            calls.append(args)
            return GLib.SOURCE_REMOVE

        source = self.two.create_source(None)
        source.set_callback(dispatch)
        source.attach(None)
        self.one.send_notification()
        wait_until(lambda: calls)

    def test_hang_up(self):
        del self.one
        gc.collect()
        with self.assertRaises(GLib.Error):
            self.two.wait(10 * 1000000)
        self.assertTrue(self.two.is_hung_up())


if __name__ == '__main__':
    main()
