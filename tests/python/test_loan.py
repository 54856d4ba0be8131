#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""When a buffer goes home, and that nothing reads it after that."""

from streamtest import *
from streamtest import (DATA_SIZE, N_BUFFERS, StreamTestCase, send,
                        skip_if_local)


class LoanTestCase(StreamTestCase):

    def setUp(self):
        super().setUp()
        self.connection = self.open()
        self.connection.start()
        self.addCleanup(self.connection.hang_up)

    def take(self, text=b'hello'):
        send(self.stream, text)
        return self.connection.read(10)

    def get_held(self):
        return self.connection.get_held()

    def assertHome(self):
        self.assertEqual(self.get_held(), 0)
        self.assertEqual(self.count_free(), N_BUFFERS)


class TestHome(LoanTestCase):

    def test_release(self):
        frame = self.take()
        self.assertEqual(self.get_held(), 1)
        frame.release()
        self.assertHome()

    def test_drop(self):
        self.take()
        self.assertHome()

    def test_drop_after_use(self):
        frame = self.take()
        bytes(frame.data), bytes(frame.control), frame.array().sum()
        self.assertEqual(self.get_held(), 1)
        del frame
        self.assertHome()

    def test_with(self):
        with self.take():
            self.assertEqual(self.get_held(), 1)
        self.assertHome()

    def test_view_holds(self):
        for name in ('data', 'control'):
            frame = self.take()
            view = getattr(frame, name)
            frame.release()
            self.assertEqual(self.get_held(), 1, name)
            self.assertEqual(bytes(view[:5]), b'hello')
            view.release()
            self.assertEqual(self.get_held(), 0, name)
        self.assertHome()

    def test_part_of_view_holds(self):
        frame = self.take()
        part = frame.data[1:4]
        frame.release()
        self.assertEqual(self.get_held(), 1)
        self.assertEqual(bytes(part), b'ell')
        del part
        self.assertHome()

    def test_array_holds(self):
        array = self.take().array()
        self.assertEqual(self.get_held(), 1)
        part = array[1:4].reshape(3, 1)
        del array
        self.assertEqual(self.get_held(), 1)
        self.assertEqual(bytes(part), b'ell')
        del part
        self.assertHome()

    def test_array_of_view_holds(self):
        for make in (numpy.asarray, numpy.frombuffer, numpy.array):
            frame = self.take()
            view = frame.data
            array = make(view, **({'dtype': 'u1'} if make is numpy.frombuffer
                                  else {}))
            view.release()
            frame.release()
            self.assertEqual(self.get_held(), int(make is not numpy.array))
            self.assertEqual(bytes(array[:5]), b'hello')
            del array, view
            self.assertEqual(self.get_held(), 0)

    def test_many_views(self):
        frame = self.take()
        views = [frame.data, frame.control, frame.array(), frame.data[2:],
                 frame.array('<u4', (4, -1))[1]]
        frame.release()
        while views:
            self.assertEqual(self.get_held(), 1)
            views.pop(0)
        self.assertHome()

    def test_all_buffers_held(self):
        frames = [self.take() for _ in range(N_BUFFERS)]
        self.assertEqual(self.get_held(), N_BUFFERS)
        with self.assertStreamError(IOStream.StreamError.NO_SPACE):
            self.stream.acquire_buffer()
        frames.clear()
        self.assertHome()

    def test_release_out_of_order(self):
        frames = [self.take() for _ in range(N_BUFFERS)]
        for index in (2, 0, 3, 1):
            frames[index].release()
        self.assertHome()

    def test_kept_array_is_never_recycled(self):
        kept = self.take(b'kept!').array()
        for number in range(5 * N_BUFFERS):
            with self.take(b'other') as frame:
                self.assertEqual(bytes(frame.data[:5]), b'other')
            self.assertEqual(bytes(kept[:5]), b'kept!')
        self.assertEqual(self.get_held(), 1)
        self.assertEqual(self.count_free(), N_BUFFERS - 1)
        del kept
        self.assertHome()

    @skip_if_local('the thread that serves cannot wait')
    def test_owner_waits_for_it(self):
        kept = [self.take() for _ in range(N_BUFFERS)]
        timer = threading.Timer(0.05, kept.clear)
        timer.start()
        self.assertTrue(self.stream.wait_buffer(10 * 1000000))
        timer.join()


class TestCollector(LoanTestCase):

    def test_frame_in_cycle(self):
        cycle = [self.take()]
        cycle.append(cycle)
        del cycle
        gc.collect()
        self.assertHome()

    def test_view_in_cycle(self):
        cycle = [self.take().data]
        cycle.append(cycle)
        self.assertEqual(self.get_held(), 1)
        del cycle
        gc.collect()
        self.assertHome()

    def test_array_in_cycle(self):
        class Holder:
            pass
        holder = Holder()
        holder.me, holder.array = holder, self.take().array()
        del holder
        gc.collect()
        self.assertHome()

    def test_attribute_of_connection(self):
        """A cycle through the wrapper of the connection is collected."""
        connection = self.connection
        frame = self.take()
        connection.last = frame
        connection.view = frame.data
        objects = []
        connection.weak_ref(objects.append, 'gone')
        self._cleanups.pop()
        del connection, frame, self.connection
        gc.collect()
        self.assertEqual(objects, ['gone'])
        wait_until(lambda: self.count_free() == N_BUFFERS)

    def test_finaliser_reads(self):
        read = []

        class Holder:
            def __init__(self, frame):
                self.me, self.view = self, frame.data

            def __del__(self):
                read.append(bytes(self.view[:5]))

        Holder(self.take())
        gc.collect()
        self.assertEqual(read, [b'hello'])
        self.assertHome()

    def test_finaliser_saves_a_view(self):
        """A view that comes back to life still holds its buffer."""
        saved = []

        class Holder:
            def __init__(self, frame):
                self.me, self.frame, self.view = self, frame, frame.data

            def __del__(self):
                saved.append(self.view)

        Holder(self.take(b'saved'))
        gc.collect()
        self.assertEqual(self.get_held(), 1)
        for _ in range(2 * N_BUFFERS):
            self.take(b'other').release()
        self.assertEqual(bytes(saved[0][:5]), b'saved')
        saved.clear()
        gc.collect()
        self.assertHome()

    def test_finaliser_saves_the_connection(self):
        saved = []

        class Holder:
            def __init__(self, connection, frame):
                connection.holder, self.connection = self, connection
                self.frame = frame

            def __del__(self):
                saved.append(self.frame)

        frame = self.take(b'saved')
        Holder(self.connection, frame)
        self._cleanups.pop()
        del frame, self.connection
        gc.collect()
        self.assertEqual(bytes(saved[0].data[:5]), b'saved')
        saved.clear()
        gc.collect()
        wait_until(lambda: self.count_free() == N_BUFFERS)

    def test_iterator_in_cycle(self):
        frames = iter(self.connection)
        cycle = [frames]
        cycle.append(cycle)
        del frames, cycle
        gc.collect()

    def test_dropped_while_raising(self):
        def fail():
            frame = self.take()
            raise KeyError(frame)
        try:
            fail()
        except KeyError:
            pass
        gc.collect()
        self.assertHome()


class TestLeaks(LoanTestCase):

    def use(self):
        with self.take() as frame:
            array, view = frame.array('<u4', (4, -1)), frame.control
            repr(frame), bool(frame), len(frame), frame.sequence
            for wrong in ({'dtype': object}, {'shape': (-1, -1)},
                          {'offset': -1}, {'shape': 2**40}):
                try:
                    frame.array(**wrong)
                except ValueError:
                    pass
            try:
                frame.send('x')
            except TypeError:
                pass
        del array, view
        try:
            frame.data
        except ValueError:
            pass

    def test_nothing_is_left(self):
        for _ in range(200):
            self.use()
        gc.collect()
        before = sys.getallocatedblocks()
        references = self.connection.__grefcount__
        wrapper = sys.getrefcount(self.connection)
        for _ in range(2000):
            self.use()
        gc.collect()
        # Less than one in each round; NumPy has caches that grow.
        self.assertLess(sys.getallocatedblocks() - before, 1500)
        self.assertEqual(self.connection.__grefcount__, references)
        self.assertEqual(sys.getrefcount(self.connection), wrapper)


class TestThreads(LoanTestCase):

    def test_drop_in_thread(self):
        frames = [self.take()]
        thread = threading.Thread(target=frames.clear)
        thread.start()
        thread.join()
        self.assertHome()

    def test_release_in_two_threads(self):
        for _ in range(50):
            frame = self.take()
            threads = [threading.Thread(target=frame.release)
                       for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertHome()

    def test_frames_cross_threads(self):
        """One thread takes, others drop, the owner sends meanwhile."""
        import queue
        n_frames = 500
        frames = queue.Queue()

        def produce():
            for number in range(n_frames):
                send(self.stream, number.to_bytes(4, 'little'))

        def drop():
            while True:
                frame = frames.get()
                if frame is None:
                    return
                frame.array().sum()

        threads = [threading.Thread(target=produce)]
        threads += [threading.Thread(target=drop) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(n_frames):
            frame = self.connection.read(20)
            self.assertEqual(frame.array('<u4')[0], number)
            frames.put(frame)
            del frame
        for _ in range(3):
            frames.put(None)
        for thread in threads:
            thread.join()
        self.assertHome()


class TestAfterTheEnd(LoanTestCase):

    def check_views(self, end):
        frames = [self.take(b'stays') for _ in range(3)]
        view, array, kept = frames[0].data, frames[1].array(), frames[2]
        control = frames[0].control
        del frames
        end()
        gc.collect()
        self.assertEqual(bytes(view[:5]), b'stays')
        self.assertEqual(bytes(array[:5]), b'stays')
        self.assertEqual(bytes(kept.data[:5]), b'stays')
        self.assertEqual(bytes(control[:5]), b'stays')
        del view, array, control
        kept.release()
        gc.collect()

    def test_stop(self):
        self.check_views(self.connection.stop)
        self.assertHome()

    def test_close(self):
        self.check_views(self.connection.close)
        self.assertEqual(self.count_free(), N_BUFFERS)

    def test_hang_up(self):
        self.check_views(self.connection.hang_up)

    def test_terminate(self):
        self.check_views(self.stream.terminate)

    def test_connection_dropped(self):
        def drop():
            del self.connection
        array = self.take(b'stays').array()
        self._cleanups.pop()
        drop()
        gc.collect()
        self.assertEqual(bytes(array[:5]), b'stays')
        del array

    def test_open_again(self):
        """A loan of before is none of after."""
        old = self.take(b'older')
        view = old.data
        self.connection.close()
        self.connection.open(0)
        self.connection.start()
        frames = [self.take(b'newer') for _ in range(N_BUFFERS)]
        self.assertEqual(self.get_held(), N_BUFFERS)
        old.release()
        del old, view
        self.assertEqual(self.get_held(), N_BUFFERS)
        del frames
        self.assertHome()

    def test_send_after_close(self):
        frame = self.take()
        self.connection.close()
        with self.assertRaises(GLib.Error):
            frame.send()
        frame.release()


class TestExit(LoanTestCase):

    def test_interpreter_ends_with_frames(self):
        """Nothing crashes when all goes at once."""
        child = spawn('''
from streamtest import *
from streamtest import make_owner, send
loop = IOStream.WorkLoop.new('x')
stream = make_owner(loop, name='exit')
stream.register()
connection = IOStream.StreamConnection.open_name('exit')
connection.start()
send(stream, b'one')
frame = connection.read()
view = frame.data
array = frame.array()
connection.frame = frame
stream.frame = frame
''')
        self.assertEqual(child.wait(), 0)


if __name__ == '__main__':
    main()
