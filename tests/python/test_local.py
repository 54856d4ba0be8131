#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Owner and client in one thread: a class of streams in Python is tried out
without a second process."""

from iostreamtest import *
from gi.overrides import _iostream

N_BUFFERS = 3


class Numbers(IOStream.Stream):
    """Sends as many as it has buffers, and one for each that comes back."""

    def __init__(self, **kwargs):
        super().__init__(buffer_count=N_BUFFERS, data_size=64, control_size=8,
                         **kwargs)
        self.next = 0
        self.calls = []
        self.fails = False

    def send_all(self):
        with contextlib.suppress(GLib.Error):
            while True:
                buffer = self.acquire_buffer()
                buffer.data[:] = bytes([self.next]) * 64
                buffer.control[:1] = bytes([self.next + 100])
                self.next += 1
                self.send_buffer(buffer)

    def do_start(self):
        self.calls.append('start')
        if self.fails:
            raise ValueError('the lamp is broken')
        self.send_all()

    def do_stop(self):
        self.calls.append('stop')

    def do_input_callback(self, token):
        self.send_all()


def settle():
    while GLib.MainContext.default().iteration(False):
        pass


class TestLocal(TestCase):

    def setUp(self):
        super().setUp()
        self.stream = Numbers()
        self.addCleanup(self.stream.terminate)

    def open(self):
        return IOStream.StreamConnection.open_stream(self.stream)

    def test_direct(self):
        connection = IOStream.StreamConnection.new_for_stream(self.stream)
        self.assertIsInstance(connection, IOStream.StreamConnection)
        self.assertIs(connection.props.service, self.stream)
        self.assertEqual(connection.get_service_class(),
                         type(self.stream).__gtype__.name)
        self.assertFalse(connection.is_open())
        with connection:
            self.assertTrue(connection.is_open())
            connection.start()
            self.assertEqual(self.stream.calls, ['start'])
            self.assertEqual(self.stream.next, N_BUFFERS)
            connection.stop()
            self.assertEqual(self.stream.calls, ['start', 'stop'])
        self.assertFalse(self.stream.is_open(None))
        connection.hang_up()

    def test_construct(self):
        connection = IOStream.StreamConnection(service=self.stream)
        connection.open(0)
        self.assertTrue(self.stream.is_open(None))
        connection.hang_up()
        self.assertFalse(self.stream.is_open(None))

    def test_plain(self):
        service = IOStream.Service.new(None)
        service.set_attribute('width', GLib.Variant('u', 1920))
        connection = IOStream.Connection.new_for_service(service)
        self.assertEqual(connection.copy_attributes()['width'], 1920)
        connection.open(0)
        self.assertTrue(service.is_open(None))
        connection.close()
        connection.hang_up()

    def test_frames(self):
        with self.open() as connection:
            for number, frame in zip(range(20), connection):
                with frame:
                    self.assertEqual(bytes(frame.data), bytes([number]) * 64)
                    self.assertEqual(frame.control[0], number + 100)
                    self.assertTrue(frame.data.readonly)
                    self.assertEqual(frame.array().sum(), 64 * number)
                while self.stream.next < number + 1 + N_BUFFERS:
                    GLib.MainContext.default().iteration(True)
            self.assertEqual(connection.get_held(), 0)
        self.assertEqual(self.stream.calls, ['start', 'stop'])

    def test_view_outlives_frame(self):
        """The buffer is not free as long as somebody sees it."""
        with self.open() as connection:
            frame = next(iter(connection))
            view = frame.data
            array = frame.array()
            frame.release()
            settle()
            self.assertEqual(self.stream.next, N_BUFFERS)
            self.assertEqual(bytes(view), bytes(64))
            del view, array
            gc.collect()
            while self.stream.next == N_BUFFERS:
                GLib.MainContext.default().iteration(True)

    def test_output_signal(self):
        numbers = []

        def output_cb(connection):
            while (frame := _iostream.take(connection)) is not None:
                with frame:
                    numbers.append(frame.data[0])

        with self.open() as connection:
            connection.connect('output-available', output_cb)
            connection.start()
            self.assertEqual(numbers, [])
            while len(numbers) < 10:
                GLib.MainContext.default().iteration(True)
            self.assertEqual(numbers, list(range(len(numbers))))

    def test_exception_in_method(self):
        """It comes out of the call, as from another process."""
        self.stream.fails = True
        with self.open() as connection:
            with self.assertRaises(GLib.Error) as caught:
                connection.start()
            self.assertIn('the lamp is broken', caught.exception.message)
            self.stream.fails = False
            connection.start()

    def test_taken(self):
        with self.open():
            with self.assertStreamError(IOStream.StreamError.EXCLUSIVE_ACCESS):
                self.open()
        with self.open():
            pass

    def test_terminated(self):
        told = []
        connection = self.open()
        connection.connect('disconnected', lambda *args: told.append(args[1]))
        connection.start()
        self.stream.terminate()
        with self.assertStreamError(IOStream.StreamError.OFFLINE):
            connection.stop()
        self.assertEqual(told, [])
        settle()
        self.assertEqual(told, [None])

    def test_other_thread(self):
        """A work loop serves in its own thread, and connects there."""
        loop = IOStream.WorkLoop.new('owner')
        self.addCleanup(loop.shut_down)
        stream = Numbers(work_loop=loop)
        with self.assertStreamError(IOStream.StreamError.CANNOT_LOCK):
            IOStream.StreamConnection.open_stream(stream)
        numbers = []

        def use():
            with IOStream.StreamConnection.open_stream(stream) as connection:
                with next(iter(connection)) as frame:
                    numbers.append(frame.data[63])
                connection.stop()
            connection.hang_up()
            return True

        loop.run_action(use)
        self.assertEqual(numbers, [0])
        stream.terminate()

    def test_without_data(self):
        stream = IOStream.Stream(buffer_count=1, data_size=0, control_size=4)
        with IOStream.StreamConnection.open_stream(stream) as connection:
            connection.start()
            buffer = stream.acquire_buffer()
            self.assertEqual(len(buffer.array()), 0)
            buffer.control[:] = b'only'
            stream.send_buffer(buffer)
            with connection.read() as frame:
                self.assertEqual(len(frame.array()), 0)
                self.assertEqual(bytes(frame.control), b'only')
        stream.terminate()

    def test_never_connected(self):
        connection = IOStream.StreamConnection(name='numbers')
        for use in lambda: list(connection), lambda: connection.read(0):
            with self.assertStreamError(IOStream.StreamError.NOT_OPEN):
                use()

    def test_no_stream(self):
        with self.assertRaises(TypeError):
            IOStream.StreamConnection.new_for_stream('camera')
        with self.assertRaises(TypeError):
            IOStream.StreamConnection.new_for_stream(None)


if __name__ == '__main__':
    main()
