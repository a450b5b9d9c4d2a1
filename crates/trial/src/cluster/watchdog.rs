//! The watchdog ends a server and removes its directory once the process that started it is gone, however that ended.
//!
//! It is a small shell that waits for the end of its standard input, which the kernel closes with our process. Before
//! signaling a process, it verifies that this is still the server of that directory. (A zombie has no arguments, so it
//! counts as gone.)

use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::error::{Error, Result};

/// `$1` is the directory of the cluster.
const SCRIPT: &str = r#"
read -r word && [ "$word" = keep ] && exit 0
command_line() { if [ -d /proc/self ]; then tr '\0' ' ' <"/proc/$pid/cmdline"; else ps -o args= -p "$pid"; fi; }
serves() { command_line 2>/dev/null | grep -qF -- "-D $dir/data"; }
dir=$1
if pid=$(head -n 1 "$dir/data/postmaster.pid" 2>/dev/null) && serves; then
    kill -QUIT "$pid"
    tries=0
    while serves && [ "$tries" -lt 100 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
fi
rm -rf -- "$dir"
"#;

#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    pub(super) fn over(cluster_dir: &Path) -> Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "herald-trial-watchdog"])
            .arg(cluster_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A separate group, so that Ctrl-C ends the tests but not the cleanup.
            .process_group(0)
            .spawn()
            .map_err(Error::io("starting the watchdog"))?;
        Ok(Self { shell })
    }

    /// Leaves the server and its directory alone from now on.
    pub(super) fn dismiss(&mut self) {
        if let Some(mut stdin) = self.shell.stdin.take() {
            let _ = stdin.write_all(b"keep\n");
        }
    }

    /// Cleans up and returns when done.
    pub(super) fn clean_up(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
