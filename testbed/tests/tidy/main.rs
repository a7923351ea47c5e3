//! What the architecture promises and no compiler sees.
//!
//! A promise that a change has to break is changed here, in the same commit, with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{NodeId, Schema};
use node::application::{self, Application, Host, Kinds};
use node::clock::MachineClock;

mod commands;

/// Which of the project's crates each crate may name. What is not here may name none.
///
/// `composition`, `placement`, `engine` and `overlay` are siblings: none names another.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("composition", &["model"]),
    ("placement", &["model"]),
    ("engine", &["model"]),
    ("overlay", &["model"]),
    (
        "node",
        &["model", "composition", "placement", "engine", "overlay"],
    ),
    (
        "testbed",
        &[
            "model",
            "composition",
            "placement",
            "engine",
            "overlay",
            "node",
        ],
    ),
    (
        "examples",
        &[
            "model",
            "composition",
            "placement",
            "engine",
            "overlay",
            "node",
        ],
    ),
];

/// The drivers: the only files that touch what `.clippy.toml` forbids everywhere else.
const DRIVERS: &[&str] = &["node/src/clock.rs"];

/// How long a file may be, its tests left out. Unit: lines.
const LINES_MAX: usize = 500;

/// Words by which files and sockets, threads, and tasks would come into crates that promise to have none.
const OUTSIDE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::env",
    "async ",
    "tokio",
    "libp2p",
];

/// The files that applications of the tree read, with a row of each: these stand beside an application only
/// where it is run.
const INPUTS: &[(&str, &str)] = &[
    (
        "person.csv.gz",
        "seq,id,name,city,state,date_time\n0,1000,vicky noris,cheyenne,az,1436918400000\n",
    ),
    (
        "auction.csv.gz",
        "seq,id,item_name,initial_bid,reserve,date_time,expires,seller,category\n3,1002,mv,479,700,1436918400003,1436918401037,1000,12\n",
    ),
    (
        "bid.csv.gz",
        "seq,auction,bidder,price,channel,date_time\n4,1000,1001,73134520,channel-7568,1436918400004\n",
    ),
    ("rows.csv", "time,key,value,price\n1700000000000,1,2,3.45\n"),
];

#[test]
fn crates_name_only_those_below_them() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let members = members();
    assert_eq!(
        members.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        allowed.keys().copied().collect(),
        "every crate of the workspace, and no other, has its arrows"
    );
    for member in &members {
        let manifest = toml(&root().join(member).join("Cargo.toml"));
        for named in project_crates(&manifest) {
            assert!(
                allowed[member.as_str()].contains(&named.as_str()),
                "{member} may not name {named}"
            );
        }
    }
}

#[test]
fn every_crate_keeps_the_lints_of_the_workspace() {
    for member in members() {
        let manifest = toml(&root().join(&member).join("Cargo.toml"));
        let is_kept = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"));
        assert_eq!(is_kept, Some(&toml::Value::Boolean(true)), "{member}");
    }
}

#[test]
fn only_drivers_touch_what_is_forbidden() {
    // In two parts, so that this file is none of them.
    let lint = concat!("clippy::", "disallowed_methods");
    let files = rust_files();
    let drivers: BTreeSet<&str> = files
        .iter()
        .filter(|file| file.text.contains(lint))
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(drivers, DRIVERS.iter().copied().collect());
}

#[test]
fn crates_without_input_and_output_have_none() {
    for file in rust_files() {
        let (member, _) = file.path.split_once('/').expect("sources are in crates");
        let is_engine = member == "engine" && !file.path.starts_with("engine/src/runtime");
        let is_overlay = member == "overlay" && !file.path.starts_with("overlay/src/net");
        if !is_engine && !is_overlay && !["model", "composition", "placement"].contains(&member) {
            continue;
        }
        if !file.path.contains("/src/") {
            continue;
        }
        let code = lines_of_code(&file).filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            for word in OUTSIDE {
                assert!(!line.contains(word), "{}: {word}: {line}", file.path);
            }
        }
    }
}

#[test]
fn files_are_short_enough_to_be_read() {
    let mut too_long = Vec::new();
    for file in rust_files() {
        let count = lines_of_code(&file).count();
        if count > LINES_MAX {
            too_long.push(format!("{}: {count} lines", file.path));
        }
    }
    assert!(
        too_long.is_empty(),
        "split by phase or message: {too_long:?}"
    );
}

#[test]
fn a_module_is_named_by_its_file() {
    for file in rust_files() {
        assert!(!file.path.ends_with("/mod.rs"), "{}", file.path);
    }
}

#[test]
fn every_application_parses_and_validates() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in INPUTS {
        std::fs::write(folder.path().join(name), content).expect("a file");
    }
    let clock = Arc::new(MachineClock::start());
    let host = Host {
        owner: NodeId([0; 32]),
        node: NodeId([0; 32]),
        streams: None,
        epoch: clock.epoch(),
        clock,
    };
    let mut count = 0;
    for path in files().into_iter().filter(|path| is_application(path)) {
        let mut file = root().join(&path);
        if path.starts_with("testbed/applications/") {
            // Their inputs are put beside them where they are run, and so here.
            let copy = folder.path().join(path.replace('/', "-"));
            std::fs::copy(&file, &copy).expect("the application");
            file = copy;
        }
        match application::load(&file, &Kinds::ALL, &host) {
            Ok(loaded) => means_the_same_elsewhere(&path, &loaded),
            Err(problems) => panic!("{path}:\n{problems}"),
        }
        count += 1;
    }
    assert!(count >= 6, "applications are found: {count}");
}

/// A host that is handed the parts of a plan compiles them from what the plan says of them, and from nothing else.
fn means_the_same_elsewhere(path: &str, application: &Application) {
    let plan = &application.plan;
    for (part, here) in plan.operators().iter().zip(&application.operators) {
        let inputs: Vec<Schema> = part
            .inputs
            .iter()
            .map(|input| plan.schema(*input).clone())
            .collect();
        let there = (here.kind.compile)(&part.parameters, &inputs)
            .unwrap_or_else(|errors| panic!("{path}: {}: {errors:?}", part.name));
        assert_eq!(there.parameters, part.parameters, "{path}: {}", part.name);
        assert_eq!(there.outputs, part.outputs, "{path}: {}", part.name);
    }
}

#[test]
fn commands_in_documents_parse() {
    for path in files().into_iter().filter(|path| path.ends_with(".md")) {
        for line in commands::code_lines(&read(&path)) {
            if let Err(error) = commands::commands(&line)
                .iter()
                .try_for_each(|it| commands::parses(it))
            {
                panic!("{path}: {line}\n{error}");
            }
        }
    }
}

#[test]
fn nothing_tells_on_which_machine_it_was_written() {
    for path in files() {
        let bytes = std::fs::read(root().join(&path)).expect("a file can be read");
        // What is no text, such as packed data, has no lines that people wrote.
        let text = String::from_utf8(bytes).unwrap_or_default();
        for (number, line) in (1..).zip(text.lines()) {
            assert!(
                machine_path(line).is_none(),
                "{path}:{number}: a path of one machine: {line}"
            );
        }
    }
}

#[test]
fn packages_come_from_the_public_registry() {
    let lock = toml(&root().join("Cargo.lock"));
    let packages = lock["package"].as_array().expect("packages");
    assert!(packages.len() > ARROWS.len());
    for package in packages {
        if let Some(source) = package.get("source").and_then(toml::Value::as_str) {
            let public = "registry+https://github.com/rust-lang/crates.io-index";
            assert_eq!(source, public, "{}", package["name"]);
        }
    }
    for path in files().iter().filter(|path| path.contains(".cargo/")) {
        let config = toml(&root().join(path));
        for section in ["source", "registries", "registry", "net", "http"] {
            assert!(config.get(section).is_none(), "{path}: [{section}]");
        }
    }
}

/// A source file.
struct Source {
    /// From the root of the workspace.
    path: String,
    text: String,
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the workspace").to_owned()
}

/// All files of the project, from the root of the workspace, in order; not what builds and runs leave.
fn files() -> Vec<String> {
    fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder can be read") {
            let entry = entry.expect("a folder can be read");
            let name = entry.file_name().into_string().expect("names are in UTF-8");
            if [".git", "target", ".synergy"].contains(&name.as_str()) {
                continue;
            }
            let path = format!("{prefix}{name}");
            match entry
                .file_type()
                .expect("what stands in a folder has a type")
            {
                kind if kind.is_dir() => walk(&entry.path(), &format!("{path}/"), found),
                kind if kind.is_file() => found.push(path),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), "", &mut found);
    found.sort();
    found
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect("a file of text")
}

fn rust_files() -> Vec<Source> {
    let files: Vec<Source> = files()
        .into_iter()
        .filter(|path| path.ends_with(".rs"))
        .map(|path| Source {
            text: read(&path),
            path,
        })
        .collect();
    assert!(files.len() > 100, "sources are found");
    files
}

fn toml(path: &Path) -> toml::Value {
    let text = std::fs::read_to_string(path).expect("a manifest can be read");
    text.parse::<toml::Table>()
        .expect("a manifest is TOML")
        .into()
}

/// The folders of the workspace's crates.
fn members() -> Vec<String> {
    let manifest = toml(&root().join("Cargo.toml"));
    let members = manifest["workspace"]["members"]
        .as_array()
        .expect("members");
    let name = |member: &toml::Value| member.as_str().expect("a folder").to_owned();
    members.iter().map(name).collect()
}

/// The project's crates that a manifest names: for its code, its tests, its build script, on any system.
fn project_crates(manifest: &toml::Value) -> Vec<String> {
    let mut tables = vec![manifest];
    let systems = manifest.get("target").and_then(toml::Value::as_table);
    tables.extend(systems.into_iter().flat_map(toml::Table::values));
    let mut found = Vec::new();
    for table in tables {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = table.get(kind).and_then(toml::Value::as_table) else {
                continue;
            };
            for (key, dependency) in dependencies {
                // A dependency may go by another name than its package.
                let package = dependency.get("package").and_then(toml::Value::as_str);
                let package = package.unwrap_or(key);
                found.extend(package.strip_prefix("synergy-").map(str::to_owned));
            }
        }
    }
    found
}

/// The lines of a file that are no tests: tests stand last.
fn lines_of_code(file: &Source) -> impl Iterator<Item = &str> {
    let is_test = file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
    let lines: Vec<&str> = file.text.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    });
    let end = match is_test {
        true => 0,
        false => tests.unwrap_or(lines.len()),
    };
    lines.into_iter().take(end)
}

/// Whether a file is an application: rows enter, and results leave.
fn is_application(path: &str) -> bool {
    if !path.ends_with(".toml") {
        return false;
    }
    // One that is no TOML at all is an application's that tells nobody: it is loaded, and fails.
    read(path).parse::<toml::Table>().map_or(true, |table| {
        table.contains_key("source") || table.contains_key("sink")
    })
}

/// A path in a line that starts at the root of a file system and names a place where people work.
fn machine_path(line: &str) -> Option<&str> {
    const PLACES: &[&str] = &["work", "tmp", "root", "home", "Users"];
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || "_-.}*".contains(c);
    line.match_indices('/').find_map(|(slash, _)| {
        if line[..slash].ends_with(is_of_word) {
            return None;
        }
        let name = &line[slash + 1..];
        let name = &name[..name.find(|c| !is_of_word(c)).unwrap_or(name.len())];
        PLACES.contains(&name).then_some(name)
    })
}

#[test]
fn paths_of_a_machine_are_found_where_they_are() {
    for place in ["work", "tmp", "root", "home"] {
        assert_eq!(machine_path(&format!("in /{place}/x")), Some(place));
        assert_eq!(machine_path(&format!("\"/{place}\"")), Some(place));
        assert_eq!(machine_path(&format!("in at/{place}/x")), None);
        assert_eq!(machine_path(&format!("/{place}s/x")), None);
    }
}

#[test]
fn only_what_comes_before_the_tests_counts() {
    let file = |path: &str, text: &str| {
        let (path, text) = (path.to_owned(), text.to_owned());
        lines_of_code(&Source { path, text }).count()
    };
    let text = "fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n#[cfg(test)]\nmod tests {\n}\n";
    assert_eq!(file("node/src/a.rs", text), 4);
    assert_eq!(file("node/src/a/tests.rs", text), 0);
    assert_eq!(file("node/tests/a.rs", text), 0);
}
