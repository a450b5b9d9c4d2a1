//! Documentation pages: the blocks that tests run or compare, each after a comment that says so.

/// A fenced block with a comment before it, such as `<!-- run: github.mjs -->`.
pub struct Block {
    pub name: &'static str,
    pub text: String,
}

/// Returns the blocks of a kind: `run`, `vector`, `received`.
pub fn blocks(page: &'static str, kind: &str) -> Vec<Block> {
    let mut lines = page.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let marker = line
            .strip_prefix("<!-- ")
            .and_then(|line| line.strip_suffix(" -->"));
        let name = marker.and_then(|text| text.strip_prefix(kind)?.strip_prefix(": "));
        if let Some(name) = name {
            let fence = lines.next().unwrap_or_default();
            assert!(fence.starts_with("```"), "a block follows {line}");
            let text = lines.by_ref().take_while(|line| *line != "```");
            let text = text.collect::<Vec<_>>().join("\n");
            found.push(Block { name, text });
        }
    }
    found
}

#[track_caller]
pub fn block(page: &'static str, kind: &str, name: &str) -> String {
    let found = blocks(page, kind)
        .into_iter()
        .find(|block| block.name == name);
    found
        .unwrap_or_else(|| panic!("there is no {kind}: {name}"))
        .text
}

/// Counts the fenced blocks in a language.
pub fn count_fences(page: &str, language: &str) -> usize {
    let fence = format!("```{language}");
    page.lines().filter(|line| *line == fence).count()
}

/// Returns a block's statements with this scheme, host and port in each `url`; paths and queries stay.
pub fn with_origin(sql: &str, origin: &str) -> String {
    let mut parts = sql.split("url => 'https://");
    let mut changed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let host = part.find(['/', '\'']).expect("the end of the host");
        changed.push_str("url => '");
        changed.push_str(origin);
        changed.push_str(&part[host..]);
    }
    changed
}
