#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""viewer.py [NAME]: says what a camera shows."""

import struct
import sys
import time

import gi
gi.require_version('IOStream', '1.0')
from gi.repository import GLib, IOStream


def look(frame, shape):
    picture = frame.array(shape=shape)
    number, = struct.unpack('<Q', frame.control)
    line = picture[:, 0, 1].argmax()
    age = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - frame.timestamp
    print(f'picture {number}: line {line}, {age // 1000} microseconds old')


def run(name='camera'):
    with IOStream.StreamConnection.open_name(name) as camera:
        attributes = camera.copy_attributes().unpack()
        shape = attributes['height'], attributes['width'], 3
        for frame in camera:
            with frame:
                look(frame, shape)


if __name__ == '__main__':
    try:
        run(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
    except GLib.Error as error:
        sys.exit(f'viewer: {error.message}')
