#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names and documentation, as other languages see them.

A name of a method, virtual method, signal or property occurs in one class of
a line of inheritance, else a subclass cannot be made in Python; and none hides
one of GObject. All that is public is documented and says since when.

Arguments: our GIR, then the folders in which those of others are.
"""

import pathlib
import sys
import xml.etree.ElementTree as ET

import tap

CORE = '{http://www.gtk.org/introspection/core/1.0}'
GLIB = '{http://www.gtk.org/introspection/glib/1.0}'
C = '{http://www.gtk.org/introspection/c/1.0}'

MEMBERS = {CORE + 'method', CORE + 'virtual-method', CORE + 'property', GLIB + 'signal'}
# Functions, and all else that has a page or a line of its own.
# The fields of class structures are documented where those are, which the
# scanner does not hand on to virtual methods.
DOCUMENTED = (MEMBERS - {CORE + 'virtual-method'}) | {
    CORE + 'function', CORE + 'constructor', CORE + 'class', CORE + 'record',
    CORE + 'enumeration', CORE + 'bitfield', CORE + 'constant', CORE + 'callback',
}
# What PyGObject adds to each object, beside the methods of GObject.
PYTHON = set('''
    bind_property chain connect connect_after connect_object
    connect_object_after disconnect disconnect_by_func emit emit_stop_by_name
    find_property force_floating freeze_notify get_data get_properties
    get_property handler_block handler_block_by_func handler_disconnect
    handler_is_connected handler_unblock handler_unblock_by_func list_properties
    notify props qdata ref ref_sink run_dispose set_data set_properties
    set_property steal_data stop_emission stop_emission_by_name thaw_notify unref
    watch_closure weak_ref weak_unref'''.split())


def load_namespace(name, folders):
    for folder in folders:
        path = pathlib.Path(folder) / f'{name}.gir'
        if path.exists():
            return ET.parse(path).find(CORE + 'namespace')
    raise SystemExit(f'cannot find {name}.gir in {folders}')


def member_names(element):
    return {child.get('name').replace('-', '_')
            for child in element if child.tag in MEMBERS}


class Hierarchy:
    def __init__(self, own, gobject, gio):
        self.own = {element.get('name'): element
                    for element in own.iter(CORE + 'class')}
        self.interfaces = {'Gio.' + element.get('name'): element
                           for element in gio.iter(CORE + 'interface')}
        self.gobject = next(element for element in gobject.iter(CORE + 'class')
                            if element.get('name') == 'Object')

    def ancestors(self, name):
        parent = self.own[name].get('parent')
        while parent in self.own:
            yield parent
            parent = self.own[parent].get('parent')

    def repeated(self):
        for name, element in self.own.items():
            for ancestor in self.ancestors(name):
                for member in sorted(member_names(element)
                                     & member_names(self.own[ancestor])):
                    yield f'{member} is in {name} and in {ancestor}'

    def hidden(self):
        taken = member_names(self.gobject) | PYTHON
        for name, element in self.own.items():
            for member in sorted(member_names(element) & taken):
                yield f'{name}.{member} hides what every GObject has'

    def hidden_of_interfaces(self):
        for name, element in self.own.items():
            for implemented in element.iter(CORE + 'implements'):
                interface = self.interfaces.get(implemented.get('name'))
                if interface is None:
                    continue
                for member in sorted(member_names(element) & member_names(interface)):
                    yield f'{name}.{member} hides that of {implemented.get("name")}'


def full_name(element, parents):
    parts = [element.get(C + 'identifier') or element.get(C + 'type')
             or element.get('name')]
    while element in parents and parents[element].get('name'):
        element = parents[element]
        if element.tag != CORE + 'namespace':
            parts.append(element.get('name'))
    return '.'.join(reversed(parts))


def undocumented(namespace):
    parents = {child: parent for parent in namespace.iter() for child in parent}
    for element in namespace.iter():
        if element.tag not in DOCUMENTED:
            continue
        # The class structure of a final class shows nothing.
        if element.get(GLIB + 'is-gtype-struct-for') and len(element.findall(
                CORE + 'field')) <= 1:
            continue
        # Fields that are function pointers are documented as virtual methods.
        if parents[element].tag == CORE + 'field':
            continue
        if element.find(CORE + 'doc') is None:
            yield f'{full_name(element, parents)} is not documented'
        elif not element.get('version'):
            yield f'{full_name(element, parents)} does not say since when'


def main():
    namespace = ET.parse(sys.argv[1]).find(CORE + 'namespace')
    folders = sys.argv[2:]
    hierarchy = Hierarchy(namespace, load_namespace('GObject-2.0', folders),
                          load_namespace('Gio-2.0', folders))
    test = tap.Tap()
    test.check('no name twice along a line of inheritance', hierarchy.repeated())
    test.check('no name of GObject is hidden', hierarchy.hidden())
    test.check('no name of an interface is hidden', hierarchy.hidden_of_interfaces())
    test.check('all is documented', undocumented(namespace))
    return test.end()


sys.exit(main())
