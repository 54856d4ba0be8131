#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a client that comes later gets, and one that keeps it for too long."""

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


class TestRevoke(StreamTestCase):

    properties = dict(loan_action=IOStream.StreamLoanAction.REVOKE)

    def test_revoke(self):
        expired = []
        self.stream.connect(
            'loan-expired',
            lambda stream, client, id, held: expired.append((id, held)))
        with self.started() as connection:
            told = []
            connection.connect('revoked',
                               lambda connection, n: told.append(n))
            send(self.stream, b'one')
            frame = connection.read(10)
            view = frame.data
            self.assertFalse(frame.revoked)
            self.stream.props.loan_time_limit = 20000
            wait_until(lambda: frame.revoked)
            wait_until(lambda: expired)
            self.stream.props.loan_time_limit = 0
            self.assertEqual(expired[0][0], frame.buffer_id)
            self.assertGreaterEqual(expired[0][1], 20000)
            for access in (lambda: frame.data, lambda: frame.control,
                           frame.array):
                with self.assertRaisesRegex(ValueError, 'revoked'):
                    access()
            # No crash, whatever stands there by now.
            self.assertEqual(len(view), len(bytes(view)))
            wait_until(lambda: told)
            self.assertEqual(told, [1])
            frame.release()
            del view
            send(self.stream, b'two')
            with connection.read(10) as frame:
                self.assertFalse(frame.revoked)
                self.assertEqual(bytes(frame.data[:3]), b'two')
            self.assertEqual(connection.get_revoked_count(), 1)


if __name__ == '__main__':
    main()
