#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client that runs a main loop: signals, callbacks, asynchronous calls."""

from streamtest import *
from streamtest import StreamTestCase, TestCase, make_owner, send

import select
import socket

from gi.overrides import _iostream


class TestMainLoop(StreamTestCase):

    def finish(self, begin, finish, *args):
        """Calls an asynchronous method and serves until it is done."""
        results = []
        begin(*args, lambda source, result: results.append(result))
        wait_until(lambda: results)
        return finish(results[0])

    def open_async(self, name='camera'):
        return self.finish(IOStream.StreamConnection.open_name_async,
                           IOStream.StreamConnection.open_name_finish,
                           name, None)

    def take_all(self, connection, texts):
        frame = _iostream.take(connection)
        while frame is not None:
            texts.append(bytes(frame.data[:1]))
            frame = _iostream.take(connection)

    def test_open(self):
        with self.open_async() as connection:
            self.assertIsInstance(connection, IOStream.StreamConnection)
            self.assertTrue(connection.is_open())

    def test_open_fails(self):
        with self.assertStreamError(IOStream.StreamError.NOT_FOUND):
            self.open_async('nobody')

    def test_start_and_stop(self):
        with self.open_async() as connection:
            self.finish(connection.start_async, connection.start_finish, None)
            self.finish(connection.stop_async, connection.stop_finish, None)
        self.assertEqual(self.stream.calls, ['start', 'stop'])

    def test_output_available(self):
        texts = []
        with self.started() as connection:
            connection.connect('output-available', self.take_all, texts)
            send(self.stream, b'1')
            wait_until(lambda: len(texts) == 1)
            send(self.stream, b'2')
            send(self.stream, b'3')
            wait_until(lambda: len(texts) == 3)
        self.assertEqual(texts, [b'1', b'2', b'3'])

    def test_output_callback(self):
        texts = []
        with self.started() as connection:
            connection.set_output_callback(self.take_all, texts)
            send(self.stream, b'1')
            wait_until(lambda: texts)
            connection.set_output_callback(None)
        self.assertEqual(texts, [b'1'])

    def test_exception_in_handler_is_seen(self):
        calls = []

        def fail(connection):
            calls.append(connection)
            _iostream.take(connection)
            raise KeyError('handler')

        with self.started() as connection:
            connection.connect('output-available', fail)
            with self.expect_lost('handler'):
                send(self.stream)
                wait_until(lambda: calls)

    def test_state(self):
        states = []
        with self.started() as connection:
            connection.connect('notify::state', lambda *args: states.append(
                connection.get_state()))
            self.stream.stop()
            wait_until(lambda: IOStream.StreamState.STOPPED in states)

    def test_disconnected(self):
        errors = []
        with self.started() as connection:
            connection.connect('disconnected',
                               lambda source, error: errors.append(error))
            self.stream.terminate()
            wait_until(lambda: errors)
            self.assertEqual(errors, [None])

    def test_close_in_handler(self):
        calls = []

        def close(connection):
            calls.append(connection)
            connection.hang_up()

        with self.started() as connection:
            connection.connect('output-available', close)
            send(self.stream)
            wait_until(lambda: calls)


class TestSignalsOfTheOwner(StreamTestCase):

    def test_clients(self):
        events = []
        for name in ('client-opened', 'client-closed'):
            self.stream.connect(name, lambda stream, client, name=name:
                                events.append((name, client.get_client_pid()
                                               if hasattr(client,
                                                          'get_client_pid')
                                               else 0)))
        with self.open():
            pass
        wait_until(lambda: len(events) == 2)
        self.assertEqual([name for name, pid in events],
                         ['client-opened', 'client-closed'])

    def test_authorize(self):
        clients = []

        def refuse(stream, client):
            clients.append(client)
            return False

        self.stream.connect('authorize', refuse)
        with self.assertRaises(GLib.Error):
            self.open()
        self.assertEqual(len(clients), 1)


class TestOneThread(TestCase):
    """Owner and client in one thread, which serves both."""

    def setUp(self):
        super().setUp()
        self.stream = make_owner(None, name='single')
        self.stream.register()
        self.addCleanup(self.stream.terminate)

    def test_synchronous_open(self):
        with self.assertStreamError(IOStream.StreamError.CANNOT_LOCK):
            IOStream.StreamConnection.open_name('single')

    def test_asynchronous_open(self):
        results = []

        def opened(source, result):
            results.append(
                IOStream.StreamConnection.open_name_finish(result))

        def started(source, result):
            results.append(source.start_finish(result))

        IOStream.StreamConnection.open_name_async('single', None, opened)
        wait_until(lambda: results)
        connection = results[0]
        connection.start_async(None, started)
        wait_until(lambda: len(results) == 2)
        buffer = self.stream.acquire_buffer()
        buffer.data[:3] = b'one'
        self.stream.send_buffer(buffer)
        self.assertEqual(bytes(connection.read(10).data[:3]), b'one')
        connection.hang_up()


class TestForeignLoop(StreamTestCase):

    def test_three_calls(self):
        with self.started() as connection:
            poll = select.poll()
            poll.register(connection.get_fd(), select.POLLIN)
            for number in range(20):
                timer = threading.Timer(0.001, send, (self.stream, b'x'))
                timer.start()
                frame = None
                while frame is None:
                    if connection.prepare_wait():
                        self.assertTrue(poll.poll(10000))
                    connection.finish_wait()
                    frame = _iostream.take(connection)
                timer.join()


class TestSocket(StreamTestCase):

    def test_pair(self):
        """A ready pair of sockets takes the place of a name."""
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs, ours = (Gio.Socket.new_from_fd(end.detach()) for end in ends)
        self.stream.add_socket(theirs)
        connection = IOStream.StreamConnection.new_for_socket(ours)
        with connection:
            self.assertIsNone(connection.read(0))
            send(self.stream, b'pair')
            self.assertEqual(bytes(connection.read(10).data[:4]), b'pair')


if __name__ == '__main__':
    main()
