//! `pgbench`, the load that every PostgreSQL user knows, and its report in numbers.

use std::fs;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::error::{Error, Result};

/// A run of pgbench: its standard script, or another one.
#[derive(Debug, Clone)]
pub struct Pgbench<'a> {
    cluster: &'a Cluster,
    database: String,
    script: Option<String>,
    options: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    pub transactions: u64,
    pub failed: u64,
    /// Excludes the time to connect.
    pub tps: f64,
    pub latency_average: Duration,
}

impl<'a> Pgbench<'a> {
    pub fn on(cluster: &'a Cluster, database: &str) -> Self {
        Self {
            cluster,
            database: database.to_owned(),
            script: None,
            options: vec!["--no-vacuum".to_owned()],
        }
    }

    /// Creates the tables of the standard script, with 100,000 accounts per unit of scale.
    pub fn init(self, scale: u32) -> Result<Self> {
        let scale = scale.to_string();
        self.cluster.run_client(
            "pgbench",
            &self.database,
            &["--initialize", "--quiet", "--scale", &scale],
        )?;
        Ok(self)
    }

    /// Runs this SQL instead of the standard script; pgbench's meta-commands work in it.
    pub fn script(mut self, sql: &str) -> Self {
        self.script = Some(sql.to_owned());
        self
    }

    pub fn clients(self, clients: u32) -> Self {
        self.option(format!("--client={clients}"))
            .option(format!("--jobs={}", clients.min(2)))
    }

    pub fn seconds(self, seconds: u32) -> Self {
        self.option(format!("--time={seconds}"))
    }

    /// Runs this many transactions per client, instead of seconds.
    pub fn transactions(self, transactions: u64) -> Self {
        self.option(format!("--transactions={transactions}"))
    }

    /// Sets the transactions per second of all clients together.
    pub fn rate(self, per_second: f64) -> Self {
        self.option(format!("--rate={per_second}"))
    }

    /// Adds any other option, as on the command line.
    pub fn option(mut self, option: impl Into<String>) -> Self {
        self.options.push(option.into());
        self
    }

    pub fn run(&self) -> Result<Report> {
        let dir = tempfile::tempdir().map_err(Error::io("making a directory for the script"))?;
        let mut options = self.options.clone();
        if let Some(script) = &self.script {
            let file = dir.path().join("script.sql");
            fs::write(&file, script).map_err(Error::io("writing the script"))?;
            options.push(format!("--file={}", file.display()));
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let output = self
            .cluster
            .run_client("pgbench", &self.database, &options)?;
        parse(&output).ok_or(Error::Program {
            program: "pgbench".to_owned(),
            output,
        })
    }
}

fn parse(output: &str) -> Option<Report> {
    let number_after = |label: &str| {
        let line = output.lines().find_map(|line| line.strip_prefix(label))?;
        let number = line
            .trim_start_matches([':', '=', ' '])
            .split(['/', ' ', '('])
            .next()?;
        number.parse::<f64>().ok()
    };
    Some(Report {
        transactions: number_after("number of transactions actually processed")? as u64,
        failed: number_after("number of failed transactions").unwrap_or_default() as u64,
        tps: number_after("tps")?,
        latency_average: Duration::from_secs_f64(number_after("latency average")? / 1000.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_read_with_and_without_a_number_of_transactions() {
        let by_count = "transaction type: <builtin: TPC-B (sort of)>\n\
                        number of transactions actually processed: 100/100\n\
                        number of failed transactions: 3 (3.000%)\n\
                        latency average = 1.500 ms\n\
                        tps = 666.250000 (without initial connection time)\n";
        let expected = Report {
            transactions: 100,
            failed: 3,
            tps: 666.25,
            latency_average: Duration::from_micros(1500),
        };
        assert_eq!(parse(by_count), Some(expected));
        assert_eq!(parse(&by_count.replace("100/100", "100")), Some(expected));
        assert_eq!(parse("pgbench: error"), None);
    }
}
