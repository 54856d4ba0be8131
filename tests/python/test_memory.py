#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shared memory as Python sees it, without a stream around it."""

from iostreamtest import *

from gi.overrides import _iostream


def make_memory(length=4096):
    return IOStream.BufferMemoryDescriptor.new(
        length, IOStream.StreamPeerAccess.READ)


def make_map(length=4096, flags=IOStream.MemoryMapFlags.NONE):
    return make_memory(length).map(flags)


def is_mapped(address):
    """Whether there is memory at an address, without touching it."""
    with open('/proc/self/maps', encoding='ascii') as maps:
        for line in maps:
            start, end = (int(text, 16) for text in
                          line.split()[0].split('-'))
            if start <= address < end:
                return True
    return False


def get_address(view):
    return numpy.asarray(view).__array_interface__['data'][0]


class TestMap(TestCase):

    def test_length(self):
        memory_map = make_map(1000)
        self.assertEqual(len(memory_map.data), 1000)
        self.assertEqual(memory_map.data.nbytes, 1000)
        self.assertEqual(memory_map.data.format, 'B')

    def test_is_shared(self):
        memory = make_memory()
        one = memory.map(0)
        two = memory.map(0)
        one.data[10:15] = b'hello'
        self.assertEqual(bytes(two.data[10:15]), b'hello')

    def test_read_only(self):
        memory_map = make_map(flags=IOStream.MemoryMapFlags.READ_ONLY)
        self.assertTrue(memory_map.data.readonly)
        with self.assertRaises(TypeError):
            memory_map.data[0] = 1

    def test_writable(self):
        self.assertFalse(make_map().data.readonly)

    def test_numpy_read_only(self):
        memory_map = make_map(flags=IOStream.MemoryMapFlags.READ_ONLY)
        array = numpy.asarray(memory_map.data)
        self.assertFalse(array.flags.writeable)
        with self.assertRaises(ValueError):
            array[0] = 1
        with self.assertRaises(ValueError):
            array.flags.writeable = True

    def test_numpy_is_no_copy(self):
        memory_map = make_map()
        array = numpy.asarray(memory_map.data)
        array[:4] = (1, 2, 3, 4)
        self.assertEqual(bytes(memory_map.data[:4]), b'\1\2\3\4')

    def test_view_keeps_mapping(self):
        memory_map = make_map()
        view = memory_map.data
        view[0] = 7
        address = get_address(view)
        del memory_map
        gc.collect()
        self.assertTrue(is_mapped(address))
        self.assertEqual(view[0], 7)

    def test_array_keeps_mapping(self):
        array = numpy.asarray(make_map().data)[10:20]
        gc.collect()
        array[0] = 9
        self.assertEqual(array[0], 9)

    def test_last_view_unmaps(self):
        view = make_map(1 << 20).data
        address = get_address(view)
        part = view[5:]
        del view
        gc.collect()
        self.assertTrue(is_mapped(address))
        del part
        gc.collect()
        self.assertFalse(is_mapped(address))

    def test_view_released_by_hand(self):
        memory_map = make_map()
        view = memory_map.data
        array = numpy.frombuffer(view, numpy.uint8)
        address = get_address(array)
        view.release()
        del memory_map
        gc.collect()
        self.assertTrue(is_mapped(address))
        array[0] = 1

    def test_unmap_with_view(self):
        memory_map = make_map()
        view = memory_map.data
        view[0] = 5
        memory_map.unmap()
        self.assertEqual(view[0], 5)
        self.assertEqual(bytes(memory_map.data), b'')

    def test_view_in_cycle(self):
        class Holder:
            pass
        holder = Holder()
        holder.self = holder
        holder.view = make_map(1 << 20).data
        address = get_address(holder.view)
        del holder
        gc.collect()
        self.assertFalse(is_mapped(address))

    def test_view_dropped_in_thread(self):
        views = [make_map(1 << 20).data]
        address = get_address(views[0])
        thread = threading.Thread(target=views.clear)
        thread.start()
        thread.join()
        gc.collect()
        self.assertFalse(is_mapped(address))


class TestExporter(TestCase):

    def test_range(self):
        memory_map = make_map(100)
        memory_map.data[:] = bytes(range(100))
        memory = _iostream.Memory(memory_map, 10, 5)
        self.assertEqual(len(memory), 5)
        self.assertEqual(bytes(memory), bytes(range(10, 15)))

    def test_rest(self):
        memory = _iostream.Memory(make_map(100), offset=40)
        self.assertEqual(len(memory), 60)

    def test_empty(self):
        memory = _iostream.Memory(make_map(100), 100)
        self.assertEqual(bytes(memory), b'')
        self.assertEqual(_iostream.array(memory, None, None, 0).shape, (0,))

    def test_out_of_range(self):
        memory_map = make_map(100)
        for offset, length in ((101, -1), (0, 101), (100, 1), (-1, 5),
                               (0, -2), (2**62, 2**62), (1, 2**63 - 1)):
            with self.assertRaises(ValueError):
                _iostream.Memory(memory_map, offset, length)

    def test_wrong_types(self):
        for wrong in (None, 5, b'bytes', GObject.Object(), object()):
            with self.assertRaises(TypeError):
                _iostream.Memory(wrong)
        with self.assertRaises(TypeError):
            _iostream.Memory()
        with self.assertRaises(TypeError):
            _iostream.Memory(make_map(), 'x')
        with self.assertRaises(OverflowError):
            _iostream.Memory(make_map(), 2**70)

    def test_writable_wanted(self):
        memory_map = make_map(flags=IOStream.MemoryMapFlags.READ_ONLY)
        with self.assertRaises((BufferError, TypeError)):
            os.readv(0, [_iostream.Memory(memory_map)])

    def test_repr(self):
        self.assertEqual(repr(_iostream.Memory(make_map(10))),
                         '<_iostream.Memory of 10 bytes, writable>')

    def test_internal_types(self):
        for cls in (_iostream.Loan, IOStream.Frame):
            with self.assertRaises(TypeError):
                cls()

    def test_take_wrong(self):
        for wrong in (None, GObject.Object(), make_map()):
            with self.assertRaises(TypeError):
                _iostream.take(wrong)
            with self.assertRaises(TypeError):
                _iostream.Frames(wrong, print)


class TestArray(TestCase):

    def setUp(self):
        super().setUp()
        self.map = make_map(24)
        self.map.data[:] = bytes(range(24))
        self.memory = _iostream.Memory(self.map)

    def make(self, dtype=None, shape=None, offset=0):
        return _iostream.array(self.memory, dtype, shape, offset)

    def test_bytes(self):
        array = self.make()
        self.assertEqual(array.dtype, numpy.uint8)
        self.assertEqual(array.tolist(), list(range(24)))

    def test_dtype(self):
        self.assertEqual(self.make('<u2')[1], 0x0302)
        self.assertEqual(self.make(numpy.float64).shape, (3,))
        self.assertEqual(self.make([('a', 'u1'), ('b', '<u2')])['b'][0], 0x201)

    def test_shape(self):
        self.assertEqual(self.make(None, (2, 4, 3))[1, 0, 0], 12)
        self.assertEqual(self.make(None, [4, -1]).shape, (4, 6))
        self.assertEqual(self.make(None, -1).shape, (24,))
        self.assertEqual(self.make(None, 5).shape, (5,))
        self.assertEqual(self.make('u4', (2, 3)).shape, (2, 3))
        self.assertEqual(self.make(None, ()).shape, ())

    def test_shape_of_a_part(self):
        self.assertEqual(self.make(None, (2, 5)).shape, (2, 5))

    def test_offset(self):
        self.assertEqual(self.make(None, None, 20).tolist(), [20, 21, 22, 23])
        self.assertEqual(self.make('u4', 1, 1)[0], 0x04030201)
        self.assertEqual(self.make(None, None, 24).shape, (0,))

    def test_wrong(self):
        for arguments in ((None, 25), (None, (5, 5)), (None, (-1, -1)),
                          (None, (-2,)), (None, (2**40, 2**40)),
                          ('u4', 7), ('u4', None, 1), ('V0',),
                          (None, None, 25), (None, None, -1), (object,),
                          ([('a', 'O')],), (None, (0, -1))):
            with self.assertRaises(ValueError, msg=str(arguments)):
                self.make(*arguments)
        for arguments in (('nonsense',), (None, 'ab'), (None, 1.5),
                          (None, None, 'x')):
            with self.assertRaises(TypeError, msg=str(arguments)):
                self.make(*arguments)

    def test_writes_through(self):
        self.make()[3] = 99
        self.assertEqual(self.map.data[3], 99)

    def test_keeps_mapping(self):
        array = self.make(None, (4, 6))[1:, 2:]
        del self.map, self.memory
        gc.collect()
        self.assertEqual(array[0, 0], 8)


class TestError(TestCase):

    def test_domain(self):
        with self.assertStreamError(IOStream.StreamError.BAD_ARGUMENT):
            make_memory(0)

    def test_quark(self):
        self.assertEqual(GLib.quark_to_string(IOStream.StreamError.quark()),
                         'io-stream-error-quark')

    def test_other_code_does_not_match(self):
        with self.assertRaises(GLib.Error) as context:
            make_memory(0)
        self.assertFalse(context.exception.matches(
            IOStream.StreamError.quark(), IOStream.StreamError.NOT_FOUND))
        self.assertFalse(context.exception.matches(
            Gio.io_error_quark(), IOStream.StreamError.BAD_ARGUMENT))


if __name__ == '__main__':
    main()
