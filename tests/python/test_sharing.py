#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many clients of one stream: opening it, waiting for it, what is counted."""

from streamtest import *
from streamtest import StreamTestCase, TIMEOUT, make_owner, send

import json
import subprocess

N_FRAMES = 200


class TestOpen(StreamTestCase):

    properties = dict(buffer_count=8, history_count=2)

    def test_all_at_once(self):
        with IOStream.open('camera', shared=True, delivery='latest', replay=1,
                           resume=True, timeout=TIMEOUT) as connection:
            self.assertTrue(connection.is_open())
            self.assertEqual(connection.get_delivery(),
                             IOStream.StreamDelivery.LATEST)
            self.assertEqual(connection.get_replay(), 1)
            self.assertTrue(connection.get_resume())
            self.assertEqual((connection.lost, connection.received,
                              connection.held, connection.generation),
                             (0, 0, 0, 1))
            with IOStream.open('camera', shared=True) as other:
                self.assertEqual(other.get_delivery(),
                                 IOStream.StreamDelivery.BLOCK)
                self.assertFalse(other.get_resume())

    def test_names_of_deliveries(self):
        for name in 'drop-oldest', 'drop_oldest', 'DROP_OLDEST', 2, \
                IOStream.StreamDelivery.DROP_OLDEST:
            with IOStream.open('camera', delivery=name) as connection:
                self.assertEqual(connection.get_delivery(),
                                 IOStream.StreamDelivery.DROP_OLDEST)
        for name in 'newest', '':
            with self.assertRaisesRegex(ValueError, repr(name)):
                IOStream.open('camera', delivery=name)

    def test_exclusive(self):
        with IOStream.open('camera'):
            with self.assertStreamError(IOStream.StreamError.EXCLUSIVE_ACCESS):
                IOStream.open('camera', shared=True)
            # That there is an owner who refuses is not waited for.
            with self.assertStreamError(IOStream.StreamError.EXCLUSIVE_ACCESS):
                IOStream.open('camera', shared=True, timeout=None)

    def test_options(self):
        with IOStream.open('camera'):
            flags = (IOStream.ServiceOpenFlags.NONE |
                     IOStream.StreamOpenFlags.SHARED)
            with self.assertStreamError(IOStream.StreamError.EXCLUSIVE_ACCESS):
                IOStream.open('camera', options=flags)

    def test_own_stream(self):
        stream = make_owner(None, name='mine')
        with IOStream.open(stream, shared=True,
                           delivery='drop-newest') as connection:
            connection.start()
            send_now(stream)
            with connection.read(0) as frame:
                self.assertEqual(frame.sequence, 0)
        stream.terminate()

    def test_replay(self):
        with IOStream.open('camera', shared=True) as first:
            first.start()
            for text in b'one', b'two':
                send(self.stream, text)
                first.read(TIMEOUT).release()
            with IOStream.open('camera', shared=True, delivery='latest',
                               replay=1) as late:
                with late.read(TIMEOUT) as frame:
                    self.assertEqual(bytes(frame.data[:3]), b'two')

    def test_lost(self):
        with IOStream.open('camera', shared=True,
                           delivery='latest') as connection:
            connection.start()
            for _ in range(20):
                send(self.stream)
            with connection.read(TIMEOUT) as frame:
                self.assertEqual(frame.sequence, 19)
            self.assertEqual((connection.lost, connection.received), (19, 1))


def send_now(stream):
    stream.send_buffer(stream.acquire_buffer())


class TestOwner(StreamTestCase):

    properties = dict(buffer_count=6, reserve_count=2, client_allowance=3,
                      deliveries=('drop-newest', 'latest'))

    def test_properties(self):
        self.assertEqual(self.stream.props.deliveries,
                         IOStream.StreamDeliveryFlags.DROP_NEWEST |
                         IOStream.StreamDeliveryFlags.LATEST)
        self.assertEqual(self.stream.get_reserve_count(), 2)
        self.assertEqual(self.stream.get_client_allowance(), 3)

    def test_deliveries(self):
        for delivery in 'block', 'drop-oldest':
            with self.assertStreamError(IOStream.StreamError.NOT_PERMITTED,
                                        delivery):
                IOStream.open('camera', delivery=delivery)

    def test_reserve(self):
        clients = [IOStream.open('camera', shared=True,
                                 delivery='drop-newest') for _ in range(3)]
        with contextlib.ExitStack() as stack:
            for client in clients:
                stack.enter_context(client).start()
            for _ in range(10):
                with self.stream.next_buffer(TIMEOUT):
                    pass
            frames = [client.read(0) for client in clients for _ in range(3)]
            statistics = self.stream.get_statistics()
            self.assertEqual(statistics.lent_buffers, 3)
            self.assertEqual(statistics.dropped, 3 * 7)
            self.assertEqual([client.held for client in clients], [3] * 3)
            while frames:
                frames.pop().release()

    def test_authorize(self):
        self.stream.connect(
            'authorize', lambda stream, client: client.set_limits(1, 1 << 20)
            or True)
        with IOStream.open('camera', shared=True,
                           delivery='drop-newest') as connection:
            connection.start()
            for _ in range(3):
                send(self.stream)
            with connection.read(0) as frame:
                self.assertEqual(frame.sequence, 0)
            self.assertIsNone(connection.read(0))


class TestNextBuffer(StreamTestCase):

    def test_sends(self):
        with self.started() as connection:
            with self.stream.next_buffer(TIMEOUT) as buffer:
                buffer.data[:3] = b'one'
            with connection.read(TIMEOUT) as frame:
                self.assertEqual(bytes(frame.data[:3]), b'one')

    def test_raises(self):
        with self.started() as connection:
            with self.assertRaises(ZeroDivisionError):
                with self.stream.next_buffer():
                    1 / 0
            self.assertEqual(self.count_free(), 4)
            self.assertIsNone(connection.read(0))

    def test_nobody_wants_it(self):
        with self.started() as connection:
            with self.stream.next_buffer() as buffer:
                connection.stop()
            self.assertFalse(buffer is None)
        self.assertEqual(self.count_free(), 4)

    def test_timeout(self):
        for timeout in 0, 0.001:
            with self.assertRaises(GLib.Error):
                with self.stream.next_buffer(timeout):
                    self.fail('there is no client')
        with self.assertRaisesRegex(ValueError, 'negative'):
            with self.stream.next_buffer(-1):
                pass


class TestStatistics(StreamTestCase):

    def test_plain_values(self):
        with IOStream.open('camera', shared=True) as connection:
            connection.start()
            send(self.stream)
            for source in self.stream, connection:
                statistics = source.get_statistics()
                values = json.loads(json.dumps(statistics.to_dict()))
                self.assertEqual(values, statistics.to_dict())
                self.assertEqual(values['state'], 'running')
                self.assertEqual((values['produced'], values['clients']),
                                 (1, 1))
                row, = values['rows']
                self.assertEqual((row['delivery'], row['delivered'],
                                  row['pid']), ('block', 1, os.getpid()))
                self.assertIn('1 of 4 buffers lent to 1 client', repr(statistics))
                self.assertIn('block, running, 1 delivered',
                              repr(statistics.get_clients()[0]))

    def test_all_fields(self):
        for cls in IOStream.StreamStatistics, IOStream.StreamClientStatistics:
            fields = [field.get_name() for field in cls.__info__.get_fields()]
            self.assertEqual(
                [name for name in fields
                 if not name.startswith(('_', 'reserved'))],
                list(cls._iostream_fields))

    def test_rows_outlive_it(self):
        with self.started() as connection:
            row = connection.get_statistics().get_own()
            rows = self.stream.get_statistics().get_clients()
            gc.collect()
            self.assertEqual(row.to_dict()['id'], rows[0].to_dict()['id'])


class TestWaiting(StreamTestCase):

    def setUp(self):
        super(StreamTestCase, self).setUp()

    def end(self, child):
        child.kill()
        child.communicate()

    def spawn(self, *args):
        child = spawn(*args, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.end, child)
        return child

    def wait_until_it_waits(self, child):
        folder = f'/proc/{child.pid}/fd'

        def waits():
            for name in os.listdir(folder):
                with contextlib.suppress(FileNotFoundError):
                    if 'inotify' in os.readlink(os.path.join(folder, name)):
                        return True
            return False
        wait_until(waits)

    def test_nobody(self):
        with self.assertStreamError(IOStream.StreamError.NOT_FOUND, 'nobody'):
            IOStream.open('nobody')
        with self.assertStreamError(IOStream.StreamError.TIMEOUT, 'nobody'):
            IOStream.open('nobody', timeout=0.01)
        with self.assertRaisesRegex(ValueError, 'negative'):
            IOStream.open('nobody', timeout=-1)

    def test_cancel(self):
        cancellable = Gio.Cancellable()
        timer = threading.Timer(0.01, cancellable.cancel)
        timer.start()
        for _ in range(2):
            with self.assertRaises(GLib.Error) as raised:
                IOStream.open('nobody', timeout=None, cancellable=cancellable)
            self.assertTrue(raised.exception.matches(
                Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED))
        timer.join()

    def test_owner_comes(self):
        client = self.spawn('sharing_process.py', 'block', 'other')
        self.wait_until_it_waits(client)
        owner = self.spawn('sharing_process.py', 'serve', 'other', '1', '5')
        for _ in range(2):
            owner.stdout.readline()
        owner.communicate(timeout=TIMEOUT)
        result = json.loads(client.communicate(timeout=TIMEOUT)[0])
        self.assertEqual(result['numbers'], list(range(5)))

    def test_ctrl_c(self):
        for timeout in 'None', '1000':
            child = self.spawn(f'''
from iostreamtest import *
try:
    IOStream.open('nobody', timeout={timeout})
except KeyboardInterrupt:
    while threading.active_count() > 1:
        time.sleep(0.01)
    print('interrupted')
''')
            self.wait_until_it_waits(child)
            child.send_signal(signal.SIGINT)
            output, _ = child.communicate(timeout=TIMEOUT)
            self.assertEqual((child.returncode, output), (0, 'interrupted\n'))

    def test_mixed_clients(self):
        deliveries = ['block', 'block', 'drop-oldest', 'latest', 'latest']
        owner = self.spawn('sharing_process.py', 'serve', 'other',
                           str(len(deliveries)), str(N_FRAMES))
        clients = [self.spawn('sharing_process.py', delivery, 'other')
                   for delivery in deliveries]
        self.assertEqual(owner.stdout.readline(), 'ready\n')
        statistics = json.loads(owner.stdout.readline())
        self.assertEqual(statistics['produced'], N_FRAMES)
        self.assertEqual(statistics['clients'], len(deliveries))
        self.assertLessEqual(max(row['allowance']
                                 for row in statistics['rows']), 2)
        owner.communicate(timeout=TIMEOUT)
        for client, delivery in zip(clients, deliveries):
            result = json.loads(client.communicate(timeout=TIMEOUT)[0])
            numbers = result['numbers']
            self.assertEqual(len(numbers), result['received'])
            self.assertEqual(numbers, sorted(set(numbers)))
            self.assertEqual(numbers[-1], N_FRAMES - 1)
            if delivery == 'block':
                self.assertEqual(numbers, list(range(N_FRAMES)))
            self.assertEqual(result['lost'], N_FRAMES - len(numbers))


if __name__ == '__main__':
    main()
