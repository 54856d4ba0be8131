#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a client that comes later gets of what was sent before."""

from streamtest import *
from streamtest import StreamTestCase, send


class TestReplay(StreamTestCase):

    properties = dict(history_count=3)

    def test_property(self):
        self.assertEqual(self.stream.props.history_count, 3)
        self.stream.set_history_count(2)
        self.assertEqual(self.stream.props.history_count, 2)
        connection = self.connect()
        connection.props.replay = 5
        self.assertEqual(connection.get_replay(), 5)

    def test_late(self):
        with self.started() as connection:
            for text in b'one', b'two', b'three', b'four':
                send(self.stream, text)
                connection.read(10).release()
        late = self.connect()
        late.props.replay = 2
        with late:
            late.start()
            send(self.stream, b'five')
            for sequence, text in (2, b'three'), (3, b'four'), (4, b'five'):
                with late.read(10) as frame:
                    self.assertEqual(frame.sequence, sequence)
                    self.assertEqual(bytes(frame.data[:len(text)]), text)
            self.assertEqual(late.get_lost(), 0)

    def test_clear(self):
        with self.started() as connection:
            send(self.stream, b'one')
            connection.read(10).release()
        self.stream.clear_history()
        late = self.connect()
        late.props.replay = 2
        with late:
            late.start()
            self.assertIsNone(late.read(0))


if __name__ == '__main__':
    main()
