//! The worker's side of the mailbox: what sessions ask for with `ping()`.

use crate::log::append::new_uid;
use crate::pg::{identity, mailbox, shmem};
use herald_dispatch::pings::{Mail, Pings};

/// Fetches new mail, if any, and forgets mail that nobody waits for any longer.
pub fn fetch(pings: &mut Pings) {
    let Some(entry) = shmem::own_entry() else {
        return;
    };
    if pings.is_empty() && !entry.is_called() {
        return;
    }
    entry.answer();
    pings.retain(mailbox::is_waited_for);
    let taken = mailbox::take(identity::database());
    pings.ask(taken.into_iter().map(|(number, about)| Mail {
        number,
        subscription: about.subscription,
        event: about.event,
        uid: new_uid().to_string(),
    }));
}
