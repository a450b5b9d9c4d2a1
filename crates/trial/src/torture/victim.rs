//! What a fault strikes, and how.

use std::fmt;
use std::fs;
use std::str::FromStr;
use std::time::Duration;

use crate::cluster::{Cluster, StopMode};
use crate::error::{Error, Result};
use crate::wait::within;

/// The file in the data directory that names the place at which the worker aborts, see src/failpoint.rs.
const FILE: &str = "herald_failpoint";

/// How long the worker may take to pass a failpoint.
const REACHED_WITHIN: Duration = Duration::from_secs(90);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// `kill -9` on pg_herald's worker: the server restarts itself.
    Worker,
    /// `kill -9` on a session of the load.
    Backend,
    Checkpointer,
    /// `kill -9` on the postmaster, and a start.
    Postmaster,
    /// `pg_ctl stop -m immediate`, and a start.
    Immediate,
    /// `pg_ctl restart -m fast`: nothing may be sent twice.
    Fast,
    /// `kill -9` on the postmaster while every commit is asynchronous and the WAL writer sleeps: the tail of the WAL is
    /// lost, as in a power failure.
    Power,
    /// The worker aborts at a place in its own code. Requires a library with the feature `failpoints`.
    At(&'static str),
}

/// The places, in the order in which a delivery passes them.
pub const PLACES: [&str; 9] = [
    "after_read",
    "after_flush",
    "mid_slice",
    "after_spill",
    "before_record",
    "mid_record",
    "after_record",
    "after_claim",
    "mid_truncation",
];

const SIGNALS: [Victim; 7] = [
    Victim::Worker,
    Victim::Backend,
    Victim::Checkpointer,
    Victim::Postmaster,
    Victim::Immediate,
    Victim::Fast,
    Victim::Power,
];

impl Victim {
    pub fn all() -> Vec<Self> {
        SIGNALS.into_iter().chain(PLACES.map(Self::At)).collect()
    }

    /// Returns true if commits must be asynchronous for this fault to lose some.
    pub fn loses_power(&self) -> bool {
        *self == Self::Power
    }

    /// Finds the process to strike, of this database or of none, so that the strike itself takes no time.
    pub fn aim<'a>(&'a self, cluster: &'a Cluster, database: &str) -> Result<Aim<'a>> {
        let which = match self {
            Self::Worker => "backend_type = 'pg_herald worker'",
            Self::Backend => "backend_type = 'client backend' and pid <> pg_backend_pid()",
            Self::Checkpointer => "backend_type = 'checkpointer'",
            _ => {
                return Ok(Aim {
                    victim: self,
                    cluster,
                    pid: None,
                });
            }
        };
        let sql = format!(
            "select pid from pg_stat_activity where {which} and (datname is null or datname = '{database}') \
             order by random() limit 1"
        );
        let row = cluster.connect(database)?.query_opt(&sql, &[])?;
        Ok(Aim {
            victim: self,
            cluster,
            pid: row.map(|row| row.get(0)),
        })
    }

    /// Makes the worker abort at this place.
    pub fn arm(&self, cluster: &Cluster) -> Result<()> {
        let file = cluster.data_dir().join(FILE);
        fs::write(file, self.to_string()).map_err(Error::io("arming a failpoint"))
    }

    /// Returns true if the place is passed only with more events at once than an ordinary load brings.
    pub fn takes_a_large_window(&self) -> bool {
        matches!(self, Self::At("mid_slice" | "after_spill"))
    }

    /// Returns `herald.retention` for the round: slots of two seconds, or of one if a slot has to be emptied soon.
    pub fn retention(&self) -> &'static str {
        match self {
            Self::At("mid_truncation") => "10s",
            _ => "60s",
        }
    }

    /// Returns true if the server has to be started again.
    pub fn stops_the_server(&self) -> bool {
        matches!(
            self,
            Self::Postmaster | Self::Power | Self::Immediate | Self::Fast
        )
    }
}

/// A victim that has been found.
#[derive(Debug)]
pub struct Aim<'a> {
    victim: &'a Victim,
    cluster: &'a Cluster,
    pid: Option<i32>,
}

impl Aim<'_> {
    /// Strikes the victim. Returns false if no process was found.
    pub fn strike(&self) -> Result<bool> {
        match self.victim {
            Victim::Worker | Victim::Backend | Victim::Checkpointer => match self.pid {
                Some(pid) => self.cluster.kill9(pid).map(|()| true),
                None => Ok(false),
            },
            Victim::Postmaster | Victim::Power => self.cluster.kill9_postmaster().map(|()| true),
            Victim::Immediate => self.cluster.stop(StopMode::Immediate).map(|_| true),
            Victim::Fast => self.cluster.stop(StopMode::Fast).map(|_| true),
            Victim::At(_) => {
                if !self.victim.takes_a_large_window() {
                    self.victim.arm(self.cluster)?;
                }
                let file = self.cluster.data_dir().join(FILE);
                let is_reached = within(REACHED_WITHIN, || (!file.exists()).then_some(()));
                let _ = fs::remove_file(&file);
                Ok(is_reached.is_some())
            }
        }
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Worker => "worker",
            Self::Backend => "backend",
            Self::Checkpointer => "checkpointer",
            Self::Postmaster => "postmaster",
            Self::Immediate => "immediate",
            Self::Fast => "fast",
            Self::Power => "power",
            Self::At(place) => place,
        })
    }
}

impl FromStr for Victim {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = Self::all();
        let names: Vec<String> = all.iter().map(Self::to_string).collect();
        all.into_iter()
            .find(|victim| victim.to_string() == name)
            .ok_or_else(|| format!("there is no victim {name}: {}", names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_victim_is_found_by_its_name() {
        for victim in Victim::all() {
            assert_eq!(victim.to_string().parse(), Ok(victim));
        }
        assert!("nobody".parse::<Victim>().is_err());
    }
}
