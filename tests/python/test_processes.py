#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Owner and client in two processes."""

from streamtest import *
from streamtest import (DATA_SIZE, N_BUFFERS, StreamTestCase, TIMEOUT,
                        make_owner, send)

import subprocess


class OwnerProcessTestCase(StreamTestCase):
    """The owner is another process; there is no stream in this one."""

    def setUp(self):
        super(StreamTestCase, self).setUp()

    def spawn_owner(self, *args):
        child = spawn('owner_process.py', 'other', *map(str, args),
                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.end, child)
        self.assertEqual(child.stdout.readline(), 'ready\n')
        return child

    def end(self, child, signum=signal.SIGKILL):
        if child.poll() is None:
            child.send_signal(signum)
        child.wait(TIMEOUT)
        child.stdin.close()
        child.stdout.close()

    def open(self):
        return IOStream.StreamConnection.open_name('other')


class TestTwoProcesses(OwnerProcessTestCase):

    def test_frames(self):
        n_frames = 500
        child = self.spawn_owner(n_frames)
        numbers = []
        with self.open() as connection:
            for frame in connection:
                array = frame.array('<u4', (-1, 16))
                self.assertTrue((array == len(numbers)).all())
                self.assertEqual(frame.control[0], len(numbers) & 0xff)
                numbers.append(frame.sequence)
                del array
                frame.release()
                if len(numbers) == n_frames:
                    break
            self.assertEqual(connection.get_lost(), 0)
        self.assertEqual(numbers, list(range(numbers[0],
                                             numbers[0] + n_frames)))

    def test_clean_end(self):
        child = self.spawn_owner(10)
        with self.open() as connection:
            count = 0
            for frame in connection:
                frame.release()
                count += 1
                if count == 10:
                    child.stdin.close()
            self.assertEqual(count, 10)
            self.assertIsNone(connection.get_error())
        self.assertEqual(child.wait(TIMEOUT), 0)

    def test_owner_killed(self):
        child = self.spawn_owner(3)
        with self.open() as connection:
            frames = iter(connection)
            kept = [next(frames).array() for _ in range(2)]
            self.assertEqual(child.stdout.readline(), 'done\n')
            self.end(child)
            # What was sent before is still there, then the end is told.
            self.assertEqual(next(frames).array('<u4')[0], 2)
            with self.assertRaises(GLib.Error) as context:
                next(frames)
            self.assertEqual(context.exception.domain,
                             'io-stream-error-quark')
            self.assertEqual(kept[1][0], 1)

    def test_owner_killed_while_waiting(self):
        child = self.spawn_owner()
        with self.open() as connection:
            frames = iter(connection)
            timer = threading.Timer(0.2, self.end, (child,))
            timer.start()
            with self.assertRaises(GLib.Error):
                next(frames)
            timer.join()

    def test_next_owner(self):
        for _ in range(3):
            child = self.spawn_owner(1)
            with self.open() as connection:
                connection.read(10).release()
                self.end(child)


class TestInterrupt(StreamTestCase):

    def interrupt(self, program):
        child = spawn('from streamtest import *\n' + program,
                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            self.assertEqual(child.stdout.readline(), 'waiting\n')
            # It may not have come to the wait yet; that is to be no matter.
            child.send_signal(signal.SIGINT)
            output, errors = child.communicate(timeout=TIMEOUT)
        finally:
            child.kill()
            child.communicate()
        self.assertRegex(errors, r'\nKeyboardInterrupt\n$')
        return output

    def wait_for(self, wait):
        return self.interrupt(f'''
connection = IOStream.StreamConnection.open_name('camera')
with connection:
    connection.start()
    try:
        print('waiting', flush=True)
        {wait}
    finally:
        print('left', connection.get_held())
''')

    def test_iteration(self):
        output = self.wait_for('for frame in connection: pass')
        self.assertEqual(output, 'left 0\n')
        self.assertEqual(self.stream.calls, ['start', 'stop'])

    def test_read(self):
        self.wait_for('connection.read()')

    def test_read_with_timeout(self):
        self.wait_for('connection.read(60)')

    def test_wait(self):
        self.wait_for('connection.wait(-1)')

    def test_wait_with_timeout(self):
        self.wait_for('connection.wait(60 * 1000000)')

    def wait_as_owner(self, wait):
        self.interrupt(f'''
with IOStream.WorkLoop.new('x') as loop:
    stream = IOStream.Stream(name='waiter', work_loop=loop, buffer_count=1,
                             data_size=64, mode=IOStream.StreamMode.INPUT)
    stream.register()
    stream.acquire_buffer()
    print('waiting', flush=True)
    {wait}
''')

    def test_wait_buffer(self):
        self.wait_as_owner('stream.wait_buffer(-1)')

    def test_wait_input(self):
        self.wait_as_owner('stream.wait_input(-1)')

    def test_wait_on_port(self):
        self.interrupt('''
result, one, two = IOStream.NotificationPort.new_pair()
print('waiting', flush=True)
one.wait(60 * 1000000)
''')

    def test_owner_that_sleeps(self):
        self.interrupt('''
with IOStream.WorkLoop.new('x') as loop:
    stream = IOStream.Stream(name='sleeper', work_loop=loop, buffer_count=2,
                             data_size=64)
    stream.register()
    print('waiting', flush=True)
    time.sleep(60)
''')


class TestClientDies(StreamTestCase):

    def test_killed_with_frames(self):
        died = []
        self.stream.connect('client-died', lambda *args: died.append(args))
        child = spawn('''
from iostreamtest import *
connection = IOStream.StreamConnection.open_name('camera')
connection.start()
print('ready', flush=True)
frames = [connection.read() for _ in range(2)]
print('holding', flush=True)
signal.pause()
''', stdout=subprocess.PIPE)
        self.assertEqual(child.stdout.readline(), 'ready\n')
        send(self.stream)
        send(self.stream)
        self.assertEqual(child.stdout.readline(), 'holding\n')
        self.assertEqual(self.count_free(), N_BUFFERS - 2)
        child.kill()
        child.wait()
        child.stdout.close()
        wait_until(lambda: died)
        self.assertEqual(self.count_free(), N_BUFFERS)
        with self.open() as connection:
            connection.start()
            send(self.stream, b'again')
            self.assertEqual(bytes(connection.read(10).data[:5]), b'again')


class TestFork(StreamTestCase):

    def test_frame_in_child(self):
        """A forked child drops what it inherited without any harm."""
        with self.started() as connection:
            send(self.stream, b'hello')
            frame = connection.read(10)
            view = frame.data
            pid = os.fork()
            if pid == 0:
                view.release()
                frame.release()
                os._exit(0)
            self.assertEqual(os.waitpid(pid, 0)[1], 0)
            self.assertEqual(connection.get_held(), 1)
            self.assertEqual(bytes(view[:5]), b'hello')


if __name__ == '__main__':
    main()
