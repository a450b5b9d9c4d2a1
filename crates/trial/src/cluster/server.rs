//! The server's directory and its postmaster, our child process.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::installation::Installation;
use super::watchdog::Watchdog;
use crate::error::{Error, Result};
use crate::wait::within;

const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// How the server stops, in terms of `pg_ctl stop -m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Ends sessions and writes a checkpoint.
    Fast,
    /// Leaves everything as it is: the next start recovers from the WAL.
    Immediate,
}

/// Special surroundings of the server.
#[derive(Debug, Clone)]
pub(super) enum Starting {
    Plain,
    /// Its own `hosts` and `resolv.conf`, from this directory.
    WithNames(PathBuf),
    /// A limit of file descriptors per process.
    WithDescriptors(u32),
}

#[derive(Debug)]
pub(super) struct Server {
    installation: Installation,
    dir: PathBuf,
    data_dir: PathBuf,
    socket_dir: PathBuf,
    log_file: PathBuf,
    starting: Starting,
    /// None while the server is down. The lock also serializes starts and stops.
    postmaster: Mutex<Option<Child>>,
    watchdog: Watchdog,
    left_running: bool,
}

impl Server {
    /// Creates an empty directory that the server's user owns and a watchdog will remove.
    pub(super) fn create(installation: Installation, starting: Starting) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("herald-trial-")
            .tempdir()
            .map_err(Error::io("making a directory for the cluster"))?
            .keep();
        let watchdog = Watchdog::over(&dir)?;
        let server = Self {
            installation,
            data_dir: dir.join("data"),
            socket_dir: dir.join("socket"),
            log_file: dir.join("server.log"),
            dir,
            starting,
            postmaster: Mutex::new(None),
            watchdog,
            left_running: false,
        };
        fs::create_dir(&server.socket_dir).map_err(Error::io("making the socket directory"))?;
        if let Some(user) = server.installation.server_user() {
            for path in [&server.dir, &server.socket_dir] {
                chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(
                    Error::io("giving the cluster's directory to the server's user"),
                )?;
            }
        }
        Ok(server)
    }

    /// Runs a program on the data directory while no server runs there.
    pub(super) fn run_on_files(&self, program: &str, options: &[&str]) -> Result<()> {
        let data_dir = self.data_dir.display().to_string();
        let options = [options, &["-D", &data_dir]].concat();
        self.installation
            .run_server_program(program, &self.dir, &options)?;
        Ok(())
    }

    /// Starts the postmaster and waits until `answers`. After a kill, survivors hold the shared memory for a moment,
    /// and a new postmaster gives up at once: so this retries until the deadline.
    pub(super) fn start(&self, deadline: Duration, answers: impl Fn() -> bool) -> Result<()> {
        let mut postmaster = self.lock();
        if postmaster
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
        {
            return Ok(());
        }
        let end = Instant::now() + deadline;
        loop {
            let mut child = self.spawn()?;
            let came_up = within(end.saturating_duration_since(Instant::now()), || {
                if answers() {
                    return Some(true);
                }
                matches!(child.try_wait(), Ok(Some(_))).then_some(false)
            });
            match came_up {
                Some(true) => {
                    *postmaster = Some(child);
                    return Ok(());
                }
                Some(false) if self.survivors_hold_the_memory() && Instant::now() < end => {}
                Some(false) => return Err(self.failure("the server ended while starting")),
                None => {
                    *postmaster = Some(child);
                    return Err(self.failure("the server does not answer"));
                }
            }
        }
    }

    pub(super) fn stop(&self, mode: StopMode) -> Result<Duration> {
        let mut postmaster = self.lock();
        let Some(mut child) = postmaster.take() else {
            return Ok(Duration::ZERO);
        };
        let asked_at = Instant::now();
        let signal = match mode {
            StopMode::Fast => Signal::SIGINT,
            StopMode::Immediate => Signal::SIGQUIT,
        };
        let _ = kill(pid_of(&child), signal);
        if within(STOP_DEADLINE, || child.try_wait().ok().flatten()).is_some() {
            return Ok(asked_at.elapsed());
        }
        let failure = self.failure("the server does not stop");
        let _ = child.kill();
        let _ = child.wait();
        Err(failure)
    }

    pub(super) fn kill9(&self) -> Result<()> {
        let Some(mut child) = self.lock().take() else {
            return Ok(());
        };
        child
            .kill()
            .and_then(|()| child.wait())
            .map(drop)
            .map_err(Error::io("killing the postmaster"))
    }

    pub(super) fn pid(&self) -> Option<i32> {
        self.lock().as_ref().map(|child| pid_of(child).as_raw())
    }

    pub(super) fn log(&self) -> String {
        fs::read(&self.log_file)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Returns an error with the end of the log, which tells the reason.
    pub(super) fn failure(&self, what: &str) -> Error {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        Error::Server {
            what: what.to_owned(),
            log: lines[lines.len().saturating_sub(30)..].join("\n"),
        }
    }

    pub(super) fn leave_running(&mut self) {
        self.watchdog.dismiss();
        self.left_running = true;
    }

    pub(super) fn installation(&self) -> &Installation {
        &self.installation
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub(super) fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    fn spawn(&self) -> Result<Child> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log_file);
        let log = log.map_err(Error::io(format!("opening {}", self.log_file.display())))?;
        let errors = log.try_clone().map_err(Error::io("sharing the log"))?;
        let name = "postgres";
        let mut postgres = match &self.starting {
            Starting::Plain => self.installation.server_program(name),
            Starting::WithNames(dir) => self.installation.server_program_with_names(name, dir)?,
            Starting::WithDescriptors(most) => self
                .installation
                .server_program_with_descriptors(name, *most),
        };
        postgres
            .arg("-D")
            .arg(&self.data_dir)
            .stdout(Stdio::from(log))
            .stderr(Stdio::from(errors))
            .process_group(0)
            .spawn()
            .map_err(Error::io("starting the server"))
    }

    fn survivors_hold_the_memory(&self) -> bool {
        let log = self.log();
        log.lines()
            .rev()
            .take(5)
            .any(|line| line.contains("shared memory block") || line.contains("lock file"))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.postmaster
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.left_running {
            return;
        }
        let _ = self.stop(StopMode::Immediate);
        self.watchdog.clean_up();
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("the kernel's process ids fit an i32"))
}
