#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""printer.py [NAME]: prints the lines that clients send (input mode)."""

import sys

import gi
gi.require_version('IOStream', '1.0')
from gi.repository import GLib, IOStream


class Printer(IOStream.Stream):

    def do_start(self):
        for buffer in self.get_buffers():
            self.send_buffer(buffer)

    def do_input_callback(self, token):
        while True:
            found, entry = self.dequeue_input_entry()
            if not found:
                break
            buffer = self.get_buffer_with_id(entry.buffer_id)
            end = entry.data_offset + entry.data_length
            line = bytes(buffer.data[entry.data_offset:end])
            print(token, line.decode(errors='replace'), flush=True)
            # The client may have stopped meanwhile; the next start sends all.
            if self.get_state() == IOStream.StreamState.RUNNING:
                self.send_buffer(buffer)
            else:
                self.release_buffer(buffer)


def run(name='printer'):
    printer = Printer(name=name, mode=IOStream.StreamMode.INPUT,
                      buffer_count=4, data_size=4096)
    printer.register()
    try:
        GLib.MainLoop().run()
    finally:
        printer.terminate()


if __name__ == '__main__':
    try:
        run(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
    except GLib.Error as error:
        sys.exit(f'printer: {error.message}')
