# SPDX-License-Identifier: LGPL-2.1-or-later
"""owner_process.py NAME [N_FRAMES]: sends numbered frames, says `ready` when it
is there, and `done` when all are sent; lives until standard input closes."""

from streamtest import *
from streamtest import make_owner


class Camera(IOStream.Stream):

    started = threading.Event()

    def do_start(self):
        self.started.set()


def run():
    name = sys.argv[1]
    n_frames = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with IOStream.WorkLoop.new(name) as loop:
        stream = make_owner(loop, Camera, name=name)
        stream.register()
        print('ready', flush=True)
        if n_frames:
            Camera.started.wait()
        for number in range(n_frames):
            stream.wait_buffer(30 * 1000000)
            buffer = stream.acquire_buffer()
            buffer.array('<u4')[:] = number
            buffer.control[:4] = number.to_bytes(4, 'little')
            stream.send_buffer(buffer)
        print('done', flush=True)
        command = sys.stdin.read()
        if command == 'stop':
            stream.stop()
        stream.terminate()


if __name__ == '__main__':
    run()
