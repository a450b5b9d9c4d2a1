//! The worker's side of the mailbox: what sessions ask for by `ping()`.

use crate::log::append::new_uid;
use crate::pg::{identity, mailbox, shmem};
use herald_dispatch::pings::{Mail, Pings};

/// Takes new mail, if there is any, and forgets what nobody waits for any more.
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
