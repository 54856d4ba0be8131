#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The reference that was built has all that is public, and nothing else.

Arguments: the folder of the reference in the build, and what the tools said.
"""

import pathlib
import re
import sys

MODULE = 'libiostream'


def lines_of(path):
    return [line for line in path.read_text(encoding='utf-8').splitlines() if line]


# Links to GLib lead nowhere where its reference is not installed.
OUR_BROKEN_LINK = re.compile(r'no link for: "(?:io-|IO)[^"]*".*')


def problems(folder, log):
    for match in OUR_BROKEN_LINK.finditer(log.read_text(encoding='utf-8')):
        yield match.group()
    undocumented = lines_of(folder / f'{MODULE}-undocumented.txt')
    if undocumented[0] != '100% symbol docs coverage.':
        yield undocumented[0]
    for line in undocumented[1:]:
        if line.startswith('0 symbols incomplete') or line.startswith('0 not documented') \
                or re.match(r'\d+ symbols documented', line):
            continue
        yield f'not documented: {line}'
    for kind in ('undeclared', 'unused'):
        path = folder / f'{MODULE}-{kind}.txt'
        if path.exists():
            for line in lines_of(path):
                yield f'{kind}: {line}'
    if not (folder / 'html' / 'index.html').exists():
        yield 'there is no index.html'
    if not (folder / 'html' / f'{MODULE}.devhelp2').exists():
        yield 'there is no book for Devhelp'


found = list(problems(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])))
for problem in found:
    print(problem, file=sys.stderr)
sys.exit(1 if found else 0)
