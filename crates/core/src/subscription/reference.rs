//! The arguments of `subscribe`, and the reference that is generated from them.

use crate::subscription::options::{Declared, OPTIONS};

const NAME: Declared = argument(
    "name",
    "text",
    " ",
    "1 to 63 of `A-Z a-z 0-9 . _ / -`; not only digits, which are an id",
    "",
);

const OTHER_ARGUMENTS: [Declared; 3] = [
    argument(
        "secret",
        "text",
        "a new secret",
        "`whsec_` and the base64 of 24 to 64 bytes, `whsk_` and an ed25519 key, or for other [signatures](signatures.md) 8 to 256 visible ASCII characters and spaces",
        "for an existing subscription, as `rotate_secret` with a grace of 24 hours",
    ),
    argument(
        "start_from",
        "timestamptz",
        "now",
        "",
        "new subscriptions only: first sends the log's events since then",
    ),
    argument(
        "preset",
        "text",
        " ",
        "the name of a preset",
        "the same as `signing` with that name as a JSON string: `preset => 'github'`",
    ),
];

/// Returns the arguments of `subscribe`, in order.
pub fn arguments() -> impl Iterator<Item = &'static Declared> {
    let (first, others) = OPTIONS.split_at(3);
    std::iter::once(&NAME)
        .chain(first)
        .chain(&OTHER_ARGUMENTS)
        .chain(others)
}

/// Declares an argument of `subscribe` that is not an option.
const fn argument(
    name: &'static str,
    sql_type: &'static str,
    default_words: &'static str,
    limits: &'static str,
    about: &'static str,
) -> Declared {
    Declared {
        name,
        sql_type,
        is_optional: true,
        default: "null",
        default_words,
        limits,
        about,
        secret: None,
    }
}

/// Returns the signature of `subscribe`, in lines of at most 120 characters.
pub fn signature() -> String {
    let (open, indent) = ("herald.subscribe(", " ".repeat("herald.subscribe(".len()));
    let mut signature = format!("```\n{open}");
    let mut width = open.len();
    for (position, argument) in arguments().enumerate() {
        let text = format!("{} {}", argument.name, argument.sql_type);
        if position > 0 && width + text.len() + 3 > 120 {
            signature.push_str(&format!(",\n{indent}{text}"));
            width = indent.len() + text.len();
        } else {
            let comma = if position > 0 { ", " } else { "" };
            signature.push_str(&format!("{comma}{text}"));
            width += comma.len() + text.len();
        }
    }
    signature + ")\n    → (name text, secret text, created boolean)\n```\n"
}

/// Returns the rows of the reference as Markdown: default, limits and meaning of each argument of `subscribe`.
pub fn reference() -> String {
    let mut rows =
        String::from("| argument | default | limits | meaning |\n| --- | --- | --- | --- |\n");
    for argument in arguments() {
        let cells = [
            format!("`{}`", argument.name),
            argument.shown_default(),
            argument.limits.to_owned(),
            argument.about.trim().to_owned(),
        ];
        for cell in cells {
            rows.push_str("| ");
            rows.push_str(&cell);
            rows.push_str(if cell.is_empty() { "" } else { " " });
        }
        rows.push_str("|\n");
    }
    rows
}
