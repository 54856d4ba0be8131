#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Both directions, changes of the mode, and buffers added while open."""

from streamtest import *
from streamtest import CONTROL_SIZE, DATA_SIZE, Owner, StreamTestCase, send

READ = IOStream.StreamPeerAccess.READ
READ_WRITE = IOStream.StreamPeerAccess.READ_WRITE
Mode = IOStream.StreamMode


class Flexible(Owner):

    def do_set_mode(self, mode):
        self.calls.append(mode)


def new_buffers(count, access, size=DATA_SIZE):
    return [IOStream.StreamBuffer.new(
        IOStream.BufferMemoryDescriptor.new(size, access),
        IOStream.BufferMemoryDescriptor.new(CONTROL_SIZE, access))
        for _ in range(count)]


class TestGrow(StreamTestCase):

    properties = {'queue_length': 32}

    def add(self, count, access=READ):
        buffers = new_buffers(count, access)
        self.loop.run_action(self.stream.add_buffers, buffers)
        return buffers

    def test_iteration(self):
        """Frames of buffers that came later."""
        with self.started() as connection:
            self.assertEqual(connection.get_buffer_count(), 4)
            self.add(5)
            kept = []
            for number in range(9):
                send(self.stream, b'%d' % number)
                frame = next(iter(connection))
                self.assertEqual(bytes(frame.data[:1]), b'%d' % number)
                kept.append(frame)
            self.assertEqual(connection.get_buffer_count(), 9)
            self.assertEqual(self.count_free(), 0)
            for frame in kept:
                frame.release()

    def test_signal(self):
        counts = []
        with self.open() as connection:
            connection.connect('buffers-changed', lambda connection:
                               counts.append(connection.get_buffer_count()))
            self.add(1)
            wait_until(lambda: counts)
            self.add(2)
            wait_until(lambda: len(counts) == 2)
            self.assertEqual(counts, [5, 7])
            buffer = connection.get_buffer_with_id(6)
            self.assertEqual(len(buffer.data), DATA_SIZE)

    def test_class_handler(self):
        class Client(IOStream.StreamConnection):
            count = 0

            def do_buffers_changed(self):
                self.count += 1

        with Client(name='camera') as client:
            self.add(1)
            wait_until(lambda: client.count)
            self.assertEqual(client.get_buffer_count(), 5)

    def test_memory_outlives_growth(self):
        with self.started() as connection:
            send(self.stream, b'old')
            frame = next(iter(connection))
            view = frame.data
            self.add(20)
            send(self.stream, b'new')
            with next(iter(connection)) as other:
                self.assertEqual(bytes(other.data[:3]), b'new')
            self.assertEqual(bytes(view[:3]), b'old')
            view.release()
            frame.release()

    def test_queues(self):
        self.assertIsNone(self.stream.get_output_queue())
        self.stream.create_queues(100)
        self.assertEqual(self.stream.get_output_queue().get_entry_count(), 128)
        with self.open() as connection:
            self.assertEqual(connection.get_output_queue().get_entry_count(),
                             128)
            with self.assertRaises(GLib.Error) as caught:
                self.stream.destroy_queues()
            self.assertTrue(caught.exception.matches(
                IOStream.StreamError.quark(), IOStream.StreamError.STILL_OPEN))


class TestExact(StreamTestCase):

    def test_no_room(self):
        with self.open() as connection:
            with self.assertRaises(GLib.Error) as caught:
                self.stream.add_buffers(new_buffers(1, READ))
            self.assertTrue(caught.exception.matches(
                IOStream.StreamError.quark(), IOStream.StreamError.STILL_OPEN))
            self.assertEqual(connection.get_buffer_count(), 4)


class TestBothWays(StreamTestCase):

    owner_class = Flexible
    properties = {'mode': Mode.INPUT_OUTPUT, 'queue_length': 16}

    def take(self):
        self.stream.wait_input(10000000)
        found, entry = self.stream.dequeue_input_entry()
        self.assertTrue(found)
        return entry

    def test_there_and_back(self):
        with self.started() as connection:
            self.assertEqual(connection.get_mode(), Mode.INPUT_OUTPUT)
            for number in range(10):
                buffer = send(self.stream, b'ask %d' % number)
                frame = next(iter(connection))
                self.assertEqual(bytes(frame.data[:5]), b'ask %d' % number)
                frame.data[:5] = b'say %d' % number
                frame.send(5, 0)
                entry = self.take()
                self.assertEqual((entry.data_length, entry.control_length),
                                 (5, 0))
                self.assertEqual(bytes(buffer.data[:5]), b'say %d' % number)
                self.stream.release_buffer(buffer)

    def test_change(self):
        modes = []
        with self.started() as connection:
            connection.connect('notify::mode', lambda connection, pspec:
                               modes.append(connection.get_mode()))
            self.loop.run_action(self.stream.set_mode, Mode.OUTPUT)
            self.assertEqual(connection.get_mode(), Mode.OUTPUT)
            wait_until(lambda: modes)
            connection.set_mode(Mode.INPUT)
            self.assertEqual(modes, [Mode.OUTPUT, Mode.INPUT])
            self.assertEqual(self.stream.calls[-2:],
                             [Mode.OUTPUT, Mode.INPUT])

    def test_change_while_lent(self):
        with self.started() as connection:
            send(self.stream)
            with self.assertRaises(GLib.Error) as caught:
                connection.set_mode(Mode.OUTPUT)
            self.assertTrue(caught.exception.matches(
                IOStream.StreamError.quark(), IOStream.StreamError.BUSY))
            next(iter(connection)).release()
            self.take()
            connection.set_mode(Mode.OUTPUT)

    def test_read_only_buffers(self):
        with self.assertRaises(GLib.Error) as caught:
            self.stream.add_buffers(new_buffers(1, READ))
        self.assertTrue(caught.exception.matches(
            IOStream.StreamError.quark(),
            IOStream.StreamError.UNSUPPORTED_MODE))
        self.stream.add_buffers(new_buffers(1, READ_WRITE))
        self.assertEqual(self.stream.get_buffer_count(), 5)


if __name__ == '__main__':
    main()
