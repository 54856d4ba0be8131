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
# Whole classes that must be found in the porting table.
PORTED = ('io_stream_', 'io_stream_buffer_', 'io_stream_connection_',
          'io_shared_data_queue_')
CONSTRUCTORS = re.compile(r'_(async|finish|get_type|new|new_for_\w+|copy|free)$')


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
    text = (folder / 'porting.xml').read_text(encoding='utf-8')
    named = set(FUNCTION.findall(text))
    for name in sorted(symbols):
        if name.startswith(PORTED) and name not in named \
                and not CONSTRUCTORS.search(name) \
                and not re.match(r'io_stream_(user_client|buffer_queue|error|mode|state'
                                 r'|peer|open|memory)', name):
            yield f'{name}() is not in porting.xml'


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
    test.check('the porting table is complete', unported(folder, symbols))
    return test.end()


sys.exit(main())
