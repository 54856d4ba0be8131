#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each source file has a licence tag in its first lines.

Argument: the top folder.
"""

import pathlib
import subprocess
import sys

import tap

SUFFIXES = {'.build', '.c', '.h', '.pml', '.py', '.pyi', '.sh', '.vala', '.xml'}
NAMES = {'dev', 'io-version.h.in', 'run', 'run-demo', 'meson_options.txt'}
TAG = 'SPDX-License-Identifier: '


def listed(top):
    git = subprocess.run(['git', '-C', top, 'ls-files', '-z'], capture_output=True,
                         text=True, check=False)
    if git.returncode == 0 and git.stdout:
        return [top / name for name in git.stdout.split('\0') if name]
    return [path for path in top.rglob('*')
            if not any(part.startswith(('_', '.git')) for part in
                       path.relative_to(top).parts)]


def untagged(top):
    for path in listed(top):
        if not path.is_file() or (path.suffix not in SUFFIXES
                                  and path.name not in NAMES):
            continue
        with open(path, encoding='utf-8', errors='replace') as source:
            head = ''.join(source.readline() for _ in range(8))
        if TAG not in head:
            yield path.relative_to(top)


test = tap.Tap()
test.check('every source has a licence tag', untagged(pathlib.Path(sys.argv[1])))
sys.exit(test.end())
