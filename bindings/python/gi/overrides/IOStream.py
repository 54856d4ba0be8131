# SPDX-License-Identifier: LGPL-2.1-or-later
"""What makes IOStream pleasant in Python.

No method of the C library is replaced by one that takes other arguments; this
only adds: context managers, iteration over frames, memoryviews and arrays of
the shared memory, open() with all that a client can choose, statistics as
plain values, and virtual methods that may raise anything.
"""

import contextlib
import functools
import select
import threading
import time
import traceback

from gi.module import get_introspection_module
from gi.overrides import _iostream, override
from gi.repository import Gio, GLib, GObject

IOStream = get_introspection_module('IOStream')

Frame = _iostream.Frame

__all__ = ['Action', 'Connection', 'ExternalMethodArguments', 'Frame',
           'InterruptController', 'MemoryMap', 'NotificationPort', 'Registry',
           'Service', 'SharedDataQueue', 'SharedInterruptController', 'Stream',
           'StreamBuffer', 'StreamClientStatistics', 'StreamConnection',
           'StreamStatistics', 'UserClient', 'WorkLoop', 'open']

# GI_VFUNC_THROWS, which PyGObject has no name for.
_VFUNC_THROWS = 1 << 3

# Ctrl-C ends poll(), unless it comes a moment before: then after so many
# seconds.
_LONGEST_POLL = 0.5

# Between two attempts at an owner that goes away whenever it is asked.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.01, 1


def _make_error(exception, function):
    lines = traceback.format_exception_only(type(exception), exception)
    name = getattr(function, '__qualname__', type(function).__name__)
    text = f'{name}: {"".join(lines).strip()}'
    # File names have surrogates; neither they nor NUL have a place in C.
    text = text.encode('utf-8', 'backslashreplace').decode('utf-8')
    return GLib.Error.new_literal(IOStream.StreamError.quark(),
                                  text.replace('\0', '\\0'),
                                  IOStream.StreamError.FAILED)


def _guard_vfunc(function, is_boolean):
    """Makes of a method what C can call: it knows only GLib.Error, and takes
    the None of a method without a return statement for FALSE."""

    @functools.wraps(function)
    def guarded(*args, **kwargs):
        try:
            result = function(*args, **kwargs)
        except GLib.Error:
            raise
        except BaseException as exception:
            raise _make_error(exception, function) from exception
        return True if result is None and is_boolean else result

    guarded._iostream_is_guarded = True
    return guarded


def _guard_method(function):
    """As _guard_vfunc(), of a function that answers a call. What Python makes
    of an exception otherwise is an answer without values."""

    def guarded(*args):
        try:
            result = function(*args)
            if result is not None and not isinstance(result, GLib.Variant):
                raise TypeError(f'returned {type(result).__name__}, '
                                'not GLib.Variant or None')
        except GLib.Error:
            raise
        except BaseException as exception:
            raise _make_error(exception, function) from exception
        return result

    return guarded


def _guard_progress(function, data):
    """PyGObject passes the data of the second callback of a call only in a
    tuple, and calls nothing if it is in none."""
    if function is None:
        return None
    if data is None:
        data = ()
    elif not isinstance(data, tuple):
        data = (data,)
    return lambda connection, progress, *rest: function(connection, progress,
                                                        *data)


def _get_bytes(data):
    """GLib.Bytes of whatever a memoryview can be made of."""
    if data is None or isinstance(data, GLib.Bytes):
        return data
    return GLib.Bytes.new(bytes(memoryview(data)))


def _is_error(exception, *codes):
    return isinstance(exception, GLib.Error) and any(
        exception.matches(IOStream.StreamError.quark(), code)
        for code in codes)


def _get_microseconds(timeout):
    """Of seconds; None is for ever."""
    if timeout is None:
        return -1
    if timeout < 0:
        raise ValueError(f'timeout {timeout} is negative')
    # What would overflow is for ever.
    return int(min(timeout * 1e6, GLib.MAXINT64 // 2))


def _get_enum(cls, value):
    """The value of an enumeration, which may be called by its name."""
    if not isinstance(value, str):
        return cls(value)
    for choice in cls.__enum_values__.values():
        if choice.value_nick == value.lower().replace('_', '-'):
            return choice
    raise ValueError(f'there is no {cls.__name__} {value!r}')


def _find_vfunc(cls, name):
    for base in cls.__mro__:
        info = base.__dict__.get('__info__')
        for vfunc in getattr(info, 'get_vfuncs', tuple)():
            if 'do_' + vfunc.get_name() == name:
                return vfunc
    return None


def _guard_vfuncs(cls):
    for name, function in list(cls.__dict__.items()):
        if (not name.startswith('do_') or not callable(function) or
                hasattr(function, '_iostream_is_guarded')):
            continue
        vfunc = _find_vfunc(cls, name)
        if vfunc is not None and vfunc.get_flags() & _VFUNC_THROWS:
            tag = vfunc.get_return_type().get_tag_as_string()
            setattr(cls, name, _guard_vfunc(function, tag == 'gboolean'))


def _get_memory(memory_map):
    return None if memory_map is None else _iostream.Memory(memory_map)


def _get_view(memory_map):
    memory = _get_memory(memory_map)
    return memoryview(b'' if memory is None else memory)


@override
class MemoryMap(IOStream.MemoryMap):

    @property
    def data(self):
        """The mapped bytes, a memoryview that keeps them mapped."""
        return _get_view(self)


@override
class NotificationPort(IOStream.NotificationPort):

    def wait(self, timeout, cancellable=None):
        """As in C; Ctrl-C ends it."""
        return _iostream.wait(self, 'wait', timeout, cancellable)


@override
class InterruptController(IOStream.InterruptController):

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        _guard_vfuncs(cls)


@override
class SharedInterruptController(IOStream.SharedInterruptController):

    def wait(self, timeout, cancellable=None):
        """As in C; Ctrl-C ends it."""
        return _iostream.wait(self, 'wait', timeout, cancellable)


@override
class Registry(IOStream.Registry):

    @staticmethod
    def wait_for_service(matching, timeout, cancellable=None):
        """As in C; Ctrl-C ends it."""
        longest = int(_LONGEST_POLL * 1000000)
        while True:
            step = longest if timeout < 0 else min(timeout, longest)
            try:
                return IOStream.Registry.wait_for_service(matching, step,
                                                          cancellable)
            except GLib.Error as error:
                if timeout >= 0:
                    timeout -= step
                if timeout == 0 or not error.matches(
                        IOStream.StreamError.quark(),
                        IOStream.StreamError.TIMEOUT):
                    raise


@override
class WorkLoop(IOStream.WorkLoop):

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, exc_traceback):
        self.shut_down()

    def run_action(self, action, *args):
        """Runs action(*args) on the thread of the loop, waits for it, and
        returns whether it returned something true. What it raises is raised
        here."""
        raised = []

        def run(*user_data):
            try:
                return bool(action(*args))
            except BaseException as exception:
                raised.append(exception)
                return False

        result = super().run_action(run)
        if raised:
            raise raised.pop()
        return result


@override
class Service(IOStream.Service):

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        _guard_vfuncs(cls)

    def add_method(self, selector, func, *user_data):
        """As in C; what func raises is what the caller gets."""
        super().add_method(selector, _guard_method(func), *user_data)


@override
class Action(IOStream.Action):

    def complete(self, scalars=None, structure=None):
        """As in C; the structure can be bytes."""
        return super().complete(scalars, _get_bytes(structure))


@override
class ExternalMethodArguments(IOStream.ExternalMethodArguments):

    def set_structure_output(self, structure=None):
        """As in C; the structure can be bytes."""
        super().set_structure_output(_get_bytes(structure))


@override
class Connection(IOStream.Connection):

    def __enter__(self):
        if not self.is_open():
            self.open()
        return self

    def __exit__(self, exc_type, exc_value, exc_traceback):
        if self.is_open():
            self._iostream_try(self.close)

    def _iostream_try(self, method):
        """Calls it; an owner that is gone is stopped and closed as well."""
        try:
            method()
        except GLib.Error as error:
            if self.is_open() and not error.matches(
                    IOStream.StreamError.quark(),
                    IOStream.StreamError.OFFLINE):
                raise

    def open(self, options=0, cancellable=None):
        """As in C."""
        return super().open(options, cancellable)

    def call_async(self, selector, parameters=None, reply_type=None,
                   progress=None, progress_data=None, cancellable=None,
                   callback=None, *user_data):
        """As in C."""
        super().call_async(
            selector, parameters, reply_type, cancellable=cancellable,
            progress=_guard_progress(progress, progress_data),
            callback=callback, *user_data)

    def call_method(self, selector, scalar_input, structure_input,
                    max_scalar_output, max_structure_output,
                    cancellable=None):
        """As in C; the structure can be bytes."""
        return super().call_method(selector, scalar_input,
                                   _get_bytes(structure_input),
                                   max_scalar_output, max_structure_output,
                                   cancellable)

    def call_method_async(self, selector, scalar_input, structure_input,
                          max_scalar_output, max_structure_output,
                          progress=None, progress_data=None, cancellable=None,
                          callback=None, *user_data):
        """As in C; the structure can be bytes."""
        super().call_method_async(
            selector, scalar_input, _get_bytes(structure_input),
            max_scalar_output, max_structure_output, cancellable=cancellable,
            progress=_guard_progress(progress, progress_data),
            callback=callback, *user_data)


@override
class UserClient(IOStream.UserClient):

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        _guard_vfuncs(cls)


@override
class SharedDataQueue(IOStream.SharedDataQueue):

    def __iter__(self):
        """Iterates over the records until the other end hangs up: a read-only
        memoryview of each where it lies. It is released at the next step, and
        the record taken out of the queue; BufferError is raised there if
        something made of the view, a slice or an array, still looks at it.
        Raises GLib.Error if the other end died."""
        while (view := self._iostream_read(None)) is not None:
            yield view

    def read(self, timeout=None):
        """A view of the next record as in iteration, or None after `timeout`
        seconds or at the end."""
        if timeout is not None and timeout < 0:
            raise ValueError(f'timeout {timeout} is negative')
        return self._iostream_read(timeout)

    def _iostream_read(self, timeout):
        left = -1 if timeout is None else int(timeout * 1e6)
        while True:
            view = _iostream.take_record(self)
            if view is not None:
                return view
            try:
                self.wait_data(left)
            except GLib.Error as error:
                return self._iostream_end(error, left)

    def _iostream_end(self, error, timeout):
        quark = IOStream.StreamError.quark()
        # One that is attached is waited for elsewhere.
        if timeout == 0 and error.matches(quark, IOStream.StreamError.BUSY):
            if self.get_error() is not None:
                raise self.get_error()
            return None
        if error.matches(quark, IOStream.StreamError.TIMEOUT):
            return None
        if (error.matches(quark, IOStream.StreamError.OFFLINE) and
                self.get_error() is None):
            return None
        raise error

    def enqueue(self, data):
        """Takes bytes, or whatever a memoryview can be made of."""
        if not isinstance(data, bytes):
            data = bytes(memoryview(data))
        return super().enqueue(data)

    def consume(self):
        """Takes the record that was shown last out of the queue."""
        return _iostream.finish_record(self)

    def dequeue_bytes(self):
        """As in C; a record that was shown is taken before."""
        _iostream.finish_record(self)
        return super().dequeue_bytes()

    def wait_data(self, timeout, cancellable=None):
        """As in C; Ctrl-C ends it."""
        return _iostream.wait(self, 'wait_data', timeout, cancellable)

    def wait_space(self, size, timeout, cancellable=None):
        """As in C; Ctrl-C ends it."""
        return _iostream.wait(self, 'wait_space', timeout, cancellable, size)


def _get_fields(boxed, names):
    """What a structure of C says, with nicks for enumerations."""
    fields = {}
    for name in names:
        value = getattr(boxed, name)
        fields[name] = getattr(value, 'value_nick', value)
    return fields


@override
class StreamClientStatistics(IOStream.StreamClientStatistics):
    _iostream_fields = (
        'name', 'id', 'pid', 'uid', 'is_own', 'delivery', 'state', 'held',
        'queued', 'allowance', 'produced', 'delivered', 'returned', 'dropped',
        'dropped_newest', 'dropped_oldest', 'dropped_latest',
        'dropped_allowance', 'dropped_reserve', 'replayed', 'revoked',
        'held_time', 'longest_held_time', 'opened_at', 'last_activity',
        'violations')

    def to_dict(self):
        """A dictionary of numbers and strings, fit for json."""
        return _get_fields(self, self._iostream_fields)

    def __repr__(self):
        return (f'<IOStream.StreamClientStatistics {self.id} {self.name!r}, '
                f'process {self.pid}: {self.delivery.value_nick}, '
                f'{self.state.value_nick}, {self.delivered} delivered, '
                f'{self.dropped} dropped, {self.held} held>')


@override
class StreamStatistics(IOStream.StreamStatistics):
    _iostream_fields = (
        'state', 'mode', 'buffers', 'free_buffers', 'owned_buffers',
        'lent_buffers', 'arrived_buffers', 'reserve', 'clients', 'max_clients',
        'produced', 'delivered', 'returned', 'dropped', 'failures',
        'violations', 'last_activity', 'time')

    def to_dict(self):
        """A dictionary of numbers and strings, fit for json; `rows` is a list
        of one for each client that may be seen."""
        fields = _get_fields(self, self._iostream_fields)
        fields['rows'] = [row.to_dict() for row in self.get_clients()]
        return fields

    def __repr__(self):
        return (f'<IOStream.StreamStatistics {self.state.value_nick}: '
                f'{self.lent_buffers} of {self.buffers} buffers lent to '
                f'{self.clients} clients, {self.produced} produced, '
                f'{self.delivered} delivered, {self.dropped} dropped>')


@override
class Stream(IOStream.Stream):

    @contextlib.contextmanager
    def next_buffer(self, timeout=None, cancellable=None):
        """Waits until a buffer can be sent, for `timeout` seconds, and lends
        it to all clients at the end of the block; `with` gives the buffer. It
        stays here if the block raises, or if nobody wants it any more. Not in
        the thread that serves the stream. Raises GLib.Error if there is no
        buffer in time."""
        self.wait_buffer(_get_microseconds(timeout), cancellable)
        buffer = self.acquire_buffer()
        try:
            yield buffer
        except BaseException:
            self.release_buffer(buffer)
            raise
        try:
            self.send_buffer(buffer)
        except GLib.Error as error:
            self.release_buffer(buffer)
            if not _is_error(error, IOStream.StreamError.NOT_READY):
                raise

    def wait_buffer(self, timeout, cancellable=None):
        """As in C; Ctrl-C ends it."""
        return _iostream.wait(self, 'wait_buffer', timeout, cancellable)

    def wait_input(self, timeout, cancellable=None):
        """As in C; Ctrl-C ends it."""
        return _iostream.wait(self, 'wait_input', timeout, cancellable)


@override
class StreamBuffer(IOStream.StreamBuffer):

    @property
    def data(self):
        """The data part, a memoryview of the shared memory itself."""
        return _get_view(self.get_data_map())

    @property
    def control(self):
        """The control part, a memoryview; empty if there is none."""
        return _get_view(self.get_control_map())

    def array(self, dtype=None, shape=None, offset=0):
        """A NumPy array of the data part, without a copy."""
        data_map = self.get_data_map()
        memory = b'' if data_map is None else _iostream.Memory(data_map)
        return _iostream.array(memory, dtype, shape, offset)


@override
class StreamConnection(IOStream.StreamConnection):
    received = property(
        IOStream.StreamConnection.get_received,
        doc='How many frames were taken, of all owners.')
    lost = property(
        IOStream.StreamConnection.get_lost,
        doc='How many frames of this owner were missed.')
    held = property(
        IOStream.StreamConnection.get_held,
        doc='How many buffers this client holds.')
    generation = property(
        IOStream.StreamConnection.get_generation,
        doc='Counts the owners: 1 is the first.')

    # Whether iterating or reading started the stream, so that leaving stops
    # it; and whether anything here did, so that reading does not do it again
    # after the owner stopped it.
    _iostream_started = False
    _iostream_begun = False

    def __enter__(self):
        if not self.is_open():
            self.open()
        return self

    def __exit__(self, exc_type, exc_value, exc_traceback):
        try:
            self._iostream_stop()
        except GLib.Error:
            if exc_type is None:
                raise

    def _iostream_stop(self):
        started = self._iostream_started
        self._iostream_started = self._iostream_begun = False
        try:
            if started and self._iostream_is_running():
                self._iostream_try(self.stop)
        finally:
            if self.is_open() or self.is_waiting():
                self._iostream_try(self.close)

    def _iostream_is_running(self):
        return self.get_state() in (IOStream.StreamState.RUNNING,
                                    IOStream.StreamState.SUSPENDED)

    def _iostream_is_going_on(self):
        return self._iostream_is_running() or self.is_waiting()

    def start(self, cancellable=None):
        """As in C."""
        result = super().start(cancellable)
        self._iostream_begun = True
        return result

    def _iostream_start(self):
        # One that never was connected has nothing to end with.
        if not self._iostream_is_running() and (
                self.is_connected() or self.get_service_class() is None):
            self.start()
            self._iostream_started = True

    def __iter__(self):
        """Starts the stream if it is not running, and iterates over its
        frames until the owner stops it. Raises GLib.Error if the owner
        died; with the property `resume` it goes on with the next one."""
        self._iostream_start()
        return _iostream.Frames(self, StreamConnection._iostream_wait)

    def read(self, timeout=None):
        """The next frame, or None after `timeout` seconds or at the end.
        Starts the stream if that was not done before."""
        deadline = None
        if timeout is not None:
            if timeout < 0:
                raise ValueError(f'timeout {timeout} is negative')
            deadline = time.monotonic() + timeout
        frame = _iostream.take(self)
        if frame is not None:
            return frame
        if not self._iostream_begun:
            self._iostream_start()
        return self._iostream_wait(deadline)

    def wait(self, timeout, cancellable=None):
        """As in C; Ctrl-C ends it."""
        return _iostream.wait(self, 'wait', timeout, cancellable)

    def _iostream_wait(self, deadline=None):
        """The next frame, or None at the end or the deadline."""
        while True:
            try:
                if self.prepare_wait() and self._iostream_is_going_on():
                    self._iostream_poll(deadline)
            finally:
                self.finish_wait()
            frame = _iostream.take(self)
            if frame is not None:
                return frame
            if not self._iostream_is_going_on():
                return self._iostream_end()
            if deadline is not None and time.monotonic() >= deadline:
                return None

    def _iostream_poll(self, deadline):
        timeout = _LONGEST_POLL
        if deadline is not None:
            timeout = min(max(deadline - time.monotonic(), 0), timeout)
        poll = select.poll()
        poll.register(self.get_fd(), select.POLLIN)
        poll.poll(timeout * 1000)

    def _iostream_end(self):
        # What came just before the end is still to be had.
        frame = _iostream.take(self)
        if frame is None and self.get_error() is not None:
            raise self.get_error()
        return frame


def _wait_for_owner(name, timeout, cancellable):
    """Until somebody serves that name, in microseconds. A thread of its own
    waits: this one sees Ctrl-C meanwhile."""
    errors = []
    stop = Gio.Cancellable()
    done = threading.Event()

    def wait():
        try:
            IOStream.Connection.await_name(name, timeout, stop).hang_up()
        except GLib.Error as error:
            errors.append(error)
        finally:
            done.set()

    # Gio.Cancellable.connect() is another.
    handler = cancellable and GObject.Object.connect(
        cancellable, 'cancelled', lambda _: stop.cancel())
    if cancellable is not None and cancellable.is_cancelled():
        stop.cancel()
    thread = threading.Thread(target=wait, name='wait for ' + name,
                              daemon=True)
    try:
        thread.start()
        # Not join(): the next one would not wait after Ctrl-C.
        done.wait()
    finally:
        stop.cancel()
        # One that Ctrl-C kept from starting ends at once if it still does.
        if thread.ident is not None:
            done.wait()
            thread.join()
        if handler is not None:
            GObject.Object.disconnect(cancellable, handler)
    if errors:
        raise errors.pop()


def _open_once(stream, options, properties, cancellable):
    if isinstance(stream, IOStream.Stream):
        connection = StreamConnection.new_for_stream(stream)
    else:
        connection = StreamConnection.new_for_name(stream, cancellable)
    for name, value in properties.items():
        connection.set_property(name, value)
    connection.open(options, cancellable)
    return connection


def open(stream, *, shared=False, delivery=IOStream.StreamDelivery.BLOCK,
         replay=0, resume=False, timeout=0, options=0, cancellable=None):
    """Opens a stream by its name, or one that this thread itself serves.

    shared: whether others can have it open as well.
    delivery: what happens when this client is slow: 'block', 'drop-newest',
        'drop-oldest', 'latest', or an IOStream.StreamDelivery.
    replay: how many frames of before it wants.
    resume: whether to go on with the next owner after the end of one.
    timeout: how long to wait for an owner, in seconds; None is for ever.
    options: further flags, as IOStream.ServiceOpenFlags.SEIZE.

    Returns an IOStream.StreamConnection: use it in `with`, and iterate over
    it. Ctrl-C ends the wait."""
    left = _get_microseconds(timeout)
    deadline = time.monotonic() + left / 1e6
    pause = _SHORTEST_PAUSE
    properties = dict(delivery=_get_enum(IOStream.StreamDelivery, delivery),
                      replay=replay, resume=resume)
    options = int(options)
    if shared:
        options |= IOStream.StreamOpenFlags.SHARED
    while True:
        try:
            return _open_once(stream, options, properties, cancellable)
        except GLib.Error as error:
            if timeout is not None:
                left = max(0, int((deadline - time.monotonic()) * 1e6))
            if left == 0 or not _is_error(
                    error, IOStream.StreamError.NOT_FOUND,
                    IOStream.StreamError.NOT_READY,
                    IOStream.StreamError.OFFLINE):
                raise
            if not _is_error(error, IOStream.StreamError.NOT_FOUND):
                time.sleep(min(pause, left / 1e6) if left > 0 else pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        _wait_for_owner(stream, left, cancellable)
