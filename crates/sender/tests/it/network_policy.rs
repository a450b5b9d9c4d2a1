//! The network policy: what is never reached, wherever a name leads.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use herald_core::attempt::outcome::ErrorClass;
use herald_core::egress::url_policy::UrlPolicy;
use herald_sender::AgentKey;

use crate::support::*;

const ALLOWED: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));
const DENIED: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[test]
fn private_addresses_are_blocked_by_default() {
    let endpoint = Endpoint::answering(OK);
    let mut settings = settings();
    settings.url_policy = policy("");
    let pool = Pool::start(settings);
    let port = endpoint.address.port();
    for host in [
        "127.0.0.1",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f.1",
        "localhost",
        "0.0.0.0",
    ] {
        let outcome = pool.attempt(request(&format!("http://{host}:{port}/")));
        assert_eq!(
            class(&outcome),
            Some(ErrorClass::Blocked),
            "{host}: {outcome:?}"
        );
        assert!(
            words(&outcome).contains("herald.allow_networks"),
            "{outcome:?}"
        );
    }
    let outcome = pool.attempt(request("http://10.0.0.5/"));
    assert_eq!(
        words(&outcome),
        "blocked: 10.0.0.5 is a private address (herald.allow_networks)"
    );
    assert_eq!(endpoint.connections(), 0);
}

#[test]
fn an_answer_with_one_denied_address_is_refused_as_a_whole() {
    let allowed = Endpoint::serving_at(SocketAddr::new(ALLOWED, 0), |_| {});
    let mut settings = settings();
    settings.url_policy = policy("127.0.0.2");
    settings.lookup = answer_with(&[ALLOWED, DENIED]);
    let url = format!("http://mixed.test:{}/", allowed.address.port());
    let outcome = Pool::start(settings).attempt(request(&url));
    assert_eq!(class(&outcome), Some(ErrorClass::Blocked));
    assert!(
        words(&outcome).contains("127.0.0.1, which mixed.test leads to,"),
        "{outcome:?}"
    );
    assert_eq!(allowed.connections(), 0);
}

#[test]
fn a_denied_address_behind_many_allowed_ones_is_seen() {
    let mut addresses = vec![ALLOWED; 20];
    addresses.push(DENIED);
    let mut settings = settings();
    settings.url_policy = policy("127.0.0.2");
    settings.lookup = answer_with(&addresses);
    let outcome = Pool::start(settings).attempt(request("http://many.test/"));
    assert_eq!(class(&outcome), Some(ErrorClass::Blocked));
}

#[test]
fn a_name_that_changes_to_a_denied_address_never_reaches_it() {
    let allowed = Endpoint::serving_at(SocketAddr::new(ALLOWED, 0), |connection| {
        while connection.read_request().is_some() && connection.write(OK).is_some() {}
    });
    let denied_address = SocketAddr::new(DENIED, allowed.address.port());
    let denied = Endpoint::serving_at(denied_address, |connection| {
        while connection.read_request().is_some() && connection.write(OK).is_some() {}
    });
    let calls = Arc::new(AtomicUsize::new(0));
    let mut settings = settings();
    settings.url_policy = policy("127.0.0.2");
    settings.dns_ttl = Duration::from_millis(50);
    settings.lookup = Some(Arc::new({
        let calls = Arc::clone(&calls);
        move |_: &str| -> io::Result<Vec<IpAddr>> {
            let is_first = calls.fetch_add(1, Ordering::SeqCst) == 0;
            Ok(vec![if is_first { ALLOWED } else { DENIED }])
        }
    }));
    let pool = Pool::start(settings);
    let url = format!("http://rebinding.test:{}/", allowed.address.port());
    assert!(pool.attempt(request(&url)).is_success());
    wait_until("the name changes", || {
        class(&pool.attempt(request(&url))) == Some(ErrorClass::Blocked)
    });
    for _ in 0..5 {
        let outcome = pool.attempt(request(&url));
        assert_eq!(class(&outcome), Some(ErrorClass::Blocked), "{outcome:?}");
    }
    assert_eq!(denied.connections(), 0);
    assert!(calls.load(Ordering::SeqCst) >= 2);
}

#[test]
fn http_and_other_ports_are_blocked_unless_allowed() {
    let mut settings = settings();
    settings.url_policy = UrlPolicy::parse(false, "127.0.0.0/8", "").expect("valid settings");
    let outcome = Pool::start(settings.clone()).attempt(request("http://127.0.0.1/"));
    assert_eq!(
        words(&outcome),
        "blocked: http is not allowed (herald.allow_http is off)"
    );

    // The policy's answer for a public address, which is judged but not dialled.
    settings.url_policy = UrlPolicy::default();
    let outcome = Pool::start(settings).attempt(request("https://93.184.216.34:22/"));
    assert_eq!(class(&outcome), Some(ErrorClass::Blocked));
    assert!(
        words(&outcome).contains("herald.allow_ports"),
        "{outcome:?}"
    );
}

#[test]
fn a_slow_look_up_ends_with_the_timeout_and_says_dns() {
    let mut settings = settings();
    settings.lookup = Some(Arc::new(|_: &str| {
        std::thread::sleep(Duration::from_secs(3));
        Ok(Vec::new())
    }));
    let mut request = request("http://slow.test/");
    request.timeout = Duration::from_millis(200);
    let outcome = Pool::start(settings).attempt(request);
    assert_eq!(words(&outcome), "DNS: no answer for slow.test in time");
    assert!(outcome.duration < Duration::from_secs(1), "{outcome:?}");
}

#[test]
fn proxy_variables_of_the_environment_are_ignored() {
    // The environment belongs to the whole process, so this test runs itself again in its own process.
    const TARGET: &str = "HERALD_TEST_TARGET";
    if let Ok(url) = std::env::var(TARGET) {
        let outcome = attempt(&url);
        assert!(outcome.is_success(), "{outcome:?}");
        return;
    }
    let (target, proxy) = (Endpoint::answering(OK), Endpoint::answering(OK));
    let mut command = Command::new(std::env::current_exe().expect("this test's program"));
    command.args([
        "--exact",
        "network_policy::proxy_variables_of_the_environment_are_ignored",
    ]);
    command.env(TARGET, target.url());
    for variable in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env(variable, format!("http://{}", proxy.address));
    }
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{output:?}");
    assert_eq!((target.connections(), proxy.connections()), (1, 0));
}

#[test]
fn a_tenant_reaches_what_tenants_may_and_learns_nothing_of_where_a_name_leads() {
    let allowed = Endpoint::serving_at(SocketAddr::new(ALLOWED, 0), |connection| {
        connection.read_request();
        connection.write(OK);
    });
    let mut settings = settings();
    settings.tenant_url_policy =
        UrlPolicy::parse_for_tenants(true, "127.0.0.2", "").expect("valid settings");
    settings.lookup = Some(Arc::new(|host| match host {
        "allowed.test" => Ok(vec![ALLOWED]),
        "inside.test" => Ok(vec![DENIED]),
        _ => Err(io::ErrorKind::NotFound.into()),
    }));
    let pool = Pool::start(settings);
    let port = allowed.address.port();
    let attempt = |host: &str| {
        let mut work = Work::from(request(&format!("http://{host}:{port}/")));
        work.key = AgentKey {
            is_tenants: true,
            ..AgentKey::default()
        };
        pool.attempt(work)
    };
    assert!(attempt("allowed.test").is_success());
    for host in ["inside.test", "nowhere.test", "127.0.0.1"] {
        let began_at = Instant::now();
        let outcome = attempt(host);
        let took = began_at.elapsed();
        assert_eq!(class(&outcome), Some(ErrorClass::Dns));
        assert_eq!(
            words(&outcome),
            format!("DNS: {host} has no address that may be called")
        );
        assert_eq!(outcome.duration, Duration::from_secs(1));
        assert!(took >= Duration::from_secs(1), "{took:?}");
    }
    assert_eq!(allowed.connections(), 1);
}
