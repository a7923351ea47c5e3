use std::path::Path;

use super::keys::{KEYS, SECTIONS};
use super::*;

fn machine() -> Machine {
    Machine {
        name: Some("gw1".to_owned()),
        cores: 2.0,
        data_dir: Some("/data".into()),
    }
}

fn load(given: &Given) -> Result<Settings, String> {
    Settings::load(given, &machine()).map_err(|problems| problems.to_string())
}

fn file(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("node.toml");
    std::fs::write(&path, text).expect("a file");
    path
}

fn set(keys: &[&str]) -> Given {
    Given {
        set: keys.iter().map(|key| (*key).to_owned()).collect(),
        ..Given::default()
    }
}

#[test]
fn where_nothing_is_said_nobody_else_reaches_the_node() {
    let settings = load(&Given::default()).expect("nothing is wrong");
    let expected = Settings {
        name: "gw1".to_owned(),
        data_dir: "/data".into(),
        memory_bytes: 256 << 20,
        disk_bytes: 1 << 30,
        policy: Policy::Deadline,
        migrates: true,
        drain: DRAIN_MAX,
        network: Network {
            id: "main".to_owned(),
            listen: vec!["/ip4/127.0.0.1/tcp/4170".to_owned()],
            join: Vec::new(),
            insecure_listen: false,
        },
        offer: Offer {
            operators: None,
            labels: BTreeMap::new(),
            cpu_cores: 2.0,
            memory_bytes: 256 << 20,
            uplink_bytes_per_second: 125e6,
        },
        api: Api {
            listen: ([127, 0, 0, 1], 4171).into(),
        },
    };
    assert_eq!(settings, expected);
}

#[test]
fn a_whole_file_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = r#"
name = "plant-a-gw1"
data_dir = "/var/lib/synergy"
memory = "1GiB"
disk = "2GiB"
policy = "fifo"
migrate = "never"
drain = "2500ms"

[network]
id = "lab"
listen = ["/ip4/0.0.0.0/tcp/4170"]
join = ["/dns4/hq.example/tcp/4170"]
insecure_listen = true

[offer]
operators = ["filter", "window"]
labels = { site = "plant-a" }
cpu = 1.5
memory = "256MiB"
uplink = "10Mbit/s"

[api]
listen = "127.0.0.1:4999"
"#;
    let given = Given {
        file: Some(file(folder.path(), text)),
        ..Given::default()
    };
    let expected = Settings {
        name: "plant-a-gw1".to_owned(),
        data_dir: "/var/lib/synergy".into(),
        memory_bytes: 1 << 30,
        disk_bytes: 2 << 30,
        policy: Policy::Fifo,
        migrates: false,
        drain: Duration::from_millis(2500),
        network: Network {
            id: "lab".to_owned(),
            listen: vec!["/ip4/0.0.0.0/tcp/4170".to_owned()],
            join: vec!["/dns4/hq.example/tcp/4170".to_owned()],
            insecure_listen: true,
        },
        offer: Offer {
            operators: Some(vec!["filter".to_owned(), "window".to_owned()]),
            labels: BTreeMap::from([("site".to_owned(), "plant-a".to_owned())]),
            cpu_cores: 1.5,
            memory_bytes: 256 << 20,
            uplink_bytes_per_second: 1.25e6,
        },
        api: Api {
            listen: ([127, 0, 0, 1], 4999).into(),
        },
    };
    assert_eq!(load(&given), Ok(expected));
}

/// A flag counts before `--set`, that before the environment, that before the file.
#[test]
fn the_nearest_layer_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut given = Given::default();
    let mut names = vec![load(&given).expect("good").name];
    given.file = Some(file(folder.path(), "name = \"file\"\n"));
    names.push(load(&given).expect("good").name);
    given.environment = vec![
        ("SYNERGY_NAME".to_owned(), "environment".to_owned()),
        ("SYNERGY_NODE".to_owned(), "3".to_owned()),
        ("PATH".to_owned(), "/bin".to_owned()),
    ];
    names.push(load(&given).expect("good").name);
    given.set = vec!["name=set".to_owned()];
    names.push(load(&given).expect("good").name);
    given.flags = vec![("--name", "name", "flag".to_owned())];
    names.push(load(&given).expect("good").name);
    assert_eq!(names, ["gw1", "file", "environment", "set", "flag"]);
}

#[test]
fn lists_and_labels_can_be_given_anywhere() {
    let mut given = set(&[
        "network.join=/ip4/127.0.0.1/tcp/1, /ip4/127.0.0.1/tcp/2",
        "offer.labels=site=a,rack=b",
    ]);
    given.environment = vec![(
        "SYNERGY_NETWORK_LISTEN".to_owned(),
        "/ip4/127.0.0.1/tcp/9".to_owned(),
    )];
    let settings = load(&given).expect("good");
    assert_eq!(
        settings.network.join,
        ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"]
    );
    assert_eq!(settings.network.listen, ["/ip4/127.0.0.1/tcp/9"]);
    assert_eq!(settings.offer.labels["rack"], "b");

    // A flag that is repeated is one list; it counts instead of the other one.
    let join = |address: &str| ("--join", "network.join", address.to_owned());
    given.flags = vec![join("/ip4/127.0.0.1/tcp/3"), join("/ip6/::1/tcp/4")];
    let settings = load(&given).expect("good");
    assert_eq!(
        settings.network.join,
        ["/ip4/127.0.0.1/tcp/3", "/ip6/::1/tcp/4"]
    );
}

#[test]
fn every_mistake_of_a_file_is_told_at_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(
        folder.path(),
        "nam = \"x\"\n[netwrok]\n[network]\nlisten = 5\n[offer]\nuplink = \"10Mbps\"\noperators = [\"filtre\"]\n",
    );
    let given = Given {
        file: Some(path.clone()),
        ..Given::default()
    };
    let said = load(&given).expect_err("much is wrong");
    let file = path.display();
    for expected in [
        format!("{file}:1:1: unknown key \"nam\""),
        "(did you mean \"name\"?)".to_owned(),
        format!("{file}:2:2: unknown key \"netwrok\""),
        format!("{file}:4:10: network.listen: the value is of another kind"),
        format!("{file}:6:10: offer.uplink: \"10Mbps\" is no rate: the unit is not known"),
        format!("{file}:7:13: unknown operator \"filtre\""),
    ] {
        assert!(said.contains(&expected), "{expected}\n{said}");
    }

    let given = Given {
        file: Some(tests::file(folder.path(), "name = \n")),
        ..Given::default()
    };
    let said = load(&given).expect_err("no TOML");
    assert!(said.contains("node.toml:1:"), "{said}");
    let given = Given {
        file: Some(folder.path().join("none.toml")),
        ..Given::default()
    };
    assert!(load(&given).is_err());
}

#[test]
fn what_is_not_known_is_an_error_in_every_layer() {
    let said = load(&set(&["network.lisen=/ip4/127.0.0.1/tcp/1", "name"])).expect_err("wrong");
    assert!(
        said.contains("--set network.lisen=/ip4/127.0.0.1/tcp/1: unknown key \"network.lisen\""),
        "{said}"
    );
    assert!(
        said.contains("(did you mean \"network.listen\"?)"),
        "{said}"
    );
    assert!(said.contains("--set name: there is no value"), "{said}");
    let given = Given {
        environment: vec![("SYNERGY_OFFER_CPUS".to_owned(), "1".to_owned())],
        ..Given::default()
    };
    let said = load(&given).expect_err("wrong");
    assert!(
        said.contains("SYNERGY_OFFER_CPUS: no key has this variable"),
        "{said}"
    );
    assert!(
        said.contains("did you mean \"SYNERGY_OFFER_CPU\"?"),
        "{said}"
    );
}

#[test]
fn listening_where_others_reach_it_takes_a_word() {
    for (key, is_safe) in [
        ("network.listen=/ip4/127.0.0.1/tcp/4170", true),
        ("network.listen=/ip6/::1/tcp/4170", true),
        ("network.listen=/dns4/localhost/tcp/4170", true),
        ("network.listen=/ip4/0.0.0.0/tcp/4170", false),
        (
            "network.listen=/ip4/127.0.0.1/tcp/1,/ip4/192.168.1.7/tcp/4170",
            false,
        ),
        ("network.listen=/ip6/::/tcp/4170", false),
        ("network.listen=/dns4/hq.example/tcp/4170", false),
        ("api.listen=127.0.0.1:1", true),
        ("api.listen=localhost:1", true),
        ("api.listen=0.0.0.0:4171", false),
    ] {
        let loaded = load(&set(&[key]));
        assert_eq!(loaded.is_ok(), is_safe, "{key}: {loaded:?}");
        if let Err(said) = loaded {
            assert!(said.contains("--insecure-listen"), "{said}");
        }
        assert!(
            load(&set(&[key, "network.insecure_listen=true"])).is_ok(),
            "{key}"
        );
    }
}

#[test]
fn values_have_bounds() {
    for key in [
        "name=",
        "name=two words",
        "network.id=a/b",
        "network.id=a-name-that-is-longer-than-networks-have",
        "network.listen=",
        "network.listen=127.0.0.1:4170",
        "network.join=hq.example",
        "memory=1MiB",
        "memory=256",
        "policy=best",
        "migrate=always",
        "drain=11s",
        "drain=10",
        "offer.memory=1GiB",
        "offer.cpu=0",
        "offer.cpu=nan",
        "offer.cpu=1e9",
        "offer.uplink=0Mbit/s",
        "offer.labels=site",
        "offer.labels=site=two words",
        "offer.operators=fly",
        "api.listen=4171",
        "data_dir=",
    ] {
        let loaded = load(&set(&[key]));
        assert!(loaded.is_err(), "{key}: {loaded:?}");
    }
    for key in [
        "offer.operators=*",
        "offer.cpu=0.5",
        "memory=1GiB",
        "policy=tokens",
        "migrate=auto",
        "drain=0s",
        "offer.memory=64MiB",
    ] {
        assert!(load(&set(&[key])).is_ok(), "{key}");
    }
}

#[test]
fn a_host_without_a_good_name_or_a_home_is_told() {
    let machine = Machine {
        name: Some("two words".to_owned()),
        cores: 1.0,
        data_dir: None,
    };
    let problems = Settings::load(&Given::default(), &machine).expect_err("there is no home");
    assert!(problems.to_string().contains("--data-dir"), "{problems}");
    let settings = Settings::load(&set(&["data_dir=d"]), &machine).expect("good");
    assert_eq!(settings.name, "node");
}

#[test]
fn keys_and_variables_are_different_from_one_another() {
    let variables: std::collections::BTreeSet<String> =
        KEYS.iter().map(|key| key.variable()).collect();
    assert_eq!(variables.len(), KEYS.len());
    for key in KEYS {
        let section = key.name.split_once('.').map(|(section, _)| section);
        assert!(
            section.is_none_or(|section| SECTIONS.contains(&section)),
            "{}",
            key.name
        );
    }
}
