#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The chapters of the reference name only functions that exist, the porting
table leaves no class of Apple's family out, and what is written of the shared
pages and of the protocol is what the headers say.

Arguments: the folder of the chapters, that of the library, the symbol list.
"""

import pathlib
import re
import sys

import tap

FUNCTION = re.compile(r'\b(io_[a-z0-9_]+)\s?\(\)')
VFUNC = re.compile(r'#(IO\w+Class)\.(\w+)\(\)')
ASSERTED = re.compile(r'G_STRUCT_OFFSET \((IOAbi\w+), (\w+)\) == (\w+)\)')
OPCODE = re.compile(r'IO_OPCODE_(\w+)\s*= (\d+)')
ROW = re.compile(r'<row>(.*?)</row>', re.S)
CELL = re.compile(r'<entry>(?:<literal>)?(.*?)(?:</literal>)?</entry>', re.S)
SECTION = re.compile(r'<section id="\S+">\s*<title>(.*?)</title>(.*?)(?=<section id|</chapter>)',
                     re.S)
# What the porting table need not name: what goes with another function.
UNPORTED = re.compile(r'_(async|finish|get_type|new|new_for_\w+|copy|free|ref|unref|error_quark)$'
                      r'|^io_(get_)?(version|major|minor|micro)_?')


def rows(text):
    return [CELL.findall(row) for row in ROW.findall(text)]


def unknown_functions(folder, symbols):
    for path in sorted(folder.glob('*.xml')):
        text = path.read_text(encoding='utf-8')
        for name in sorted(set(FUNCTION.findall(text)) - symbols):
            yield f'{path.name} names {name}(), which does not exist'


def unknown_vfuncs(folder, headers):
    for path in sorted(folder.glob('*.xml')):
        for klass, name in VFUNC.findall(path.read_text(encoding='utf-8')):
            body = re.search(rf'struct _{klass} {{(.*?)\n}};', headers, re.S)
            if body is None or f'(*{name})' not in body.group(1):
                yield f'{path.name} names {klass}.{name}(), which does not exist'


def offset_problems(folder, library):
    header = (library / 'io-abi-private.h').read_text(encoding='utf-8')
    constants = dict(re.findall(r'#define (IO_ABI_\w+)\s+(\w+)', header))
    written = {(row[2], int(row[0], 0)) for row in
               rows((folder / 'abi.xml').read_text(encoding='utf-8')) if row[0][:1].isdigit()}
    for struct, field, offset in ASSERTED.findall(header):
        if (field, int(constants.get(offset, offset), 0)) not in written:
            yield f'{struct}.{field} at {offset} is not in abi.xml'


def opcode_problems(folder, library):
    header = (library / 'io-protocol-private.h').read_text(encoding='utf-8')
    declared = {(number, name) for name, number in OPCODE.findall(header)}
    written = {(row[0], row[1]) for row in
               rows((folder / 'protocol.xml').read_text(encoding='utf-8'))
               if len(row) == 5 and row[0].isdigit()}
    for number, name in sorted(declared - written):
        yield f'{name} = {number} is not in protocol.xml'
    for number, name in sorted(written - declared):
        yield f'protocol.xml has {name} = {number}, which does not exist'


def unported(folder, symbols):
    """Ours that no row mentions."""
    text = (folder / 'porting.xml').read_text(encoding='utf-8')
    named = set(FUNCTION.findall(text))
    for name in sorted(symbols):
        if name not in named and not UNPORTED.search(name):
            yield f'{name}() is not in porting.xml'


def read_originals(path):
    originals, klass = {}, None
    for line in path.read_text(encoding='utf-8').splitlines():
        if line.startswith('#'):
            continue
        head, colon, tail = line.rpartition(':')
        klass = head if colon else klass
        originals.setdefault(klass, set()).update(tail.split())
    del originals[None]
    return originals


def unanswered(folder, originals):
    """The originals' methods that have no row, and rows without an answer."""
    text = (folder / 'porting.xml').read_text(encoding='utf-8')
    written = {klass: set() for klass in originals}
    for title, body in SECTION.findall(text):
        table = rows(body)
        for klass in set(re.findall(r'\w+', title)) & set(originals):
            written[klass].update(word for row in table if row
                                  for word in re.findall(r'\w+', row[0]))
        for row in table:
            if len(row) == 2 and not row[1].strip():
                yield f'porting.xml has no answer to {row[0]}'
    for klass, methods in originals.items():
        for name in sorted(methods - written[klass]):
            yield f'{klass}::{name} is not in porting.xml'


def main():
    folder, library = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    symbols = set(pathlib.Path(sys.argv[3]).read_text(encoding='utf-8').split())
    headers = '\n'.join(path.read_text(encoding='utf-8')
                        for path in library.glob('io-*.h'))
    test = tap.Tap()
    test.check('every function that is named exists', unknown_functions(folder, symbols))
    test.check('every virtual method that is named exists',
               unknown_vfuncs(folder, headers))
    test.check('the layout is the one of the header', offset_problems(folder, library))
    test.check('the protocol is the one of the header', opcode_problems(folder, library))
    test.check('the porting table names all that is here', unported(folder, symbols))
    originals = read_originals(pathlib.Path(__file__).with_name('originals.txt'))
    test.check('the porting table names all that is there', unanswered(folder, originals))
    return test.end()


sys.exit(main())
