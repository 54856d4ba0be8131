#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""camera.py [NAME [COUNT]]: a camera that shows a moving line."""

import struct
import sys
import threading
import time

import gi
gi.require_version('IOStream', '1.0')
from gi.repository import GLib, IOStream

WIDTH, HEIGHT, RATE = 320, 240, 60


class Camera(IOStream.Stream):

    def __init__(self, **kwargs):
        super().__init__(mode='output',
                         buffer_count=4,
                         data_size=WIDTH * HEIGHT * 3,
                         control_size=8,
                         timestamps=True,
                         history_count=1,
                         **kwargs)
        self.watched = threading.Event()
        self.set_attribute('width', GLib.Variant('u', WIDTH))
        self.set_attribute('height', GLib.Variant('u', HEIGHT))

    def do_start(self):
        self.watched.set()

    def do_stop(self):
        self.watched.clear()


def draw(picture, number):
    picture[:] = 0
    picture[number % HEIGHT, :, 1] = 255


def send_picture(camera, number):
    with camera.next_buffer() as buffer:
        draw(buffer.array(shape=(HEIGHT, WIDTH, 3)), number)
        buffer.control[:] = struct.pack('<Q', number)


def run(name='camera', count=sys.maxsize):
    with IOStream.WorkLoop.new(name) as loop:
        camera = Camera(name=name, work_loop=loop)
        camera.register()
        for number in range(int(count)):
            camera.watched.wait()
            send_picture(camera, number)
            time.sleep(1 / RATE)
        camera.terminate()


if __name__ == '__main__':
    try:
        run(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
    except GLib.Error as error:
        sys.exit(f'camera: {error.message}')
