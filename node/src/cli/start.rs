//! `synergy node start`: the node of this host.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{Globals, Status, cores};
use crate::driver::daemon;
use crate::node::{Failure, FailureKind};
use crate::settings::{Given, Machine, Settings};

#[derive(Debug, Args)]
pub(super) struct Start {
    /// The node file.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// A key of the node file and its value, such as offer.cpu=1.5; may be repeated.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// What people call the node; the name of this host if not given.
    #[arg(long)]
    name: Option<String>,
    /// Where it listens for others, such as /ip4/127.0.0.1/tcp/4170; may be repeated.
    #[arg(long, value_name = "MULTIADDRESS")]
    listen: Vec<String>,
    /// A node of the network to join; may be repeated.
    #[arg(long, value_name = "MULTIADDRESS")]
    join: Vec<String>,
    /// Where its API listens, such as 127.0.0.1:4171.
    #[arg(long, value_name = "HOST:PORT")]
    api: Option<String>,
    /// Which network it belongs to.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// The memory that waiting rows and state may take.
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// What of waiting rows may lie on the disk, beyond that.
    #[arg(long, value_name = "SIZE")]
    disk: Option<String>,
    /// Listen where other machines reach it, although nothing keeps strangers out yet.
    #[arg(long)]
    insecure_listen: bool,
}

impl Start {
    pub(super) fn execute(self, globals: &Globals) -> Result<Status, Failure> {
        let given = self.into_given(globals.target.data_dir.clone());
        let machine = Machine {
            name: sysinfo::System::host_name().ok(),
            cores: model::convert::count_to_f64(model::convert::size(cores().get())),
            data_dir: globals.target.data_dir(),
        };
        let settings = Settings::load(&given, &machine)
            .map_err(|problems| Failure::new(FailureKind::Invalid, problems.to_string()))?;
        daemon::run(&settings, cores().get(), globals.hooks.clone(), |text| {
            globals.note(text);
        })
        .map_err(|error| Failure::new(FailureKind::Failed, error.to_string()))?;
        Ok(Status::Ok)
    }

    fn into_given(self, data_dir: Option<PathBuf>) -> Given {
        let data_dir = data_dir.map(|path| path.to_string_lossy().into_owned());
        let insecure_listen = self.insecure_listen.then(|| "true".to_owned());
        let single = [
            ("--name", "name", self.name),
            ("--data-dir", "data_dir", data_dir),
            ("--api", "api.listen", self.api),
            ("--network", "network.id", self.network),
            ("--memory", "memory", self.memory),
            ("--disk", "disk", self.disk),
            (
                "--insecure-listen",
                "network.insecure_listen",
                insecure_listen,
            ),
        ];
        let single = single.into_iter();
        let single = single.filter_map(|(flag, key, value)| Some((flag, key, value?)));
        let listen = self.listen.into_iter();
        let listen = listen.map(|address| ("--listen", "network.listen", address));
        let join = self.join.into_iter();
        let join = join.map(|address| ("--join", "network.join", address));
        Given {
            file: self.config,
            // Variables that are no text belong to other programs.
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            set: self.set,
            flags: single.chain(listen).chain(join).collect(),
        }
    }
}
