# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of the Python override share: `from iostreamtest import *`.

Each method of a test case is one line of TAP. An exception that PyGObject or
the interpreter could only print (in a callback from C, in a finaliser) fails
the test in which it happened.
"""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unittest

import gi
import gi.overrides

# The override of the build comes before an installed one.
_folder = os.environ.get('IOSTREAM_TEST_OVERRIDES')
if _folder:
    gi.overrides.__path__.insert(0, _folder)
gi.require_version('IOStream', '1.0')

from gi.repository import Gio, GLib, GObject, IOStream  # noqa: E402

import numpy  # noqa: E402

__all__ = ['GLib', 'GObject', 'Gio', 'IOStream', 'TestCase', 'contextlib',
           'gc', 'main', 'numpy', 'os', 'signal', 'spawn', 'sys', 'threading',
           'time', 'wait_until']

# Long enough for a busy machine under valgrind; a test that passes never
# waits so long.
TIMEOUT = 30

_lost = []


def _keep_lost(exc_type, exc_value, exc_traceback):
    _lost.append(''.join(traceback.format_exception(
        exc_type, exc_value, exc_traceback)))


def _keep_unraisable(args):
    _keep_lost(args.exc_type, args.exc_value, args.exc_traceback)


class TestCase(unittest.TestCase):

    def setUp(self):
        _lost.clear()
        self.addCleanup(self._check_lost)

    def _check_lost(self):
        gc.collect()
        lost, _lost[:] = list(_lost), []
        self.assertEqual(lost, [], 'exceptions were lost')

    @contextlib.contextmanager
    def expect_lost(self, text):
        """In it one exception gets lost that has text in its traceback."""
        yield
        self.assertEqual(len(_lost), 1, _lost)
        self.assertIn(text, _lost.pop())

    @contextlib.contextmanager
    def assertStreamError(self, code, text=''):
        with self.assertRaises(GLib.Error) as context:
            yield context
        error = context.exception
        self.assertTrue(error.matches(IOStream.StreamError.quark(), code),
                        f'{error.domain} {error.code}: {error.message}')
        self.assertIn(text, error.message)


def wait_until(condition):
    """Serves the default main context until condition() is true."""
    context = GLib.MainContext.default()
    deadline = time.monotonic() + TIMEOUT
    timer = GLib.timeout_source_new(5)
    timer.set_callback(lambda *args: True)
    timer.attach(context)
    try:
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError('waited in vain')
            context.iteration(True)
    finally:
        timer.destroy()


def spawn(program, *args, **kwargs):
    """Another Python that runs a file of this folder or a text."""
    path = os.path.join(os.path.dirname(__file__), program)
    command = [path] if program.endswith('.py') else ['-c', program]
    environment = dict(os.environ, PYTHONUNBUFFERED='1')
    environment['PYTHONPATH'] = os.pathsep.join(
        [os.path.dirname(os.path.abspath(__file__)),
         environment.get('PYTHONPATH', '')])
    return subprocess.Popen([sys.executable, *command, *args],
                            env=environment, text=True, **kwargs)


class _TapResult(unittest.TestResult):

    def __init__(self):
        super().__init__()
        self.n_tests = 0

    def _say(self, test, word, note='', text=''):
        self.n_tests += 1
        name = '.'.join(test.id().split('.')[-2:])
        print(word, self.n_tests, name + note, flush=True)
        for line in text.splitlines():
            print('#', line, flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._say(test, 'ok')

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._say(test, 'not ok', text=self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self._say(test, 'not ok', text=self.errors[-1][1])

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._say(test, 'ok', f' # SKIP {reason}')

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            errors = self.failures + self.errors
            self._say(subtest, 'not ok', text=errors[-1][1])


def main():
    """Runs the tests of the calling file, or those named in the arguments."""
    sys.excepthook = _keep_lost
    sys.unraisablehook = _keep_unraisable
    threading.excepthook = _keep_unraisable
    names = sys.argv[1:]
    loader = unittest.TestLoader()
    module = sys.modules['__main__']
    suite = (loader.loadTestsFromNames(names, module) if names
             else loader.loadTestsFromModule(module))
    result = _TapResult()
    with tempfile.TemporaryDirectory(prefix='iostream-test-') as folder:
        os.environ['IOSTREAM_RUNTIME_DIR'] = folder
        suite.run(result)
    print(f'1..{result.n_tests}')
    sys.exit(not result.wasSuccessful())
