#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the library write behind a block of the heap, in code that no allocator
and no libc watches: only a library that is built with the address sanitizer can
tell, if it is the one that Python has loaded."""

import ctypes

import gi
gi.require_version('IOStream', '1.0')
from gi.repository import IOStream


def run():
    done, producer, consumer = IOStream.SharedDataQueue.new_pair(4096)
    producer.enqueue(b'text')
    assert consumer.read(0) == b'text'
    print('nothing is wrong so far', flush=True)

    library = ctypes.CDLL('libiostream-1.0.so.0')
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    block = libc.malloc(ctypes.c_size_t(16))
    # PyGObject gives the address of an object as its hash.
    library.io_shared_data_queue_get_statistics(
        ctypes.c_void_p(hash(producer)), ctypes.c_void_p(block),
        ctypes.c_void_p(block + 8), ctypes.c_void_p(block + 16))
    print('nobody saw it', flush=True)


if __name__ == '__main__':
    run()
