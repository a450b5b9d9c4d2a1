//! The presets of signature schemes, named after their senders.

/// The presets and their parts, as `signing => '{...}'` would give them.
pub(super) const PRESETS: [(&str, &str); 8] = [
    (
        "leafengines",
        r#"{"header":"x-leafengines-signature","prefix":"sha256=","canonical":"ecmascript"}"#,
    ),
    (
        "humana",
        r#"{"header":"x-humana-signature","content":"{timestamp}.{body}","timestamp_header":"x-humana-timestamp"}"#,
    ),
    (
        "frame",
        r#"{"header":"x-webhook-signature","prefix":"sha256=","encoding":"base64","timestamp_header":"x-timestamp",
            "timestamp_format":"rfc3339","id_header":"x-request-id","body_member":"signature"}"#,
    ),
    (
        "github",
        r#"{"header":"x-hub-signature-256","prefix":"sha256=","id_header":"x-github-delivery",
            "type_header":"x-github-event"}"#,
    ),
    (
        "stripe",
        r#"{"header":"stripe-signature","lead":"t={timestamp},","prefix":"v1=","separator":",",
            "content":"{timestamp}.{body}"}"#,
    ),
    (
        "shopify",
        r#"{"header":"x-shopify-hmac-sha256","encoding":"base64","id_header":"x-shopify-webhook-id",
            "type_header":"x-shopify-topic","timestamp_header":"x-shopify-triggered-at","timestamp_format":"rfc3339"}"#,
    ),
    (
        "slack",
        r#"{"header":"x-slack-signature","prefix":"v0=","content":"v0:{timestamp}:{body}",
            "timestamp_header":"x-slack-request-timestamp"}"#,
    ),
    (
        "svix",
        r#"{"header":"svix-signature","prefix":"v1,","separator":" ","encoding":"base64","key":"whsec",
            "content":"{id}.{timestamp}.{body}","timestamp_header":"svix-timestamp","id_header":"svix-id"}"#,
    ),
];
