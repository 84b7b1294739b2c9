//! A booted guest, and all that can be done to it.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::accelerator::Accelerator;
use crate::cache::Cache;
use crate::command::{Output, run, run_ok};
use crate::console::Console;
use crate::folder::Folder;
use crate::image::Image;
use crate::kernel::{Files, Kernel};
use crate::payload::Payload;
use crate::qemu::{Machine, Parts};
use crate::{Context, Result, agent, initramfs, requirements, ssh};

/// How long a login or a script may take, unless somebody says otherwise.
const LIMIT: Duration = Duration::from_secs(60);
/// The start of a guest, emulated on a busy host.
const BOOT_LIMIT: Duration = Duration::from_secs(180);
/// How often a kernel may panic while it starts, and then once less.
const STARTS: usize = 5;
const WORDS_ON_THE_WAY: Duration = Duration::from_millis(300);
const POWEROFF_LIMIT: Duration = Duration::from_secs(90);
const DISK_SIZE: &str = "1G";
/// What is shown of the console in an error.
const LINES_SHOWN: usize = 30;

/// A Debian with users that log in. It is turned off, and all of it removed, when this value is dropped.
///
/// The users are root, bob (in the group `students`, and sudo asks him no password), carol, alice (in `sudo` and
/// `session-sandbox-exempt`, no password for sudo) and dave. Each one's password is the user's name, and one key opens
/// all of them.
#[derive(Debug)]
pub struct Guest {
    kernel: Kernel,
    machine: Machine,
    key: PathBuf,
    boot_time: Duration,
    /// Dropped after the machine, which has its disk in there.
    _folder: Folder,
}

impl Guest {
    /// Starts a guest and waits until users can log in. What the cache lacks is made first.
    pub fn boot(kernel: Kernel, payload: &Payload) -> Result<Self> {
        let cache = Cache::open()?;
        let files = Files::get(&cache, kernel)?;
        let image = Image::get(&cache, kernel.user_space())?;
        let accelerator = Accelerator::find(&cache, &files)?;
        let folder = Folder::create()?;
        let (initramfs, disk) = (folder.path().join("initramfs"), folder.path().join("disk"));
        initramfs::write(&initramfs, &files, &agent::add_to(payload.clone()))?;
        make_disk(&disk)?;
        let begin = Instant::now();
        let machine = Machine::start(&Parts {
            accelerator,
            kernel: &files.vmlinux(),
            initramfs: &initramfs,
            image: &image.disk(),
            disk: &disk,
            folder: folder.path(),
        })?;
        let boot_time = Duration::ZERO;
        let mut guest = Self { kernel, machine, key: image.key(), boot_time, _folder: folder };
        guest.wait_until_up()?;
        guest.boot_time = begin.elapsed();
        Ok(guest)
    }

    /// The kernel it was booted with.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// How long it took from the start of qemu until sshd listened and users were let in.
    pub fn boot_time(&self) -> Duration {
        self.boot_time
    }

    /// Waits for a start that was not waited for yet: until sshd, logind and D-Bus are up and users are let in.
    ///
    /// qemu's emulation of two processors now and then lets a kernel stumble over code that it is patching, which it does
    /// while it starts. Such a guest is reset, and that is said; nothing of what is tested has run by then.
    pub fn wait_until_up(&self) -> Result<()> {
        let alive = || self.machine.alive();
        let up = || -> Result<_> {
            self.machine.agent().wait_for_boot(BOOT_LIMIT, &alive)?;
            let wait = "until [ -e /run/vm-up ]; do sleep 0.05; done";
            self.machine.agent().run(wait, BOOT_LIMIT, &alive)?.success()
        };
        for _ in 1..STARTS {
            match up() {
                Ok(_) => return Ok(()),
                Err(error) if self.machine.console().has_panicked() => {
                    let _ = writeln!(std::io::stderr(), "{}: {error}; it is reset", self.kernel.word());
                    self.cut_the_power()?;
                }
                Err(error) => return Err(self.with_console(&format!("the guest does not come up: {error}"))),
            }
        }
        up().map_err(|error| self.with_console(&format!("the guest does not come up: {error}")))?;
        Ok(())
    }

    /// Runs a script with bash as root, beside PAM, sshd and logind, within the default limit of a minute.
    ///
    /// It has no terminal, nothing on standard input, and belongs to no login session. Scripts run one after the other;
    /// what one of them leaves in the background goes on. An error is that there was no answer; a script that failed,
    /// or was ended at its limit with status 124, is an [`Output`].
    pub fn root(&self, script: &str) -> Result<Output> {
        self.root_within(script, LIMIT)
    }

    /// [`root`](Self::root) with another limit.
    pub fn root_within(&self, script: &str, limit: Duration) -> Result<Output> {
        let ran = self.machine.agent().run(script, limit, &|| self.machine.alive());
        ran.map_err(|error| self.with_console(&error))
    }

    /// Runs a script as root that has to succeed, and returns its standard output without white space at the end.
    pub fn root_ok(&self, script: &str) -> Result<String> {
        let output = self.root(script)?.success().context(|| format!("as root: {script}"))?;
        Ok(output.trim_end().to_owned())
    }

    /// Logs in over the network with the key and runs a command, within a minute.
    ///
    /// ssh exits with status 255 when there was no login.
    pub fn ssh(&self, user: &str, command: &str) -> Result<Output> {
        self.ssh_within(user, command, LIMIT)
    }

    /// [`ssh`](Self::ssh) with another limit.
    pub fn ssh_within(&self, user: &str, command: &str, limit: Duration) -> Result<Output> {
        run(self.ssh_command(user).arg(command), limit).map_err(|error| self.with_console(&error))
    }

    /// Logs in over the network, runs a command that has to succeed, and returns its standard output without white
    /// space at the end.
    pub fn ssh_ok(&self, user: &str, command: &str) -> Result<String> {
        let output = self.ssh(user, command)?.success().context(|| format!("{user} by ssh: {command}"))?;
        Ok(output.trim_end().to_owned())
    }

    /// `ssh … user@127.0.0.1` with the key, ready for options of ssh or a command to be added.
    pub fn ssh_command(&self, user: &str) -> Command {
        let mut command = Command::new("ssh");
        command.args(self.ssh_options()).arg(format!("{user}@127.0.0.1"));
        command
    }

    /// `ssh … user@127.0.0.1` with a password, which `sshpass` types.
    pub fn ssh_password_command(&self, user: &str, password: &str) -> Command {
        ssh::password_command(self.port(), user, password)
    }

    /// Options for ssh, scp and sftp, and for rsync's `-e`. The guest's address is `127.0.0.1`.
    pub fn ssh_options(&self) -> Vec<String> {
        ssh::key_options(self.port(), &self.key)
    }

    /// The port of `127.0.0.1` that leads to the guest's sshd.
    pub fn port(&self) -> u16 {
        self.machine.port()
    }

    /// The serial console. A getty waits there.
    pub fn console(&self) -> &Console {
        self.machine.console()
    }

    /// Everything that the guest has written on its serial console since its first start.
    pub fn console_log(&self) -> String {
        self.machine.console().log()
    }

    /// Cuts the power and starts the guest again, with the same disk: what was not yet written to it is lost.
    pub fn reset(&self) -> Result<()> {
        self.cut_the_power()?;
        self.wait_until_up()
    }

    /// Starts the machine again. What its last start wrote on the console is no news of this one.
    fn cut_the_power(&self) -> Result<()> {
        self.machine.monitor().system_reset()?;
        // What was written last is still on its way to the console's reader, a panic's last lines above all. No kernel has
        // come far enough to panic again by then.
        std::thread::sleep(WORDS_ON_THE_WAY);
        self.console().note_start();
        Ok(())
    }

    /// Has the guest's kernel panic, and starts the guest again with the same disk.
    pub fn panic(&self) -> Result<()> {
        self.machine.agent().send("echo c >/proc/sysrq-trigger", LIMIT)?;
        self.wait_until_up()
    }

    /// Shuts the guest down cleanly and starts it again with the same disk, as `systemctl reboot` does.
    pub fn reboot(&self) -> Result<()> {
        self.machine.agent().send("systemctl reboot", LIMIT)?;
        self.wait_until_up()
    }

    /// Shuts the guest down cleanly. Without that, it is a cut of the power that ends it.
    pub fn poweroff(self) -> Result<()> {
        self.machine.agent().send("systemctl poweroff", LIMIT)?;
        match self.machine.wait_for_end(POWEROFF_LIMIT)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.with_console(&format!("the guest's machine ended with {status}"))),
            None => Err(self.with_console(&format!("the guest was not off after {POWEROFF_LIMIT:?}"))),
        }
    }

    /// An error with the last lines of the console below it.
    pub fn with_console(&self, error: &str) -> String {
        let lines = self.machine.console().last_lines(LINES_SHOWN);
        format!("{error}\n--- the last lines of the {} guest's console\n{lines}\n---", self.kernel.word())
    }
}

/// Makes an empty file system in a file with holes.
fn make_disk(file: &std::path::Path) -> Result<()> {
    let mut format = Command::new("mke2fs");
    format.env("PATH", requirements::SEARCH_PATH).args(["-q", "-F", "-t", "ext4", "-m", "0", "-E"]);
    format.arg("lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0");
    run_ok(format.arg(file).arg(DISK_SIZE), LIMIT)?;
    Ok(())
}
