#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""errors.py [NAME]: says whether a stream can be opened."""

import sys

import gi
gi.require_version('IOStream', '1.0')
from gi.repository import GLib, IOStream


def run(name='nobody'):
    try:
        with IOStream.StreamConnection.open_name(name) as connection:
            print(f'{name} has {connection.get_buffer_count()} buffers')
    except GLib.Error as error:
        if error.matches(IOStream.StreamError.quark(),
                         IOStream.StreamError.NOT_FOUND):
            print(f'there is no {name}')
        elif error.matches(IOStream.StreamError.quark(),
                           IOStream.StreamError.EXCLUSIVE_ACCESS):
            print(f'somebody else has {name} open')
        else:
            raise


if __name__ == '__main__':
    run(*sys.argv[1:])
