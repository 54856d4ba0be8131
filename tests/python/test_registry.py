#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which services there are, and which come and go."""

from iostreamtest import *

import subprocess

OWNER = '''
import sys
import gi
from iostreamtest import *
service = IOStream.Service.new(sys.argv[1])
service.set_attribute('place', GLib.Variant('s', sys.argv[2]))
service.register()
print('here', flush=True)
GLib.MainLoop().run()
'''


def by_place(place):
    return IOStream.matching_new_for_property('place',
                                              GLib.Variant('s', place))


class TestRegistry(TestCase):

    def own(self, *args):
        owner = spawn(OWNER, *args, stdout=subprocess.PIPE)
        self.addCleanup(self.end, owner)
        self.assertEqual(owner.stdout.readline().strip(), 'here')
        return owner

    def end(self, owner):
        owner.kill()
        owner.communicate()

    def test_list(self):
        owner = self.own('one', 'door')
        entry, = IOStream.Registry.list_services(by_place('door'))
        self.assertEqual(entry.get_name(), 'one')
        self.assertEqual(entry.props.service_class, 'IOService')
        self.assertEqual(entry.get_pid(), owner.pid)
        self.assertEqual(entry.copy_attributes().unpack(), {'place': 'door'})
        self.assertTrue(entry.conforms_to('IOService'))
        self.assertFalse(entry.matches(by_place('roof')))
        self.assertEqual(IOStream.Registry.list_services(by_place('roof')),
                         [])
        with self.assertStreamError(IOStream.StreamError.BAD_ARGUMENT):
            IOStream.Registry.list_services(
                GLib.Variant('a{sv}', {IOStream.MATCHING_NAME:
                                       GLib.Variant('i', 1)}))

    def test_bare_entry(self):
        entry = IOStream.RegistryEntry()
        self.assertEqual(entry.copy_attributes().unpack(), {})
        self.assertIsNone(entry.get_attribute('place'))
        self.assertEqual((entry.get_id(), entry.get_pid()), (0, 0))
        self.assertIsNone(entry.get_service_class())
        self.assertFalse(entry.conforms_to('IOService'))
        self.assertFalse(entry.matches(by_place('door')))
        with self.assertStreamError(IOStream.StreamError.BAD_ARGUMENT):
            entry.create_connection()

    def test_signals(self):
        first = self.own('one', 'door')
        registry = IOStream.Registry.new(None)
        log = []
        for signal_name in ('published', 'matched', 'changed', 'terminated'):
            registry.connect(signal_name, lambda registry, entry, name:
                             log.append((name, entry.get_name())),
                             signal_name)
        self.assertEqual([entry.get_name() for entry in registry], ['one'])
        self.own('two', 'roof')
        wait_until(lambda: ('matched', 'two') in log)
        self.assertEqual(log, [('published', 'one'), ('matched', 'one'),
                               ('published', 'two'), ('matched', 'two')])
        self.assertEqual(len(registry), 2)
        self.assertEqual(registry[1].get_name(), 'two')
        entry = registry.lookup_name('one')
        first.kill()
        wait_until(lambda: ('terminated', 'one') in log)
        self.assertTrue(entry.is_inactive())
        self.assertEqual([entry.get_name() for entry in registry], ['two'])

    def test_constructor(self):
        self.own('one', 'door')
        registry = IOStream.Registry(matching=by_place('roof'))
        self.assertEqual(list(registry), [])
        self.assertEqual(registry.get_matching().unpack(),
                         {'IOPropertyMatch': {'place': 'roof'}})

    def test_own_service(self):
        registry = IOStream.Registry.new(by_place('door'))
        service = IOStream.Service.new('mine')
        service.register()
        changes = []
        registry.connect('items-changed',
                         lambda model, *change: changes.append(change))
        service.set_attribute('place', GLib.Variant('s', 'door'))
        wait_until(lambda: len(registry) == 1)
        self.assertEqual(registry[0].get_attribute('place').unpack(), 'door')
        service.terminate()
        wait_until(lambda: len(registry) == 0)
        self.assertEqual(changes, [(0, 0, 1), (0, 1, 0)])

    def test_wait(self):
        with self.assertStreamError(IOStream.StreamError.TIMEOUT):
            IOStream.Registry.wait_for_service(by_place('door'), 1000, None)
        owner = spawn(OWNER, 'one', 'door', stdout=subprocess.PIPE)
        self.addCleanup(self.end, owner)
        entry = IOStream.Registry.wait_for_service(by_place('door'), -1,
                                                   None)
        self.assertEqual(entry.get_name(), 'one')

    def test_wait_and_ctrl_c(self):
        waiter = spawn("from iostreamtest import *\nprint('here')\n"
                       "IOStream.Registry.wait_for_service(None, -1)",
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.end, waiter)
        waiter.stdout.readline()
        waiter.send_signal(signal.SIGINT)
        self.assertIn('KeyboardInterrupt', waiter.communicate(timeout=20)[1])

    def test_wait_async(self):
        results = []
        IOStream.Registry.wait_for_service_async(
            by_place('door'), -1, None,
            lambda source, result: results.append(
                IOStream.Registry.wait_for_service_finish(result)))
        self.own('one', 'door')
        wait_until(lambda: results)
        self.assertEqual(results[0].get_name(), 'one')


if __name__ == '__main__':
    main()
