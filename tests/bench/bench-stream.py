#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The client of `bench-stream --mode=python`.

Takes the end of a socket by its number, and so many entries; checks the first
and the last word of each.
"""

import itertools
import struct
import sys

import gi
gi.require_version('IOStream', '1.0')
from gi.repository import Gio, IOStream  # noqa: E402 pylint: disable=C0413

WORDS = struct.Struct('=Q48xQ')


def main():
    number, count = int(sys.argv[1]), int(sys.argv[2])
    socket = Gio.Socket.new_from_fd(number)
    with IOStream.StreamConnection.new_for_socket(socket) as connection:
        for index, frame in enumerate(itertools.islice(connection, count)):
            with frame:
                if WORDS.unpack_from(frame.data) != (index, index):
                    sys.exit(f'bench-stream.py: entry {index} is not what was sent')
    return 0


if __name__ == '__main__':
    sys.exit(main())
