//! One ureq agent for each [`AgentKey`], made when first needed and dropped when idle.
//!
//! An agent carries its key down to `connector`, where connections are kept apart, and can interrupt the requests that
//! it runs. So an agent in use always stays in the map.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use herald_core::egress::proxy::Proxy;
use ureq::Agent;
use ureq::config::Config;

use crate::connector::Dialer;
use crate::failure::Failure;
use crate::pool::{MAX_IDLE_AGE, Pool};
use crate::resolver::PolicedResolver;
use crate::tls::Trust;
use herald_core::egress::agent::AgentKey;

/// If more are held, the idle agent that was used longest ago is dropped.
const MAX_AGENTS: usize = 1024;
const MAX_RESPONSE_HEADER: usize = 16 * 1024;

/// The agents of all tenants.
#[derive(Debug)]
pub(crate) struct Agents {
    config: Config,
    trust: Trust,
    /// Without a tenant, and for tenants.
    resolvers: [PolicedResolver; 2],
    source_address: Option<IpAddr>,
    proxy: Option<Arc<Proxy>>,
    max_descriptor: u64,
    pool: Arc<Pool>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    agents: HashMap<AgentKey, Entry>,
    /// No agent is made after this: the sender is going away.
    is_interrupted: bool,
}

#[derive(Debug)]
struct Entry {
    agent: Arc<Agent>,
    used_at: Instant,
}

impl Entry {
    /// Whether anything besides the map holds it.
    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.agent) > 1
    }
}

impl Agents {
    pub(crate) fn new(
        threads: usize,
        trust: Trust,
        resolvers: [PolicedResolver; 2],
        source_address: Option<IpAddr>,
        proxy: Option<Arc<Proxy>>,
        max_descriptor: u64,
    ) -> Self {
        Self {
            config: config(),
            trust,
            resolvers,
            source_address,
            proxy,
            max_descriptor,
            pool: Arc::new(Pool::new(threads)),
            held: Mutex::default(),
        }
    }

    /// Returns how many certificate authorities are trusted server-wide.
    pub(crate) fn trusted_authorities(&self) -> usize {
        self.trust.count()
    }

    /// Returns the agent for a request with this key.
    pub(crate) fn agent(&self, key: &AgentKey, now: Instant) -> Result<Arc<Agent>, Failure> {
        let mut held = self.lock();
        if let Some(entry) = held.agents.get_mut(key) {
            entry.used_at = now;
            return Ok(Arc::clone(&entry.agent));
        }
        if held.is_interrupted {
            return Err(Failure::internal("the sender is shutting down"));
        }
        let dialer = Dialer {
            key: Arc::new(key.clone()),
            pool: Arc::clone(&self.pool),
            tls: self.trust.config(key.tls.as_deref())?,
            source_address: self.source_address,
            proxy: self.proxy.clone(),
            max_descriptor: self.max_descriptor,
        };
        let [for_everybody, for_tenants] = &self.resolvers;
        let resolver = if key.is_tenants {
            for_tenants
        } else {
            for_everybody
        };
        let resolver = resolver.for_tenant(key.tenant.as_ref());
        let agent = Agent::with_parts(self.config.clone(), dialer, resolver);
        let agent = Arc::new(agent);
        make_room(&mut held.agents);
        let entry = Entry {
            agent: Arc::clone(&agent),
            used_at: now,
        };
        held.agents.insert(key.clone(), entry);
        Ok(agent)
    }

    /// Drops an agent whose state can no longer be trusted, because a thread panicked while using it.
    pub(crate) fn forget(&self, key: &AgentKey) {
        self.lock().agents.remove(key);
    }

    /// Drops connections and agents that have been idle for too long. Returns whether any remain.
    pub(crate) fn sweep(&self, now: Instant) -> bool {
        let mut held = self.lock();
        held.agents.retain(|_, entry| {
            entry.is_in_use() || now.saturating_duration_since(entry.used_at) < MAX_IDLE_AGE
        });
        let is_any_agent_left = !held.agents.is_empty();
        drop(held);
        self.pool.sweep(now) || is_any_agent_left
    }

    /// Closes all connections, even those in use: a thread that blocks on one gets an error at once.
    pub(crate) fn interrupt(&self) {
        let mut held = self.lock();
        held.is_interrupted = true;
        for (_, entry) in held.agents.drain() {
            Agent::clone(&entry.agent).shutdown();
        }
        drop(held);
        self.pool.close();
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room for an agent. The threads bound the agents in use, so a map with more agents always has an idle one.
fn make_room(agents: &mut HashMap<AgentKey, Entry>) {
    if agents.len() < MAX_AGENTS {
        return;
    }
    let oldest = agents
        .iter()
        .filter(|(_, entry)| !entry.is_in_use())
        .min_by_key(|(_, entry)| entry.used_at)
        .map(|(key, _)| key.clone());
    if let Some(key) = oldest {
        agents.remove(&key);
    }
}

/// ureq's defaults would follow redirects, obey proxy variables of the server's environment, and turn statuses into
/// errors. Its pool is kept empty, as `pool` does better. `attempt` sets timeouts for each request.
fn config() -> Config {
    Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .max_idle_connections(0)
        .max_response_header_size(MAX_RESPONSE_HEADER)
        .accept("*/*")
        .accept_encoding("identity")
        .user_agent("")
        .timeout_await_100(None)
        .build()
}
