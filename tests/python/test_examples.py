#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs of the tutorial, as they stand there."""

from iostreamtest import *
from iostreamtest import TIMEOUT

import re
import subprocess

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
EXAMPLES = os.path.join(TOP, 'examples', 'python')


class TestExamples(TestCase):

    def run_example(self, name, *args, **kwargs):
        child = subprocess.Popen(
            [sys.executable, os.path.join(EXAMPLES, name), *args],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=dict(os.environ, PYTHONUNBUFFERED='1'), **kwargs)
        self.addCleanup(self.end, child)
        return child

    def end(self, child):
        child.kill()
        child.communicate()

    def finish(self, child, text=None, status=0):
        output, errors = child.communicate(text, timeout=TIMEOUT)
        self.assertEqual((child.returncode, errors), (status, ''))
        return output

    def wait_for_name(self, name):
        wait_until(lambda: name in IOStream.Service.list_names())

    def test_camera_and_viewer(self):
        camera = self.run_example('camera.py', 'camera', '30')
        self.wait_for_name('camera')
        viewer = self.run_example('viewer.py', 'camera')
        lines = self.finish(viewer).splitlines()
        self.assertEqual(self.finish(camera), '')
        self.assertEqual(len(lines), 30)
        for number, line in enumerate(lines):
            self.assertRegex(line, rf'^picture {number}: line {number}, '
                                   r'\d+ microseconds old$')

    def test_ctrl_c(self):
        camera = self.run_example('camera.py')
        self.wait_for_name('camera')
        viewer = self.run_example('viewer.py')
        self.assertIn('picture', viewer.stdout.readline())
        viewer.send_signal(signal.SIGINT)
        self.finish(viewer)
        viewer = self.run_example('viewer.py')
        self.assertIn('picture', viewer.stdout.readline())
        camera.send_signal(signal.SIGINT)
        self.finish(camera)
        viewer.communicate(timeout=TIMEOUT)

    def test_camera_that_nobody_watches(self):
        camera = self.run_example('camera.py')
        self.wait_for_name('camera')
        camera.send_signal(signal.SIGINT)
        self.finish(camera)

    def test_no_camera(self):
        viewer = self.run_example('viewer.py', 'nobody')
        output, errors = viewer.communicate(timeout=TIMEOUT)
        self.assertEqual(viewer.returncode, 1)
        self.assertRegex(errors, '^viewer: .*nobody.*\n$')

    def read_until(self, child, pattern):
        while not re.search(pattern, line := child.stdout.readline()):
            self.assertNotEqual(line, '', f'{pattern} did not come')

    def count_dropped(self, child):
        camera = IOStream.StreamConnection.new_for_name('camera')
        rows = camera.get_statistics().get_clients()
        camera.hang_up()
        return sum(row.dropped for row in rows if row.pid == child.pid)

    def let_it_miss(self, viewer):
        viewer.send_signal(signal.SIGSTOP)
        try:
            before = self.count_dropped(viewer)
            wait_until(lambda: self.count_dropped(viewer) >= before + 20)
        finally:
            viewer.send_signal(signal.SIGCONT)
        self.read_until(viewer, r'^missed \d+$')

    def test_latest(self):
        viewers = [self.run_example('latest.py', 'camera', '0')
                   for _ in range(2)]
        for generation in 1, 2:
            camera = self.run_example('camera.py')
            for viewer in viewers:
                self.read_until(viewer, f'^camera {generation} is there$')
                self.read_until(viewer, r'^picture \d+: brightness \d')
            self.let_it_miss(viewers[0])
            if generation == 1:
                camera.kill()
            else:
                camera.send_signal(signal.SIGINT)
            camera.communicate(timeout=TIMEOUT)
        for viewer in viewers:
            viewer.send_signal(signal.SIGINT)
        for viewer in viewers:
            self.assertRegex(self.finish(viewer).splitlines()[-1],
                             r'\d+ pictures of 2 cameras, \d+ missed$')

    def test_latest_without_camera(self):
        viewer = self.run_example('latest.py')
        viewer.send_signal(signal.SIGINT)
        viewer.communicate(timeout=TIMEOUT)

    def test_printer(self):
        printer = self.run_example('printer.py')
        self.wait_for_name('printer')
        text = ''.join(f'line {number}\n' for number in range(20))
        typist = self.run_example('type-lines.py', stdin=subprocess.PIPE)
        self.assertEqual(self.finish(typist, text), '')
        for number in range(20):
            self.assertRegex(printer.stdout.readline(),
                             rf'^\d+ line {number}$')
        printer.send_signal(signal.SIGINT)
        self.finish(printer)

    def test_lamp(self):
        user = self.run_example('lamp-user.py')
        lamp = self.run_example('lamp.py')
        self.assertEqual(self.finish(user).splitlines(), [
            'found lamp', 'from 0 to 30',
            'Lamp.on_set: ValueError: 200 is more than 100',
            'fading from 30', 'fading from 20', 'fading from 10', 'dark',
            'level is 0', 'it was 30 20 10 0'])
        lamp.send_signal(signal.SIGINT)
        self.assertEqual(self.finish(lamp), '')

    def test_errors(self):
        self.assertEqual(self.finish(self.run_example('errors.py')),
                         'there is no nobody\n')
        camera = self.run_example('camera.py')
        self.wait_for_name('camera')
        self.assertEqual(
            self.finish(self.run_example('errors.py', 'camera')),
            'camera has 4 buffers\n')
        viewer = self.run_example('viewer.py')
        viewer.stdout.readline()
        self.assertEqual(
            self.finish(self.run_example('errors.py', 'camera')),
            'somebody else has camera open\n')


class TestTutorial(TestCase):

    def test_shows_them_all(self):
        """The tutorial includes each of the programs."""
        path = os.path.join(TOP, 'doc', 'tutorial-python.xml')
        with open(path, encoding='utf-8') as tutorial:
            shown = set(re.findall('xi:include href="([^"]*)" parse="text"',
                                   tutorial.read()))
        with open(__file__, encoding='utf-8') as test:
            tested = set(re.findall(r"run_example\('([^']*)'", test.read()))
        self.assertEqual(shown, tested)
        for name in shown:
            self.assertTrue(os.path.exists(os.path.join(EXAMPLES, name)))


if __name__ == '__main__':
    main()
