#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client in Python: connections and the frames they give."""

from streamtest import *
from streamtest import (CONTROL_SIZE, DATA_SIZE, N_BUFFERS, StreamTestCase,
                        send, skip_if_local)

import weakref


class TestWith(StreamTestCase):

    def test_open_name(self):
        with self.open() as connection:
            self.assertIsInstance(connection, IOStream.StreamConnection)
            self.assertTrue(connection.is_open())
            self.assertEqual(connection.get_state(),
                             IOStream.StreamState.STOPPED)
        self.assertFalse(connection.is_open())

    def test_enter_opens(self):
        connection = self.connect()
        self.assertFalse(connection.is_open())
        with connection as entered:
            self.assertIs(entered, connection)
            self.assertTrue(connection.is_open())
        self.assertFalse(connection.is_open())

    def test_enter_again(self):
        connection = self.open()
        for _ in range(3):
            with connection:
                self.assertTrue(connection.is_open())
            self.assertFalse(connection.is_open())

    def test_leave_stops(self):
        with self.open() as connection:
            frames = iter(connection)
            self.assertEqual(connection.get_state(),
                             IOStream.StreamState.RUNNING)
            send(self.stream)
            next(frames).release()
        self.assertEqual(self.stream.calls, ['start', 'stop'])

    def test_closed_inside(self):
        with self.open() as connection:
            connection.close()

    def test_hung_up_inside(self):
        with self.open() as connection:
            connection.hang_up()

    def test_terminated_inside(self):
        with self.open() as connection:
            iter(connection)
            self.stream.terminate()

    def test_does_not_mask(self):
        with self.assertRaises(ZeroDivisionError):
            with self.open() as connection:
                1 / 0
        self.assertFalse(connection.is_open())

    def test_does_not_mask_after_hang_up(self):
        with self.assertRaises(ZeroDivisionError):
            with self.open() as connection:
                iter(connection)
                connection.hang_up()
                1 / 0

    def test_no_such_name(self):
        with self.assertStreamError(IOStream.StreamError.NOT_FOUND, 'nobody'):
            IOStream.StreamConnection.open_name('nobody')

    def test_taken(self):
        with self.open():
            with self.assertStreamError(
                    IOStream.StreamError.EXCLUSIVE_ACCESS):
                self.open()
        with self.open():
            pass

    def test_wrong_name_type(self):
        with self.assertRaises(TypeError):
            IOStream.StreamConnection.open_name(5)
        with self.assertRaises(TypeError):
            IOStream.StreamConnection.open_name()


class TestIteration(StreamTestCase):

    def test_starts(self):
        with self.open() as connection:
            frames = iter(connection)
            self.assertEqual(self.stream.calls, ['start'])
            send(self.stream, b'one')
            frame = next(frames)
            self.assertEqual(bytes(frame.data[:3]), b'one')

    def test_does_not_start_again(self):
        with self.started() as connection:
            iter(connection)
            self.assertEqual(self.stream.calls, ['start'])

    def test_many(self):
        n_frames = 200

        def produce():
            for number in range(n_frames):
                send(self.stream, number.to_bytes(4, 'little'))

        with self.open() as connection:
            frames = iter(connection)
            thread = threading.Thread(target=produce)
            thread.start()
            numbers = []
            for frame in frames:
                numbers.append(int(frame.array('<u4')[0]))
                frame.release()
                if len(numbers) == n_frames:
                    break
            thread.join()
            self.assertEqual(numbers, list(range(n_frames)))
            self.assertEqual(connection.get_held(), 0)
            self.assertEqual(connection.get_lost(), 0)

    def test_without_release(self):
        def produce():
            for _ in range(50):
                send(self.stream)

        with self.open() as connection:
            frames = iter(connection)
            thread = threading.Thread(target=produce)
            thread.start()
            count = 0
            for frame in frames:
                self.assertLessEqual(connection.get_held(), 2)
                count += 1
                if count == 50:
                    break
            thread.join()

    def test_ends_with_stop(self):
        with self.open() as connection:
            frames = iter(connection)
            send(self.stream, b'last')
            self.stream.stop()
            texts = [bytes(frame.data[:4]) for frame in frames]
            self.assertEqual(texts, [b'last'])

    @skip_if_local('the stream is for this thread alone')
    def test_ends_with_stop_while_waiting(self):
        with self.open() as connection:
            frames = iter(connection)
            timer = threading.Timer(0.1, self.stream.stop)
            timer.start()
            self.assertEqual(list(frames), [])
            timer.join()

    @skip_if_local('the stream is for this thread alone')
    def test_ends_with_terminate(self):
        with self.open() as connection:
            frames = iter(connection)
            send(self.stream, b'last')
            timer = threading.Timer(0.1, self.stream.terminate)
            timer.start()
            texts = [bytes(frame.data[:4]) for frame in frames]
            timer.join()
            self.assertEqual(texts, [b'last'])

    def test_start_that_fails(self):
        self.stream.do_fail = True

        class Bad(IOStream.Stream):
            def do_start(self):
                raise ValueError('no light')

        bad = Bad(name='bad', work_loop=self.loop, buffer_count=2,
                  data_size=64)
        bad.register()
        with self.open('bad', bad) as connection:
            with self.assertStreamError(IOStream.StreamError.FAILED,
                                        'no light'):
                iter(connection)
        bad.terminate()

    def test_two_iterators(self):
        with self.open() as connection:
            one, two = iter(connection), iter(connection)
            send(self.stream, b'1')
            send(self.stream, b'2')
            self.assertEqual(bytes(next(one).data[:1]), b'1')
            self.assertEqual(bytes(next(two).data[:1]), b'2')

    def test_not_open(self):
        connection = self.connect()
        with self.assertStreamError(IOStream.StreamError.NOT_OPEN):
            iter(connection)

    def test_iterator_outlives(self):
        frames = iter(self.open())
        send(self.stream, b'x')
        self.assertEqual(bytes(next(frames).data[:1]), b'x')
        del frames
        gc.collect()


class TestRead(StreamTestCase):

    def test_frame(self):
        with self.started() as connection:
            send(self.stream, b'text')
            frame = connection.read()
            self.assertEqual(bytes(frame.data[:4]), b'text')

    def test_starts(self):
        with self.open() as connection:
            self.assertIsNone(connection.read(0))
            self.assertEqual(connection.get_state(),
                             IOStream.StreamState.RUNNING)
        self.assertEqual(self.stream.calls, ['start', 'stop'])

    def test_timeout(self):
        with self.started() as connection:
            before = time.monotonic()
            self.assertIsNone(connection.read(0.05))
            self.assertGreaterEqual(time.monotonic() - before, 0.05)
            self.assertIsNone(connection.read(timeout=0))

    def test_waits(self):
        with self.started() as connection:
            timer = threading.Timer(0.05, send, (self.stream, b'late'))
            timer.start()
            frame = connection.read(10)
            timer.join()
            self.assertEqual(bytes(frame.data[:4]), b'late')

    def test_end(self):
        with self.started() as connection:
            self.stream.stop()
            self.assertIsNone(connection.read())

    def test_wrong_timeout(self):
        with self.started() as connection:
            with self.assertRaises(ValueError):
                connection.read(-1)
            with self.assertRaises(TypeError):
                connection.read('soon')

    def test_not_open(self):
        connection = self.connect()
        with self.assertStreamError(IOStream.StreamError.NOT_OPEN):
            connection.read()

    def test_other_threads_run(self):
        """The wait does not hold the lock of the interpreter."""
        with self.started() as connection:
            count = 0
            done = threading.Event()

            def work():
                nonlocal count
                while count < 100:
                    count += 1
                    time.sleep(0)
                done.set()
                send(self.stream)

            thread = threading.Thread(target=work)
            thread.start()
            self.assertIsNotNone(connection.read(10))
            self.assertTrue(done.is_set())
            thread.join()


class TestFrame(StreamTestCase):

    def setUp(self):
        super().setUp()
        self.connection = self.open()
        self.connection.start()
        self.addCleanup(self.connection.hang_up)

    def take(self, text=b'hello'):
        send(self.stream, text)
        return self.connection.read()

    def test_attributes(self):
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        first, second = self.take(), self.take()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self.assertIsInstance(first, IOStream.Frame)
        self.assertEqual(second.sequence, first.sequence + 1)
        self.assertNotEqual(second.buffer_id, first.buffer_id)
        self.assertLess(before, first.timestamp)
        self.assertLess(first.timestamp, second.timestamp)
        self.assertLess(second.timestamp, after)
        self.assertEqual(len(first), DATA_SIZE)

    def test_attributes_are_read_only(self):
        frame = self.take()
        for name in ('sequence', 'timestamp', 'buffer_id', 'data', 'control',
                     'released', 'nonsense'):
            with self.assertRaises(AttributeError):
                setattr(frame, name, 1)

    def test_data(self):
        frame = self.take()
        self.assertIsInstance(frame.data, memoryview)
        self.assertEqual(frame.data.nbytes, DATA_SIZE)
        self.assertEqual(bytes(frame.data[:5]), b'hello')

    def test_control(self):
        frame = self.take()
        self.assertIsInstance(frame.control, memoryview)
        self.assertEqual(frame.control.nbytes, CONTROL_SIZE)
        self.assertEqual(bytes(frame.control[:5]), b'hello')

    def test_read_only(self):
        frame = self.take()
        self.assertTrue(frame.data.readonly)
        self.assertTrue(frame.control.readonly)
        self.assertFalse(frame.array().flags.writeable)
        with self.assertRaises(TypeError):
            frame.data[0] = 1
        with self.assertRaises(ValueError):
            frame.array()[0] = 1

    def test_same_mapping(self):
        """One mapping per buffer, not one per frame."""
        addresses = {}
        for _ in range(3 * N_BUFFERS):
            with self.take() as frame:
                address = frame.array().__array_interface__['data'][0]
                self.assertEqual(
                    addresses.setdefault(frame.buffer_id, address), address)

    def test_slice(self):
        buffer = self.stream.acquire_buffer()
        buffer.data[100:105] = b'inner'
        buffer.control[8:12] = b'ctrl'
        self.stream.enqueue_output_buffer(buffer, 100, 5, 8, 4)
        self.stream.send_output_notification()
        frame = self.connection.read()
        self.assertEqual(bytes(frame.data), b'inner')
        self.assertEqual(bytes(frame.control), b'ctrl')
        self.assertEqual(len(frame), 5)

    def test_empty(self):
        buffer = self.stream.acquire_buffer()
        self.stream.enqueue_output_buffer(buffer, 0, 0, 0, 0)
        self.stream.send_output_notification()
        frame = self.connection.read()
        self.assertEqual(len(frame), 0)
        self.assertTrue(frame)
        self.assertEqual(bytes(frame.data), b'')
        self.assertEqual(bytes(frame.control), b'')
        self.assertEqual(frame.array().shape, (0,))

    def test_array(self):
        frame = self.take(b'\1\0\2\0')
        self.assertEqual(frame.array('<u2')[:2].tolist(), [1, 2])
        self.assertEqual(frame.array(dtype=numpy.uint8, shape=(64, 64)).shape,
                         (64, 64))
        self.assertEqual(frame.array(shape=(-1, 8), offset=2)[0, 0], 2)

    def test_array_wrong(self):
        frame = self.take()
        for arguments in ({'dtype': object}, {'shape': DATA_SIZE + 1},
                          {'offset': -1}, {'offset': DATA_SIZE + 1}):
            with self.assertRaises(ValueError):
                frame.array(**arguments)
        with self.assertRaises(TypeError):
            frame.array(nonsense=1)

    def test_release(self):
        frame = self.take()
        self.assertFalse(frame.released)
        frame.release()
        self.assertTrue(frame.released)
        for use in (lambda: frame.data, lambda: frame.control, frame.array,
                    frame.send, frame.__enter__):
            with self.assertRaisesRegex(ValueError, 'released'):
                use()
        self.assertEqual(self.connection.get_held(), 0)

    def test_attributes_after_release(self):
        frame = self.take()
        sequence = frame.sequence
        frame.release()
        self.assertEqual(frame.sequence, sequence)
        self.assertEqual(len(frame), DATA_SIZE)

    def test_release_twice(self):
        frame = self.take()
        frame.release()
        frame.release()
        self.assertEqual(self.count_free(), N_BUFFERS)

    def test_with(self):
        with self.take() as frame:
            self.assertFalse(frame.released)
        self.assertTrue(frame.released)

    def test_with_exception(self):
        with self.assertRaises(ZeroDivisionError):
            with self.take() as frame:
                1 / 0
        self.assertTrue(frame.released)

    def test_released_in_with(self):
        with self.take() as frame:
            frame.release()

    def test_repr(self):
        frame = self.take()
        self.assertIn(f'Frame {frame.sequence}', repr(frame))
        self.assertNotIn('released', repr(frame))
        frame.release()
        self.assertIn('released', repr(frame))

    def test_weak_reference(self):
        frame = self.take()
        reference = weakref.ref(frame)
        self.assertIs(reference(), frame)
        del frame
        self.assertIsNone(reference())


if __name__ == '__main__':
    main()
