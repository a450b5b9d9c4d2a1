//! The settings: PostgreSQL's configuration parameters `herald.*`, read into plain values.

use crate::pg::{guc, identity};
use herald_core::egress::proxy::Proxy;
use herald_core::egress::url_policy::UrlPolicy;
use herald_core::limits::{self, Limit};
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};
use std::ffi::{CStr, CString};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

mod checks;

static ENABLED: GucSetting<bool> = GucSetting::<bool>::new(true);
static CAPTURE: GucSetting<bool> = GucSetting::<bool>::new(true);
static SOURCE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static ALLOW_HTTP: GucSetting<bool> = GucSetting::<bool>::new(false);
static ALLOW_NETWORKS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static TENANT_NETWORKS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static ALLOW_HOSTS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static ALLOW_PORTS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static SENDER_THREADS: GucSetting<i32> = GucSetting::<i32>::new(64);
static RETENTION: GucSetting<i32> = GucSetting::<i32>::new(30 * 24 * 60 * 60);
static CA_FILE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static SECRET_KEY_FILE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static SOURCE_ADDRESS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static PROXY: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static POLL_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(5_000);
static DISPATCH: GucSetting<Dispatch> = GucSetting::<Dispatch>::new(Dispatch::Window);
static INSTANCE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static ON_TIMELINE_CHANGE: GucSetting<OnTimelineChange> =
    GucSetting::<OnTimelineChange>::new(OnTimelineChange::Continue);
static TRACEPARENT: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static TRACESTATE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static REQUEST_ORIGIN: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static ACTOR: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));

/// `herald.dispatch`: how events reach the lanes.
#[allow(unreachable_pub)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub enum Dispatch {
    #[name = c"window"]
    Window,
    /// Everything through `herald.pending`.
    #[name = c"queue"]
    Queue,
}

/// `herald.on_timeline_change`: what the worker does after a promotion.
#[allow(unreachable_pub)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub enum OnTimelineChange {
    #[name = c"continue"]
    Continue,
    #[name = c"pause"]
    Pause,
}

/// The worker's settings, read at its start and at each reload of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub enabled: bool,
    pub poll_interval: Duration,
    pub always_pending: bool,
    pub sending: Sending,
}

/// The settings that the sender is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    pub threads: usize,
    pub url_policies: UrlPolicies,
    pub ca_file: Option<PathBuf>,
    pub source_address: Option<IpAddr>,
    pub proxy: Option<Proxy>,
}

impl Settings {
    /// Reads the parameters; an error names the invalid one.
    pub fn read() -> Result<Self, String> {
        Ok(Self {
            enabled: ENABLED.get(),
            poll_interval: Duration::from_millis(POLL_INTERVAL.get() as u64),
            always_pending: DISPATCH.get() == Dispatch::Queue,
            sending: Sending {
                threads: SENDER_THREADS.get() as usize,
                url_policies: url_policies()?,
                ca_file: text(&CA_FILE).map(PathBuf::from),
                source_address: source_address()?,
                proxy: proxy()?,
            },
        })
    }
}

/// The addresses that may be delivered to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlPolicies {
    pub platform: UrlPolicy,
    pub tenants: UrlPolicy,
}

impl UrlPolicies {
    pub fn of(&self, is_tenants: bool) -> &UrlPolicy {
        if is_tenants {
            &self.tenants
        } else {
            &self.platform
        }
    }
}

pub fn url_policies() -> Result<UrlPolicies, String> {
    let [networks, tenant_networks, ports, hosts] = [
        &ALLOW_NETWORKS,
        &TENANT_NETWORKS,
        &ALLOW_PORTS,
        &ALLOW_HOSTS,
    ]
    .map(|setting| text(setting).unwrap_or_default());
    let allow_http = ALLOW_HTTP.get();
    let own_port = identity::server_port();
    let read = || {
        Ok(UrlPolicies {
            platform: UrlPolicy::parse(allow_http, &networks, &ports)?
                .with_hosts(&hosts)?
                .without_port(own_port),
            tenants: UrlPolicy::parse_for_tenants(allow_http, &tenant_networks, &ports)?
                .without_port(own_port),
        })
    };
    read().map_err(|error: herald_core::error::Error| error.message())
}

fn proxy() -> Result<Option<Proxy>, String> {
    Proxy::parse(&text(&PROXY).unwrap_or_default()).map_err(|error| error.message())
}

fn source_address() -> Result<Option<IpAddr>, String> {
    let address = text(&SOURCE_ADDRESS).unwrap_or_default();
    checks::source_address(&address).map_err(|error| error.message())
}

/// Returns the file with the keys that seal secrets.
pub fn secret_key_file() -> Option<PathBuf> {
    text(&SECRET_KEY_FILE).map(PathBuf::from)
}

/// Returns whether this session captures changes of watched tables.
pub fn capture_is_on() -> bool {
    CAPTURE.get()
}

/// Returns the CloudEvents source of captured events, if set.
pub fn source() -> Option<String> {
    text(&SOURCE)
}

/// Returns the name by which receivers know this system; empty if it has none.
pub fn request_origin() -> String {
    text(&REQUEST_ORIGIN).unwrap_or_default()
}

/// Returns what this session says of itself: members of an event's context, with their limits and values.
pub fn session_context() -> [(&'static str, Limit, Option<String>); 3] {
    [
        ("traceparent", limits::TRACEPARENT, text(&TRACEPARENT)),
        ("tracestate", limits::TRACESTATE, text(&TRACESTATE)),
        ("actor", limits::ACTOR, text(&ACTOR)),
    ]
}

fn text(setting: &GucSetting<Option<CString>>) -> Option<String> {
    setting
        .get()
        .map(|value| value.to_string_lossy().into_owned())
        .filter(|value| !value.is_empty())
}

/// Defines the parameters; called once when the library is loaded.
pub fn define() {
    define_worker_settings();
    define_address_settings();
    define_request_settings();
    define_event_settings();
    identity::reserve_prefix();
}

/// Defines the parameters that say whether, when and how the worker works.
fn define_worker_settings() {
    define_boolean(
        c"herald.enabled",
        c"Sends events. Off: capture goes on, nothing is sent.",
        &ENABLED,
    );
    GucRegistry::define_enum_guc(
        c"herald.dispatch",
        c"How events reach the lanes: window, or queue (everything through herald.pending).",
        c"",
        &DISPATCH,
        GucContext::Suset,
        GucFlags::default(),
    );
    define_string(
        c"herald.instance",
        c"When set, nothing is sent unless it equals cluster_name.",
        &INSTANCE,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_enum_guc(
        c"herald.on_timeline_change",
        c"What the worker does after a promotion: continue or pause.",
        c"",
        &ON_TIMELINE_CHANGE,
        GucContext::Suset,
        GucFlags::default(),
    );
    define_integer(
        c"herald.sender_threads",
        c"Requests younger than a second that may be under way at once; as many again may be older.",
        &SENDER_THREADS,
        1..=1024,
        GucFlags::default(),
    );
    define_integer(
        c"herald.poll_interval",
        c"How often the worker looks for work without being woken.",
        &POLL_INTERVAL,
        10..=60_000,
        GucFlags::UNIT_MS,
    );
    define_integer(
        c"herald.retention",
        c"How long events and attempts are kept.",
        &RETENTION,
        10..=10 * 365 * 24 * 60 * 60,
        GucFlags::UNIT_S,
    );
}

/// Defines the parameters that say which addresses may be delivered to.
fn define_address_settings() {
    define_boolean(
        c"herald.allow_http",
        c"Accepts http:// URLs beside https://.",
        &ALLOW_HTTP,
    );
    guc::define::<checks::AllowNetworks>(
        c"herald.allow_networks",
        c"Networks that may be delivered to although they are not public, as CIDR, separated by commas.",
        &ALLOW_NETWORKS,
        GucFlags::default(),
    );
    guc::define::<checks::TenantNetworks>(
        c"herald.tenant_networks",
        c"Networks that subscriptions of tenants may be delivered to beside public addresses, separated by commas.",
        &TENANT_NETWORKS,
        GucFlags::default(),
    );
    guc::define::<checks::AllowHosts>(
        c"herald.allow_hosts",
        c"Hosts that may be delivered to wherever they lead to, as names or *.domain, separated by commas.",
        &ALLOW_HOSTS,
        GucFlags::default(),
    );
    guc::define::<checks::AllowPorts>(
        c"herald.allow_ports",
        c"Ports that may be delivered to beside 443 (and 80 with herald.allow_http), separated by commas.",
        &ALLOW_PORTS,
        GucFlags::default(),
    );
}

/// Defines the parameters that say how requests are made.
fn define_request_settings() {
    define_string(
        c"herald.ca_file",
        c"PEM file of certificate authorities to trust beside the system's.",
        &CA_FILE,
        GucContext::Suset,
        GucFlags::SUPERUSER_ONLY,
    );
    define_string(
        c"herald.secret_key_file",
        c"File with the keys that secrets are sealed with, one in a line, the current one first; empty: they are stored as they are.",
        &SECRET_KEY_FILE,
        GucContext::Suset,
        GucFlags::SUPERUSER_ONLY,
    );
    guc::define::<checks::SourceAddress>(
        c"herald.source_address",
        c"Local IP address that requests come from; empty: the system chooses.",
        &SOURCE_ADDRESS,
        GucFlags::default(),
    );
    guc::define::<checks::ProxyUrl>(
        c"herald.proxy",
        c"Proxy that requests go through, as http://[user:password@]host:port; empty: none.",
        &PROXY,
        GucFlags::SUPERUSER_ONLY,
    );
    define_string(
        c"herald.request_origin",
        c"DNS name that receivers know this system by, for handshakes.",
        &REQUEST_ORIGIN,
        GucContext::Suset,
        GucFlags::default(),
    );
}

/// Defines the parameters that say which changes become events, and what events carry.
fn define_event_settings() {
    define_boolean(
        c"herald.capture",
        c"Captures changes of watched tables in this session.",
        &CAPTURE,
    );
    define_string(
        c"herald.source",
        c"CloudEvents source of this database's events; empty: /<database>.",
        &SOURCE,
        GucContext::Suset,
        GucFlags::default(),
    );
    define_string(
        c"herald.traceparent",
        c"W3C trace context that this session's events carry.",
        &TRACEPARENT,
        GucContext::Userset,
        GucFlags::default(),
    );
    define_string(
        c"herald.tracestate",
        c"W3C trace state that this session's events carry beside the context.",
        &TRACESTATE,
        GucContext::Userset,
        GucFlags::default(),
    );
    define_string(
        c"herald.actor",
        c"Who acts in this session, as its events carry it.",
        &ACTOR,
        GucContext::Userset,
        GucFlags::default(),
    );
}

fn define_boolean(name: &'static CStr, short: &'static CStr, setting: &'static GucSetting<bool>) {
    let (context, flags) = (GucContext::Suset, GucFlags::default());
    GucRegistry::define_bool_guc(name, short, c"", setting, context, flags);
}

fn define_string(
    name: &'static CStr,
    short: &'static CStr,
    setting: &'static GucSetting<Option<CString>>,
    context: GucContext,
    flags: GucFlags,
) {
    GucRegistry::define_string_guc(name, short, c"", setting, context, flags);
}

fn define_integer(
    name: &'static CStr,
    short: &'static CStr,
    setting: &'static GucSetting<i32>,
    range: RangeInclusive<i32>,
    flags: GucFlags,
) {
    let (least, most) = range.into_inner();
    let context = GucContext::Suset;
    GucRegistry::define_int_guc(name, short, c"", setting, least, most, context, flags);
}
