#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a client may do is decided in Python."""

from streamtest import *
from streamtest import LOCAL, Owner, StreamTestCase, make_owner, send

import stat
import subprocess
import unittest


class TestHandler(StreamTestCase):

    def test_sees_who_it_is(self):
        seen = []

        def authorize(stream, client):
            seen.append((client.get_uid(), client.get_gid(), client.get_pid(),
                         client.get_client_name() != ''))
            return True

        self.stream.connect('authorize', authorize)
        with self.open():
            pass
        self.assertEqual(seen, [(os.geteuid(), os.getegid(), os.getpid(), True)])

    def test_refuses(self):
        self.stream.connect('authorize', lambda stream, client: False)
        with self.assertStreamError(IOStream.StreamError.NOT_PERMITTED,
                                    f'“camera”: user {os.geteuid()} is not'):
            self.open()

    def test_refuses_with_a_reason(self):
        def authorize(stream, client):
            client.terminate(GLib.Error.new_literal(
                IOStream.StreamError.quark(), 'come back on Monday',
                IOStream.StreamError.BUSY))
            return False

        self.stream.connect('authorize', authorize)
        with self.assertStreamError(IOStream.StreamError.BUSY, 'on Monday'):
            self.open()

    def test_limits(self):
        def authorize(stream, client):
            client.set_limits(2, 1 << 20)
            return True

        self.stream.connect('authorize', authorize)
        with self.started():
            send(self.stream)
            send(self.stream)
            buffer = self.stream.acquire_buffer()
            with self.assertStreamError(IOStream.StreamError.OVERRUN):
                self.stream.send_buffer(buffer)

    def test_bytes(self):
        def authorize(stream, client):
            client.set_limits(2, 1000)
            return True

        self.stream.connect('authorize', authorize)
        with self.assertStreamError(IOStream.StreamError.NO_RESOURCES,
                                    'may have 1000'):
            self.open()

    def test_read_only(self):
        def authorize(stream, client):
            client.set_read_only(True)
            return True

        self.stream.connect('authorize', authorize)
        with self.started() as connection:
            send(self.stream, b'ab')
            with self.assertStreamError(IOStream.StreamError.NOT_PERMITTED):
                connection.set_mode(IOStream.StreamMode.OUTPUT)
            with self.assertStreamError(IOStream.StreamError.NOT_PERMITTED):
                connection.set_attribute('gain', GLib.Variant('u', 1))
            frame = next(iter(connection))
            self.assertEqual(bytes(frame.data[:2]), b'ab')
            self.assertTrue(frame.data.readonly)
            frame.release()


class TestOverride(StreamTestCase):

    def test_method(self):
        class Picky(Owner):
            def do_authorize(self, client):
                client.set_read_only(True)
                return client.get_uid() == os.geteuid()

        stream = make_owner(self.loop, Picky, name='picky')
        stream.register()
        self.addCleanup(stream.terminate)
        with self.open('picky', stream) as connection:
            with self.assertStreamError(IOStream.StreamError.NOT_PERMITTED):
                connection.set_mode(IOStream.StreamMode.OUTPUT)

    def test_writable_buffers(self):
        class Reader(Owner):
            def do_authorize(self, client):
                client.set_read_only(True)
                return True

        stream = make_owner(self.loop, Reader, name='speaker',
                            mode=IOStream.StreamMode.INPUT)
        stream.register()
        self.addCleanup(stream.terminate)
        with self.assertStreamError(IOStream.StreamError.NOT_PERMITTED,
                                    '“speaker”'):
            self.open('speaker', stream)


CLIENT = """
import gi
gi.require_version('IOStream', '1.0')
from gi.repository import GLib, IOStream
try:
    with IOStream.StreamConnection.open_name('shared') as connection:
        connection.start()
        print('in')
except GLib.Error as error:
    print(error.message)
"""


@unittest.skipIf(LOCAL, 'needs two processes')
class TestProcesses(StreamTestCase):

    def setUp(self):
        super().setUp()
        self.shared = make_owner(self.loop, name='shared', socket_mode=0o666)
        self.shared.connect('authorize', self.authorize)
        self.shared.register()
        self.addCleanup(self.shared.terminate)
        self.seen = []

    def authorize(self, stream, client):
        self.seen.append((client.get_uid(), client.get_pid()))
        return client.get_uid() == os.geteuid()

    def run_client(self, **kwargs):
        child = subprocess.Popen([sys.executable, '-c', CLIENT], cwd='/',
                                 stdout=subprocess.PIPE, text=True, **kwargs)
        output = child.communicate()[0]
        self.assertEqual(child.returncode, 0)
        return output.strip(), child.pid

    def test_own_user(self):
        output, pid = self.run_client()
        self.assertEqual(output, 'in')
        self.assertEqual(self.seen, [(os.geteuid(), pid)])

    def test_mode_of_the_socket(self):
        folder = os.environ['IOSTREAM_RUNTIME_DIR']
        mode = os.stat(os.path.join(folder, 'shared')).st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o666)
        self.assertEqual(self.shared.get_socket_mode(), 0o666)
        self.assertEqual(self.stream.props.socket_mode, 0o600)


if __name__ == '__main__':
    main()
