# SPDX-License-Identifier: LGPL-2.1-or-later
"""An owner for many clients, and its clients:

sharing_process.py serve NAME N_CLIENTS N_FRAMES
sharing_process.py DELIVERY NAME

The owner sends numbered frames when so many clients run, says what it has
counted, and lives until standard input closes. A client says the numbers that it
saw and what it lost."""

from streamtest import *
from streamtest import make_owner

import json


def limit(stream, client):
    client.set_limits(2, 1 << 20)
    return True


def count_running(stream):
    rows = stream.get_statistics().get_clients()
    return sum(row.state == IOStream.StreamState.RUNNING for row in rows)


def serve(name, n_clients, n_frames):
    with IOStream.WorkLoop.new(name) as loop:
        stream = make_owner(loop, name=name, buffer_count=8, reserve_count=2,
                            client_allowance=3, history_count=1,
                            deliveries=('block', 'drop-oldest', 'latest'))
        stream.connect('authorize', limit)
        stream.register()
        print('ready', flush=True)
        while count_running(stream) < int(n_clients):
            time.sleep(0.01)
        for number in range(int(n_frames)):
            with stream.next_buffer(30) as buffer:
                buffer.array('<u4')[:] = number
        print(json.dumps(stream.get_statistics().to_dict()), flush=True)
        sys.stdin.read()
        stream.stop()
        stream.terminate()


def watch(delivery, name):
    numbers = []
    with IOStream.open(name, shared=True, delivery=delivery,
                       timeout=30) as connection:
        for frame in connection:
            with frame:
                array = frame.array('<u4')
                assert (array == frame.sequence).all()
                numbers.append(frame.sequence)
                del array
        print(json.dumps({'numbers': numbers, 'lost': connection.lost,
                          'received': connection.received}), flush=True)


if __name__ == '__main__':
    if sys.argv[1] == 'serve':
        serve(*sys.argv[2:])
    else:
        watch(*sys.argv[1:])
