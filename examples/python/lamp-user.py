#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""lamp-user.py: waits for a lamp, lights it, and lets it fade."""

import struct
import sys

import gi
gi.require_version('IOStream', '1.0')
from gi.repository import GLib, IOStream

SET, FADE = range(2)
LOG = 0
RECORD = struct.Struct('=qI')


def light(lamp, level):
    before = lamp.call(SET, GLib.Variant('(u)', (level,)))
    print(f'from {before.unpack()} to {level}')


def fade(lamp):
    loop = GLib.MainLoop()
    answers = []

    def on_progress(lamp, level):
        print(f'fading from {level.unpack()}')

    def on_answer(lamp, result):
        answers.append(result)
        loop.quit()

    lamp.call_async(FADE, progress=on_progress, callback=on_answer)
    loop.run()
    print(lamp.call_finish(answers[0]).unpack())


def run():
    entry = IOStream.Registry.wait_for_service(
        IOStream.matching_new_for_class('Lamp'), 10 * GLib.USEC_PER_SEC)
    print(f'found {entry.get_name()}')
    with entry.create_connection() as lamp:
        log = lamp.get_data_queue(LOG)
        lamp.watch_attributes()
        light(lamp, 30)
        try:
            light(lamp, 200)
        except GLib.Error as error:
            print(error.message)
        fade(lamp)
        print('level is', lamp.get_attribute('level').unpack())

        levels = []
        while (record := log.read(0)) is not None:
            time, level = RECORD.unpack(record)
            levels.append(level)
        print('it was', *levels)


if __name__ == '__main__':
    try:
        run()
    except GLib.Error as error:
        sys.exit(f'lamp-user: {error.message}')
