//! Tokens of OAuth 2.0: fetched once for all threads, and used until they end or a receiver refuses them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use herald_core::auth::{ClientCredentials, Token};
use http::HeaderValue;

use crate::failure::Failure;
use crate::settings::AgentKey;

/// Beyond so many, those that ended are forgotten, or all.
const MAX_HELD: usize = 1024;

/// One token for each client, apart for whoever does not share connections.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    held: Mutex<HashMap<Client, Arc<Place>>>,
}

type Client = (AgentKey, Arc<ClientCredentials>);
/// Locked while somebody fetches what belongs in it.
type Place = Mutex<Option<Held>>;

#[derive(Debug)]
struct Held {
    header: HeaderValue,
    ends_at: Instant,
}

/// What goes into `authorization`.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) header: HeaderValue,
    /// It was fetched for this request.
    pub(crate) is_fresh: bool,
}

impl Tokens {
    /// The token of a client. Where there is none, or the one there is was `refused`, one thread fetches it and the others
    /// that want the same wait for that.
    pub(crate) fn get(
        &self,
        key: &AgentKey,
        credentials: &Arc<ClientCredentials>,
        refused: Option<&HeaderValue>,
        fetch: impl FnOnce() -> Result<Token, Failure>,
    ) -> Result<Given, Failure> {
        let place = self.place(key, credentials);
        let mut held = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = &*held
            && token.ends_at > Instant::now()
            && refused != Some(&token.header)
        {
            return Ok(Given {
                header: token.header.clone(),
                is_fresh: false,
            });
        }
        *held = None;
        let token = fetch()?;
        *held = Some(Held {
            header: token.header.clone(),
            ends_at: Instant::now() + token.life,
        });
        Ok(Given {
            header: token.header,
            is_fresh: true,
        })
    }

    fn place(&self, key: &AgentKey, credentials: &Arc<ClientCredentials>) -> Arc<Place> {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_HELD {
            let now = Instant::now();
            all.retain(|_, place| match place.try_lock() {
                Ok(held) => held.as_ref().is_some_and(|token| token.ends_at > now),
                Err(_) => true,
            });
            if all.len() >= MAX_HELD {
                all.clear();
            }
        }
        let place = all.entry((key.clone(), Arc::clone(credentials)));
        Arc::clone(place.or_default())
    }
}
