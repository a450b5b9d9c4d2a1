//! The configuration of a trial cluster, and its creation: initdb or a copy, and settings.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use super::installation::Installation;
use super::server::{Server, Starting, StopMode};
use crate::error::{Error, Result};

/// The role of every connection: the superuser made by initdb.
pub(super) const ROLE: &str = "postgres";

/// The port only names the socket, unless TCP is enabled.
const SOCKET_PORT: u16 = 5432;

#[derive(Debug)]
pub struct Builder {
    preload: bool,
    fsync: bool,
    tcp: bool,
    pg_config: Option<PathBuf>,
    starting: Starting,
    settings: BTreeMap<String, String>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            preload: true,
            fsync: true,
            tcp: false,
            pg_config: None,
            starting: Starting::Plain,
            settings: BTreeMap::new(),
        }
    }
}

impl Builder {
    /// Sets whether the extension is in `shared_preload_libraries`; on by default.
    pub fn preload(mut self, preload: bool) -> Self {
        self.preload = preload;
        self
    }

    /// Sets fsync; on by default, because a crash test without it proves nothing.
    pub fn fsync(mut self, fsync: bool) -> Self {
        self.fsync = fsync;
        self
    }

    /// Listens on a free port of 127.0.0.1 as well. Any user of this machine can then log in as superuser.
    pub fn tcp(mut self, tcp: bool) -> Self {
        self.tcp = tcp;
        self
    }

    /// Uses this installation instead of `HERALD_PG_CONFIG`, Debian's PostgreSQL 15, or `pg_config` on the PATH.
    pub fn pg_config(mut self, pg_config: impl Into<PathBuf>) -> Self {
        self.pg_config = Some(pg_config.into());
        self
    }

    /// Shows the server this directory's files `hosts` and `resolv.conf` as those of `/etc`, later changes included.
    /// Requires root.
    pub fn names(mut self, dir: impl Into<PathBuf>) -> Self {
        self.starting = Starting::WithNames(dir.into());
        self
    }

    /// Limits each process of the server to `most` open file descriptors.
    pub fn descriptors(mut self, most: u32) -> Self {
        self.starting = Starting::WithDescriptors(most);
        self
    }

    /// Adds a line to postgresql.conf; it overrides a trial cluster's defaults.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Makes a server with initdb, to be started on the port returned with it.
    pub(super) fn init(self) -> Result<(Server, u16)> {
        let server = self.server()?;
        let mut options = vec![
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "-U",
            ROLE,
        ];
        if server.installation().major() >= 18 {
            // Checksums became the default; upgraded clusters must continue without them.
            options.push("--no-data-checksums");
        }
        server.run_on_files("initdb", &options)?;
        self.configure(server)
    }

    /// Makes a server, stops `old`, and converts its files with pg_upgrade.
    pub(super) fn convert(self, old: &Server) -> Result<(Server, u16)> {
        let (server, port) = self.init()?;
        old.stop(StopMode::Fast)?;
        let path = |path: &Path| path.display().to_string();
        let (old_bin, new_bin) = (
            path(old.installation().bin_dir()),
            path(server.installation().bin_dir()),
        );
        let (old_data, sockets) = (path(old.data_dir()), path(server.socket_dir()));
        let from = ["--old-bindir", &old_bin, "--old-datadir", &old_data];
        let to = [
            "--new-bindir",
            &new_bin,
            "--socketdir",
            &sockets,
            "-U",
            ROLE,
        ];
        let upgraded = server.run_on_files("pg_upgrade", &[&from[..], &to[..]].concat());
        upgraded.map_err(|error| error.with(&errors_of_the_upgrade(server.data_dir())))?;
        Ok((server, port))
    }

    /// Copies the current files of `primary`, which answers on this port, with these options of pg_basebackup.
    pub(super) fn copy(
        self,
        primary: &Server,
        port: u16,
        options: &[&str],
    ) -> Result<(Server, u16)> {
        let server = self.server()?;
        let (host, port) = (primary.socket_dir().display().to_string(), port.to_string());
        let from = ["--host", &host, "--port", &port, "--username", ROLE];
        let how = ["--checkpoint=fast", "--no-sync"];
        server.run_on_files("pg_basebackup", &[&from[..], options, &how[..]].concat())?;
        self.configure(server)
    }

    fn server(&self) -> Result<Server> {
        let installation = Installation::find(self.pg_config.as_deref())?;
        Server::create(installation, self.starting.clone())
    }

    fn configure(self, server: Server) -> Result<(Server, u16)> {
        let port = if self.tcp { free_port()? } else { SOCKET_PORT };
        let file = server.data_dir().join("postgresql.conf");
        fs::OpenOptions::new()
            .append(true)
            .open(&file)
            .and_then(|mut conf| conf.write_all(self.configuration(&server, port).as_bytes()))
            .map_err(Error::io(format!("writing {}", file.display())))?;
        Ok((server, port))
    }

    fn configuration(&self, server: &Server, port: u16) -> String {
        let mut settings = BTreeMap::from(
            [
                (
                    "listen_addresses",
                    if self.tcp { "127.0.0.1" } else { "" }.to_owned(),
                ),
                (
                    "unix_socket_directories",
                    server.socket_dir().display().to_string(),
                ),
                ("port", port.to_string()),
                ("fsync", if self.fsync { "on" } else { "off" }.to_owned()),
                ("max_worker_processes", "32".to_owned()),
                ("max_prepared_transactions", "20".to_owned()),
                ("log_line_prefix", "%m [%p] %b %d ".to_owned()),
                ("herald.allow_http", "on".to_owned()),
                ("herald.allow_networks", "127.0.0.0/8".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        if self.preload {
            settings.insert(
                "shared_preload_libraries".to_owned(),
                "pg_herald".to_owned(),
            );
        }
        settings.extend(self.settings.clone());
        settings
            .iter()
            .fold(String::from("\n"), |mut text, (name, value)| {
                let quoted = value.replace('\'', "''");
                writeln!(text, "{name} = '{quoted}'").expect("a String takes every write");
                text
            })
    }
}

/// Returns the errors of the programs that pg_upgrade runs; pg_upgrade itself only says where to find them.
fn errors_of_the_upgrade(data_dir: &Path) -> String {
    let runs = fs::read_dir(data_dir.join("pg_upgrade_output.d"));
    let logs = runs
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|run| fs::read_dir(run.path().join("log")).ok());
    let mut errors = String::new();
    for log in logs.flatten().flatten() {
        let text = fs::read(log.path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let faults = text
            .lines()
            .filter(|line| line.to_lowercase().contains("error:"));
        errors.extend(faults.flat_map(|line| [line, "\n"]));
    }
    errors
}

fn free_port() -> Result<u16> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(Error::io("looking for a free port"))
}
