import { partBytes, windowBytes } from './frames.ts';
import { runnerPort } from '../../plan/devices.ts';
import { runnerPlaces } from './runner-places.ts';

/**
 * What runs commands inside a throwaway machine: a program of the guest's, given on the seed, in Python 3.6 or later since every
 * image with cloud-init has that. It speaks on the port `runnerPort` in frames (api/throwaway/frames.ts) and imports little: starting
 * is most of what it does. Nothing that qward promises rests on it: in the guest, anybody may answer in its place.
 */
export const runnerProgram = String.raw`"""Runs commands for qward, given over a port of virtio-serial. Part of qward's seed (docs/throwaway.md)."""
import _signal, fcntl, os, select, struct, sys, time  # signal and its classes take as long as all else together

PORT = "${runnerPort}"
HEAD = struct.Struct(">cII")  # type, command, bytes that follow
PART = ${partBytes}  # of a stream at once
WINDOW = ${windowBytes}  # of each stream under way
TIOCSCTTY, TIOCSWINSZ = 0x540E, 0x5414
RNDADDENTROPY, RNDRESEEDCRNG = 0x40085203, 0x5207
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find_port():
    """The port's node in /dev; udev may not have named it yet."""
    base = "/sys/class/virtio-ports"
    for attempt in range(1200):
        for entry in os.listdir(base) if os.path.isdir(base) else []:
            try:
                with open("%s/%s/name" % (base, entry)) as name:
                    if name.read().strip() == PORT:
                        return "/dev/" + entry
            except OSError:
                pass
        if attempt == 20:
            os.system("modprobe virtio_console 2>/dev/null")
        time.sleep(0.05)
    sys.exit("qward runner: no port " + PORT)


def has_route():
    try:
        with open("/proc/net/route") as table:
            return any(line.split()[1] == "00000000" for line in table.readlines()[1:])
    except (OSError, IndexError):
        return False


class Wish:
    """What is to be run: fields that end with NUL, each name=value; after an empty one the program and its arguments."""

    def __init__(self, data):
        fields = data.split(b"\0")
        at = fields.index(b"")
        self.argv = fields[at + 1 :]
        self.env, self.cwd, self.terminal = {}, None, None
        for name, _, value in (field.partition(b"=") for field in fields[:at]):
            if name == b"env":
                key, _, content = value.partition(b"=")
                self.env[key] = content
            elif name == b"cwd":
                self.cwd = value
            elif name == b"terminal":
                self.terminal = value


class Command:
    def __init__(self, number, wish):
        self.number = number
        self.pending = []  # for its standard input
        self.closing = False
        self.status = None
        self.credit = {b"O": WINDOW, b"E": WINDOW}
        self.pid, self.stdin, self.outputs = spawn(wish)
        for fd in [self.stdin] + list(self.outputs):
            os.set_blocking(fd, False)

    def end_input(self):
        os.close(self.stdin)
        self.stdin = None


def spawn(wish):
    """Pid, descriptor of its input, and those of its outputs with their types."""
    failed, report = os.pipe()
    if wish.terminal:
        master, slave = os.openpty()
        resize(slave, wish.terminal)
        theirs = [slave, slave, slave]
        stdin, outputs = os.dup(master), {master: b"O"}
    else:
        (a, stdin), (out, b), (err, c) = os.pipe(), os.pipe(), os.pipe()
        theirs = [a, b, c]
        outputs = {out: b"O", err: b"E"}
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            for fd, end in enumerate(theirs):
                os.dup2(end, fd)
            if wish.terminal:
                fcntl.ioctl(0, TIOCSCTTY, 0)
            env = {b"PATH": PATH, b"HOME": "/root", b"USER": "root", b"LOGNAME": "root", b"SHELL": "/bin/sh"}
            env.update(wish.env)
            score(0)
            _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
            if wish.cwd:
                os.chdir(wish.cwd)
            os.execvpe(wish.argv[0], wish.argv, env)
        except BaseException as error:
            os.write(report, str(error).encode()[:1000] or b"it cannot be run")
        os._exit(127)
    os.close(report)
    for fd in set(theirs):
        os.close(fd)
    # Closed by the program that takes the child's place; what comes instead is why none did.
    words = os.read(failed, 1000)
    os.close(failed)
    if words:
        os.waitpid(pid, 0)
        for fd in [stdin] + list(outputs):
            os.close(fd)
        raise OSError(words.decode("utf-8", "replace"))
    return pid, stdin, outputs


def resize(fd, size):
    """ROWS COLUMNS."""
    rows, columns = (int(word) for word in size.split())
    fcntl.ioctl(fd, TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def freshen(data):
    """In a copy of a saved machine: the time, and random numbers that the other copies do not have."""
    time.clock_settime(time.CLOCK_REALTIME, struct.unpack(">d", data[:8])[0])
    random = data[8:]
    with open("/dev/urandom", "wb", 0) as pool:
        fcntl.ioctl(pool, RNDADDENTROPY, struct.pack("ii", 8 * len(random), len(random)) + random)
        fcntl.ioctl(pool, RNDRESEEDCRNG)


def score(value):
    """Whom the kernel ends first where the guest has no memory left."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(value))
    except OSError:
        pass

${runnerPlaces}

class Runner:
    def __init__(self, port):
        self.port = port
        self.incoming = b""
        self.outgoing = []
        self.commands = {}
        self.listeners = {}
        self.carried = FIRST_CARRIED
        self.connected = False
        self.woken, self.wake = os.pipe()
        os.set_blocking(self.woken, False)
        os.set_blocking(self.wake, False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        _signal.set_wakeup_fd(self.wake)

    def tell(self, kind, number, data=b""):
        self.outgoing.append(HEAD.pack(kind, number, len(data)) + data)

    def run(self):
        while True:
            reads, writes = {self.woken: None, self.port: None}, {}
            for command in self.commands.values():
                for fd, kind in command.outputs.items():
                    if command.credit[kind] > 0:
                        reads[fd] = command
                if command.pending and command.stdin is not None:
                    writes[command.stdin] = command
            if sum(number >= FIRST_CARRIED for number in self.commands) < MOST_CARRIED:
                reads.update((listener.fileno(), listener) for listener in self.listeners)
            if self.outgoing:
                writes[self.port] = None
            poll = select.poll()
            for fd in set(reads) | set(writes):
                poll.register(fd, (select.POLLIN if fd in reads else 0) | (select.POLLOUT if fd in writes else 0))
            ready = dict(poll.poll())
            self.connected = self.connected or not ready.get(self.port, 0) & select.POLLHUP
            for fd, events in ready.items():
                if fd == self.woken:
                    self.reap()
                elif fd == self.port:
                    if events & select.POLLOUT:
                        self.send()
                    if events & select.POLLHUP:
                        self.alone()
                    elif events & select.POLLIN:
                        self.receive()
                elif fd in writes:
                    self.feed(writes[fd])
                elif reads.get(fd) in self.listeners:
                    self.accept(reads[fd])
                elif reads.get(fd) is not None and fd in reads[fd].outputs:
                    self.read(reads[fd], fd)
            for command in [one for one in self.commands.values() if one.status is not None]:
                self.finish(command)

    def alone(self):
        """Nobody is connected on the host: not yet, or not any more, and then this machine is over."""
        if self.connected:
            try:
                with open("/proc/sysrq-trigger", "w") as trigger:
                    trigger.write("o")
            except OSError:
                pass
            os.system("poweroff -f")
        time.sleep(0.05)

    def send(self):
        try:
            while self.outgoing:
                written = os.write(self.port, self.outgoing[0][:PART])
                rest = self.outgoing[0][written:]
                self.outgoing[:1] = [rest] if rest else []
        except BlockingIOError:
            pass

    def receive(self):
        try:
            self.incoming += os.read(self.port, 65536)
        except BlockingIOError:
            return
        while len(self.incoming) >= HEAD.size:
            kind, number, length = HEAD.unpack(self.incoming[: HEAD.size])
            if len(self.incoming) < HEAD.size + length:
                return
            data = self.incoming[HEAD.size : HEAD.size + length]
            self.incoming = self.incoming[HEAD.size + length :]
            self.obey(kind, number, data)

    def obey(self, kind, number, data):
        if kind == b"T":
            freshen(data)
            return
        if kind == b"N":
            self.listen(data)
            return
        if kind == b"X":
            try:
                self.commands[number] = Command(number, Wish(data))
            except (OSError, ValueError, IndexError) as error:
                self.tell(b"F", number, str(error).encode()[:1000])
            return
        command = self.commands.get(number)
        if command is None:
            return
        if kind == b"I" and command.stdin is not None:
            command.pending.append(data)
        elif kind == b"I":
            self.tell(b"A", number, str(len(data)).encode())
        elif kind == b"C":
            command.closing = True
            self.feed(command)
        elif kind == b"A":
            command.credit[data[:1]] += int(data[1:])
        elif kind == b"K":
            self.signal(command, int(data or b"9"))
        elif kind == b"W":
            for fd in list(command.outputs)[:1]:
                resize(fd, data)

    def listen(self, data):
        try:
            places = [line.split() for line in data.decode().splitlines()]
            self.listeners = listen_for([(host, int(port)) for host, port in places])
            self.tell(b"N", 0)
        except (OSError, ValueError) as error:
            self.tell(b"N", 0, (str(error) or "it cannot listen").encode()[:1000])

    def accept(self, listener):
        try:
            fd, _ = listener._accept()
        except OSError:
            return
        os.set_blocking(fd, False)
        self.commands[self.carried] = Connection(self.carried, fd)
        self.tell(b"B", self.carried, str(self.listeners[listener]).encode())
        self.carried += 1

    def signal(self, command, number):
        if not command.pid:
            command.reset()
            return
        try:
            os.killpg(command.pid, number)
        except OSError:
            pass

    def feed(self, command):
        if command.stdin is None:
            return
        try:
            while command.pending:
                written = os.write(command.stdin, command.pending[0])
                self.tell(b"A", command.number, str(written).encode())
                rest = command.pending[0][written:]
                command.pending[:1] = [rest] if rest else []
        except BlockingIOError:
            return
        except OSError:
            left = sum(len(part) for part in command.pending)
            self.tell(b"A", command.number, str(left).encode())
            command.pending, command.closing = [], True
        if command.closing and not command.pending:
            command.end_input()

    def read(self, command, fd):
        """True where there may be more."""
        kind = command.outputs[fd]
        try:
            data = os.read(fd, min(PART, command.credit[kind]))
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # the other side of a terminal has gone
        if not data:
            os.close(fd)
            del command.outputs[fd]
            if not command.pid:
                self.tell(b"C", command.number)
            return False
        command.credit[kind] -= len(data)
        self.tell(kind, command.number, data)
        return True

    def reap(self):
        try:
            os.read(self.woken, 4096)
        except BlockingIOError:
            pass
        for command in self.commands.values():
            if command.pid and command.status is None:
                pid, status = os.waitpid(command.pid, os.WNOHANG)
                if pid:
                    command.status = status

    def finish(self, command):
        """It has ended: what it wrote goes out first. A process that it left behind is not waited for."""
        for fd, kind in list(command.outputs.items()):
            while command.credit[kind] > 0 and self.read(command, fd):
                pass
            if fd in command.outputs and command.credit[kind] <= 0:
                return
        for fd in list(command.outputs) + ([] if command.stdin is None else [command.stdin]):
            os.close(fd)
        status = command.status
        ended = ("signal", os.WTERMSIG(status)) if os.WIFSIGNALED(status) else ("code", os.WEXITSTATUS(status))
        del self.commands[command.number]
        self.tell(b"S", command.number, ("%s %d" % ended).encode())


def main():
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    os.chdir("/")
    score(-900)
    runner = Runner(os.open(find_port(), os.O_RDWR | os.O_NONBLOCK))
    wait_until = time.monotonic() + (60 if "--network" in sys.argv else 0)
    while time.monotonic() < wait_until and not has_route():
        time.sleep(0.1)
    runner.tell(b"H", 0, b"qward-runner 1")
    runner.run()


main()
`;
