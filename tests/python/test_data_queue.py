#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Data queues in Python: both ends in one process, and in two."""

from iostreamtest import *
from iostreamtest import TIMEOUT

import subprocess

CAPACITY = 4096

OWNER = f'''
import sys
from iostreamtest import *

class Client(IOStream.UserClient):
    def do_client_queue_for_type(self, type):
        if type == 1:
            raise RuntimeError('not this one')
        queue = IOStream.SharedDataQueue.new_with_capacity(
            IOStream.SharedDataQueueRole.PRODUCER, {CAPACITY})
        queues.append(queue)
        queue.number = 0
        queue.connect('space-available', fill)
        queue.connect('ended', lambda queue: loop.quit())
        queue.attach()
        fill(queue)
        return queue

class Service(IOStream.Service):
    def do_new_user_client(self, options):
        return Client()

def fill(queue):
    while queue.number < COUNT:
        data = b'record %d ' % queue.number * (queue.number % 9)
        try:
            queue.enqueue(data)
        except GLib.Error as error:
            assert error.matches(IOStream.StreamError.quark(),
                                 IOStream.StreamError.OVERRUN), error
            return
        queue.number += 1
    if sys.argv[2:] != ['stay']:
        queue.hang_up()

COUNT = int(sys.argv[1])
queues = []
loop = GLib.MainLoop()
service = Service(name='queues')
service.register()
print('ready', flush=True)
loop.run()
'''


class TestPair(TestCase):

    def setUp(self):
        super().setUp()
        _, self.producer, self.consumer = (
            IOStream.SharedDataQueue.new_pair(CAPACITY))

    def test_bytes(self):
        for data in (b'', b'one', bytearray(b'two'), memoryview(b'three'),
                     numpy.arange(3, dtype='u1')):
            self.producer.enqueue(data)
            self.assertEqual(self.consumer.dequeue_bytes().get_data() or b'',
                             bytes(data))
        self.producer.enqueue_bytes(GLib.Bytes.new(b'four'))
        self.assertEqual(self.consumer.dequeue_bytes().get_data(), b'four')
        with self.assertStreamError(IOStream.StreamError.UNDERRUN):
            self.consumer.dequeue_bytes()
        with self.assertStreamError(IOStream.StreamError.MESSAGE_TOO_LARGE):
            self.producer.enqueue(bytes(CAPACITY))
        with self.assertRaises(TypeError):
            self.producer.enqueue('text')
        self.assertEqual(self.producer.get_statistics(), (6, 18, 0))

    def test_iteration(self):
        for number in range(100):
            self.producer.enqueue(b'record %d' % number)
        self.producer.hang_up()
        old = None
        number = 0
        for view in self.consumer:
            self.assertTrue(view.readonly)
            self.assertEqual(bytes(view), b'record %d' % number)
            if old is not None:
                with self.assertRaises(ValueError):
                    bytes(old)
            old = view
            number += 1
        self.assertEqual(number, 100)
        self.assertTrue(self.consumer.is_empty())
        with self.assertRaises(ValueError):
            bytes(old)

    def test_read(self):
        self.assertIsNone(self.consumer.read(0))
        self.assertIsNone(self.consumer.read(0.01))
        with self.assertRaises(ValueError):
            self.consumer.read(-1)
        self.producer.enqueue(b'one')
        self.assertEqual(bytes(self.consumer.read()), b'one')
        self.producer.hang_up()
        self.assertIsNone(self.consumer.read())

    def test_slices(self):
        self.producer.enqueue(b'some bytes')
        self.producer.enqueue(b'others')
        view = self.consumer.read()
        part = view[5:]
        with self.assertRaises(BufferError):
            self.consumer.read()
        self.assertEqual(bytes(part), b'bytes')
        del part
        self.assertEqual(bytes(self.consumer.read()), b'others')

    def test_arrays(self):
        for number in range(2):
            self.producer.enqueue(numpy.full(10, number, dtype='<u4'))
        array = numpy.frombuffer(self.consumer.read(), dtype='<u4')
        self.assertFalse(array.flags.writeable)
        with self.assertRaises(BufferError):
            self.consumer.read()
        with self.assertRaises(BufferError):
            self.consumer.dequeue_bytes()
        self.assertTrue((array == 0).all())
        del array
        array = numpy.frombuffer(self.consumer.read(), dtype='<u4').copy()
        self.assertTrue((array == 1).all())
        self.assertIsNone(self.consumer.read(0))

    def test_view_outlives_queue(self):
        self.producer.enqueue(b'kept')
        view = self.consumer.read()
        del self.consumer
        gc.collect()
        self.assertEqual(bytes(view), b'kept')

    def test_taken_once(self):
        for data in (b'one', b'two', b'three', b'four'):
            self.producer.enqueue(data)
        for view in self.consumer:
            self.assertEqual(bytes(view), b'one')
            break
        # It is looked at still.
        self.assertEqual(self.consumer.dequeue_bytes().get_data(), b'two')
        with self.assertRaises(ValueError):
            bytes(view)
        view = self.consumer.read()
        view.release()
        self.assertFalse(self.consumer.consume())
        view = self.consumer.read()
        self.assertEqual(bytes(view), b'four')
        self.assertTrue(self.consumer.consume())
        self.assertTrue(self.consumer.is_empty())

    def test_garbage(self):
        """Nothing is left of a queue that holds its own view."""
        self.producer.enqueue(b'one')
        self.consumer.view = self.consumer.read()
        reference = self.consumer.weak_ref()
        del self.consumer
        gc.collect()
        gc.collect()
        self.assertIsNone(reference())

    def test_space(self):
        with self.assertStreamError(IOStream.StreamError.OVERRUN):
            while True:
                self.producer.enqueue(bytes(100))
        timer = threading.Timer(0.15, self.consumer.dequeue_bytes)
        timer.start()
        self.assertTrue(self.producer.wait_space(100, 10 * 1000000))
        timer.join()
        with self.assertStreamError(IOStream.StreamError.TIMEOUT):
            self.producer.wait_space(1000, 1000)
        with self.assertRaises(ValueError):
            self.producer.wait_space(-1, 0)

    def test_signals(self):
        seen = []
        self.consumer.connect('data-available', lambda queue: seen.append(
            queue.dequeue_bytes().get_data()))
        self.consumer.connect('ended', lambda queue: seen.append(None))
        self.consumer.attach()
        self.producer.enqueue(b'one')
        self.producer.enqueue(b'two')
        wait_until(lambda: len(seen) == 2)
        self.producer.hang_up()
        wait_until(lambda: len(seen) == 3)
        self.assertEqual(seen, [b'one', b'two', None])
        self.consumer.detach()

    def test_read_attached(self):
        """What one writes into a handler: all there is, and no waiting."""
        seen, ended = [], []

        def read_all(queue):
            while (view := queue.read(0)) is not None:
                seen.append(bytes(view))

        self.consumer.connect('data-available', read_all)
        self.consumer.connect('ended', ended.append)
        self.consumer.attach()
        for data in b'one', b'two':
            self.producer.enqueue(data)
        wait_until(lambda: len(seen) == 2)
        self.assertIsNone(self.consumer.read(0))
        with self.assertStreamError(IOStream.StreamError.BUSY):
            self.consumer.read(0.1)
        self.producer.enqueue(b'three')
        self.producer.hang_up()
        wait_until(lambda: ended)
        self.assertEqual(seen, [b'one', b'two', b'three'])
        self.assertIsNone(self.consumer.read(0))

    def test_ctrl_c(self):
        timer = threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with self.assertRaises(KeyboardInterrupt):
            for view in self.consumer:
                self.fail('there is nothing')
        timer.join()

    def test_other_threads_run(self):
        thread = threading.Timer(0.05, self.producer.enqueue, (b'one',))
        thread.start()
        self.assertEqual(bytes(self.consumer.read(TIMEOUT)), b'one')
        thread.join()


class TestProcesses(TestCase):

    def spawn_owner(self, *args):
        child = spawn(OWNER, *args, stdout=subprocess.PIPE)
        self.addCleanup(self.end, child)
        self.assertEqual(child.stdout.readline(), 'ready\n')
        return child

    def end(self, child):
        child.kill()
        child.wait(TIMEOUT)
        child.stdout.close()

    def open(self):
        connection = IOStream.Connection.new_for_name('queues')
        connection.open(0)
        return connection

    def check(self, view, number):
        self.assertEqual(bytes(view), b'record %d ' % number * (number % 9))

    def test_all(self):
        child = self.spawn_owner('3000')
        connection = self.open()
        queue = connection.get_data_queue(0)
        self.assertEqual(queue.get_role(),
                         IOStream.SharedDataQueueRole.CONSUMER)
        count = 0
        for view in queue:
            self.check(view, count)
            count += 1
        self.assertEqual(count, 3000)
        self.assertEqual(child.wait(TIMEOUT), 0)

    def test_killed(self):
        child = self.spawn_owner('5', 'stay')
        connection = self.open()
        with self.assertStreamError(IOStream.StreamError.FAILED,
                                    'not this one'):
            connection.get_data_queue(1)
        queue = connection.get_data_queue(0)
        self.check(queue.read(), 0)
        child.kill()
        count = 1
        with self.assertStreamError(IOStream.StreamError.OFFLINE):
            for view in queue:
                self.check(view, count)
                count += 1
        self.assertEqual(count, 5)


if __name__ == '__main__':
    main()
