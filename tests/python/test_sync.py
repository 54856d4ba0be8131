#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Synchronous input: the client waits until the owner's method has run."""

import threading

from streamtest import *
from streamtest import Owner, StreamTestCase


class SyncOwner(Owner):

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.tokens = []
        self.error = None
        self.held = None

    def do_input_sync_callback(self, token):
        self.tokens.append(token)
        if self.held is not None:
            self.held.wait(TIMEOUT)
        if self.error is not None:
            raise self.error


class TestSync(StreamTestCase):

    owner_class = SyncOwner

    def test_call(self):
        with self.open() as connection:
            for token in 0, 5, 0xffffffff:
                self.assertTrue(
                    connection.send_input_sync_notification(token))
                self.assertEqual(self.stream.tokens[-1], token)
            with self.assertRaises(OverflowError):
                connection.send_input_sync_notification(-1)
        self.assertEqual(len(self.stream.tokens), 3)

    def test_refused(self):
        code = IOStream.StreamError.BAD_ARGUMENT
        self.stream.error = GLib.Error.new_literal(
            IOStream.StreamError.quark(), 'no', code)
        with self.open() as connection:
            with self.assertStreamError(code, 'refuses'):
                connection.send_input_sync_notification(1)
            # Whatever it raises reaches the client as something.
            self.stream.error = ZeroDivisionError('no')
            with self.assertStreamError(IOStream.StreamError.FAILED):
                connection.send_input_sync_notification(1)
            self.stream.error = None
            connection.send_input_sync_notification(1)

    def test_others_run_meanwhile(self):
        """The method is in another thread of this interpreter: the call would
        never end, did it keep that from running."""
        self.stream.held = threading.Event()
        with self.open() as connection:
            timer = threading.Timer(0.05, self.stream.held.set)
            timer.start()
            connection.send_input_sync_notification(1)
            timer.join()

    def test_time_out(self):
        self.stream.held = threading.Event()
        with self.open() as connection:
            connection.set_timeout(50000)
            with self.assertStreamError(IOStream.StreamError.NOT_RESPONDING):
                connection.send_input_sync_notification(1)
            self.stream.held.set()
            connection.set_timeout(TIMEOUT * 1000000)
            connection.send_input_sync_notification(2)
        self.assertEqual(self.stream.tokens, [1, 2])

    def test_cancel(self):
        cancellable = Gio.Cancellable()
        self.stream.held = threading.Event()
        self.addCleanup(self.stream.held.set)
        with self.open() as connection:
            timer = threading.Timer(0.05, cancellable.cancel)
            timer.start()
            with self.assertRaises(GLib.Error) as caught:
                connection.send_input_sync_notification(1, cancellable)
            self.assertTrue(caught.exception.matches(
                Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED))
            timer.join()
            self.stream.held.set()

    def test_async(self):
        loop = GLib.MainLoop()
        results = []

        def done(connection, result):
            results.append(
                connection.send_input_sync_notification_finish(result))
            loop.quit()

        with self.open() as connection:
            connection.send_input_sync_notification_async(7, None, done)
            loop.run()
        self.assertEqual(results, [True])
        self.assertEqual(self.stream.tokens, [7])


class TestSignal(StreamTestCase):

    def test_signal(self):
        tokens = []
        self.stream.connect('input-sync',
                            lambda stream, token: tokens.append(token))
        with self.open() as connection:
            connection.send_input_sync_notification(3)
            connection.send_input_sync_notification(4)
        self.assertEqual(tokens, [3, 4])


if __name__ == '__main__':
    main()
