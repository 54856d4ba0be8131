#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Services in Python: messages, attributes, seizing, the end in order."""

from iostreamtest import *

MESSAGE = IOStream.ServiceMessageType
HELLO = int(MESSAGE.FAMILY) + 1


class Talker(IOStream.Service):

    def do_message(self, type, client, argument):
        if type != HELLO:
            raise ValueError('what?')
        self.message_clients(HELLO, GLib.Variant('s', 'hello ' +
                                                 argument.unpack()))

    def do_client_set_attribute(self, client, key, value):
        self.set_attribute(key, value)


def run_until(condition):
    while not condition():
        GLib.MainContext.default().iteration(True)


class TestService(TestCase):

    def setUp(self):
        super().setUp()
        self.loop = IOStream.WorkLoop.new('talker')
        self.addCleanup(self.loop.shut_down)
        self.service = Talker(name='talker', work_loop=self.loop)
        self.service.register()
        self.addCleanup(self.service.terminate)
        self.heard = []

    def connect(self, name):
        connection = IOStream.Connection.new_for_name('talker')
        connection.connect('service-message', lambda _, type, argument:
                           self.heard.append((name, type)))
        return connection

    def test_message(self):
        connection = self.connect('a')
        texts = []
        connection.connect('service-message', lambda _, type, argument:
                           texts.append(argument.unpack()))
        connection.send_message(HELLO, GLib.Variant('s', 'you'))
        run_until(lambda: texts)
        self.assertEqual(texts, ['hello you'])
        with self.assertStreamError(IOStream.StreamError.FAILED, 'what'):
            connection.send_message(1)

    def test_attributes(self):
        connection = self.connect('a')
        changes = []
        connection.connect('attribute-changed', lambda _, key, value:
                           changes.append((key, value and value.unpack())))
        connection.watch_attributes()
        connection.set_attribute('gain', GLib.Variant('u', 5))
        run_until(lambda: changes)
        self.assertEqual(changes, [('gain', 5)])
        self.assertEqual(connection.get_attribute('gain').unpack(), 5)
        connection.set_attribute('gain')
        run_until(lambda: len(changes) > 1)
        self.assertEqual(changes[1], ('gain', None))

    def test_seize(self):
        holder = self.connect('holder')
        holder.connect('service-message::requesting-close',
                       lambda connection, *_: connection.close())
        holder.open(0)
        seizer = self.connect('seizer')
        opened = []
        seizer.open_async(IOStream.ServiceOpenFlags.SEIZE, None,
                          lambda connection, result: opened.append(
                              connection.open_finish(result)))
        run_until(lambda: opened)
        self.assertEqual(opened, [True])
        self.assertFalse(holder.is_open())
        self.assertIn(('holder', MESSAGE.REQUESTING_CLOSE), self.heard)


if __name__ == '__main__':
    main()
