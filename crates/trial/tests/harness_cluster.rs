//! The harness's own clusters, without the extension: they start, crash, come back and leave nothing behind.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use herald_trial::{Cluster, Result, StopMode, eventually};

fn bare_cluster() -> Result<Cluster> {
    Cluster::builder()
        .preload(false)
        .setting("shared_buffers", "16MB")
        .start()
}

#[test]
fn a_cluster_survives_every_way_to_go_down() -> Result<()> {
    let cluster = bare_cluster()?;
    let mut client = cluster.create_database("shop")?;
    client.batch_execute("create table orders (id int); insert into orders values (1)")?;

    cluster.restart(StopMode::Fast)?;
    cluster.restart(StopMode::Immediate)?;
    assert!(
        cluster
            .connect("shop")?
            .execute("insert into orders values (2)", &[])?
            == 1
    );
    let killed = cluster.postmaster_pid();
    cluster.kill9_postmaster()?;
    assert_eq!(cluster.postmaster_pid(), None);
    cluster.start()?;
    assert_ne!(cluster.postmaster_pid(), killed);

    assert_eq!(
        cluster.psql("shop", "select count(*) from orders")?.trim(),
        "2"
    );
    assert!(cluster.log().contains("was not properly shut down"));
    Ok(())
}

#[test]
fn a_killed_backend_restarts_the_cluster() -> Result<()> {
    let cluster = bare_cluster()?;
    let mut client = cluster.connect("postgres")?;
    let pid: i32 = client.query_one("select pg_backend_pid()", &[])?.get(0);
    cluster.crash(pid)?;
    assert!(cluster.log().contains("was terminated by signal 9"));
    assert_eq!(cluster.worker_pid("postgres")?, None);
    Ok(())
}

#[test]
fn settings_are_obeyed_and_can_be_changed() -> Result<()> {
    let cluster = Cluster::builder()
        .preload(false)
        .fsync(false)
        .tcp(true)
        .setting("work_mem", "7MB")
        .start()?;
    let show = |name: &str| {
        cluster
            .psql("postgres", &format!("show {name}"))
            .map(|shown| shown.trim().to_owned())
    };
    assert_eq!(
        (show("fsync")?, show("work_mem")?),
        ("off".to_owned(), "7MB".to_owned())
    );
    assert_eq!(show("port")?, cluster.port().to_string());
    assert_eq!(show("herald.allow_networks")?, "127.0.0.0/8");
    cluster.set("work_mem", "8MB")?;
    eventually(Duration::from_secs(5), "the reload", || {
        (show("work_mem").ok()? == "8MB").then_some(())
    });
    assert!(cluster.psql("postgres", "select nonsense").is_err());
    Ok(())
}

#[test]
fn a_dropped_cluster_leaves_nothing_behind() -> Result<()> {
    let cluster = bare_cluster()?;
    let dir = PathBuf::from(cluster.data_dir())
        .parent()
        .map(PathBuf::from)
        .unwrap();
    let pid = cluster.postmaster_pid().unwrap();
    assert!(dir.exists());
    let panicked = std::thread::spawn(move || {
        let _cluster = cluster;
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    assert!(!dir.exists());
    assert!(!PathBuf::from(format!("/proc/{pid}")).exists());
    Ok(())
}

#[test]
fn a_server_that_cannot_start_shows_its_log() {
    let error = Cluster::builder()
        .preload(false)
        .setting("shared_buffers", "nonsense")
        .start()
        .unwrap_err();
    assert!(error.to_string().contains("shared_buffers"), "{error}");
}

#[test]
fn a_cluster_goes_with_a_process_that_was_killed() {
    let options = [
        "--exact",
        "starts_a_cluster_and_waits",
        "--ignored",
        "--nocapture",
    ];
    let mut child = Command::new(env::current_exe().unwrap())
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(|line| line.ok());
    let dir = lines
        .into_iter()
        .find_map(|line| line.strip_prefix("cluster in ").map(PathBuf::from))
        .unwrap();
    assert!(dir.join("data/postmaster.pid").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    eventually(Duration::from_secs(20), "the watchdog", || {
        (!dir.exists()).then_some(())
    });
}

#[test]
#[ignore = "a_cluster_goes_with_a_process_that_was_killed runs it as a process of its own"]
fn starts_a_cluster_and_waits() -> Result<()> {
    let cluster = bare_cluster()?;
    println!(
        "\ncluster in {}",
        cluster.data_dir().parent().unwrap().display()
    );
    std::io::stdin().read_line(&mut String::new()).unwrap();
    Ok(())
}
