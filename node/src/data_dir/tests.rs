use super::*;

fn folder() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().expect("a folder");
    let path = parent.path().join("deep/data");
    (parent, path)
}

fn mode(path: &Path) -> u32 {
    let metadata = fs::metadata(path).expect("it is there");
    metadata.permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

#[test]
fn a_node_is_the_same_after_a_restart() {
    let (_parent, path) = folder();
    let first = DataDir::open(&path).expect("a new folder");
    assert!(first.is_new());
    let (identity, token) = (first.identity().expect("new"), first.token().expect("new"));
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join(IDENTITY)), 0o600);
    assert_eq!(mode(&path.join(TOKEN)), 0o600);
    assert_eq!(first.identity().expect("kept").node(), identity.node());
    drop(first);
    let second = DataDir::open(&path).expect("nobody has it");
    assert!(!second.is_new());
    assert_eq!(second.identity().expect("kept").node(), identity.node());
    assert_eq!(second.token().expect("kept"), token);
    let read = read_identity(&path).expect("it can be read");
    assert_eq!(read.map(|it| it.node()), Some(identity.node()));
}

#[test]
fn two_new_nodes_are_different() {
    let nodes: Vec<_> = (0..2)
        .map(|_| {
            let (_parent, path) = folder();
            let folder = DataDir::open(&path).expect("a new folder");
            (
                folder.identity().expect("new").node(),
                folder.token().expect("new"),
            )
        })
        .collect();
    assert_ne!(nodes[0].0, nodes[1].0);
    assert_ne!(nodes[0].1, nodes[1].1);
}

#[test]
fn a_second_node_on_the_same_folder_is_refused() {
    let (_parent, path) = folder();
    let first = DataDir::open(&path).expect("a new folder");
    first
        .announce(([127, 0, 0, 1], 4171).into(), &[])
        .expect("writable");
    let refused = DataDir::open(&path).expect_err("it is in use");
    let said = refused.to_string();
    let process = format!("already (process {})", std::process::id());
    assert!(
        said.contains(&process) && said.contains("--data-dir"),
        "{said}"
    );
    // The refused one has not taken away what the first says.
    assert_eq!(
        read(&path.join(API)).expect("still there"),
        "127.0.0.1:4171"
    );
    drop(first);
    DataDir::open(&path).expect("the lock is gone with its holder");
}

#[test]
fn what_says_where_a_node_is_found_goes_with_it() {
    let (_parent, path) = folder();
    let folder = DataDir::open(&path).expect("a new folder");
    let addresses = [
        "/ip4/127.0.0.1/tcp/4170/p2p/a".to_owned(),
        "/ip4/10.0.0.1/tcp/4170/p2p/a".to_owned(),
    ];
    folder
        .announce(([127, 0, 0, 1], 4171).into(), &addresses)
        .expect("writable");
    assert_eq!(
        read(&path.join(ADDRESS)).expect("there"),
        addresses.join("\n")
    );
    assert_eq!(
        read(&path.join(PID)).expect("there"),
        std::process::id().to_string()
    );
    drop(folder);
    for name in [API, ADDRESS, PID] {
        assert!(!path.join(name).exists(), "{name}");
    }
}

#[test]
fn what_a_killed_node_left_behind_is_no_obstacle() {
    let (_parent, path) = folder();
    drop(DataDir::open(&path).expect("a new folder"));
    for name in [API, PID, ".token.new", ".api.new"] {
        fs::write(path.join(name), "stale").expect("writable");
    }
    let folder = DataDir::open(&path).expect("stale files do not matter");
    assert!(
        !path.join(API).exists(),
        "nobody is led to a node that is gone"
    );
    assert_ne!(folder.token().expect("new"), "stale");
    folder
        .announce(([127, 0, 0, 1], 1).into(), &[])
        .expect("writable");
    assert_eq!(mode(&path.join(API)), 0o600);
}

#[test]
fn secrets_that_others_can_read_are_refused() {
    let (_parent, path) = folder();
    let folder = DataDir::open(&path).expect("a new folder");
    folder.identity().expect("new");
    set_mode(&path.join(IDENTITY), 0o644);
    let said = folder.identity().expect_err("exposed").to_string();
    assert!(
        said.contains("(mode 644)") && said.contains("chmod 600"),
        "{said}"
    );
    drop(folder);
    set_mode(&path, 0o777);
    let said = DataDir::open(&path).expect_err("exposed").to_string();
    assert!(said.contains("chmod 700"), "{said}");
    set_mode(&path, 0o755);
    DataDir::open(&path).expect("others may see names");
}

#[test]
fn damaged_files_are_not_taken_for_secrets() {
    let (_parent, path) = folder();
    let folder = DataDir::open(&path).expect("a new folder");
    let good = hexadecimal(&[7; 32]);
    for (text, is_good) in [
        (format!("{good}\n"), true),
        (good.clone(), true),
        (good[..62].to_owned(), false),
        (format!("{good}00"), false),
        (good.replace('7', "g"), false),
        (String::new(), false),
    ] {
        fs::write(path.join(IDENTITY), &text).expect("writable");
        set_mode(&path.join(IDENTITY), 0o600);
        assert_eq!(folder.identity().is_ok(), is_good, "{text:?}");
    }
    let said = folder.identity().expect_err("damaged").to_string();
    assert!(said.contains("another one to everybody"), "{said}");

    for (text, is_good) in [
        ("short", false),
        ("a token that has spaces in it, which none has", false),
        ("0123456789abcdef0123456789abcdef", true),
    ] {
        fs::write(path.join(TOKEN), text).expect("writable");
        set_mode(&path.join(TOKEN), 0o600);
        assert_eq!(folder.token().is_ok(), is_good, "{text:?}");
    }
    fs::write(path.join(TOKEN), [0xff; 40]).expect("writable");
    assert!(matches!(folder.token(), Err(DataDirError::Damaged { .. })));
}

#[test]
fn the_folder_is_where_programs_keep_their_data() {
    for (variables, expected) in [
        (&[("SYNERGY_DATA_DIR", "x"), ("HOME", "/h")][..], Some("x")),
        (
            &[("XDG_DATA_HOME", "/d"), ("HOME", "/h")],
            Some("/d/synergy"),
        ),
        (
            &[("XDG_DATA_HOME", "d"), ("HOME", "/h")],
            Some("/h/.local/share/synergy"),
        ),
        (&[("HOME", "/h")], Some("/h/.local/share/synergy")),
        (&[("HOME", "")], None),
        (&[], None),
    ] {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        assert_eq!(
            default_path(variable),
            expected.map(PathBuf::from),
            "{variables:?}"
        );
    }
}
