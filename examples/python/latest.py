#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""latest.py [NAME [SECONDS]]: always shows what a camera shows now, whoever else
looks at it, however slow this is (it takes so many seconds for each picture),
and goes on when the camera comes back."""

import sys
import time

import gi
gi.require_version('IOStream', '1.0')
from gi.repository import GLib, IOStream


class Viewer:

    def __init__(self, camera, seconds):
        self.camera = camera
        self.seconds = seconds
        self.generation = 0
        self.lost = 0
        self.shown = 0
        self.lost_in_all = 0

    def count_lost(self):
        if self.camera.generation != self.generation:
            self.generation = self.camera.generation
            self.lost = 0
            print(f'camera {self.generation} is there', flush=True)
        missed = self.camera.lost - self.lost
        if missed:
            print(f'missed {missed}', flush=True)
        self.lost += missed
        self.lost_in_all += missed

    def show(self, frame):
        picture = frame.array()
        print(f'picture {frame.sequence}: brightness {picture.mean():.3f}',
              flush=True)
        self.shown += 1
        time.sleep(self.seconds)

    def run(self):
        for frame in self.camera:
            with frame:
                self.count_lost()
                self.show(frame)

    def sum_up(self):
        print(f'{self.shown} pictures of {self.generation} cameras, '
              f'{self.lost_in_all} missed', flush=True)


def run(name='camera', seconds=0.1):
    with IOStream.open(name, shared=True, delivery='latest', replay=1,
                       resume=True, timeout=None) as camera:
        viewer = Viewer(camera, float(seconds))
        try:
            viewer.run()
        finally:
            viewer.sum_up()


if __name__ == '__main__':
    try:
        run(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
    except GLib.Error as error:
        sys.exit(f'latest: {error.message}')
