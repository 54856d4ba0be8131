#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is counted, seen by the owner and by clients."""

import os

from streamtest import *
from streamtest import StreamTestCase, send


class TestStatistics(StreamTestCase):

    def test_owner(self):
        with self.started() as connection:
            send(self.stream, b'one')
            send(self.stream, b'two')
            statistics = self.stream.get_statistics()
            self.assertEqual(statistics.state, IOStream.StreamState.RUNNING)
            self.assertEqual((statistics.produced, statistics.delivered, statistics.returned), (2, 2, 0))
            self.assertEqual((statistics.lent_buffers, statistics.free_buffers), (2, 2))
            client, = statistics.get_clients()
            self.assertEqual(client.pid, os.getpid())
            self.assertEqual(client.uid, os.getuid())
            self.assertEqual(client.delivery, IOStream.StreamDelivery.BLOCK)
            self.assertEqual((client.held, client.dropped, client.violations), (2, 0, 0))
            self.assertIsInstance(client.name, str)
            with connection.read(10) as frame:
                self.assertEqual(bytes(frame.data[:3]), b'one')
            self.assertEqual(self.stream.get_statistics().get_clients()[0].returned, 1)
        self.assertEqual(self.stream.get_statistics().get_clients(), [])

    def test_client(self):
        with self.started() as connection:
            send(self.stream)
            statistics = connection.get_statistics(None)
            self.assertTrue(statistics.get_own().is_own)
            self.assertEqual(statistics.get_own().delivered, 1)
            watcher = self.connect()
            seen = watcher.get_statistics(None)
            self.assertIsNone(seen.get_own())
            self.assertEqual([row.id for row in seen.get_clients()], [statistics.get_own().id])
            watcher.hang_up()

    def test_access(self):
        def authorize(stream, client):
            client.set_statistics_access(IOStream.StreamStatisticsAccess.NONE)
            return True

        self.stream.connect('authorize', authorize)
        watcher = self.connect()
        with self.assertRaises(GLib.Error) as raised:
            watcher.get_statistics(None)
        self.assertTrue(raised.exception.matches(IOStream.StreamError.quark(), IOStream.StreamError.NOT_PERMITTED))
        watcher.hang_up()


if __name__ == '__main__':
    main()
