#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Interrupt controllers in Python: a table, a subclass, and one that is shared
with the owner of streams."""

from streamtest import *
from streamtest import DATA_SIZE

import select
import weakref

VECTORS = 16


class Device(IOStream.InterruptController):
    """A device that knows what was asked of it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.log = []

    def do_init_vector(self, vector):
        if vector == 13:
            raise ValueError('unlucky')
        self.log.append(('init', vector))

    def do_get_vector_type(self, vector):
        return IOStream.InterruptType.LEVEL

    def do_enable_vector(self, vector):
        self.log.append(('on', vector))

    def do_disable_vector_hard(self, vector):
        self.log.append(('off', vector))


class TestTable(TestCase):

    def setUp(self):
        super().setUp()
        self.calls = []

    def handle(self, controller, vector, count, *user_data):
        self.calls.append((vector, count) + user_data)

    def iterate_until(self, n):
        context = GLib.MainContext.default()
        while len(self.calls) < n:
            context.iteration(True)

    def test_handles(self):
        controller = IOStream.InterruptController.new(VECTORS)
        self.assertEqual(controller.get_n_vectors(), VECTORS)
        controller.register_interrupt(3, self.handle, 'three')
        controller.register_interrupt(1, self.handle)
        controller.enable_interrupt(3)
        for _ in range(5):
            controller.cause_interrupt(3)
        controller.cause_interrupt(1)
        self.iterate_until(1)
        # 1 is disabled, and 3 does not mind.
        self.assertEqual(self.calls, [(3, 5, 'three')])
        self.assertTrue(controller.is_interrupt_pending(1))
        controller.enable_interrupt(1)
        self.iterate_until(2)
        self.assertEqual(self.calls[1], (1, 1))

    def test_errors(self):
        controller = IOStream.InterruptController(n_vectors=VECTORS)
        for call in (controller.enable_interrupt,
                     controller.cause_interrupt,
                     controller.disable_interrupt):
            with self.assertStreamError(IOStream.StreamError.NO_INTERRUPT):
                call(3)
        controller.register_interrupt(3, self.handle)
        with self.assertStreamError(IOStream.StreamError.NO_RESOURCES):
            controller.register_interrupt(3, self.handle)
        with self.assertStreamError(IOStream.StreamError.BAD_ARGUMENT):
            IOStream.InterruptController.new(5000)

    def test_forgets(self):
        """What is registered is let go of, also by a failure."""

        class Thing:
            def handle(self, *args):
                pass

        controller = IOStream.InterruptController.new(VECTORS)
        for vector in (1, VECTORS):
            thing = Thing()
            reference = weakref.ref(thing)
            with contextlib.suppress(GLib.Error):
                controller.register_interrupt(vector, thing.handle)
            del thing
            if vector == 1:
                self.assertIsNotNone(reference())
                controller.unregister_interrupt(vector)
            self.assertIsNone(reference())

    def test_inside(self):
        controller = IOStream.InterruptController.new(VECTORS)

        def once(controller, vector, count):
            self.calls.append(vector)
            controller.unregister_interrupt(vector)

        controller.register_interrupt(2, once)
        controller.enable_interrupt(2)
        controller.cause_interrupt(2)
        self.iterate_until(1)
        with self.assertStreamError(IOStream.StreamError.NO_INTERRUPT):
            controller.cause_interrupt(2)

    def test_subclass(self):
        device = Device(n_vectors=VECTORS)
        device.register_interrupt(2, self.handle)
        device.enable_interrupt(2)
        device.disable_interrupt(2)
        self.assertEqual(device.log, [('init', 2), ('on', 2)])
        device.cause_interrupt(2)
        self.assertEqual(device.log[2:], [('off', 2)])
        self.assertEqual(device.get_interrupt_type(2)[1],
                         IOStream.InterruptType.LEVEL)
        with self.assertRaises(GLib.Error) as context:
            device.register_interrupt(13, self.handle)
        self.assertIn('unlucky', context.exception.message)


class TestShared(StreamTestCase):
    """The owner and the client of a stream, and what they share."""

    def setUp(self):
        super().setUp()
        self.calls = []
        self.loop.run_action(self.make_controller)

    def make_controller(self):
        self.owner = IOStream.SharedInterruptController.new(VECTORS)
        self.owner.offer(self.stream)

    def handle(self, controller, vector, count):
        self.calls.append(vector)

    def test_wait(self):
        with self.open() as connection:
            controller = connection.get_interrupt_controller()
            controller.register_interrupt(5, self.handle)
            controller.enable_interrupt(5)
            with self.assertStreamError(IOStream.StreamError.TIMEOUT):
                controller.wait(1000)
            timer = threading.Timer(0.15, self.owner.cause_interrupt, (5,))
            timer.start()
            controller.wait(-1)
            timer.join()
            self.assertEqual(controller.handle_interrupts(), 1)
            self.assertEqual(self.calls, [5])

    def test_stream(self):
        """One descriptor for the stream and for an event beside it."""
        with self.started() as connection:
            controller = connection.get_interrupt_controller()
            connection.attach_interrupts(controller, 0)
            controller.register_interrupt(1, self.handle)
            controller.enable_interrupt(1)
            lengths = []

            def on_output(connection):
                done, entry = connection.dequeue_output_entry()
                if done:
                    lengths.append(entry.data_length)
                    connection.return_entry(entry)

            connection.connect('output-available', on_output)
            send(self.stream, b'one')
            self.owner.cause_interrupt(1)
            while not (lengths and self.calls):
                if controller.prepare_wait():
                    poll = select.poll()
                    poll.register(controller.get_fd(), select.POLLIN)
                    self.assertTrue(poll.poll(10000))
                controller.finish_wait()
                controller.handle_interrupts()
            self.assertEqual((lengths, self.calls), ([DATA_SIZE], [1]))
            connection.detach_interrupts()

    def test_async(self):
        with self.open() as connection:
            context = GLib.MainContext.default()
            results = []

            def on_got(connection, result):
                results.append(connection.get_interrupt_controller_finish(result))

            connection.get_interrupt_controller_async(None, on_got)
            connection.get_interrupt_controller_async(None, on_got)
            while len(results) < 2:
                context.iteration(True)
            self.assertIs(results[0], results[1])
            self.assertEqual(results[0].get_n_vectors(), VECTORS)

    def test_gone(self):
        connection = self.open()
        controller = connection.get_interrupt_controller()
        connection.hang_up()
        with self.assertStreamError(IOStream.StreamError.OFFLINE):
            controller.wait(10 * 1000000)


if __name__ == '__main__':
    main()
