//! Which module may use which. An arrow that is not drawn here is not in the code.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// From the front doors down. What stands in [`BESIDE`] may be used by all.
const MAY_USE: [(&str, &[&str]); 14] = [
    ("main", &["cli"]),
    ("cli", &["serve", "demo", "ops", "store"]),
    ("serve", &["converse", "router", "http", "ops"]),
    ("converse", &["router", "http"]),
    ("demo", &["ops"]),
    ("router", &["api", "hooks", "livechat", "http"]),
    ("api", &["http", "ops", "cache", "store"]),
    ("hooks", &["http", "ops"]),
    ("livechat", &["http", "ops"]),
    ("http", &["ops"]),
    ("ops", &["cache", "store", "provider"]),
    ("cache", &["store"]),
    ("store", &[]),
    ("provider", &[]),
];

/// The modules beside the layers: they use each other, and know nothing of who uses them.
const BESIDE: [&str; 8] = [
    "clock",
    "config",
    "domain",
    "error",
    "id",
    "principal",
    "rendered",
    "vault",
];

/// Crates that only know HTTP, and the modules that must not know it.
const OF_HTTP: [&str; 6] = [
    "axum",
    "hyper",
    "hyper_util",
    "reqwest",
    "tower",
    "tower_http",
];
const WITHOUT_HTTP: [&str; 12] = [
    "cli",
    "ops",
    "cache",
    "store",
    "clock",
    "config",
    "domain",
    "error",
    "id",
    "principal",
    "rendered",
    "vault",
];

#[test]
fn every_arrow_points_down() {
    let mut wrong = Vec::new();
    for (file, module, text) in sources() {
        let allowed: BTreeSet<_> = MAY_USE
            .iter()
            .filter(|(name, _)| *name == module)
            .flat_map(|(_, below)| below.iter().copied())
            .chain(BESIDE)
            .chain([module.as_str()])
            .collect();
        for used in used_modules(&text) {
            if !allowed.contains(used.as_str()) {
                wrong.push(format!("{}: {module} uses {used}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_has_its_place() {
    let known: BTreeSet<_> = MAY_USE
        .iter()
        .map(|(name, _)| *name)
        .chain(BESIDE)
        .collect();
    let files = sources();
    let there: BTreeSet<_> = files
        .iter()
        .map(|(_, module, _)| module.as_str())
        .filter(|module| *module != "lib")
        .collect();
    assert_eq!(there, known);
}

/// A path from `super::super` would lead past [`used_modules`].
#[test]
fn other_modules_are_named_from_the_crate_down() {
    for (file, _, text) in sources() {
        assert!(!text.contains("super::super"), "{}", file.display());
        if file.components().count() == 1 {
            for (at, _) in text.match_indices("super::") {
                let in_tests = text[..at].contains("#[cfg(test)]");
                assert!(in_tests, "{}: say crate::", file.display());
            }
        }
    }
}

#[test]
fn operations_and_the_store_know_nothing_of_http() {
    for (file, module, text) in sources() {
        if WITHOUT_HTTP.contains(&module.as_str()) {
            for name in OF_HTTP {
                let path = format!("{name}::");
                let uses = words_before(&text, &path).any(|before| before.is_none());
                assert!(!uses, "{} uses {name}", file.display());
            }
        }
    }
}

#[test]
fn a_crate_beside_the_program_knows_nothing_of_it() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    for name in ["db", "channels"] {
        let manifest = fs::read_to_string(crates.join(name).join("Cargo.toml"));
        let manifest = manifest.expect("a crate");
        assert!(!manifest.contains("inboxd"), "{name}");
        assert!(!manifest.contains("path = "), "{name} stands alone");
    }
}

#[test]
fn paths_are_read_as_the_compiler_does() {
    let text = "
        use crate::{a, b::{c, d}, e::f as g,
            h};
        pub(crate) fn x() { crate::i::j(); $crate::k!(); mycrate::l(); crate ::m() }
    ";
    let used: Vec<_> = used_modules(&without_comments(
        &(text.to_owned() + "// crate::n\n/* crate::o */"),
    ))
    .into_iter()
    .collect();
    assert_eq!(used, ["a", "b", "e", "h", "i", "k"]);
}

/// Every source file: its path below `src`, the top module that it is part of, and its text without comments.
fn sources() -> Vec<(PathBuf, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(&path).expect("a text");
                let below = path.strip_prefix(&root).expect("a file below src");
                found.insert(below.to_owned(), without_comments(&text));
            }
        }
    }
    assert!(found.len() > 10, "this is not the whole of src");
    found
        .into_iter()
        .map(|(file, text)| {
            let first = file.components().next().expect("a name");
            let module = Path::new(first.as_os_str()).file_stem().expect("a name");
            let module = module.to_str().expect("a text").to_owned();
            (file, module, text)
        })
        .collect()
}

/// Doc comments link to whatever they like.
fn without_comments(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("/*") {
        kept.push_str(&rest[..at]);
        rest = rest[at..].split_once("*/").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    let lines = kept
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules that a text names after `crate::` (in `main`, after `inboxd::`).
fn used_modules(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for root in ["crate::", "inboxd::"] {
        for (at, _) in text.match_indices(root) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let after = &text[at + root.len()..];
            if let Some(list) = after.strip_prefix('{') {
                used.extend(first_names(list));
            } else {
                used.insert(name_at_start(after));
            }
        }
    }
    used
}

/// The names with which the items of a `{…}` begin.
fn first_names(list: &str) -> Vec<String> {
    let mut depth = 0;
    let mut item = String::new();
    let mut names = Vec::new();
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name_at_start(&std::mem::take(&mut item))),
            _ => item.push(c),
        }
    }
    names.push(name_at_start(&item));
    names.retain(|name| !name.is_empty());
    names
}

fn name_at_start(text: &str) -> String {
    let name = |c: &char| c.is_alphanumeric() || *c == '_';
    text.trim_start().chars().take_while(name).collect()
}

/// For each place where `path` stands: the letter before it, if it is only the end of a longer word or path.
fn words_before<'a>(text: &'a str, path: &'a str) -> impl Iterator<Item = Option<char>> + 'a {
    text.match_indices(path).map(|(at, _)| {
        let before = text[..at].chars().next_back();
        before.filter(|c| c.is_alphanumeric() || "_:".contains(*c))
    })
}
