#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tool and the examples, in the processes in which they are meant to run.

Arguments: the build folder, the top folder, then those of unittest.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pty
import re
import resource
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest

BUILD = os.path.abspath(sys.argv.pop(1))
TOP = os.path.abspath(sys.argv.pop(1))
TOOL = os.path.join(BUILD, 'tools', 'iostream')
EXAMPLES = os.path.join(TOP, 'examples')

# Long enough for a busy machine; a test that passes never waits so long.
TIMEOUT = 60

BUFFER = 4096


def wait_until(condition):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError('it did not come to pass')
        time.sleep(0.005)


def read_exactly(file, length):
    data = b''
    while len(data) < length:
        piece = os.read(file.fileno(), length - len(data))
        if not piece:
            break
        data += piece
    return data


class ToolCase(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='iostream-tool.')
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.names = os.path.join(self.folder, 'names')
        self.env = dict(os.environ, IOSTREAM_RUNTIME_DIR=self.names,
                        LC_ALL='C.UTF-8', LANGUAGE='')

    def start(self, *args, program=TOOL, **kwargs):
        kwargs = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE,
                  'stderr': subprocess.PIPE, 'env': self.env} | kwargs
        child = subprocess.Popen([program, *args], **kwargs)
        self.addCleanup(self.kill, child)
        return child

    def kill(self, child):
        child.kill()
        child.wait()
        for file in child.stdin, child.stdout, child.stderr:
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()

    def publish(self, name, *args, **kwargs):
        child = self.start('publish', name, *args, **kwargs)
        self.wait_for_name(name, child)
        return child

    def wait_for_name(self, name, child):
        """The file alone may be that of an owner before."""
        wait_until(lambda: child.poll() is not None or
                   child.pid in [facts.get('pid') for facts in self.run_json('list')])
        self.assertIsNone(child.poll())

    def finish(self, child, status=0, errors=''):
        """What it printed. With an error status there is one line of errors,
        which matches."""
        output, text = child.communicate(timeout=TIMEOUT)
        text = (text or b'').decode()
        self.assertEqual(child.returncode, status, text)
        if status == 0:
            self.assertEqual(text, '')
        else:
            self.assertRegex(text, errors)
            self.assertEqual(text.count('\n'), 1, text)
            self.assertTrue(text.endswith('\n'), text)
        return output

    def run_tool(self, *args, status=0, errors='', **kwargs):
        return self.finish(self.start(*args, **kwargs), status, errors)

    def run_json(self, *args):
        return json.loads(self.run_tool(*args, '--json'))

    def make_file(self, length, name='file'):
        path = os.path.join(self.folder, name)
        with open(path, 'wb') as file:
            file.write(os.urandom(length))
        return path

    def get_state(self, name):
        return self.run_json('info', name)['state']


class TestCommandLine(ToolCase):

    def test_help(self):
        text = self.run_tool('--help').decode()
        for command in 'list', 'info', 'publish', 'cat', 'monitor', 'top':
            self.assertIn(f'  {command} ', text)
            self.assertIn(f'iostream {command} [OPTION…]',
                          self.run_tool(command, '--help').decode())

    def test_version(self):
        self.assertRegex(self.run_tool('--version').decode(),
                         r'^iostream \d+\.\d+\.\d+\n$')

    def test_misuse(self):
        for args in (
                [], ['nonsense'], ['list', 'x'], ['list', '--nonsense'],
                ['list', '--match', '=1'], ['list', '--class'],
                ['info'], ['info', 'x', 'y'], ['cat'], ['cat', '--json', 'x'],
                ['publish'], ['publish', 'x', 'y', 'z'],
                ['publish', 'x', '--buffer-size', '0'],
                ['publish', 'x', '--buffer-size', '4G'],
                ['publish', 'x', '--buffer-size', '-1'],
                ['publish', 'x', '--buffer-size', '1T'],
                ['publish', 'x', '--buffer-size', '99999999999999999999'],
                ['publish', 'x', '--buffers', '-1'],
                ['publish', 'x', '--buffers', '65537'],
                ['publish', 'x', '--pattern', '--width', '0'],
                ['publish', 'x', '--pattern', '--height', '-1'],
                ['publish', 'x', '--pattern', '--width', '65536', '--height', '65536'],
                ['publish', 'x', '--pattern', '--rate', '-1'],
                ['publish', 'x', '--pattern', '--rate', 'nan'],
                ['publish', 'x', '--pattern', '--frames', '-1'],
                ['publish', 'x', 'y', '--pattern'],
                ['top', 'x'], ['top', '--sort', 'x'], ['top', '--count', '-1'],
                ['top', '--interval', '0'], ['top', '--interval', 'nan'],
                ['monitor', 'x', '--lines', '-1'], ['monitor', 'x', '--share', 'most'],
                ['cat', 'x', '--share', ''], ['cat', 'x', '--replay', '-1']):
            with self.subTest(args=args):
                self.run_tool(*args, status=2, errors='^iostream')

    def test_errors_name_the_command(self):
        self.run_tool('cat', 'x', status=1, errors='^iostream cat: .*“x”')


class TestList(ToolCase):

    def test_nothing(self):
        self.assertEqual(self.run_tool('list'), b'')
        self.assertEqual(self.run_json('list'), [])
        self.assertFalse(os.path.exists(self.names))

    def test_one(self):
        owner = self.publish('one', '--buffers', '3', '--buffer-size', '8K')
        self.assertEqual(self.run_tool('list').decode().splitlines(), [
            'NAME  CLASS     STATE   MODE    BUFFERS  SIZE  PID',
            f'one   IOStream  closed  output  3        8192  {owner.pid}'])
        facts, = self.run_json('list')
        info = self.run_json('info', 'one')
        statistics = info.pop('statistics')
        self.assertEqual((statistics['buffers'], statistics['clients']), (3, []))
        self.assertEqual(facts, info)
        self.assertEqual(facts, {
            'name': 'one', 'class': 'IOStream', 'state': 'closed',
            'mode': 'output', 'buffer-count': 3, 'data-size': 8192,
            'control-size': 0, 'pid': owner.pid, 'uid': os.getuid()})
        lines = self.run_tool('info', 'one').decode().splitlines()
        self.assertEqual(dict(line.split() for line in lines),
                         {key: str(value) for key, value in facts.items()} |
                         {'produced': '0', 'delivered': '0', 'dropped': '0', 'clients': '0'})

    def test_several(self):
        for name in 'b', 'a', 'c d':
            self.publish(name)
        self.assertEqual([facts['name'] for facts in self.run_json('list')],
                         ['a', 'b', 'c d'])

    def test_attributes(self):
        self.publish('x', '--pattern', '--width', '16', '--height', '8', '--rate', '12.5')
        facts = self.run_json('info', 'x')
        self.assertEqual((facts['format'], facts['width'], facts['height'], facts['rate']),
                         ('RGB', 16, 8, 12.5))
        self.assertEqual((facts['data-size'], facts['control-size']), (16 * 8 * 3, 40))

    def test_state(self):
        owner = self.publish('x', stdin=subprocess.PIPE)
        self.assertEqual(self.get_state('x'), 'closed')
        client = self.start('cat', 'x')
        wait_until(lambda: self.get_state('x') == 'running')
        client.send_signal(signal.SIGINT)
        self.finish(client)
        self.finish(owner)

    def test_dead_owner(self):
        owner = self.publish('x')
        self.kill(owner)
        self.assertEqual(self.run_json('list'), [])
        self.run_tool('info', 'x', status=1, errors='“x”')

    def test_matching(self):
        self.publish('x', '--pattern', '--width', '16', '--height', '8')
        self.publish('y')
        for args, names in (
                (['--class', 'IOStream'], ['x', 'y']),
                (['--class', 'IOService'], ['x', 'y']),
                (['--class', 'IOCamera'], []),
                (['--match', 'width'], ['x']),
                (['--match', 'width=16'], ['x']),
                (['--match', 'width=uint64 16'], ['x']),
                (['--match', 'width=17'], []),
                (['--match', 'width=16', '-m', 'height=9'], []),
                (['--match', 'format=RGB', '--class=IOStream'], ['x']),
                (['--match', "format='RGB'"], ['x']),
                (['--match', 'nothing'], [])):
            with self.subTest(args=args):
                self.assertEqual([facts['name'] for facts in self.run_json('list', *args)], names)

    def test_watch(self):
        owner = self.publish('x', '--pattern', '--width', '16', '--height', '8')
        watch = self.start('list', '--watch')
        facts = self.start('list', '--watch', '--json', '--match', 'width=16')
        self.assertEqual(watch.stdout.readline().decode(),
                         f'matched     x  IOStream  {owner.pid}\n')
        event = json.loads(facts.stdout.readline())
        self.assertEqual((event['event'], event['name'], event['class'], event['pid'],
                          event['attributes']['height']),
                         ('matched', 'x', 'IOStream', owner.pid, 8))
        other = self.publish('y')
        self.assertEqual(watch.stdout.readline().decode(),
                         f'matched     y  IOStream  {other.pid}\n')
        self.kill(owner)
        self.assertEqual(watch.stdout.readline().decode(),
                         f'terminated  x  IOStream  {owner.pid}\n')
        self.assertEqual(json.loads(facts.stdout.readline())['event'], 'terminated')
        for child in watch, facts:
            child.send_signal(signal.SIGINT)
            self.finish(child)

    def test_watch_into_a_closed_pipe(self):
        watch = self.start('list', '--watch')
        watch.stdout.close()
        watch.stdout = None
        self.publish('x')
        self.finish(watch)

    def test_owner_that_hangs(self):
        owner = self.publish('x')
        self.publish('y')
        owner.send_signal(signal.SIGSTOP)
        hung, well = self.run_json('list')
        self.assertEqual(hung['name'], 'x')
        self.assertIn('“x”', hung['error'])
        self.assertEqual(well['state'], 'closed')


class TestTransfer(ToolCase):

    def transfer(self, path, *args, stdin=None):
        owner = self.publish('x', *args, **({'stdin': stdin} if stdin else {}))
        data = self.run_tool('cat', 'x')
        self.finish(owner)
        with open(path, 'rb') as file:
            self.assertEqual(hashlib.sha256(data).digest(),
                             hashlib.sha256(file.read()).digest())
        self.assertEqual(self.run_json('list'), [])

    def test_sizes(self):
        for length in (0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 7 * BUFFER, 10_000_000):
            with self.subTest(length=length):
                path = self.make_file(length)
                self.transfer(path, path, '--buffer-size', str(BUFFER))
                with open(path, 'rb') as file:
                    self.transfer(path, '--buffer-size', str(BUFFER), stdin=file)

    def test_one_buffer(self):
        path = self.make_file(10 * BUFFER + 1)
        self.transfer(path, path, '-s', '4K', '-b', '1')

    def test_defaults(self):
        path = self.make_file(10_000_000)
        self.transfer(path, path)

    def test_pipe(self):
        data = os.urandom(1_000_000)
        owner = self.publish('x', '-', stdin=subprocess.PIPE)
        client = self.start('cat', 'x')

        # What is read from a pipe goes out in small pieces, so not all of it
        # finds room before the other end is read.
        def feed():
            with owner.stdin:
                owner.stdin.write(data)

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        received = self.finish(client)
        feeder.join(TIMEOUT)
        owner.stdin = None
        self.assertEqual(received, data)
        self.finish(owner)

    def test_output_is_a_file(self):
        path = self.make_file(3_000_000)
        copy = os.path.join(self.folder, 'copy')
        owner = self.publish('x', path)
        with open(copy, 'wb') as file:
            self.finish(self.start('cat', 'x', stdout=file))
        self.finish(owner)
        with open(path, 'rb') as file, open(copy, 'rb') as other:
            self.assertEqual(file.read(), other.read())

    def test_output_is_a_socket(self):
        path = self.make_file(3_000_000)
        owner = self.publish('x', path)
        ours, theirs = socket.socketpair()
        with ours:
            client = self.start('cat', 'x', stdout=theirs)
            theirs.close()
            with ours.makefile('rb') as stream, open(path, 'rb') as file:
                self.assertEqual(stream.read(), file.read())
        self.finish(client)
        self.finish(owner)

    def test_live(self):
        """What is there goes out at once, full buffer or not."""
        owner = self.publish('x', stdin=subprocess.PIPE)
        client = self.start('cat', 'x')
        for piece in b'first', b'second', b'third':
            os.write(owner.stdin.fileno(), piece)
            self.assertEqual(read_exactly(client.stdout, len(piece)), piece)
        owner.stdin.close()
        owner.stdin = None
        self.assertEqual(self.finish(client), b'')
        self.finish(owner)

    def test_slow_reader(self):
        path = self.make_file(10_000_000)
        owner = self.publish('x', path, '--buffers', '2')
        client = self.start('cat', 'x')
        data = b''
        while len(data) < 2_000_000:
            piece = os.read(client.stdout.fileno(), 10_000)
            self.assertTrue(piece)
            data += piece
        data += self.finish(client)
        with open(path, 'rb') as file:
            self.assertEqual(data, file.read())
        self.finish(owner)

    def test_progress(self):
        """On a terminal, and only there."""
        owner = self.publish('x', stdin=subprocess.PIPE)
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        client = self.start('cat', 'x', stderr=slave)
        os.close(slave)
        self.assertTrue(select.select([master], [], [], TIMEOUT)[0])
        self.assertIn(b'x: waiting', os.read(master, 100))
        client.send_signal(signal.SIGINT)
        self.finish(client)
        self.finish(owner)


class TestPattern(ToolCase):

    def test_frames(self):
        owner = self.publish('x', '--pattern', '--width', '32', '--height', '20',
                             '--rate', '0', '--frames', '100')
        data = self.run_tool('cat', 'x')
        self.finish(owner)
        size = 32 * 20 * 3
        self.assertEqual(len(data), 100 * size)
        frames = {data[i:i + size] for i in range(0, len(data), size)}
        self.assertGreater(len(frames), 10)

    def test_rate(self):
        owner = self.publish('x', '--pattern', '--width', '8', '--height', '8',
                             '--rate', '200', '--frames', '100')
        begin = time.monotonic()
        self.run_tool('cat', 'x')
        self.assertGreater(time.monotonic() - begin, 0.45)
        self.finish(owner)

    def test_next_client(self):
        owner = self.publish('x', '--pattern', '--width', '8', '--height', '8', '--rate', '100')
        for _ in range(3):
            client = self.start('cat', 'x')
            self.assertEqual(len(read_exactly(client.stdout, 1000)), 1000)
            client.send_signal(signal.SIGTERM)
            client.communicate(timeout=TIMEOUT)
            self.assertEqual(client.returncode, 0)
        owner.send_signal(signal.SIGINT)
        self.finish(owner)


class TestTop(ToolCase):

    def run_until(self, condition, *args):
        """Its tables, one by one, up to the one that is as it should be."""
        top = self.start('top', '--json', '--interval', '0.1', *args)
        for line in top.stdout:
            table = json.loads(line)
            if condition(table):
                break
        else:
            raise AssertionError('it ended')
        top.send_signal(signal.SIGTERM)
        output, errors = top.communicate(timeout=TIMEOUT)
        self.assertEqual((top.returncode, errors), (0, b''))
        return table

    def test_json(self):
        owner = self.publish('x', '--pattern', '--width', '8', '--height', '8', '--rate', '100')
        client = self.start('cat', 'x', stdout=subprocess.DEVNULL)
        table = self.run_until(lambda table: table and table[0].get('statistics', {}).get('clients') and
                               table[0]['statistics']['clients'][0].get('delivered-per-second'))
        stream, = table
        self.assertEqual((stream['name'], stream['pid']), ('x', owner.pid))
        row, = stream['statistics']['clients']
        self.assertEqual((row['name'], row['pid'], row['uid']), ('iostream cat', client.pid, os.getuid()))
        self.assertEqual(row['delivered'], row['returned'] + row['held'])
        self.assertEqual(sum(row['dropped-by-reason'].values()), row['dropped'])

    def test_come_and_go(self):
        owner = self.publish('a')
        self.publish('b')
        names = lambda table: [stream['name'] for stream in table]
        self.run_until(lambda table: sorted(names(table)) == ['a', 'b'])
        top = self.start('top', '--json', '--interval', '0.1')
        tables = map(json.loads, top.stdout)
        next(table for table in tables if sorted(names(table)) == ['a', 'b'])
        owner.kill()
        next(table for table in tables if names(table) == ['b'])
        self.publish('c')
        next(table for table in tables if sorted(names(table)) == ['b', 'c'])

    def test_text(self):
        self.publish('b')
        self.publish('a')
        tables = self.run_tool('top', '--batch', '-n', '3', '-i', '0.5').decode().split('\n\n')
        self.assertEqual(len(tables), 4)
        self.assertEqual(tables[3], '')
        for table in tables[:3]:
            title, *rows = table.splitlines()
            self.assertEqual(title.split(), ['NAME', 'PID', 'STATE', 'POLICY', 'IN/S', 'OUT/S', 'DROPS/S',
                                             'DROPPED', 'HELD', 'QUEUED', 'OLDEST', 'IDLE'])
        self.assertEqual([row.split()[0] for row in rows], ['a', 'b'])
        _title, *rows = self.run_tool('top', '-b', '-r', '-n', '1', '-i', '0.5').decode().splitlines()
        self.assertEqual([row.split()[0] for row in rows if row], ['b', 'a'])

    def call(self, control, opcode, serial, body):
        control.sendall(struct.pack('=BBHIII', 1, 1, opcode, serial, 0, len(body)) + body)
        packet, fds, _flags, _address = socket.recv_fds(control, 8192, 8)
        for fd in fds:
            os.close(fd)
        self.assertEqual(struct.unpack_from('=I', packet, 8), (0,))

    def test_names(self):
        """A client can call itself anything; no terminal obeys it."""
        self.publish('x')
        name = 'a\x1b[2J\\\u202e\u00e9"\n'
        text = name.encode() + b'\0'
        hello = struct.pack('=I', 1) + text
        hello += bytes(-len(hello) % 8) + bytes([4 + len(text)])
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as control:
            control.connect(os.path.join(self.names, 'x'))
            self.call(control, 1, 1, hello)
            self.call(control, 3, 2, bytes(8))
            row, = self.run_json('info', 'x')['statistics']['clients']
            top = self.start('top', '-b', '-i', '0.1')
            line = next(line for line in top.stdout if line.startswith(b'  ')).decode()
            for output in self.run_tool('info', 'x').decode(), line:
                self.assertNotIn('\x1b', output)
                self.assertNotIn('\u202e', output)
                self.assertIn('a?[2J', output)
            self.assertTrue(row['name'].startswith('a?[2J'))

    def test_gone_owner(self):
        self.kill(self.publish('x'))
        self.assertEqual(self.run_tool('top', '-b', '-n', '1', '-i', '0.2').decode().count('\n'), 2)

    def start_on_terminal(self):
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        before = termios.tcgetattr(slave)
        top = self.start('top', '--interval', '0.1', stdin=slave, stdout=slave)
        return top, master, slave, before

    def read_until(self, master, text, seen=b''):
        while text not in seen:
            ready, _, _ = select.select([master], [], [], TIMEOUT)
            self.assertTrue(ready, seen)
            seen += os.read(master, 65536)
        return seen

    def test_terminal(self):
        self.publish('x')
        for end in b'q', b'\x03', signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
            with self.subTest(end=end):
                top, master, slave, before = self.start_on_terminal()
                self.read_until(master, b'\x1b[?1049h')
                self.read_until(master, b'sorted by name')
                self.assertNotEqual(termios.tcgetattr(slave), before)
                os.write(master, b's')
                self.read_until(master, b'sorted by pid')
                fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 10, 20, 0, 0))
                top.send_signal(signal.SIGWINCH)
                self.read_until(master, b'\x1b[10;1H')
                if isinstance(end, bytes):
                    os.write(master, end)
                else:
                    top.send_signal(end)
                self.read_until(master, b'\x1b[?1049l')
                self.assertEqual(top.wait(TIMEOUT), 0)
                self.assertEqual(termios.tcgetattr(slave), before)


class TestMonitor(ToolCase):

    def test_json(self):
        self.publish('x', '--pattern', '--width', '64', '--height', '64', '--rate', '100')
        lines = self.run_tool('monitor', '--json', '-n', '2', 'x').splitlines()
        self.assertEqual(len(lines), 2)
        for facts in map(json.loads, lines):
            self.assertEqual(list(facts), [
                'name', 'seconds', 'entries', 'rate', 'bytes-per-second',
                'latency-p50', 'latency-p99', 'lost', 'held'])
            self.assertEqual((facts['name'], facts['lost']), ('x', 0))
            # a busy machine leaves pictures out, and no more than that
            self.assertGreater(facts['entries'], 0)
            self.assertLess(facts['rate'], 200)
            self.assertAlmostEqual(facts['rate'], facts['entries'] / facts['seconds'], 3)
            self.assertAlmostEqual(facts['bytes-per-second'], facts['rate'] * 64 * 64 * 3, 1)
            self.assertGreater(facts['latency-p50'], 0)
            self.assertLessEqual(facts['latency-p50'], facts['latency-p99'])
            self.assertLess(facts['latency-p99'], 20e9)
            self.assertIn(facts['held'], range(1, 5))

    def test_text(self):
        self.publish('x', '--pattern', '--width', '8', '--height', '8', '--rate', '50')
        self.assertRegex(
            self.run_tool('monitor', '-n', '1', 'x').decode(),
            r'^x: [\d.]+/s, [\d.]+.[kM]?B/s, latency p50 [\d.]+ µs, '
            r'p99 [\d.]+ µs, lost 0, held [1-4]\n$')

    def test_idle(self):
        self.publish('x', stdin=subprocess.PIPE)
        facts = json.loads(self.run_tool('monitor', '--json', '-n', '1', 'x'))
        self.assertEqual((facts['entries'], facts['latency-p50'], facts['latency-p99']),
                         (0, None, None))

    def test_shared(self):
        """Several at a time, and none beside them that does not share."""
        owner = self.publish('x', '--pattern', '--width', '8', '--height', '8', '--rate', '100')
        monitors = [self.start('monitor', '--share', delivery, 'x')
                    for delivery in ('block', 'drop-newest', 'drop-oldest', 'latest')]
        wait_until(lambda: len(self.run_json('info', 'x')['statistics']['clients']) == 4)
        self.run_tool('monitor', 'x', status=1, errors='4 clients have it open')
        cat = self.start('cat', '--share', 'latest', '--replay', '2', 'x')
        self.assertEqual(len(cat.stdout.read(192)), 192)
        self.kill(cat)
        for monitor in monitors:
            monitor.send_signal(signal.SIGINT)
            self.finish(monitor)
        owner.send_signal(signal.SIGTERM)
        self.finish(owner)

    def test_end_of_stream(self):
        owner = self.publish('x', '--pattern', '--width', '8', '--height', '8',
                             '--rate', '0', '--frames', '1000')
        self.run_tool('monitor', 'x')
        self.finish(owner)

    def test_signal(self):
        owner = self.publish('x', '--pattern')
        monitor = self.start('monitor', 'x')
        wait_until(lambda: self.get_state('x') == 'running')
        monitor.send_signal(signal.SIGINT)
        self.finish(monitor)
        wait_until(lambda: self.get_state('x') == 'closed')
        owner.send_signal(signal.SIGTERM)
        self.finish(owner)


class TestRefused(ToolCase):

    def test_no_such_name(self):
        for command in 'info', 'cat', 'monitor':
            self.run_tool(command, 'nobody', status=1,
                          errors=f'^iostream {command}: .*“nobody”')

    def test_bad_names(self):
        for name in '', '.x', 'a/b', 'x' * 200, 'a\nb':
            for command in 'cat', 'publish':
                with self.subTest(name=name, command=command):
                    self.run_tool(command, name, status=1, errors='name')

    def test_taken_name(self):
        self.publish('x')
        self.run_tool('publish', 'x', status=1, errors='“x”.*somebody has it')

    def test_second_client(self):
        owner = self.publish('x', stdin=subprocess.PIPE)
        client = self.start('cat', 'x')
        wait_until(lambda: self.get_state('x') == 'running')
        self.run_tool('cat', 'x', status=1, errors='“x”')
        self.run_tool('monitor', 'x', status=1, errors='“x”')
        self.assertIsNone(client.poll())
        owner.stdin.close()
        owner.stdin = None
        self.finish(client)
        self.finish(owner)

    def test_no_such_file(self):
        self.run_tool('publish', 'x', '/no/such', status=1, errors='/no/such.*“x”.*No such file')
        self.assertEqual(self.run_json('list'), [])

    def test_folder_for_a_file(self):
        owner = self.publish('x', self.folder)
        client = self.start('cat', 'x')
        self.finish(owner, 1, '“x”.*directory')
        self.finish(client)

    def test_unusable_runtime_directory(self):
        self.names = os.path.join(self.make_file(0), 'names')
        self.env['IOSTREAM_RUNTIME_DIR'] = self.names
        self.run_tool('publish', 'x', status=1, errors='“x”.*file/names')
        self.run_tool('cat', 'x', status=1, errors='“x”')
        self.run_tool('list', status=1, errors='file/names')
        self.run_tool('list', '--class', 'x', status=1, errors='file/names')
        self.run_tool('list', '--watch', status=1, errors='file/names')

    @unittest.skipIf(os.getuid() == 0, 'root may write everywhere')
    def test_runtime_directory_without_rights(self):
        os.mkdir(self.names, 0o500)
        self.run_tool('publish', 'x', status=1, errors='“x”.*Permission denied')

    def test_runtime_directory_that_others_can_write(self):
        os.mkdir(self.names)
        os.chmod(self.names, 0o777)
        self.run_tool('publish', 'x', status=1, errors='others can write')

    def test_runtime_directory_unset(self):
        del self.env['IOSTREAM_RUNTIME_DIR']
        self.env.pop('XDG_RUNTIME_DIR', None)
        self.env['HOME'] = self.folder
        self.env['XDG_CACHE_HOME'] = os.path.join(self.folder, 'cache')
        self.names = os.path.join(self.folder, 'cache', 'iostream')
        path = self.make_file(5000)
        owner = self.publish('x', path)
        self.assertEqual(stat.S_IMODE(os.stat(self.names).st_mode), 0o700)
        self.assertEqual(len(self.run_tool('cat', 'x')), 5000)
        self.finish(owner)

    def test_no_descriptors(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (7, 7))
        self.publish('y')
        self.run_tool('publish', 'x', preexec_fn=limit, status=1,
                      errors='“x”.*Too many open files')
        self.run_tool('cat', 'y', preexec_fn=limit, status=1,
                      errors='“y”.*(descriptor|Too many open files)')
        self.assertEqual(self.get_state('y'), 'closed')

    def test_owner_that_never_answers(self):
        os.mkdir(self.names, 0o700)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
            silent.bind(os.path.join(self.names, 'x'))
            silent.listen()
            impatient = self.start('cat', 'x')
            silent.accept()[0].detach()
            impatient.send_signal(signal.SIGINT)
            client = self.start('cat', 'x')
            self.finish(impatient)
            self.run_tool('info', 'x', status=1, errors='“x”')
            self.finish(client, 1, '“x”')


class TestStops(ToolCase):

    def start_both(self, **kwargs):
        owner = self.publish('x', stdin=subprocess.PIPE)
        client = self.start('cat', 'x', **kwargs)
        os.write(owner.stdin.fileno(), b'hello')
        self.assertEqual(read_exactly(client.stdout, 5), b'hello')
        return owner, client

    def test_signal_to_the_client(self):
        for number in signal.SIGINT, signal.SIGTERM:
            owner, client = self.start_both()
            client.send_signal(number)
            self.finish(client)
            self.finish(owner)

    def test_signal_to_the_owner(self):
        for number in signal.SIGINT, signal.SIGTERM:
            owner, client = self.start_both()
            owner.send_signal(number)
            self.finish(client)
            self.finish(owner)

    def test_signal_to_an_owner_without_client(self):
        owner = self.publish('x')
        owner.send_signal(signal.SIGINT)
        self.finish(owner)
        self.assertEqual(self.run_json('list'), [])

    def test_signal_while_the_pipe_is_full(self):
        owner = self.publish('x', '--pattern', '--rate', '0')
        client = self.start('cat', 'x')
        # It has filled the pipe when the owner has no buffer left to give.
        self.assertTrue(select.select([client.stdout], [], [], TIMEOUT)[0])
        time.sleep(0.2)
        client.send_signal(signal.SIGINT)
        client.wait(timeout=TIMEOUT)
        self.assertEqual(client.returncode, 0)
        owner.send_signal(signal.SIGINT)
        self.finish(owner)

    def test_closed_pipe(self):
        owner = self.publish('x', '/dev/zero')
        client = self.start('cat', 'x')
        self.assertEqual(read_exactly(client.stdout, 1000), bytes(1000))
        client.stdout.close()
        client.stdout = None
        self.finish(client)
        self.finish(owner)

    def test_closed_pipe_while_nothing_comes(self):
        owner, client = self.start_both()
        client.stdout.close()
        client.stdout = None
        self.finish(client)
        self.finish(owner)

    def test_closed_pipe_of_the_others(self):
        self.publish('x', '--pattern', '--rate', '10')
        for args in ['list'], ['info', 'x'], ['monitor', 'x']:
            reader, writer = os.pipe()
            os.close(reader)
            child = self.start(*args, stdout=writer)
            os.close(writer)
            self.finish(child)

    def test_full_device(self):
        self.publish('x', '--pattern')
        with open('/dev/full', 'wb') as full:
            for command in 'list', 'info', 'cat', 'monitor':
                args = [command] if command == 'list' else [command, 'x']
                self.run_tool(*args, stdout=full, status=1,
                              errors='Cannot write to standard output: No space left')


class TestKill(ToolCase):

    ROUNDS = 20

    def start_zeros(self):
        owner = self.publish('x', '/dev/zero')
        client = self.start('cat', 'x')
        self.assertEqual(read_exactly(client.stdout, 100_000), bytes(100_000))
        return owner, client

    def test_owner(self):
        for _ in range(self.ROUNDS):
            owner, client = self.start_zeros()
            owner.kill()
            self.finish(client, 1, '^iostream cat: .*“x”')
            self.kill(owner)
        self.assertEqual(self.run_json('list'), [])

    def test_client_of_a_file(self):
        for _ in range(self.ROUNDS):
            owner, client = self.start_zeros()
            client.kill()
            self.finish(owner, 1, f'^iostream publish: .*“x”.*process {client.pid}, died')
            self.kill(client)

    def test_client_of_pictures(self):
        owner = self.publish('x', '--pattern', '--width', '64', '--height', '64', '--rate', '0')
        fds = f'/proc/{owner.pid}/fd'
        wait_until(lambda: self.get_state('x') == 'closed')
        before = None
        for _ in range(self.ROUNDS):
            client = self.start('cat', 'x')
            self.assertEqual(len(read_exactly(client.stdout, 100_000)), 100_000)
            self.kill(client)
            wait_until(lambda: self.get_state('x') == 'closed')
            if before is None:
                before = len(os.listdir(fds))
        wait_until(lambda: len(os.listdir(fds)) <= before)
        self.assertIsNone(owner.poll())
        owner.send_signal(signal.SIGINT)
        self.finish(owner)

    def test_both(self):
        for _ in range(self.ROUNDS):
            owner, client = self.start_zeros()
            owner.kill()
            client.kill()
            self.kill(owner)
            self.kill(client)
        path = self.make_file(100_000)
        owner = self.publish('x', path)
        self.assertEqual(len(self.run_tool('cat', 'x')), 100_000)
        self.finish(owner)

    def test_nothing_is_left(self):
        owner, _ = self.start_zeros()
        self.kill(owner)
        for name in os.listdir(self.names):
            self.assertRegex(name, r'^x(\.lock)?$')


class TestExamples(ToolCase):

    def start_example(self, name, *args):
        return self.start(*args, program=os.path.join(BUILD, 'examples', name))

    def test_camera_and_viewer(self):
        camera = self.start_example('camera', 'cam')
        self.wait_for_name('cam', camera)
        self.assertEqual(self.run_json('info', 'cam')['class'], 'DemoCamera')
        for _ in range(2):
            viewer = self.start_example('viewer', 'cam', '20')
            self.assertRegex(self.finish(viewer).decode(),
                             r'^20 frames in [\d.]+ seconds, 0 broken, 0 lost\n$')
        camera.send_signal(signal.SIGINT)
        self.finish(camera)

    def test_methods(self):
        owner = self.start_example('methods', 'serve', 'lens')
        self.wait_for_name('lens', owner)
        lines = self.finish(self.start_example('methods', 'call', 'lens')).decode().splitlines()
        self.assertEqual(lines[1], 'zoom was 100, curve of 65536 bytes')
        self.assertEqual(lines[2], 'Cannot zoom to 1000: at most 300 is possible')
        owner.terminate()
        self.finish(owner)
        self.finish(self.start_example('methods', 'call', 'lens'), 1, '“lens”')

    def test_action(self):
        owner = self.start_example('action', 'serve', 'lens')
        self.wait_for_name('lens', owner)
        self.assertEqual(self.finish(self.start_example('action', 'call', 'lens')).decode(),
                         ''.join(f'at {n}\n' for n in range(1, 6)) + 'in focus\n')
        owner.terminate()
        self.finish(owner)

    def test_resume(self):
        viewer = self.start_example('resume', 'cam', '3')
        for n in range(1, 4):
            camera = self.start_example('camera', 'cam')
            for what in ('there', 'frames'):
                self.assertEqual(viewer.stdout.readline().decode(), f'camera {n}: {what}\n')
            camera.kill() if n == 1 else camera.send_signal(signal.SIGINT)
            camera.communicate(timeout=TIMEOUT)
            if n < 3:
                self.assertEqual(viewer.stdout.readline().decode(), f'camera {n}: gone\n')
        self.finish(viewer)

    def test_resume_ended_while_it_waits(self):
        # It may not listen for signals yet: that is an end as well.
        viewer = self.start_example('resume', 'nobody')
        viewer.terminate()
        viewer.communicate(timeout=TIMEOUT)
        self.assertIn(viewer.returncode, (0, -signal.SIGTERM))

    def test_viewer_and_the_end_of_the_camera(self):
        camera = self.start_example('camera', 'cam')
        self.wait_for_name('cam', camera)
        viewer = self.start_example('viewer', 'cam')
        wait_until(lambda: self.get_state('cam') == 'running')
        camera.send_signal(signal.SIGINT)
        self.finish(camera)
        output, errors = viewer.communicate(timeout=TIMEOUT)
        self.assertEqual(viewer.returncode, 0)
        self.assertIn(b'0 broken', output)
        self.assertEqual(errors, b'viewer: The camera was switched off\n')

    def test_loopback(self):
        self.assertIn(b'ok 1 /numbers', self.finish(self.start_example('loopback')))

    def test_late(self):
        owner = self.start_example('late', 'own', 'board')
        self.wait_for_name('board', owner)
        for _ in range(3):
            self.assertEqual(self.finish(self.start_example('late', 'look', 'board')).decode(),
                             '0: Gone for lunch\n')
        owner.send_signal(signal.SIGTERM)
        self.finish(owner)

    def test_duplex(self):
        owner = self.start_example('duplex', 'duplex', '5000')
        self.wait_for_name('duplex', owner)
        self.finish(self.start_example('duplex', '--filter', 'duplex'))
        output = self.finish(owner).decode()
        match = re.fullmatch(r'5000 blocks back, 0 wrong, (\d+) buffers\n', output)
        self.assertGreater(int(match[1]), 2)

    def test_playback(self):
        owner = self.start_example('playback', 'play')
        self.wait_for_name('play', owner)
        self.assertEqual(self.run_json('info', 'play')['mode'], 'input')
        for count in 1, 100, 256:
            self.finish(self.start_example('playback', '--feed', 'play', str(count)))
        wait_until(lambda: self.get_state('play') == 'closed')
        owner.send_signal(signal.SIGTERM)
        self.assertEqual(self.finish(owner).decode().splitlines(), [
            f'played {count} buffers, {4096 * count} bytes, sum {4096 * sum(range(count))}'
            for count in (1, 100, 256)])

    def test_control(self):
        owner = self.start_example('control', 'lens')
        self.wait_for_name('lens', owner)
        client = self.start_example('control', '--zoom', 'lens', '2', '5', '99', '1')
        self.assertEqual(self.finish(client).decode().splitlines(),
                         ['2: done', '5: done', '99: refused', '1: done'])
        owner.send_signal(signal.SIGTERM)
        self.assertEqual(self.finish(owner).decode().splitlines(),
                         ['zoom 1 -> 2', 'zoom 2 -> 5', 'zoom 5 -> 1'])
        self.finish(self.start_example('control', '--zoom', 'nobody', '1'), 1, '“nobody”')

    def test_hotplug(self):
        late = self.start_example('hotplug', '--wait', 'x', '60')
        follower = self.start_example('hotplug', 'IOStream')
        owner = self.publish('x', '--pattern', '--width', '16', '--height', '8')
        line = self.finish(late).decode()
        self.assertRegex(line, rf"^\+ x: IOStream of process {owner.pid}, .*'width': <uint32 16>")
        self.assertEqual(follower.stdout.readline().decode(), line)
        self.kill(owner)
        self.assertEqual(follower.stdout.readline().decode(), '- x: 0 left\n')
        follower.send_signal(signal.SIGTERM)
        self.finish(follower)
        self.finish(self.start_example('hotplug', '--wait', 'x', '0.01'), 1, '^hotplug: .*time')

    def test_slow(self):
        waits = '(the camera waits)'
        self.assertEqual(
            self.finish(self.start_example('slow', '14')).decode(),
            f'block       saw {waits} 0 1 2 3 4 5 6 {waits} 7 8 9 10 11 12 13, lost 0\n'
            'drop-newest saw 0 1 2 3 4 7 8 9 10 11, lost 2\n'
            'drop-oldest saw 2 3 4 5 6 9 10 11 12 13, lost 4\n'
            'latest      saw 6 13, lost 12\n')

    def test_turns(self):
        owner = self.start_example('turns', 'own', 'desk')
        self.wait_for_name('desk', owner)
        first = self.start_example('turns', 'use', 'desk', 'ann')
        self.assertEqual(first.stdout.readline(), b'ann has it\n')
        second = self.start_example('turns', 'use', 'desk', 'bob')
        self.assertEqual(first.stdout.readline(), b'ann is asked to leave\n')
        self.assertEqual(second.stdout.readline(), b'bob has it\n')
        self.assertEqual(first.stdout.readline(), b'user is bob\n')
        owner.send_signal(signal.SIGTERM)
        self.finish(owner)
        self.assertEqual(self.finish(first), b'desk ends\n')
        self.assertEqual(self.finish(second), b'bob is asked to leave\ndesk ends\n')

    def test_interrupts(self):
        sensors = self.start_example('interrupts', 'sensors')
        self.wait_for_name('sensors', sensors)
        for _ in range(2):
            lines = self.finish(self.start_example('interrupts', 'watch')).decode().splitlines()
            self.assertEqual(lines, [
                'sensor 0 came more often than sensor 3; sensor 7 is pending, handled 0 times',
                'sensor 7 is enabled, and was handled'])
        sensors.send_signal(signal.SIGTERM)
        self.assertEqual(self.finish(sensors), b'200 sensors\n')
        self.finish(self.start_example('interrupts', 'watch'), 1, '“sensors”')

    def test_data_queue(self):
        owner = self.start_example('data-queue', 'log')
        self.wait_for_name('log', owner)
        client = self.start_example('data-queue', '--follow', 'log', '30')
        self.assertEqual(self.finish(client).decode().splitlines(),
                         [f'line {i + 1}' for i in range(30)])
        self.finish(self.start_example('data-queue', '--follow', 'nobody', '1'), 1, '“nobody”')
        owner.kill()
        owner.wait(TIMEOUT)

    def test_rights(self):
        owner = self.start_example('rights', 'own', 'board', '65534')
        self.wait_for_name('board', owner)
        self.assertEqual(self.finish(self.start_example('rights', 'read', 'board')).decode(),
                         'The mode can be set\nhello\n')
        owner.send_signal(signal.SIGTERM)
        self.finish(owner)
        self.finish(self.start_example('rights', 'read', 'board'), 1, '“board”')

    @unittest.skipUnless(os.geteuid() == 0, 'only root can be somebody else')
    def test_rights_of_others(self):
        # the folders of the build are not for others
        program = shutil.copy(os.path.join(BUILD, 'examples', 'rights'), self.folder)
        shutil.copy(os.path.join(BUILD, 'libiostream', 'libiostream-1.0.so.0'), self.folder)
        env = dict(self.env, LD_LIBRARY_PATH=self.folder)
        owner = self.start_example('rights', 'own', 'board', '65534')
        self.wait_for_name('board', owner)
        for folder in self.folder, self.names:
            os.chmod(folder, 0o711)

        def read(user):
            return self.start('read', 'board', program=program, env=env, cwd='/',
                              user=user, group=user, extra_groups=[])

        lines = self.finish(read(65534)).decode().splitlines()
        self.assertRegex(lines[0], 'may only read, and not set the mode of stream “board”$')
        self.assertEqual(lines[1:], ['hello'])
        self.finish(read(12345), 1, '^rights: .*This is for user 65534, and you are user 12345$')
        owner.send_signal(signal.SIGTERM)
        self.finish(owner)

    def test_sample_capture(self):
        """Whatever a client keeps, and however the device goes round."""
        device = self.start_example('sample-device', 'sample', '500')
        self.wait_for_name('sample.capture', device)
        for keep in '0', '6', '1000':
            host = self.start_example('sample-host', 'capture', 'sample.capture', '100', keep)
            self.assertEqual(self.finish(host).decode(),
                             'captured 100, broken 0, changed while kept 0\n')
        wait_until(lambda: self.get_state('sample.capture') == 'closed')
        device.send_signal(signal.SIGTERM)
        lines = self.finish(device).decode().splitlines()
        self.assertEqual(len(lines), 3)
        for line in lines:
            match = re.fullmatch(r'capture: (\d+) shown, \d+ left out, '
                                 r'(\d+) would have been overwritten', line)
            self.assertGreaterEqual(int(match[1]), 100)
            self.assertGreaterEqual(int(match[2]), 9)

    def test_sample_playback(self):
        device = self.start_example('sample-device', 'sample', '500')
        self.wait_for_name('sample.playback', device)
        for count in '1', '100':
            host = self.start_example('sample-host', 'playback', 'sample.playback', count)
            self.assertEqual(self.finish(host).decode(), f'played {count}\n')
        wait_until(lambda: self.get_state('sample.playback') == 'closed')
        device.send_signal(signal.SIGTERM)
        self.assertEqual(self.finish(device).decode().splitlines(),
                         ['playback: 1 played, 0 broken', 'playback: 100 played, 0 broken'])

    def test_errors(self):
        self.finish(self.start_example('viewer', 'nobody'), 1, '^viewer: .*“nobody”')
        self.finish(self.start_example('sample-host', 'capture', 'nobody', '1', '1'), 1, '“nobody”')
        self.finish(self.start_example('playback', '--feed', 'nobody', '1'), 1, '“nobody”')
        self.publish('x')
        self.finish(self.start_example('camera', 'x'), 1, '^camera: .*“x”')


OWNER_THAT_REFUSES = """
import gi
gi.require_version('IOStream', '1.0')
from gi.repository import GLib, IOStream

class Dark(IOStream.Stream):
    def do_start(self):
        raise ValueError('no light')

dark = Dark(name='x', buffer_count=1, data_size=1)
dark.register()
GLib.MainLoop().run()
"""


@unittest.skipUnless(os.environ.get('IOSTREAM_TEST_PYTHON'), 'no Python override in this build')
class TestOwnerInPython(ToolCase):

    def test_refused_start(self):
        owner = self.start(BUILD, '/usr/bin/python3', '-c', OWNER_THAT_REFUSES,
                           program=os.path.join(EXAMPLES, 'with-build'))
        self.wait_for_name('x', owner)
        for command in 'cat', 'monitor':
            self.run_tool(command, 'x', status=1,
                          errors=f'^iostream {command}: Cannot start stream “x”: .*no light$')


@unittest.skipUnless(os.environ.get('IOSTREAM_TEST_PYTHON'), 'no Python override in this build')
class TestDemo(ToolCase):

    def start_client(self, *args):
        return self.start(BUILD, '/usr/bin/python3',
                          os.path.join(EXAMPLES, 'python', 'demo-client.py'), *args,
                          program=os.path.join(EXAMPLES, 'with-build'))

    def check_report(self, text):
        self.assertRegex(text, r'(?m)^frames +\d+ of \d+x\d+ RGB')
        self.assertRegex(text, r'(?m)^latency +p50 \d+ µs, p99 \d+ µs')
        for fact in 'broken', 'lost', 'copies':
            self.assertRegex(text, rf'(?m)^{fact} +0\b')

    def test_client(self):
        picture = os.path.join(self.folder, 'x.png')
        self.publish('x', '--pattern', '--width', '64', '--height', '48', '--rate', '100')
        text = self.finish(self.start_client('x', '0.5', picture)).decode()
        self.check_report(text)
        self.assertIn(picture, text)
        with open(picture, 'rb') as file:
            data = file.read()
        self.assertTrue(data.startswith(b'\x89PNG\r\n\x1a\n'))
        self.assertEqual(data[16:24], bytes([0, 0, 0, 64, 0, 0, 0, 48]))

    def test_client_errors(self):
        self.finish(self.start_client('nobody'), 1, '^demo-client: .*“nobody”')

    def run_demo(self, *args, **env):
        demo = self.start(BUILD, *args, program=os.path.join(EXAMPLES, 'run-demo'),
                          env=self.env | {'TMPDIR': self.folder} | env)
        output, errors = demo.communicate(timeout=TIMEOUT)
        return demo.returncode, output.decode(), errors.decode()

    def test_demo(self):
        picture = os.path.join(self.folder, 'demo.png')
        status, text, errors = self.run_demo(IOSTREAM_DEMO_SECONDS='1',
                                             IOSTREAM_DEMO_PICTURE=picture)
        self.assertEqual((status, errors), (0, ''))
        self.check_report(text)
        self.assertIn('1920x1080', text)
        self.assertTrue(os.path.exists(picture))
        self.assertEqual(os.listdir(self.folder), ['demo.png'])

    def test_file(self):
        path = self.make_file(12_345_678)
        status, text, errors = self.run_demo(path)
        self.assertEqual((status, errors), (0, ''))
        self.assertIn('The 12345678 bytes are the same.', text)

    def test_no_such_file(self):
        status, _, errors = self.run_demo('/no/such')
        self.assertEqual(status, 1)
        self.assertIn('/no/such', errors)


class Result(unittest.TextTestResult):
    """Each test is a line of TAP."""

    def report(self, word, test, more=''):
        sys.stdout.write(f'{word} {self.testsRun} - {test.id().split(".", 1)[1]}{more}\n')
        sys.stdout.flush()

    def addSuccess(self, test):
        super().addSuccess(test)
        self.report('ok', test)

    def addError(self, test, err):
        super().addError(test, err)
        self.report('not ok', test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.report('not ok', test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.report('ok', test, f' # SKIP {reason}')

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.report('not ok', test, f' {subtest._subDescription()}')


if __name__ == '__main__':
    program = unittest.main(
        testRunner=unittest.TextTestRunner(resultclass=Result, verbosity=0), exit=False)
    print(f'1..{program.result.testsRun}')
    sys.exit(not program.result.wasSuccessful())
