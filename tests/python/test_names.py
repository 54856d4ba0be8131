#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The override adds names and hides none; the stub tells them all."""

from iostreamtest import *

import ast
import inspect

from gi.module import get_introspection_module

PLAIN = get_introspection_module('IOStream')
OVERRIDDEN = ['Action', 'Connection', 'ExternalMethodArguments',
              'InterruptController', 'MemoryMap', 'NotificationPort',
              'Registry', 'Service', 'SharedDataQueue',
              'SharedInterruptController', 'Stream', 'StreamBuffer',
              'StreamConnection', 'UserClient', 'WorkLoop']

# What the override may replace, as it takes the same arguments.
REPLACED = {('Action', 'complete'), ('Connection', 'call_async'),
            ('Connection', 'call_method'), ('Connection', 'call_method_async'),
            ('Connection', 'open'),
            ('ExternalMethodArguments', 'set_structure_output'),
            ('NotificationPort', 'wait'), ('Service', 'add_method'),
            ('SharedDataQueue', 'consume'),
            ('SharedDataQueue', 'dequeue_bytes'),
            ('SharedDataQueue', 'enqueue'), ('SharedDataQueue', 'wait_data'),
            ('SharedDataQueue', 'wait_space'),
            ('SharedInterruptController', 'wait'),
            ('Registry', 'wait_for_service'), ('Stream', 'wait_buffer'),
            ('Stream', 'wait_input'), ('StreamConnection', 'start'),
            ('StreamConnection', 'wait'), ('WorkLoop', 'run_action')}

STUB = os.path.join(os.path.dirname(__file__), '..', '..', 'bindings',
                    'python', 'gi', 'overrides', 'IOStream.pyi')


def get_public(cls):
    return {name for name in dir(cls) if not name.startswith('_')}


class TestNames(TestCase):

    def test_nothing_is_hidden(self):
        for name in OVERRIDDEN:
            cls = getattr(IOStream, name)
            plain = getattr(PLAIN, name)
            self.assertIsNot(cls, plain, name)
            self.assertLessEqual(get_public(plain), get_public(cls), name)
            for attribute in get_public(cls):
                if (attribute in cls.__dict__ and
                        (name, attribute) not in REPLACED):
                    self.assertFalse(hasattr(plain, attribute),
                                     f'{name}.{attribute}')

    def test_every_class_is_there(self):
        self.assertLessEqual(set(dir(PLAIN)), set(dir(IOStream)))

    def test_no_init(self):
        for name in OVERRIDDEN:
            self.assertNotIn('__init__', getattr(IOStream, name).__dict__)

    def test_inheritance(self):
        self.assertTrue(issubclass(IOStream.Stream, IOStream.Service))
        self.assertTrue(issubclass(IOStream.StreamUserClient,
                                   IOStream.UserClient))
        self.assertTrue(issubclass(IOStream.StreamConnection,
                                   IOStream.Connection))

    def test_objects_are_of_the_override(self):
        stream = GObject.new(IOStream.Stream.__gtype__)
        self.assertIs(type(stream), IOStream.Stream)

    def test_methods_of_gobject(self):
        for name in ('connect', 'disconnect', 'emit', 'get_property',
                     'set_property', 'notify', 'get_data', 'ref', 'unref'):
            self.assertIs(getattr(IOStream.StreamConnection, name, None),
                          getattr(GObject.Object, name, None), name)

    def test_pointers_are_not_there(self):
        for cls, name in ((IOStream.MemoryMap, 'peek_address'),
                          (IOStream.StreamBuffer, 'peek_data'),
                          (IOStream.StreamBuffer, 'peek_control'),
                          (IOStream.StreamConnection, 'peek_data_buffer'),
                          (IOStream.StreamConnection, 'get_buffer_info')):
            self.assertFalse(hasattr(cls, name), name)


class TestStub(TestCase):

    def setUp(self):
        super().setUp()
        with open(STUB, encoding='utf-8') as stub:
            tree = ast.parse(stub.read())
        self.globals = {}
        self.classes = {}
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                self.classes[node.name] = self.get_members(node)
            elif isinstance(node, ast.FunctionDef):
                self.globals[node.name] = node
            elif isinstance(node, ast.AnnAssign):
                self.globals[node.target.id] = node

    def get_members(self, node):
        members = {}
        for member in node.body:
            if isinstance(member, ast.FunctionDef):
                members[member.name] = member
            elif isinstance(member, ast.AnnAssign):
                members[member.target.id] = member
        return members

    def get_all_members(self, cls):
        names = set()
        for base in cls.__mro__:
            names |= set(self.classes.get(base.__name__, ()))
        return names

    def test_classes(self):
        for name in dir(IOStream):
            value = getattr(IOStream, name)
            if name.startswith('_') or name.endswith(('Class', 'Private')):
                continue
            if inspect.isclass(value):
                self.assertIn(name, self.classes)
            elif not inspect.ismodule(value):
                self.assertIn(name, self.globals)

    def test_members(self):
        known = get_public(GObject.Object) | get_public(GObject.GEnum)
        known |= get_public(GObject.GFlags) | get_public(GObject.GBoxed)
        known |= get_public(GObject.GInterface) | get_public(Gio.Initable)
        known |= get_public(Gio.AsyncInitable) | get_public(Gio.ListModel)
        # PyGObject shows fields.
        known |= {'parent_instance', 'reserved'}
        for name in self.classes:
            cls = getattr(IOStream, name)
            missing = get_public(cls) - known - self.get_all_members(cls)
            self.assertEqual(missing, set(), name)

    def test_nothing_else(self):
        for name, members in self.classes.items():
            cls = getattr(IOStream, name)
            properties = {spec.name.replace('-', '_') for spec in
                          getattr(cls, 'list_properties', tuple)()}
            for member in members:
                self.assertTrue(hasattr(cls, member) or member in properties,
                                f'{name}.{member}')
        for name in self.globals:
            self.assertTrue(hasattr(IOStream, name), name)


if __name__ == '__main__':
    main()
