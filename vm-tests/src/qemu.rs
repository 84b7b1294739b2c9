//! One machine: its devices, its process, and the ends of its wires.

use std::fs::File;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::accelerator::Accelerator;
use crate::agent::{self, Agent};
use crate::command::{TICK, wait};
use crate::console::Console;
use crate::qmp::Monitor;
use crate::{Context, Result};

/// With the kernel's console on the serial port. A panic stops the guest, so that it is seen and not booted away.
/// systemd from 257 on asks a terminal how large it is, and waits for the answer, unless it is told.
const KERNEL_OPTIONS: &str = "console=ttyS0 quiet panic=0 reboot=t net.ifnames=0 \
    systemd.tty.rows.console=24 systemd.tty.columns.console=80 systemd.tty.rows.ttyS0=24 systemd.tty.columns.ttyS0=80";
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
const SSH: u16 = 22;

/// qemu, up to its devices.
pub(crate) fn command(accelerator: Accelerator, kernel: &Path, initramfs: &Path, options: &str) -> Command {
    let mut command = Command::new("setpriv");
    // Whoever ends this process by force ends its guests too. The signal is kept over the exec of qemu.
    command.args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64"]);
    command.args(["-nodefaults", "-no-user-config", "-display", "none"]);
    command.args(["-M", "q35", "-m", "1024", "-smp", "2"]).args(accelerator.options());
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
    command.args(["-append", &format!("{KERNEL_OPTIONS} {options}")]);
    command
}

/// What a machine is made of.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) accelerator: Accelerator,
    pub(crate) kernel: &'a Path,
    pub(crate) initramfs: &'a Path,
    /// Read-only, shared by all machines.
    pub(crate) image: &'a Path,
    /// This machine's alone. It keeps what was written over a cut of the power.
    pub(crate) disk: &'a Path,
    /// For sockets and qemu's messages.
    pub(crate) folder: &'a Path,
}

/// A running machine. It is gone with this value.
#[derive(Debug)]
pub(crate) struct Machine {
    child: Mutex<Child>,
    console: Console,
    agent: Mutex<Agent>,
    monitor: Mutex<Monitor>,
    port: u16,
    messages: PathBuf,
    /// Held by nobody else: the thread that started qemu ends when it is dropped.
    _starter: Sender<()>,
}

impl Machine {
    pub(crate) fn start(parts: &Parts<'_>) -> Result<Self> {
        let wants: String = agent::UNITS.iter().map(|unit| format!(" systemd.wants={unit}")).collect();
        let mut qemu = command(parts.accelerator, parts.kernel, parts.initramfs, &wants);
        add_disk(&mut qemu, "image", parts.image, "readonly=on");
        // What the guest has flushed is in the host's memory at least, and that survives the guest's power.
        add_disk(&mut qemu, "own", parts.disk, "cache=unsafe");
        qemu.args(["-device", "virtio-rng-pci"]);
        // No way out of the guest, and one way in, on the loopback interface and a port that is free.
        qemu.args(["-netdev", &format!("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:{SSH}")]);
        qemu.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        qemu.args(["-device", "virtio-serial-pci"]);
        let console = wire(&mut qemu, parts.folder, "console", &["-serial", "chardev:console"])?;
        let port = format!("virtserialport,chardev=agent,name={}", agent::PORT);
        let agent = wire(&mut qemu, parts.folder, "agent", &["-device", &port])?;
        let monitor = wire(&mut qemu, parts.folder, "monitor", &["-mon", "chardev=monitor,mode=control"])?;

        let messages = parts.folder.join("qemu.log");
        let log = File::create(&messages).context(|| format!("cannot create {}", messages.display()))?;
        qemu.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(log));
        let (mut child, starter) = start(qemu)?;
        match connect(&mut child, &[console, agent, monitor]) {
            Ok((console, agent, monitor, port)) => Ok(Self {
                child: Mutex::new(child),
                console,
                agent: Mutex::new(agent),
                monitor: Mutex::new(monitor),
                port,
                messages,
                _starter: starter,
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("{error}; qemu says: {}", text_of(&messages)))
            }
        }
    }

    pub(crate) fn console(&self) -> &Console {
        &self.console
    }

    pub(crate) fn agent(&self) -> MutexGuard<'_, Agent> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn monitor(&self) -> MutexGuard<'_, Monitor> {
        self.monitor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The port of the host's loopback interface that leads to the guest's sshd.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Fails when there is nothing to wait for any more, with the reason.
    pub(crate) fn alive(&self) -> Result<()> {
        let ended = self.child().try_wait().context(|| "cannot look after qemu".to_owned())?;
        if let Some(status) = ended {
            return Err(format!("qemu has ended with {status}; it says: {}", text_of(&self.messages)));
        }
        if self.console.has_panicked() { Err("the guest's kernel has panicked".to_owned()) } else { Ok(()) }
    }

    /// Waits until the guest has turned itself off; it is turned off at the limit, and then there is no status.
    pub(crate) fn wait_for_end(&self, limit: Duration) -> Result<Option<ExitStatus>> {
        wait(&mut self.child(), limit).context(|| "cannot wait for qemu".to_owned())
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended already, which is as well.
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// The host's ends of the wires, and the port of the host that leads to the guest's sshd.
fn connect(child: &mut Child, wires: &[UnixListener; 3]) -> Result<(Console, Agent, Monitor, u16)> {
    let [console, agent, monitor] = wires;
    let console = Console::on(accept(console, child)?)?;
    let agent = Agent::on(accept(agent, child)?)?;
    let mut monitor = Monitor::on(accept(monitor, child)?)?;
    let port = monitor.forwarded_port(SSH)?;
    Ok((console, agent, monitor, port))
}

fn add_disk(qemu: &mut Command, name: &str, file: &Path, options: &str) {
    let mut drive = std::ffi::OsString::from(format!("if=none,format=raw,id={name},{options},file="));
    drive.push(file);
    // The guest tells its disks apart by the serial number.
    qemu.arg("-drive").arg(drive).args(["-device", &format!("virtio-blk-pci,drive={name},serial={name}")]);
}

/// Adds a device with a socket at the other end, which qemu connects to before the guest's first instruction.
fn wire(qemu: &mut Command, folder: &Path, name: &str, device: &[&str]) -> Result<UnixListener> {
    let path = folder.join(name);
    let listener = UnixListener::bind(&path).context(|| format!("cannot make socket {}", path.display()))?;
    listener.set_nonblocking(true).context(|| format!("socket {}", path.display()))?;
    let mut socket = std::ffi::OsString::from(format!("socket,id={name},path="));
    socket.push(&path);
    qemu.arg("-chardev").arg(socket).args(device);
    Ok(listener)
}

fn accept(listener: &UnixListener, child: &mut Child) -> Result<UnixStream> {
    let end = Instant::now() + CONNECT_LIMIT;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).context(|| "a socket of qemu".to_owned())?;
                return Ok(stream);
            }
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => {
                return Err(format!("cannot wait for qemu to connect: {error}"));
            }
            Err(_) => {}
        }
        if let Some(status) = child.try_wait().context(|| "cannot look after qemu".to_owned())? {
            return Err(format!("qemu has ended with {status}"));
        }
        if Instant::now() >= end {
            return Err("qemu has not connected to its sockets".to_owned());
        }
        std::thread::sleep(TICK);
    }
}

/// Starts qemu from a thread that lives as long as the machine: the death that ends qemu is that of the thread which
/// started it, and the one that is here now may be a test's.
fn start(mut qemu: Command) -> Result<(Child, Sender<()>)> {
    let (child_sender, child) = channel();
    let (starter, is_needed) = channel::<()>();
    std::thread::spawn(move || {
        let started = qemu.spawn().context(|| format!("cannot start {qemu:?}"));
        if child_sender.send(started).is_ok() {
            // Nothing is ever sent. This returns when the other end is gone.
            let _ = is_needed.recv();
        }
    });
    let child = child.recv().context(|| "the thread that starts qemu".to_owned())??;
    Ok((child, starter))
}

fn text_of(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default().trim().to_owned()
}
