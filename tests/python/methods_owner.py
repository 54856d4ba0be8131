# SPDX-License-Identifier: LGPL-2.1-or-later
"""An owner with methods, in a process of its own: `methods_owner.py NAME`.
It ends with its standard input."""

from iostreamtest import *

ECHO, KEEP, FAIL, RAISE, COUNT, NOTHING, WRONG = range(7)


class Client(IOStream.UserClient):

    def do_external_method(self, selector, arguments):
        scalars = arguments.get_scalar_input()
        structure = arguments.get_structure_input()
        action = arguments.get_completion()
        if selector == ECHO and action is not None:
            action.complete(scalars, structure)
        elif selector == ECHO:
            arguments.set_scalar_output(scalars)
            arguments.set_structure_output(structure)
        elif selector == RAISE:
            raise ValueError('no such lens')
        else:
            raise GLib.Error.new_literal(IOStream.StreamError.quark(),
                                         f'no method {selector}',
                                         IOStream.StreamError.BAD_ARGUMENT)

    def do_trap(self, index, token):
        if index != 0:
            raise ValueError(f'trap {index}')
        self.get_service().token = token

    def do_register_notification_port(self, port, type, reference):
        port.send_notification()

    def do_client_memory_for_type(self, type):
        memory = self.get_service().memory
        return memory, IOStream.MemoryMapFlags.READ_ONLY


class Service(IOStream.Service):
    token = 0

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.kept = []
        self.aborted = 0
        self.memory = IOStream.BufferMemoryDescriptor.new_bytes(
            GLib.Bytes.new(b'shared'), IOStream.StreamPeerAccess.READ)
        for selector in range(7):
            self.add_method(selector, self.on_method)

    def do_new_user_client(self, properties):
        return Client()

    def on_method(self, service, client, selector, parameters, action, *data):
        if selector == ECHO:
            return parameters
        if selector == COUNT:
            return GLib.Variant('(uuu)', (len(self.kept), self.aborted,
                                          self.token))
        if selector == FAIL:
            raise GLib.Error.new_literal(IOStream.StreamError.quark(), 'dirty',
                                         IOStream.StreamError.DEVICE_ERROR)
        if selector == RAISE:
            raise ValueError('no such lens')
        if selector == WRONG:
            return 7
        if selector == KEEP and action is not None:
            self.kept.append(action)
            action.connect('aborted', self.on_aborted)
            if parameters.get_type_string() == '(u)':
                GLib.idle_add(self.work, action, parameters.unpack()[0])
        return None

    def on_aborted(self, action):
        self.aborted += 1
        self.kept.remove(action)

    def work(self, action, steps):
        for step in range(steps):
            action.report_progress(GLib.Variant('u', step))
        action.complete_variant(GLib.Variant('s', 'done'))
        self.kept.remove(action)


def run(name):
    loop = GLib.MainLoop()
    service = Service(name=name)
    service.register()
    GLib.io_add_watch(sys.stdin, GLib.IO_IN | GLib.IO_HUP,
                      lambda *args: loop.quit())
    print('ready', flush=True)
    loop.run()
    service.terminate()


if __name__ == '__main__':
    run(sys.argv[1])
