//! Stored subscriptions as the worker wants them, each independent of all others.
//!
//! A faulty row becomes a subscription that is held: what matches it is kept in `herald.pending`, and its obstacle says
//! what to fix. So a faulty row fails nothing, and costs no other subscription anything.

use super::secrets::Secrets;
use crate::pg::transaction::{Fault, subtransaction};
use crate::prepared::Prepared;
use crate::settings::{self, UrlPolicies};
use crate::vault::Vault;
use herald_core::snapshot::Snapshot;
use herald_core::subscription::{State, SubscriptionOptions};
use herald_dispatch::former::Former;
use herald_dispatch::subscriptions::{Loaded, Since};
use herald_sender::AgentKey;
use pgrx::prelude::*;
use pgrx::spi::{SpiClient, SpiTupleTable};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// Reads the subscriptions with these ids that exist.
pub(super) fn read(
    client: &mut SpiClient<'_>,
    ids: &[i64],
    policies: &UrlPolicies,
    shown: Shown,
    oldest: Option<&Snapshot>,
) -> Vec<Loaded> {
    let context = Context {
        policies,
        shown,
        oldest: oldest.map(ToString::to_string),
        vault: Vault::default(),
    };
    let mut read = Vec::with_capacity(ids.len());
    context.read_in_halves(client, ids, &mut read);
    read
}

/// How much to put into a subscription.
#[derive(Clone, Copy)]
pub(super) enum Shown {
    /// Everything that a request has.
    Whole,
    /// What may be shown: *** for the named secrets.
    WithoutNamedSecrets,
}

struct Context<'a> {
    policies: &'a UrlPolicies,
    shown: Shown,
    /// Former states are read if their changes are not visible in it.
    oldest: Option<String>,
    vault: Vault,
}

impl Context<'_> {
    /// Reads the rows. A row that PostgreSQL itself cannot read fails the statement for all of them: it is found by
    /// halving.
    fn read_in_halves(&self, client: &mut SpiClient<'_>, ids: &[i64], read: &mut Vec<Loaded>) {
        let Some(first) = ids.first() else {
            return;
        };
        match subtransaction(|| self.read_together(client, ids)) {
            Ok(found) => read.extend(found),
            // A lock, a cancellation or a full disk says nothing about the rows: the look fails, and is retried.
            Err(error) if error.fault() != Fault::Value => error.raise(),
            Err(error) if ids.len() == 1 => {
                let fault = format!("it cannot be read: {}", error.message);
                read.extend(unreadable(client, *first, fault));
            }
            Err(_) => {
                let (left, right) = ids.split_at(ids.len() / 2);
                self.read_in_halves(client, left, read);
                self.read_in_halves(client, right, read);
            }
        }
    }

    fn read_together(&self, client: &mut SpiClient<'_>, ids: &[i64]) -> Vec<Loaded> {
        static STATEMENT: Prepared =
            Prepared::read(include_str!("../../../sql/queries/load_subscriptions.sql"));
        let parameters = vec![ids.to_vec().into(), self.oldest.clone().into()];
        let mut rows = STATEMENT.run(client, parameters);
        let mut loaded = Vec::with_capacity(rows.len());
        while rows.next().is_some() {
            loaded.push(self.loaded(&Row(&rows)));
        }
        loaded
    }

    fn loaded(&self, row: &Row<'_, '_>) -> Loaded {
        let (secrets, mut obstacle) = self.secrets(row);
        let is_tenants = row.get("is_tenants").unwrap_or(true);
        let compiled = row
            .options()
            .and_then(|options| secrets.put_into(options))
            .map(|options| match self.shown {
                Shown::Whole => options,
                Shown::WithoutNamedSecrets => options.without_named_secrets(),
            })
            .and_then(|options| {
                let compiled = options.compile(self.policies.of(is_tenants));
                compiled.map_err(|error| error.to_string())
            });
        // After a setting was narrowed, it may refuse what was accepted once.
        let config = compiled.unwrap_or_else(|fault| {
            obstacle.get_or_insert(fault);
            row.matching().held()
        });
        let lacks_consent = obstacle.is_none()
            && config.style.handshake.is_some()
            && config.state != State::Sandbox
            && !row.get("has_consent").unwrap_or(false);
        if lacks_consent {
            let fault: Option<String> = row.get("consent_error");
            obstacle = Some(format!(
                "its receiver has not consented: {}; it is asked again, or run herald.grant_delivery('{}')",
                fault.as_deref().unwrap_or("it was not asked yet"),
                config.name
            ));
        }
        Loaded {
            agent: AgentKey {
                tenant: config.wanted.tenant.as_deref().map(Arc::from),
                is_tenants,
                tls: secrets.tls_profile().map(Arc::new),
            },
            config: Arc::new(config),
            since: row.since(),
            former: row.former(),
            lacks_consent,
            obstacle,
            secret_ends_at: row.get("secret_ends_micros"),
            open_since: row.get("open_since_micros"),
            spare_until: row.get("spare_until_micros"),
        }
    }

    /// Returns the secrets, and what keeps requests from being sent with them, if anything.
    fn secrets(&self, row: &Row<'_, '_>) -> (Secrets, Option<String>) {
        let values = ["value_kinds", "value_names", "stored_values"];
        let secrets = Secrets::open(
            &self.vault,
            row.get("id").unwrap_or_default(),
            &row.texts("secrets"),
            values.map(|column| row.texts(column)),
        );
        match secrets {
            Err(fault) => (
                Secrets::default(),
                Some(format!("a secret cannot be opened: {fault}")),
            ),
            Ok(secrets) if secrets.signing.is_empty() => (
                secrets,
                Some("it has no secret; run herald.rotate_secret()".into()),
            ),
            Ok(secrets) => (secrets, None),
        }
    }
}

/// A row of `load_subscriptions.sql`.
struct Row<'a, 'c>(&'a SpiTupleTable<'c>);

impl Row<'_, '_> {
    /// Returns a value; `None` if it is null.
    fn get<T: IntoDatum + FromDatum>(&self, name: &str) -> Option<T> {
        self.0.get_by_name(name).ok().flatten()
    }

    fn texts(&self, name: &str) -> Vec<String> {
        let members: Option<Vec<Option<String>>> = self.get(name);
        members.into_iter().flatten().flatten().collect()
    }

    /// Returns its options, with *** for secrets, or why they cannot be read.
    fn options(&self) -> Result<SubscriptionOptions, String> {
        let rate: Option<i32> = self.get("consent_rate");
        let options = SubscriptionOptions {
            url: self.get("url").unwrap_or_default(),
            request_origin: settings::request_origin(),
            rate: rate.and_then(|rate| rate.try_into().ok()),
            generation: self.get("generation").unwrap_or_default(),
            max_backlog: self.get("max_backlog"),
            types: self.types().ok_or("a member of its types is null")?,
            ..self.matching()
        };
        let document: String = self.get("options").unwrap_or_default();
        let options = options
            .with_document(&document)
            .map_err(|error| error.to_string())?;
        let most: Option<i32> = self.get("plan_max_attempts");
        Ok(SubscriptionOptions {
            max_attempts: options.max_attempts.into_iter().chain(most).min(),
            ..options
        })
    }

    /// Returns as much of it as matching needs.
    fn matching(&self) -> SubscriptionOptions {
        SubscriptionOptions {
            id: self.get("id").unwrap_or_default(),
            types: self.types().unwrap_or_default(),
            tenant: self.get("tenant"),
            state: self.state(),
            ..SubscriptionOptions::new(&self.get::<String>("name").unwrap_or_default(), "")
                .with_selecting(&self.get::<String>("options").unwrap_or_default())
        }
    }

    /// Returns what it wanted before it was changed, oldest first. A former state that cannot be read refused nothing,
    /// except other tenants' events.
    fn former(&self) -> Vec<Former> {
        #[derive(Deserialize)]
        struct Stored {
            until_xid: String,
            types: Vec<Option<String>>,
            tenant: Option<String>,
            options: Box<RawValue>,
            state: String,
        }
        let stored: Option<String> = self.get("former");
        let stored = stored.map(|json| serde_json::from_str::<Vec<Stored>>(&json));
        let former = |stored: Stored| {
            let types: Option<Vec<String>> = stored.types.into_iter().collect();
            let options = SubscriptionOptions {
                types: types.unwrap_or_default(),
                tenant: stored.tenant,
                state: State::parse(&stored.state).unwrap_or(State::Paused),
                ..SubscriptionOptions::new("", "").with_selecting(stored.options.get())
            };
            Former {
                until_xid: stored.until_xid.parse().unwrap_or_default(),
                wanted: Arc::new(options.readable_wanted()),
            }
        };
        let stored = stored.and_then(Result::ok).unwrap_or_default();
        stored.into_iter().map(former).collect()
    }

    /// Returns the globs of the wanted types. A null member makes the whole list invalid.
    fn types(&self) -> Option<Vec<String>> {
        let types: Option<Vec<Option<String>>> = self.get("types");
        types.into_iter().flatten().collect()
    }

    fn state(&self) -> State {
        let state: Option<String> = self.get("state");
        state
            .and_then(|state| State::parse(&state))
            .unwrap_or(State::Paused)
    }

    fn since(&self) -> Since {
        let text = |name: &str| self.get::<String>(name);
        let disabled_xid = text("disabled_xid").and_then(|xid| xid.parse().ok());
        let read = || {
            Some(Since {
                xid: text("created_xid")?.parse().ok()?,
                snapshot: text("created_snapshot")?.parse().ok()?,
                seq: self.get("created_seq")?,
                disabled_xid,
            })
        };
        read().unwrap_or_else(|| Since {
            disabled_xid,
            ..Since::ever()
        })
    }
}

/// Reads as much as possible of a subscription that PostgreSQL cannot read in full. `None` if it does not exist.
fn unreadable(client: &mut SpiClient<'_>, id: i64, obstacle: String) -> Option<Loaded> {
    static BARE: Prepared = Prepared::read(include_str!(
        "../../../sql/queries/load_bare_subscription.sql"
    ));
    static TYPES: Prepared = Prepared::read(include_str!("../../../sql/queries/load_types.sql"));
    let mut options = SubscriptionOptions {
        id,
        types: Vec::new(),
        // Nobody gets another tenant's events: an unknown tenant becomes one that no event has.
        tenant: Some("\0".into()),
        ..SubscriptionOptions::new("", "")
    };
    let (mut is_tenants, mut since) = (true, Since::ever());
    let exists = subtransaction(|| {
        let rows = BARE.run(client, vec![id.into()]);
        if rows.is_empty() {
            return false;
        }
        let rows = rows.first();
        let row = Row(&rows);
        options.name = row.get("name").unwrap_or_default();
        options.tenant = row.get("tenant");
        options.state = row.state();
        is_tenants = row.get("is_tenants").unwrap_or(true);
        since = row.since();
        true
    });
    match exists {
        Ok(false) => return None,
        Err(error) if error.fault() != Fault::Value => error.raise(),
        _ => {}
    }
    // If the types cannot be read either, every event is held.
    let types = subtransaction(|| {
        let rows = TYPES.run(client, vec![id.into()]).first();
        Row(&rows).types()
    });
    if let Err(error) = &types
        && error.fault() != Fault::Value
    {
        error.raise();
    }
    options.types = types.ok().flatten().unwrap_or_default();
    let config = options.held();
    Some(Loaded {
        agent: AgentKey {
            tenant: config.wanted.tenant.as_deref().map(Arc::from),
            is_tenants,
            tls: None,
        },
        config: Arc::new(config),
        since,
        lacks_consent: false,
        obstacle: Some(obstacle),
        secret_ends_at: None,
        former: Vec::new(),
        open_since: None,
        spare_until: None,
    })
}
