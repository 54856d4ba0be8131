#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The thread for owners that block."""

from iostreamtest import *


class TestWorkLoop(TestCase):

    def test_context_manager(self):
        with IOStream.WorkLoop.new('camera') as loop:
            self.assertIsInstance(loop, IOStream.WorkLoop)
            self.assertEqual(loop.get_name(), 'camera')
            self.assertTrue(loop.run_action(lambda: True))
        self.assertFalse(loop.run_action(lambda: True))

    def test_by_properties(self):
        with IOStream.WorkLoop(name='camera') as loop:
            self.assertEqual(loop.props.name, 'camera')

    def test_does_not_mask(self):
        with self.assertRaises(ZeroDivisionError):
            with IOStream.WorkLoop.new('camera') as loop:
                1 / 0
        self.assertFalse(loop.run_action(lambda: True))

    def test_thread(self):
        threads = []
        with IOStream.WorkLoop.new(None) as loop:
            loop.run_action(lambda: threads.append(threading.get_ident()))
            self.assertFalse(loop.on_thread())
            self.assertTrue(loop.run_action(loop.on_thread))
        self.assertNotEqual(threads, [threading.get_ident()])

    def test_arguments(self):
        with IOStream.WorkLoop.new(None) as loop:
            self.assertTrue(loop.run_action(lambda *args: args == (1, 'x'),
                                            1, 'x'))

    def test_result(self):
        with IOStream.WorkLoop.new(None) as loop:
            self.assertIs(loop.run_action(lambda: None), False)
            self.assertIs(loop.run_action(lambda: 'text'), True)

    def test_exception(self):
        def fail():
            raise KeyError('one')
        with IOStream.WorkLoop.new(None) as loop:
            with self.assertRaises(KeyError):
                loop.run_action(fail)
            self.assertTrue(loop.run_action(lambda: True))

    def test_wrong_arguments(self):
        with IOStream.WorkLoop.new(None) as loop:
            with self.assertRaises(TypeError):
                loop.run_action()
            with self.assertRaises(TypeError):
                loop.run_action(5)

    def test_action_in_action(self):
        with IOStream.WorkLoop.new(None) as loop:
            self.assertTrue(loop.run_action(
                lambda: loop.run_action(lambda: True)))

    def test_shut_down_twice(self):
        with IOStream.WorkLoop.new(None) as loop:
            loop.shut_down()
            loop.shut_down()

    def test_dropped(self):
        IOStream.WorkLoop.new('dropped')
        gc.collect()

    def test_many(self):
        for _ in range(50):
            with IOStream.WorkLoop.new(None) as loop:
                loop.run_action(lambda: True)


if __name__ == '__main__':
    main()
