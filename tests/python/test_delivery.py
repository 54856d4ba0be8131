#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Slow clients, and what they miss."""

from streamtest import *
from streamtest import StreamTestCase

Delivery = IOStream.StreamDelivery


class TestDelivery(StreamTestCase):

    properties = {'buffer_count': 10}

    def join(self, delivery):
        connection = self.connect()
        self.addCleanup(connection.hang_up)
        connection.set_delivery(delivery)
        self.assertEqual(connection.get_delivery(), delivery)
        connection.open(IOStream.StreamOpenFlags.SHARED)
        connection.start()
        return connection

    def send(self, number):
        buffer = self.stream.acquire_buffer()
        buffer.data[:2] = number.to_bytes(2, 'little')
        self.stream.send_buffer(buffer)

    def take_all(self, connection):
        numbers = []
        while True:
            frame = connection.read(0)
            if frame is None:
                return numbers
            with frame:
                numbers.append(int.from_bytes(frame.data[:2], 'little'))

    def check(self, delivery, expected, lost):
        connection = self.join(delivery)
        for number in range(100):
            self.send(number)
        self.assertEqual(self.take_all(connection), expected)
        self.send(100)
        self.assertEqual(self.take_all(connection), [100])
        self.assertEqual(connection.get_lost(), lost)

    def test_latest(self):
        self.check(Delivery.LATEST, [99], 99)

    def test_drop_oldest(self):
        self.check(Delivery.DROP_OLDEST, [95, 96, 97, 98, 99], 95)

    def test_drop_newest(self):
        self.check(Delivery.DROP_NEWEST, [0, 1, 2, 3, 4], 95)

    def test_block(self):
        connection = self.join(Delivery.BLOCK)
        for number in range(5):
            self.send(number)
        buffer = self.stream.acquire_buffer()
        with self.assertStreamError(IOStream.StreamError.OVERRUN, 'holds 5'):
            self.stream.send_buffer(buffer)
        self.stream.release_buffer(buffer)
        self.assertEqual(self.take_all(connection), [0, 1, 2, 3, 4])

    def test_side_by_side(self):
        oldest = self.join(Delivery.DROP_OLDEST)
        latest = self.join(Delivery.LATEST)
        seen = []
        for number in range(60):
            self.send(number)
            if number % 7 == 6:
                seen += self.take_all(latest)
        self.assertEqual(seen, list(range(6, 60, 7)))
        self.assertEqual(self.take_all(oldest), [55, 56, 57, 58, 59])
        self.assertEqual(self.take_all(latest), [59])
        self.assertEqual(self.count_free(), 10)


if __name__ == '__main__':
    main()
