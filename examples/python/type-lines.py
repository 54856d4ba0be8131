#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""type-lines.py [NAME]: sends lines of standard input to a printer."""

import sys

import gi
gi.require_version('IOStream', '1.0')
from gi.repository import GLib, IOStream


def run(name='printer'):
    with IOStream.StreamConnection.open_name(name) as printer:
        for number, line in enumerate(sys.stdin.buffer):
            frame = printer.read()
            if frame is None:
                break
            text = line.rstrip(b'\n')[:len(frame)]
            frame.data[:len(text)] = text
            frame.send(len(text), token=number)


if __name__ == '__main__':
    try:
        run(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
    except GLib.Error as error:
        sys.exit(f'type-lines: {error.message}')
