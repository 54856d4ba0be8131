#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints where the overrides of PyGObject go for an installation prefix."""

import sys
import sysconfig

prefix = sys.argv[1].rstrip('/')


def below_prefix(path):
    local = prefix + '/local/'
    return (path.startswith(prefix + '/') and not path.startswith(local)
            and path.endswith('-packages'))


searched = [path for path in sys.path if below_prefix(path)]
if searched:
    packages = searched[0]
else:
    packages = sysconfig.get_path('purelib', 'posix_prefix', {'base': prefix})
print(packages + '/gi/overrides')
