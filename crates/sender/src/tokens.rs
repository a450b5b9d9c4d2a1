//! OAuth 2.0 tokens: fetched once for all threads, and used until they end or a receiver refuses them.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use herald_core::signing::auth::{ClientCredentials, Token};
use http::HeaderValue;

use crate::failure::Failure;
use herald_core::egress::agent::AgentKey;

/// If more are held, those that ended are forgotten, or else all.
const MAX_HELD: usize = 1024;

type Client = (AgentKey, Arc<ClientCredentials>);

/// One token per client, kept apart for clients that do not share connections.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    places: Mutex<HashMap<Client, Arc<Place>>>,
}

#[derive(Debug, Default)]
struct Place {
    state: Mutex<State>,
    is_fetched: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    is_being_fetched: bool,
}

#[derive(Debug)]
struct Held {
    header: HeaderValue,
    ends_at: Instant,
}

/// The value of `authorization`.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) header: HeaderValue,
    /// Whether it was fetched for this request.
    pub(crate) is_fresh: bool,
}

impl Tokens {
    /// Returns a client's token. If none is held, or the held one was `refused`, one thread fetches it while the others
    /// that want it wait. Returns `None` if that took longer than `time`.
    pub(crate) fn get(
        &self,
        key: &AgentKey,
        credentials: &Arc<ClientCredentials>,
        refused: Option<&HeaderValue>,
        time: Duration,
        fetch: impl FnOnce() -> Result<Token, Failure>,
    ) -> Option<Result<Given, Failure>> {
        let place = self.place(key, credentials);
        let is_usable =
            |held: &Held| held.ends_at > Instant::now() && refused != Some(&held.header);
        let (mut state, waited) = place
            .is_fetched
            .wait_timeout_while(place.lock(), time, |state| {
                state.is_being_fetched && !state.held.as_ref().is_some_and(is_usable)
            })
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return None;
        }
        if let Some(held) = state.held.as_ref().filter(|held| is_usable(held)) {
            return Some(Ok(Given {
                header: held.header.clone(),
                is_fresh: false,
            }));
        }
        (state.held, state.is_being_fetched) = (None, true);
        drop(state);
        let _fetching = Fetching(&place);
        Some(fetch().map(|token| {
            place.lock().held = Some(Held {
                header: token.header.clone(),
                ends_at: Instant::now() + token.life,
            });
            Given {
                header: token.header,
                is_fresh: true,
            }
        }))
    }

    fn place(&self, key: &AgentKey, credentials: &Arc<ClientCredentials>) -> Arc<Place> {
        let client = (key.clone(), Arc::clone(credentials));
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= MAX_HELD && !places.contains_key(&client) {
            let now = Instant::now();
            places.retain(|_, place| {
                let state = place.lock();
                state.is_being_fetched || state.held.as_ref().is_some_and(|held| held.ends_at > now)
            });
            if places.len() >= MAX_HELD {
                places.clear();
            }
        }
        Arc::clone(places.entry(client).or_default())
    }
}

impl Place {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fetch by one thread. When it ends, even by a panic, the next thread may try.
struct Fetching<'a>(&'a Place);

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        self.0.lock().is_being_fetched = false;
        self.0.is_fetched.notify_all();
    }
}
