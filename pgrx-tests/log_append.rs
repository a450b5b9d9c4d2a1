//! What the log refuses.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::count;
    use crate::log::append::{Common, NewEvent, append_one};
    use crate::pg::transaction::subtransaction;
    use pgrx::prelude::*;

    #[pg_test]
    fn data_that_no_value_can_hold_is_refused() {
        // The memory is never written, so it takes no space.
        let data = String::from_utf8(vec![0; 1 << 30]).unwrap();
        let common = Common {
            source: "/test".to_owned(),
            context: "{}".to_owned(),
        };
        let event = NewEvent {
            r#type: "huge".to_owned(),
            data: Some(data),
            ..NewEvent::default()
        };
        let refused = subtransaction(|| append_one(&common, &event)).unwrap_err();
        assert_eq!(refused.sqlstate, "54000");
        assert_eq!(
            refused.message,
            "the event huge is too large: Its data has 1073741824 bytes, the limit is 1073741819."
        );
        assert_eq!(count("herald.event"), 0);
    }
}
