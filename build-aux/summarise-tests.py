#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Adds up what meson test wrote down: one line, `N passed, N failed, N skipped`.

With --no-skips a skipped test counts as failed. The exit status is 1 if
anything failed, or if nothing ran.
"""

import argparse
import json
import sys

PASSED = {'OK', 'EXPECTEDFAIL'}
SKIPPED = {'SKIP'}


def read_results(path):
    with open(path, encoding='utf-8') as log:
        return [json.loads(line) for line in log if line.strip()]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--no-skips', action='store_true')
    parser.add_argument('logs', nargs='+')
    args = parser.parse_args()

    passed, failed, skipped = 0, [], []
    for path in args.logs:
        for result in read_results(path):
            if result['result'] in PASSED:
                passed += 1
            elif result['result'] in SKIPPED:
                skipped.append(result['name'])
            else:
                failed.append(result['name'])

    if args.no_skips and skipped:
        print('skipped, which counts as failed:', ', '.join(skipped))
        failed += skipped
        skipped = []
    if failed:
        print('failed:', ', '.join(failed))
    print(f'{passed} passed, {len(failed)} failed, {len(skipped)} skipped')
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
