# SPDX-License-Identifier: LGPL-2.1-or-later
"""A very small writer of the Test Anything Protocol."""

import sys


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def check(self, name, problems, hint=None):
        """One test, which passed if there are no problems."""
        problems = list(problems)
        self.count += 1
        print(f'{"not ok" if problems else "ok"} {self.count} - {name}')
        # Not as comments of the protocol: meson shows those only on request.
        for problem in problems:
            print(f'{name}: {problem}', file=sys.stderr)
        if problems and hint:
            print(f'{name}: {hint}', file=sys.stderr)
        if problems:
            self.failed += 1
        sys.stdout.flush()
        return not problems

    def skip(self, name, why):
        self.count += 1
        print(f'ok {self.count} - {name} # SKIP {why}')

    def end(self):
        print(f'1..{self.count}')
        return 1 if self.failed else 0
