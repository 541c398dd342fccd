/** The runner's part for places that a throwaway machine may connect to (api/throwaway/places.ts), in Python; joined to the rest of it. */
import { firstCarried } from './frames.ts';

/** 127.77.0.1 and on: one for each name. */
export const runnerPlaces = String.raw`
FIRST_CARRIED = ${firstCarried}
MOST_CARRIED = 200
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8913, 0x8914, 0x8916, 0x891C


class Connection:
    """Of a program in the guest to a place; carried over the port. Served as a command is, with one descriptor for each direction."""

    pid = 0

    def __init__(self, number, fd):
        self.number = number
        self.pending = []
        self.closing = False
        self.credit = {b"O": WINDOW}
        self.stdin = os.dup(fd)
        self.outputs = {fd: b"O"}

    @property
    def status(self):
        return 0 if self.stdin is None and not self.outputs else None

    def end_input(self):
        with_fd(self.stdin, lambda half: half.shutdown(1))
        os.close(self.stdin)
        self.stdin = None

    def reset(self):
        """The other side is gone: programs here see the same."""
        for fd in list(self.outputs) + ([] if self.stdin is None else [self.stdin]):
            with_fd(fd, lambda half: half.setsockopt(1, 13, struct.pack("ii", 1, 0)))  # SO_LINGER
            os.close(fd)
        self.outputs, self.stdin, self.pending = {}, None, []


def with_fd(fd, work):
    import _socket

    half = _socket.socket(fileno=os.dup(fd))
    try:
        work(half)
    except OSError:
        pass
    half.close()


def listen_for(places):
    """Listens where programs find each place: {socket: index}. A name leads to an address of loopback, an address to loopback itself."""
    import _socket

    control = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    flags = fcntl.ioctl(control.fileno(), SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
    up = struct.unpack("16sh14x", flags)[1] | 1
    fcntl.ioctl(control.fileno(), SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", up))
    names, listeners = {}, {}
    for index, (host, port) in enumerate(places):
        family, packed = _socket.AF_INET, None
        for candidate in (_socket.AF_INET, _socket.AF_INET6):
            try:
                family, packed = candidate, _socket.inet_pton(candidate, host)
            except OSError:
                pass
        if packed is None:
            address = names.setdefault(host, "127.77.0.%d" % (len(names) + 1))
        else:
            address = host
            own_address(control, index, family, packed)
        listener = _socket.socket(family, _socket.SOCK_STREAM)
        listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(128)
        listener.setblocking(False)
        listeners[listener] = index
    control.close()
    os.makedirs("/etc", exist_ok=True)
    with open("/etc/hosts", "a") as hosts:
        hosts.write("".join("\n%s %s" % (address, name) for name, address in names.items()) + "\n")
    return listeners


def own_address(control, index, family, packed):
    """Loopback answers for it. netdevice(7), ipv6(7)."""
    import _socket

    if family == _socket.AF_INET6:
        six = _socket.socket(family, _socket.SOCK_DGRAM)
        try:
            fcntl.ioctl(six.fileno(), SIOCSIFADDR, struct.pack("16sIi", packed, 128, 1))
        except FileExistsError:
            pass
        six.close()
    elif packed[0] != 127:
        name = b"lo:%d" % index
        for call, value in (SIOCSIFADDR, packed), (SIOCSIFNETMASK, b"\xff\xff\xff\xff"):
            fcntl.ioctl(control.fileno(), call, struct.pack("16sHH4s8x", name, family, 0, value))
`;
