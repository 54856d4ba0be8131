#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A file of the library includes only files of its own layer or of the layers
before it.

Arguments: the folder of the library, then for each layer `--layer NAME FILE...`.
"""

import pathlib
import re
import sys

import tap

GENERATED = {'io-enum-types.h': 'base', 'io-version.h': 'base', 'config.h': 'base'}
# Listed in no layer: they are the door to all of them.
OUTSIDE = {'iostream.h'}
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<libiostream/([^>]+)>)', re.M)


def read_layers(args):
    layers = []
    for arg in args:
        if arg == '--layer':
            layers.append([])
        else:
            layers[-1].append(arg)
    return [(layer[0], layer[1:]) for layer in layers]


def main():
    folder = pathlib.Path(sys.argv[1])
    layers = read_layers(sys.argv[2:])
    order = [name for name, _ in layers]
    layer_of = dict(GENERATED)
    twice = []
    for name, files in layers:
        for file in files:
            if file in layer_of:
                twice.append(f'{file} is in {layer_of[file]} and in {name}')
            layer_of[file] = name

    test = tap.Tap()
    test.check('every file is in one layer', twice)
    present = {path.name for path in folder.glob('*.[ch]')} - OUTSIDE
    test.check('every file is in a layer', sorted(present - layer_of.keys()),
               'list it in libiostream/meson.build')

    for name, files in layers:
        problems = []
        for file in files:
            source = (folder / file).read_text(encoding='utf-8')
            for quoted, bracketed in INCLUDE.findall(source):
                included = quoted or bracketed
                if included not in layer_of:
                    problems.append(f'{file} includes {included}, which is in no layer')
                elif order.index(layer_of[included]) > order.index(name):
                    problems.append(f'{file} includes {included} of the layer '
                                    f'{layer_of[included]}')
        test.check(f'layer {name}', problems)
    return test.end()


sys.exit(main())
