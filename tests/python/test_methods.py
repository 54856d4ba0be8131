#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Methods of an owner in Python, called from Python in another process."""

from iostreamtest import *
from iostreamtest import TIMEOUT
from methods_owner import COUNT, ECHO, FAIL, KEEP, NOTHING, RAISE, WRONG, Service

import subprocess


class MethodsTestCase(TestCase):

    def setUp(self):
        super().setUp()
        self.child = spawn('methods_owner.py', 'lens', stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE)
        self.addCleanup(self.end)
        self.assertEqual(self.child.stdout.readline(), 'ready\n')
        self.connection = IOStream.Connection.new_for_name('lens')

    def end(self):
        if self.child.stdin is not None:
            self.child.stdin.close()
        self.child.wait(TIMEOUT)
        self.child.stdout.close()

    def count(self):
        return self.connection.call(COUNT).unpack()

    def call_async(self, parameters, progress=None, cancellable=None):
        results = []
        self.connection.call_async(
            KEEP, parameters, progress=progress, cancellable=cancellable,
            callback=lambda connection, result: results.append(result))
        return results

    def finish(self, results):
        wait_until(lambda: results)
        return self.connection.call_finish(results[0])


class TestTyped(MethodsTestCase):

    def test_call(self):
        for value in (GLib.Variant('(si)', ('x', -1)),
                      GLib.Variant('a{sv}', {'a': GLib.Variant('u', 1)}),
                      GLib.Variant('as', ['long'] * 5000)):
            self.assertEqual(self.connection.call(ECHO, value), value)
        self.assertEqual(self.connection.call(NOTHING).unpack(), ())
        self.assertEqual(self.connection.call(ECHO).unpack(), ())

    def test_reply_type(self):
        value = GLib.Variant('u', 7)
        self.assertEqual(self.connection.call(
            ECHO, value, GLib.VariantType('u')).unpack(), 7)
        with self.assertStreamError(IOStream.StreamError.BAD_MESSAGE):
            self.connection.call(ECHO, value, GLib.VariantType('s'))

    def test_errors(self):
        with self.assertStreamError(IOStream.StreamError.DEVICE_ERROR,
                                    'dirty'):
            self.connection.call(FAIL)
        with self.assertStreamError(IOStream.StreamError.BAD_ARGUMENT):
            self.connection.call(99)

    def test_exceptions(self):
        with self.assertStreamError(IOStream.StreamError.FAILED,
                                    'Service.on_method: ValueError: no such '
                                    'lens'):
            self.connection.call(RAISE)
        with self.assertStreamError(IOStream.StreamError.FAILED,
                                    'returned int, not GLib.Variant'):
            self.connection.call(WRONG)
        results = []
        self.connection.call_async(RAISE, callback=lambda connection, result:
                                   results.append(result))
        with self.assertStreamError(IOStream.StreamError.FAILED,
                                    'no such lens'):
            self.finish(results)

    def test_with(self):
        with self.connection as connection:
            self.assertTrue(connection.is_open())
            with connection:
                pass
            self.assertFalse(connection.is_open())
        self.connection.open()
        self.connection.close()
        self.child.kill()
        with self.assertStreamError(IOStream.StreamError.OFFLINE):
            with self.connection:
                pass

    def test_owner_gone(self):
        self.child.kill()
        with self.assertStreamError(IOStream.StreamError.OFFLINE):
            while True:
                self.connection.call(ECHO)


class TestStruct(MethodsTestCase):

    def test_call_method(self):
        for data in b'', b'abc', bytes(100000):
            scalars = [0, 1, 2**64 - 1]
            ok, result, structure = self.connection.call_method(
                ECHO, scalars, GLib.Bytes.new(data), 16, len(data), None)
            self.assertTrue(ok)
            self.assertEqual(result, scalars)
            self.assertEqual(structure.get_data() or b'', data)

    def test_bytes(self):
        for data in b'abc', bytearray(b'abc'), memoryview(b'abc'):
            ok, scalars, structure = self.connection.call_method(
                ECHO, None, data, 0, 3)
            self.assertEqual(structure.get_data(), b'abc')
        with self.assertRaises(TypeError):
            self.connection.call_method(ECHO, None, 'abc', 0, 3)

    def test_errors(self):
        with self.assertStreamError(IOStream.StreamError.BAD_ARGUMENT,
                                    'no method 99'):
            self.connection.call_method(99, [], None, 0, 0, None)
        with self.assertStreamError(IOStream.StreamError.NO_SPACE):
            self.connection.call_method(ECHO, [1, 2], None, 1, 0, None)
        with self.assertStreamError(IOStream.StreamError.FAILED,
                                    'ValueError: no such lens'):
            self.connection.call_method(RAISE, [], None, 0, 0, None)
        with self.assertStreamError(IOStream.StreamError.BAD_ARGUMENT):
            self.connection.call_method(ECHO, [0] * 17, None, 0, 0, None)

    def test_async(self):
        results = []
        self.connection.call_method_async(
            ECHO, [5], GLib.Bytes.new(b'xyz'), 16, 100,
            callback=lambda connection, result: results.append(result))
        wait_until(lambda: results)
        ok, scalars, structure = self.connection.call_method_finish(results[0])
        self.assertEqual((ok, scalars, structure.get_data()),
                         (True, [5], b'xyz'))


class TestAction(MethodsTestCase):

    def test_progress(self):
        seen = []
        results = self.call_async(
            GLib.Variant('(u)', (20,)),
            lambda connection, value, *data: seen.append(value.unpack()))
        self.assertEqual(self.finish(results).unpack(), 'done')
        self.assertEqual(seen, list(range(20)))
        self.assertEqual(self.count()[:2], (0, 0))

    def test_progress_data(self):
        for data, expected in ((None, ()), ('x', ('x',)), ((1, 2), (1, 2))):
            seen, results = [], []
            self.connection.call_async(
                KEEP, GLib.Variant('(u)', (1,)), None,
                lambda connection, value, *rest: seen.append(rest), data, None,
                lambda connection, result, *rest: results.append(result))
            self.finish(results)
            self.assertEqual(seen, [expected])

    def test_cancel(self):
        cancellable = Gio.Cancellable()
        results = self.call_async(GLib.Variant('s', 'keep'),
                                  cancellable=cancellable)
        self.assertEqual(self.count()[:2], (1, 0))
        cancellable.cancel()
        with self.assertRaises(GLib.Error) as context:
            self.finish(results)
        self.assertTrue(context.exception.matches(
            Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED))
        self.assertEqual(self.count()[:2], (0, 1))

    def test_client_gone(self):
        self.call_async(GLib.Variant('s', 'keep'))
        self.assertEqual(self.count()[:2], (1, 0))
        self.connection.hang_up()
        self.connection = IOStream.Connection.new_for_name('lens')
        wait_until(lambda: self.count()[:2] == (0, 1))


class TestRest(MethodsTestCase):

    def test_trap(self):
        self.connection.trap(0, 2**32 - 1)
        self.assertEqual(self.count()[2], 2**32 - 1)
        with self.assertStreamError(IOStream.StreamError.FAILED, 'trap 1'):
            self.connection.trap(1, 0)

    def test_memory(self):
        memory = self.connection.get_memory(0)
        self.assertIs(self.connection.get_memory(0), memory)
        view = memory.map(IOStream.MemoryMapFlags.READ_ONLY).data
        self.assertEqual(bytes(view), b'shared')

    def test_port(self):
        port = self.connection.get_notification_port(3, 4)
        port.wait(TIMEOUT * 1000000)


class TestOneProcess(TestCase):
    """The owner is here; the calls are direct."""

    def test_call(self):
        service = Service(name='here')
        connection = IOStream.Connection.new_for_service(service)
        self.assertEqual(
            connection.call(ECHO, GLib.Variant('u', 3)).unpack(), 3)
        with self.assertStreamError(IOStream.StreamError.DEVICE_ERROR):
            connection.call(FAIL)
        connection.hang_up()
        service.terminate()

    def test_bytes(self):

        class Reverser(IOStream.UserClient):
            def do_external_method(self, selector, arguments):
                data = arguments.get_structure_input().get_data()[::-1]
                action = arguments.get_completion()
                if action is None:
                    arguments.set_structure_output(data)
                else:
                    action.complete([1], data)

        class Mirror(IOStream.Service):
            def do_new_user_client(self, properties):
                return Reverser()

        service = Mirror(name='mirror')
        connection = IOStream.Connection.new_for_service(service)
        self.assertEqual(connection.call_method(
            0, None, b'abc', 0, 10)[2].get_data(), b'cba')
        results = []
        connection.call_method_async(
            0, None, b'abc', 1, 10,
            callback=lambda source, result: results.append(result))
        wait_until(lambda: results)
        ok, scalars, structure = connection.call_method_finish(results[0])
        self.assertEqual((scalars, structure.get_data()), ([1], b'cba'))
        connection.hang_up()
        service.terminate()

    def test_no_stream(self):
        service = Service(name='nostream')
        service.register()
        connection = IOStream.StreamConnection(service=service)
        with self.assertStreamError(IOStream.StreamError.IPC_ERROR,
                                    'Service, which is no stream'):
            connection.open()
        service.terminate()

    def test_dropped(self):
        service = Service(name='here')
        connection = IOStream.Connection.new_for_service(service)
        results = []
        connection.call_async(
            NOTHING, callback=lambda source, result: results.append(result))
        wait_until(lambda: results)
        with self.assertStreamError(IOStream.StreamError.ABORTED):
            connection.call_finish(results[0])
        connection.hang_up()
        service.terminate()


if __name__ == '__main__':
    main()
