#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The reference that was built has all that is public, and nothing else.

Arguments: the folder of the reference in the build, and what the tools said.
"""

import html
import pathlib
import re
import sys

MODULE = 'libiostream'


def lines_of(path):
    return [line for line in path.read_text(encoding='utf-8').splitlines() if line]


# Links to GLib lead nowhere where its reference is not installed.
OUR_BROKEN_LINK = re.compile(r'no link for: "(?:io-|IO)[^"]*".*')


LINK = re.compile(r'(?:href|src)="([^"]*)"')
ANCHOR = re.compile(r'(?:id|name)="([^"]*)"')
# The stylesheets give the index of a version no anchor; its page is there.
WITHOUT_ANCHOR = re.compile(r'api-index-[0-9]')
ELSEWHERE = re.compile(r'[a-z]+:|/|\.\./')


def dead_links(folder):
    pages = {path.name: path.read_text(encoding='utf-8') for path in folder.glob('*.html')}
    anchors = {name: set(ANCHOR.findall(text)) for name, text in pages.items()}
    for name, text in sorted(pages.items()):
        for link in sorted(set(LINK.findall(text))):
            if ELSEWHERE.match(link):
                continue
            page, _, anchor = html.unescape(link).partition('#')
            page = page or name
            if not (folder / page).exists():
                yield f'{name} links to {page}, which is not there'
            elif anchor and page in pages and anchor not in anchors[page] \
                    and not WITHOUT_ANCHOR.match(anchor):
                yield f'{name} links to “{link}”, which is not in that page'


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
    yield from dead_links(folder / 'html')


found = list(problems(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])))
for problem in found:
    print(problem, file=sys.stderr)
sys.exit(1 if found else 0)
