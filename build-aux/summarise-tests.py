#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Adds up what meson test wrote down: one line, `N passed, N failed, N skipped`.

Steps that are no tests of meson can be added by name. With --may-skip FILE
whatever is skipped and fits no pattern in FILE counts as failed. The exit
status is 1 if anything failed, or if nothing ran.
"""

import argparse
import fnmatch
import json
import os
import re
import sys

PASSED = {'OK', 'EXPECTEDFAIL'}
SKIPPED = {'SKIP'}
SKIPPED_PART = re.compile(r'^ok \d+(?: -)? (.*?) *# SKIP', re.M | re.I)


class Summary:
    def __init__(self):
        self.passed = []
        self.failed = []
        self.skipped = []

    def read(self, path):
        if not os.path.exists(path):
            self.failed.append(f'{path} (no test ran)')
            return
        build = os.path.basename(os.path.dirname(os.path.dirname(path)))
        with open(path, encoding='utf-8') as log:
            for line in log:
                if line.strip():
                    self.add(build, json.loads(line))

    def add(self, build, result):
        name = f'{build}: {result["name"].rpartition(" / ")[2]}'
        if result['result'] in SKIPPED:
            self.skipped.append(name)
        elif result['result'] in PASSED:
            self.passed.append(name)
            for part in SKIPPED_PART.findall(result.get('stdout') or ''):
                self.skipped.append(f'{name} {part}')
        else:
            self.failed.append(name)

    def forbid_skips(self, patterns):
        allowed = [name for name in self.skipped
                   if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
        self.failed += [f'{name} (skipped)' for name in self.skipped
                        if name not in allowed]
        self.skipped = allowed

    def show(self):
        for title, names in (('failed', self.failed), ('skipped', self.skipped)):
            for name in names:
                print(f'{title}: {name}')
        print(f'{len(self.passed)} passed, {len(self.failed)} failed, '
              f'{len(self.skipped)} skipped')


def read_patterns(path):
    with open(path, encoding='utf-8') as names:
        return [line.strip() for line in names
                if line.strip() and not line.startswith('#')]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--may-skip', metavar='FILE')
    parser.add_argument('--passed', action='append', default=[], metavar='STEP')
    parser.add_argument('--failed', action='append', default=[], metavar='STEP')
    parser.add_argument('logs', nargs='*')
    args = parser.parse_args()

    summary = Summary()
    for path in args.logs:
        summary.read(path)
    summary.passed += args.passed
    summary.failed += args.failed
    if args.may_skip:
        summary.forbid_skips(read_patterns(args.may_skip))
    summary.show()
    return 1 if summary.failed or not summary.passed else 0


if __name__ == '__main__':
    sys.exit(main())
