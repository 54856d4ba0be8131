#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each public header can be compiled alone, in C and in C++, and only through
<libiostream/iostream.h>; none shows what is private.

Arguments: the folder of the library, its folder in the build, the C compiler,
the C++ compiler (or nothing) and the flags for both after `--`.
"""

import concurrent.futures
import pathlib
import re
import subprocess
import sys

import tap

UMBRELLA = 'iostream.h'
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"](?:libiostream/)?([^>"]+)[>"]', re.M)
COMMENT = re.compile(r'/\*.*?\*/', re.S)


def compile_only(compiler, language, flags, text):
    command = compiler + ['-x', language, '-fsyntax-only', '-Wall', '-Wextra',
                          '-Werror', '-Wno-unused-parameter', *flags, '-']
    result = subprocess.run(command, input=text, text=True, capture_output=True,
                            check=False)
    return result.returncode, result.stderr


class Headers:
    def __init__(self, source, build, cc, cxx, flags):
        self.cc = cc
        self.cxx = cxx
        self.flags = flags
        self.texts = {}
        for folder in (source, build):
            for path in folder.glob('io*.h'):
                if not path.name.endswith('-private.h'):
                    self.texts[path.name] = path.read_text(encoding='utf-8')
        self.names = sorted(self.texts)

    def each(self, function):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            results = pool.map(function, self.names)
        return [problem for problem in results if problem]

    def compile(self, compiler, language, name, flags):
        text = f'#include <libiostream/{name}>\n'
        return compile_only(compiler, language, self.flags + flags, text)

    def alone(self, compiler, language):
        def try_one(name):
            inside = [] if name == UMBRELLA else ['-DIO_STREAM_COMPILATION']
            status, errors = self.compile(compiler, language, name, inside)
            return status and f'{name}: {errors}'.replace('\n', '\n# ')
        return self.each(try_one)

    def refused(self):
        def try_one(name):
            if name == UMBRELLA:
                return None
            status, errors = self.compile(self.cc, 'c', name, [])
            refused = status and 'can be included directly' in errors
            return None if refused else f'{name} can be included directly'
        return self.each(try_one)

    def private(self):
        for name in self.names:
            text = COMMENT.sub('', self.texts[name])
            for included in INCLUDE.findall(text):
                if included.endswith('-private.h'):
                    yield f'{name} includes {included}'
            for word in ('_Atomic', 'stdatomic.h', 'config.h'):
                if word in text:
                    yield f'{name} has {word}'

    def umbrella(self):
        included = set(INCLUDE.findall(self.texts[UMBRELLA]))
        expected = set(self.names) - {UMBRELLA}
        for name in sorted(expected - included):
            yield f'{UMBRELLA} lacks {name}'
        for name in sorted(included - expected):
            yield f'{UMBRELLA} includes {name}, which is not there'


def main():
    split = sys.argv.index('--')
    source, build, cc, cxx = sys.argv[1:split]
    headers = Headers(pathlib.Path(source), pathlib.Path(build), cc.split(),
                      cxx.split(), sys.argv[split + 1:])
    test = tap.Tap()
    test.check('the umbrella includes all', headers.umbrella())
    test.check('nothing private shows', headers.private())
    test.check('only the umbrella can be included', headers.refused())
    test.check('each compiles alone in C', headers.alone(headers.cc, 'c'))
    if cxx:
        test.check('each compiles alone in C++', headers.alone(headers.cxx, 'c++'))
    return test.end()


sys.exit(main())
