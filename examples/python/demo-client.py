#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""demo-client.py NAME [SECONDS [PICTURE]]: looks at a camera, checks every
frame, and says how it went."""

import os
import struct
import sys
import time
import zlib

import gi
import numpy as np
gi.require_version('IOStream', '1.0')
from gi.repository import GLib, IOStream

# As in examples/frame-info.h.
INFO = struct.Struct('<4I3Q')
MAGIC = 0x46534f49

# What the kernel calls the memory of the buffers.
BUFFERS = '/memfd:iostream-buffers'


class Report:

    def __init__(self):
        self.latencies = []
        self.broken = 0
        self.skipped = 0
        self.copies = 0
        self.last_number = None
        self.picture = None
        self.elapsed = 0

    @property
    def frames(self):
        return len(self.latencies)


def find_mapping(address, length):
    """How the kernel has mapped these bytes: (rights, file), from its own
    list."""
    with open('/proc/self/maps', encoding='utf-8', errors='replace') as maps:
        for line in maps:
            fields = line.split(maxsplit=5)
            begin, end = (int(part, 16) for part in fields[0].split('-'))
            if begin <= address and address + length <= end:
                return fields[1], fields[5].strip() if len(fields) > 5 else ''
    return '', ''


def is_shared(array):
    """Whether this array lies in the shared memory itself, which this process
    cannot write: then nobody copied it."""
    rights, file = find_mapping(array.ctypes.data, array.nbytes)
    return (rights == 'r--s' and file.startswith(BUFFERS) and
            not array.flags.writeable)


def check_frame(frame, report):
    magic, width, height, stride, number, _, checksum = INFO.unpack(frame.control)
    words = frame.array('<u8')
    if (magic != MAGIC or words.nbytes != stride * height or
            int(words.sum(dtype=np.uint64)) != checksum):
        report.broken += 1
    if report.last_number is not None:
        report.skipped += number - report.last_number - 1
    report.last_number = number
    return frame.array('u1', (height, width, 3))


def watch(camera, seconds):
    report = Report()
    begin = None
    for frame in camera:
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        with frame:
            if begin is None:
                begin = now
            report.latencies.append((now - frame.timestamp) / 1000)
            picture = check_frame(frame, report)
            if not is_shared(picture):
                report.copies += 1
            if now - begin >= seconds * 1e9:
                report.picture = picture.copy()
                report.elapsed = (now - begin) / 1e9
                break
            del picture
    return report


def write_png(path, picture):
    height, width, _ = picture.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)
    rows[:, 1:] = picture.reshape(height, -1)

    def chunk(kind, data):
        return (struct.pack('>I', len(data)) + kind + data +
                struct.pack('>I', zlib.crc32(kind + data)))

    with open(path, 'wb') as png:
        png.write(b'\x89PNG\r\n\x1a\n' +
                  chunk(b'IHDR', struct.pack('>2I5B', width, height, 8, 2, 0, 0, 0)) +
                  chunk(b'IDAT', zlib.compress(rows.tobytes(), 1)) +
                  chunk(b'IEND', b''))


def run(name, seconds=5, path=None):
    with IOStream.StreamConnection.open_name(name) as camera:
        report = watch(camera, float(seconds))
        lost = camera.get_lost()
    if report.picture is None:
        sys.exit('demo-client: the camera ended before the time was over')

    height, width, _ = report.picture.shape
    rate = (report.frames - 1) / report.elapsed
    p50, p99 = np.percentile(report.latencies, (50, 99))
    print(f'frames    {report.frames} of {width}x{height} RGB in {report.elapsed:.1f} s, '
          'each checked with NumPy')
    print(f'rate      {rate:.1f} per second, {rate * report.picture.nbytes / 1e6:.0f} MB/s')
    print(f'latency   p50 {p50:.0f} µs, p99 {p99:.0f} µs, one way')
    print(f'broken    {report.broken}')
    print(f'lost      {lost}')
    if report.skipped:
        print(f'skipped   {report.skipped} by the camera, '
              'because this client held all buffers')
    print(f'copies    {report.copies} (every other array lies in {BUFFERS}, mapped read-only)'
          if report.copies else
          f'copies    0 (each array lies in {BUFFERS}, mapped read-only)')
    if path is not None:
        write_png(path, report.picture)
        print(f'picture   {os.path.abspath(path)}')
    return report.broken == 0 and lost == 0 and report.copies == 0


if __name__ == '__main__':
    try:
        sys.exit(0 if run(*sys.argv[1:]) else 1)
    except KeyboardInterrupt:
        pass
    except GLib.Error as error:
        sys.exit(f'demo-client: {error.message}')
