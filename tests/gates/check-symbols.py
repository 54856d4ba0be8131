#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the library exports is what the list says, and what the GIR says.

Arguments: the library, the list, the GIR (or nothing); with --update the list
is written anew.
"""

import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ET

import tap

IDENTIFIER = '{http://www.gtk.org/introspection/c/1.0}identifier'
GET_TYPE = '{http://www.gtk.org/introspection/glib/1.0}get-type'
FUNCTIONS = {'function', 'method', 'constructor'}


def exported(library):
    lines = subprocess.run(['nm', '-D', '--defined-only', library], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    return {line.split()[-1] for line in lines}


def introspected(gir):
    names = set()
    for element in ET.parse(gir).iter():
        kind = element.tag.rpartition('}')[2]
        if kind in FUNCTIONS and IDENTIFIER in element.attrib:
            names.add(element.get(IDENTIFIER))
        if GET_TYPE in element.attrib:
            names.add(element.get(GET_TYPE))
    return names - {'intern'}


def differences(ours, theirs, where):
    for name in sorted(ours - theirs):
        yield f'{name} is exported and not in {where}'
    for name in sorted(theirs - ours):
        yield f'{name} is in {where} and not exported'


def main():
    args = [arg for arg in sys.argv[1:] if arg != '--update']
    library, symbols, gir = args
    ours = exported(library)
    if '--update' in sys.argv:
        pathlib.Path(symbols).write_text(''.join(f'{name}\n' for name in sorted(ours)),
                                         encoding='utf-8')
        return 0

    test = tap.Tap()
    test.check('only names of ours are exported',
               sorted(name for name in ours if not name.startswith('io_')))
    listed = set(pathlib.Path(symbols).read_text(encoding='utf-8').split())
    test.check('exports are those of the list', differences(ours, listed, 'the list'),
               'if the change is meant: ninja -C _build update-symbols')
    if gir:
        test.check('exports are those of the GIR',
                   differences(ours, introspected(gir), 'the GIR'))
    return test.end()


sys.exit(main())
