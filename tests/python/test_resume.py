#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""An owner that comes later, goes, and comes again."""

from streamtest import *
from streamtest import StreamTestCase, TIMEOUT

import subprocess

N_ROUNDS = 5


class ResumeTestCase(StreamTestCase):

    def setUp(self):
        super(StreamTestCase, self).setUp()

    def spawn_owner(self):
        child = spawn('owner_process.py', 'other', '2', stdin=subprocess.PIPE,
                      stdout=subprocess.PIPE)
        self.addCleanup(self.end, child)
        self.assertEqual(child.stdout.readline(), 'ready\n')
        return child

    def end(self, child, signum=signal.SIGKILL):
        if child.poll() is None:
            child.send_signal(signum)
        child.wait(TIMEOUT)
        child.stdin.close()
        child.stdout.close()


class TestResume(ResumeTestCase):

    def test_iteration(self):
        child = self.spawn_owner()
        connection = IOStream.StreamConnection.open_name('other')
        connection.props.resume = True
        kept = []
        with connection:
            for frame in connection:
                generation = connection.get_generation()
                if generation == N_ROUNDS:
                    break
                array = frame.array('<u4')
                if array[0] == 0:
                    # Held over the end of its owner.
                    kept.append((frame, array))
                    continue
                self.assertEqual(array[0], 1)
                del array
                frame.release()
                self.end(child)
                child = self.spawn_owner()
            self.assertEqual(connection.get_lost(), 0)
            self.assertEqual(len(kept), N_ROUNDS - 1)
            self.assertEqual(connection.get_held(), 1)
            for old, array in kept:
                self.assertTrue((array == 0).all())
                del array
            while kept:
                old, array = kept.pop()
                del array
                old.release()
            self.assertEqual(connection.get_held(), 1)
            frame.release()
        self.end(child)

    def test_signals(self):
        child = self.spawn_owner()
        connection = IOStream.StreamConnection.open_name('other')
        connection.set_resume(True)
        heard = []
        connection.connect('disconnected', lambda *args: heard.append(
            ('disconnected', connection.is_waiting())))
        connection.connect('resumed', lambda _, generation: heard.append(
            ('resumed', generation)))
        self.end(child)
        wait_until(lambda: heard)
        self.assertEqual(heard, [('disconnected', True)])
        child = self.spawn_owner()
        wait_until(lambda: len(heard) == 2)
        self.assertEqual(heard[1], ('resumed', 2))
        self.assertTrue(connection.is_open())
        connection.hang_up()
        self.end(child)

    def test_leaving_while_waiting(self):
        child = self.spawn_owner()
        connection = IOStream.StreamConnection.open_name('other')
        connection.set_resume(True)
        with connection:
            next(iter(connection)).release()
            self.end(child)
            while connection.read(0.01) is not None:
                pass
            self.assertTrue(connection.is_waiting())
        self.assertFalse(connection.is_waiting())


class TestAwait(ResumeTestCase):

    def test_await(self):
        results = []
        IOStream.StreamConnection.await_name_async(
            'other', IOStream.StreamOpenFlags.NONE, -1, None,
            lambda _, result: results.append(
                IOStream.StreamConnection.await_name_finish(result)))
        child = self.spawn_owner()
        wait_until(lambda: results)
        with results.pop() as connection:
            self.assertTrue(connection.is_open())
        self.end(child)

    def test_in_vain(self):
        with self.assertRaises(GLib.Error) as context:
            IOStream.Connection.await_name('nobody', 0)
        self.assertTrue(context.exception.matches(
            IOStream.StreamError.quark(), IOStream.StreamError.TIMEOUT))


if __name__ == '__main__':
    main()
