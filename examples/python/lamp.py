#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""lamp.py [NAME]: a lamp that others switch, dim, and keep a log of."""

import struct
import sys

import gi
gi.require_version('IOStream', '1.0')
from gi.repository import GLib, IOStream

SET, FADE = range(2)
LOG = 0
RECORD = struct.Struct('=qI')


class LampClient(IOStream.UserClient):
    """What the lamp has for one client: its copy of the log."""

    log = None

    def do_client_queue_for_type(self, type):
        if type != LOG:
            raise ValueError(f'there is no queue {type}')
        self.log = IOStream.SharedDataQueue.new_with_capacity(
            IOStream.SharedDataQueueRole.PRODUCER, 4096)
        return self.log


class Lamp(IOStream.Service):
    __gtype_name__ = 'Lamp'

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.set_attribute('level', GLib.Variant('u', 0))
        self.add_method(SET, self.on_set)
        self.add_method(FADE, self.on_fade)

    def do_new_user_client(self, properties):
        return LampClient()

    def set_level(self, level):
        if level > 100:
            raise ValueError(f'{level} is more than 100')
        self.set_attribute('level', GLib.Variant('u', level))
        record = RECORD.pack(GLib.get_monotonic_time(), level)
        for client in self.get_clients():
            if client.log is not None and client.log.can_enqueue(len(record)):
                client.log.enqueue(record)

    def on_set(self, service, client, selector, parameters, action):
        before = self.get_attribute('level')
        level, = parameters.unpack()
        self.set_level(level)
        return before

    def on_fade(self, service, client, selector, parameters, action):
        if action is None:
            raise ValueError('fading takes time: call it asynchronously')
        GLib.timeout_add(20, self.fade, action)

    def fade(self, action):
        level = self.get_attribute('level').unpack()
        if level == 0:
            action.complete_variant(GLib.Variant('s', 'dark'))
        elif not action.is_cancelled():
            action.report_progress(GLib.Variant('u', level))
            self.set_level(max(level - 10, 0))
            return GLib.SOURCE_CONTINUE
        return GLib.SOURCE_REMOVE


def run(name='lamp'):
    lamp = Lamp(name=name)
    lamp.register()
    try:
        GLib.MainLoop().run()
    finally:
        lamp.terminate()


if __name__ == '__main__':
    try:
        run(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
    except GLib.Error as error:
        sys.exit(f'lamp: {error.message}')
