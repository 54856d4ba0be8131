#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""An owner in Python: buffers, virtual methods, signals."""

from streamtest import *
from streamtest import (CONTROL_SIZE, DATA_SIZE, LOCAL, N_BUFFERS, Owner,
                        StreamTestCase, make_owner, send, skip_if_local)


class TestBuffer(StreamTestCase):

    def test_data(self):
        buffer = self.stream.acquire_buffer()
        self.assertIsInstance(buffer, IOStream.StreamBuffer)
        self.assertEqual(buffer.data.nbytes, DATA_SIZE)
        self.assertEqual(buffer.control.nbytes, CONTROL_SIZE)
        self.assertFalse(buffer.data.readonly)
        buffer.data[:] = bytes(DATA_SIZE)
        buffer.data[:2] = b'ab'
        self.assertEqual(bytes(buffer.data[:2]), b'ab')

    def test_array(self):
        buffer = self.stream.acquire_buffer()
        array = buffer.array(dtype='<u2', shape=(16, -1))
        array[:] = 0x4142
        self.assertEqual(bytes(buffer.data[:2]), b'BA')
        with self.assertRaises(ValueError):
            buffer.array(shape=(DATA_SIZE + 1,))
        with self.assertRaises(ValueError):
            buffer.array(object)

    def test_without_control(self):
        stream = make_owner(self.loop, name='bare', control_size=0)
        buffer = stream.acquire_buffer()
        self.assertEqual(bytes(buffer.control), b'')

    def test_view_outlives(self):
        stream = make_owner(self.loop, name='gone')
        buffer = stream.acquire_buffer()
        view = buffer.data
        view[0] = 5
        del stream, buffer
        gc.collect()
        self.assertEqual(view[0], 5)

    def test_no_space(self):
        for _ in range(N_BUFFERS):
            self.stream.acquire_buffer()
        with self.assertStreamError(IOStream.StreamError.NO_SPACE):
            self.stream.acquire_buffer()

    def test_no_space_names_the_client(self):
        with self.started():
            for _ in range(N_BUFFERS):
                send(self.stream)
            with self.assertStreamError(IOStream.StreamError.NO_SPACE,
                                        'client “python'):
                self.stream.acquire_buffer()

    def test_not_running(self):
        buffer = self.stream.acquire_buffer()
        with self.assertRaises(GLib.Error):
            self.stream.send_buffer(buffer)
        self.stream.release_buffer(buffer)
        self.assertEqual(self.count_free(), N_BUFFERS)

    @skip_if_local('the thread that serves cannot wait')
    def test_wait_buffer_times_out(self):
        with self.started() as connection:
            for _ in range(N_BUFFERS):
                send(self.stream)
            with self.assertStreamError(IOStream.StreamError.TIMEOUT):
                self.stream.wait_buffer(20000)

    def test_wrong_arguments(self):
        with self.assertRaises(TypeError):
            self.stream.send_buffer(None)
        with self.assertRaises(TypeError):
            self.stream.send_buffer(b'bytes')
        with self.assertRaises(TypeError):
            self.stream.acquire_buffer(1)

    def test_foreign_buffer(self):
        other = make_owner(self.loop, name='other')
        with self.started():
            with self.assertStreamError(IOStream.StreamError.NOT_FOUND):
                self.stream.send_buffer(other.acquire_buffer())


class TestVirtualMethods(StreamTestCase):

    def check(self, cls, **kwargs):
        stream = make_owner(self.loop, cls, name='subject', **kwargs)
        stream.register()
        self.addCleanup(stream.terminate)
        return stream, self.open('subject', stream)

    def test_none_is_success(self):
        with self.started() as connection:
            connection.suspend()
            connection.start()
            connection.stop()
        self.assertEqual(self.stream.calls[0], 'start')
        self.assertEqual(self.stream.calls[-1], 'stop')
        self.assertIn('suspend', self.stream.calls)

    def test_true_and_false(self):
        class Picky(IOStream.Stream):
            answer = False

            def do_start(self):
                return self.answer

        stream, connection = self.check(Picky)
        with connection:
            with self.assertStreamError(IOStream.StreamError.FAILED):
                connection.start()
            stream.answer = True
            connection.start()

    def test_exception(self):
        class Dark(IOStream.Stream):
            def do_start(self):
                raise ValueError('no light')

        stream, connection = self.check(Dark)
        with connection:
            with self.assertStreamError(IOStream.StreamError.FAILED,
                                        'ValueError: no light'):
                connection.start()
            self.assertEqual(connection.get_state(),
                             IOStream.StreamState.STOPPED)

    def test_exception_that_is_no_text(self):
        class Dark(IOStream.Stream):
            def do_start(self):
                raise ValueError('no \udc80 \0 light')

        stream, connection = self.check(Dark)
        with connection:
            with self.assertStreamError(IOStream.StreamError.FAILED,
                                        r'no \udc80 \0 light'):
                connection.start()

    def test_own_error(self):
        class Busy(IOStream.Stream):
            def do_start(self):
                raise GLib.Error.new_literal(
                    IOStream.StreamError.quark(), 'camera is in use',
                    IOStream.StreamError.BUSY)

        stream, connection = self.check(Busy)
        with connection:
            with self.assertStreamError(IOStream.StreamError.BUSY,
                                        'camera is in use'):
                connection.start()

    def test_foreign_error(self):
        class Lost(IOStream.Stream):
            def do_start(self):
                Gio.File.new_for_path('/does/not/exist').load_contents()

        stream, connection = self.check(Lost)
        with connection:
            with self.assertStreamError(IOStream.StreamError.FAILED,
                                        '/does/not/exist'):
                connection.start()

    def test_exit_in_it(self):
        class Quitter(IOStream.Stream):
            def do_start(self):
                raise SystemExit(3)

        stream, connection = self.check(Quitter)
        with connection:
            with self.assertStreamError(IOStream.StreamError.FAILED,
                                        'SystemExit'):
                connection.start()

    def test_wrong_signature(self):
        class Wrong(IOStream.Stream):
            def do_start(self, extra):
                pass

        stream, connection = self.check(Wrong)
        with connection:
            with self.assertStreamError(IOStream.StreamError.FAILED,
                                        'TypeError'):
                connection.start()

    def test_cause_is_kept(self):
        class Dark(IOStream.Stream):
            def do_start(self):
                raise ValueError('no light')

        with self.assertRaises(GLib.Error) as context:
            Dark().do_start()
        self.assertIsInstance(context.exception.__cause__, ValueError)

    def test_name_is_kept(self):
        self.assertEqual(Owner.do_start.__name__, 'do_start')

    def test_chain_up(self):
        class Polite(IOStream.Stream):
            def do_start(self):
                return IOStream.Stream.do_start(self)

            def do_set_mode(self, mode):
                return IOStream.Stream.do_set_mode(self, mode)

        stream, connection = self.check(
            Polite, peer_access=IOStream.StreamPeerAccess.READ_WRITE)
        with connection:
            with self.assertStreamError(IOStream.StreamError.STILL_OPEN):
                stream.set_mode(IOStream.StreamMode.INPUT)
            connection.start()

    def test_subclass_twice(self):
        class Child(Owner):
            def do_start(self):
                Owner.do_start(self)
                self.calls.append('child')

        class Grandchild(Child):
            def do_start(self):
                super().do_start()
                self.calls.append('grandchild')

        stream, connection = self.check(Grandchild)
        with connection:
            connection.start()
            self.assertEqual(stream.calls, ['start', 'child', 'grandchild'])

    def test_same_class_name(self):
        classes = [type('Again', (Owner,), {}) for _ in range(2)]
        for cls in classes:
            cls()

    def test_properties_and_signals(self):
        class Rich(IOStream.Stream):
            __gtype_name__ = 'RichStream'
            __gsignals__ = {'blink': (GObject.SignalFlags.RUN_LAST, None, ())}
            gain = GObject.Property(type=float, default=1.0)

        rich = Rich(gain=2.0)
        blinks = []
        rich.connect('blink', blinks.append)
        rich.emit('blink')
        self.assertEqual((rich.gain, blinks), (2.0, [rich]))

    def test_send_in_start(self):
        class Eager(IOStream.Stream):
            def do_start(self):
                buffer = self.acquire_buffer()
                buffer.data[:5] = b'first'
                self.send_buffer(buffer)

        stream, connection = self.check(Eager)
        with connection:
            connection.start()
            self.assertEqual(bytes(connection.read(10).data[:5]), b'first')

    def test_handle_open(self):
        class Shy(IOStream.Stream):
            def do_handle_open(self, client, options):
                raise PermissionError('not you')

        stream = make_owner(self.loop, Shy, name='shy')
        stream.register()
        self.addCleanup(stream.terminate)
        with self.assertStreamError(IOStream.StreamError.FAILED, 'not you'):
            self.open('shy', stream)

    def test_authorize(self):
        class Closed(IOStream.Stream):
            def do_authorize(self, client):
                return False

        stream = make_owner(self.loop, Closed, name='closed')
        stream.register()
        self.addCleanup(stream.terminate)
        with self.assertRaises(GLib.Error):
            self.open('closed', stream)

    def test_exception_in_signal_is_seen(self):
        def fail(*args):
            raise KeyError('handler')

        self.stream.connect('client-opened', fail)
        with self.expect_lost('handler'):
            with self.open():
                pass


class TestService(StreamTestCase):

    def test_plain_service(self):
        class Service(IOStream.Service):
            def do_handle_open(self, client, options):
                raise ValueError('closed today')

        service = Service(name='plain', work_loop=self.loop)
        service.register()
        self.addCleanup(service.terminate)
        if LOCAL:
            connection = IOStream.Connection.new_for_service(service)
        else:
            connection = IOStream.Connection.new_for_name('plain')
        with self.assertStreamError(IOStream.StreamError.FAILED,
                                    'closed today'):
            connection.open(0)
        connection.hang_up()

    def test_list_names(self):
        self.assertIn('camera', IOStream.Service.list_names())

    def test_attributes(self):
        self.stream.set_attribute('width', GLib.Variant('u', 1920))
        with self.open() as connection:
            attributes = connection.copy_attributes().unpack()
            self.assertEqual(attributes['width'], 1920)

    def test_name_taken(self):
        with self.assertStreamError(IOStream.StreamError.EXCLUSIVE_ACCESS,
                                    'camera'):
            make_owner(self.loop).register()

    def test_bad_name(self):
        for name in ('a/b', '.hidden', '', 'x' * 500):
            with self.assertRaises(GLib.Error):
                make_owner(self.loop, name=name).register()

    def test_dropped(self):
        gone = []
        stream = make_owner(self.loop, name='dropped')
        stream.weak_ref(gone.append, 1)
        del stream
        gc.collect()
        self.assertEqual(gone, [1])


class TestInput(StreamTestCase):
    """Payload from the client to the owner."""

    properties = {'mode': IOStream.StreamMode.INPUT}

    def lend(self):
        if not LOCAL and not self.stream.wait_buffer(10 * 1000000):
            raise AssertionError('no buffer')
        self.stream.send_buffer(self.stream.acquire_buffer())

    def receive(self):
        if not LOCAL:
            self.stream.wait_input(10 * 1000000)
        found, entry = self.stream.dequeue_input_entry()
        self.assertTrue(found)
        buffer = self.stream.get_buffer_with_id(entry.buffer_id)
        data = bytes(buffer.data[entry.data_offset:
                                 entry.data_offset + entry.data_length])
        control = bytes(buffer.control[
            entry.control_offset:entry.control_offset + entry.control_length])
        self.stream.release_buffer(buffer)
        return data, control

    def test_send(self):
        with self.started() as connection:
            self.lend()
            frame = connection.read(10)
            self.assertFalse(frame.data.readonly)
            frame.array()[:3] = (65, 66, 67)
            frame.control[:2] = b'xy'
            frame.send(3, control_length=2)
            self.assertTrue(frame.released)
            self.assertEqual(connection.get_held(), 0)
            self.assertEqual(self.receive(), (b'ABC', b'xy'))

    def test_send_all(self):
        with self.started() as connection:
            self.lend()
            frame = connection.read(10)
            frame.data[:] = bytes(DATA_SIZE)
            frame.send()
            data, control = self.receive()
            self.assertEqual((len(data), len(control)),
                             (DATA_SIZE, CONTROL_SIZE))

    def test_token(self):
        tokens = []
        self.stream.connect('input', lambda stream, token:
                            tokens.append(token))
        with self.started() as connection:
            self.lend()
            connection.read(10).send(token=77)
            wait_until(lambda: tokens)
            self.assertEqual(tokens, [77])

    def test_send_twice(self):
        with self.started() as connection:
            self.lend()
            frame = connection.read(10)
            frame.send(0, 0)
            with self.assertRaises(ValueError):
                frame.send()
            frame.release()

    def test_wrong(self):
        with self.started() as connection:
            self.lend()
            frame = connection.read(10)
            for arguments in ({'data_length': DATA_SIZE + 1},
                              {'data_length': -1}, {'data_length': 2**70},
                              {'control_length': CONTROL_SIZE + 1}):
                with self.assertRaises(ValueError):
                    frame.send(**arguments)
            for arguments in ({'data_length': 'x'}, {'token': 'x'},
                              {'nonsense': 1}):
                with self.assertRaises(TypeError):
                    frame.send(**arguments)
            self.assertFalse(frame.released)
            frame.send(1, 1)
            self.receive()

    def test_view_after_send(self):
        with self.started() as connection:
            self.lend()
            frame = connection.read(10)
            view = frame.data
            view[0] = 1
            frame.send()
            self.assertEqual(connection.get_held(), 0)
            self.assertEqual(view[0], 1)

    def test_dropped_unsent(self):
        with self.started() as connection:
            self.lend()
            connection.read(10)
            self.assertEqual(connection.get_held(), 0)


if __name__ == '__main__':
    main()
