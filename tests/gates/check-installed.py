#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The library works as a subproject, and installed in a prefix of its own: for
a C program with pkg-config, and for Python.

A small project outside is built with this one as its subproject, and what it
installs is used. Arguments: the top folder, the C compiler, `introspection` or
nothing.
"""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

import tap

PROJECT = '''
project('outside', 'c', version: '1', default_options: ['c_std=gnu11'])
iostream_dep = dependency('iostream-1.0', fallback: 'libiostream',
  default_options: ['tests=false', 'examples=false'])
executable('program', 'program.c', dependencies: iostream_dep)
'''

PROGRAM = '''
#include <libiostream/iostream.h>

int
main (void)
{
  g_autoptr (GError) error = NULL;

  g_set_error (&error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY, "busy");
  g_print ("%s %s\\n", IO_STREAM_VERSION_S, g_type_name (IO_TYPE_STREAM_MODE));

  return g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY) ? 0 : 1;
}
'''

SCRIPT = '''
import gi
gi.require_version('IOStream', '1.0')
from gi.repository import GLib, IOStream
print(IOStream.MAJOR_VERSION if hasattr(IOStream, 'MAJOR_VERSION') else '',
      IOStream.StreamMode.OUTPUT.value_nick, IOStream.__class__.__name__)
assert IOStream.StreamError.BUSY == 20
# The override is there, with its part in C.
memory = IOStream.BufferMemoryDescriptor.new(16, IOStream.StreamPeerAccess.READ)
view = memory.map(IOStream.MemoryMapFlags.NONE).data
view[:4] = b'data'
assert bytes(view[:4]) == b'data' and IOStream.Frame
'''


class Outside:
    def __init__(self, folder, top, cc):
        self.folder = pathlib.Path(folder)
        self.source = self.folder / 'outside'
        self.build = self.folder / 'build'
        self.prefix = self.folder / 'prefix'
        self.top = pathlib.Path(top).resolve()
        self.cc = cc.split()
        self.meson = '/usr/bin/meson' if os.path.exists('/usr/bin/meson') \
            else shutil.which('meson')
        self.env = {key: value for key, value in os.environ.items()
                    if key not in ('LD_LIBRARY_PATH', 'GI_TYPELIB_PATH', 'PYTHONPATH',
                                   'PKG_CONFIG_PATH', 'DESTDIR', 'G_DEBUG')}

    def run(self, *command, **env):
        result = subprocess.run([str(part) for part in command], env=self.env | env,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                stdin=subprocess.DEVNULL, text=True, check=False,
                                cwd=self.folder)
        self.output = result.stdout
        return [] if result.returncode == 0 else \
            [' '.join(map(str, command)), *result.stdout.splitlines()[-30:]]

    def lay_out(self):
        (self.source / 'subprojects').mkdir(parents=True)
        (self.source / 'subprojects' / 'libiostream').symlink_to(self.top)
        (self.source / 'meson.build').write_text(PROJECT, encoding='utf-8')
        (self.source / 'program.c').write_text(PROGRAM, encoding='utf-8')

    def set_up(self):
        return self.run(self.meson, 'setup', self.build, self.source,
                        f'--prefix={self.prefix}', '--libdir=lib')

    def run_in_devenv(self):
        """Everything is found there, what was found before too."""
        return self.run(self.meson, 'devenv', '-C', self.build, 'sh', '-e', '-c',
                        f'{shlex.join(self.cc)} {self.source}/program.c -o {self.folder}/devenv '
                        '$(pkg-config --cflags --libs iostream-1.0)\n'
                        f'{self.folder}/devenv\n'
                        'iostream --version')

    def compile_installed(self):
        flags = self.run('pkg-config', '--cflags', '--libs', 'iostream-1.0',
                         PKG_CONFIG_PATH=str(self.prefix / 'lib/pkgconfig'))
        if flags:
            return flags
        return self.run(*self.cc, '-Wall', '-Wextra', '-Werror', self.source / 'program.c',
                        '-o', self.folder / 'program', *self.output.split())

    def run_python(self):
        overrides = list(self.prefix.glob('**/gi/overrides'))
        path = str(overrides[0].parent.parent) if overrides else ''
        return self.run(sys.executable, '-c', SCRIPT, PYTHONPATH=path,
                        LD_LIBRARY_PATH=str(self.prefix / 'lib'),
                        GI_TYPELIB_PATH=str(self.prefix / 'lib/girepository-1.0'))

    def stray(self):
        """Nothing private is installed, and nothing without a home."""
        for path in self.prefix.rglob('*'):
            if path.name.endswith('-private.h') or path.suffix == '.a':
                yield f'{path.relative_to(self.prefix)} is installed'


def main():
    top, cc, introspection = sys.argv[1:]
    test = tap.Tap()
    with tempfile.TemporaryDirectory(prefix='iostream-installed-') as folder:
        outside = Outside(folder, top, cc)
        outside.lay_out()
        ok = test.check('configure as a subproject', outside.set_up()) and \
            test.check('build', outside.run('ninja', '-C', outside.build)) and \
            test.check('run as a subproject', outside.run(outside.build / 'program')) and \
            test.check('work in meson devenv', outside.run_in_devenv()) and \
            test.check('install', outside.run(outside.meson, 'install', '-C',
                                              outside.build, '--no-rebuild'))
        if not ok:
            return test.end()
        test.check('what is installed is public', outside.stray())
        if test.check('compile with pkg-config', outside.compile_installed()):
            test.check('run installed', outside.run(
                outside.folder / 'program', LD_LIBRARY_PATH=str(outside.prefix / 'lib')))
        if introspection:
            test.check('run in Python', outside.run_python())
        return test.end()


sys.exit(main())
