//! What is done to the nodes of a bed, to see how the others take it. Nodes are counted from 0, as the bed's are.

use node::client::Client;

use super::Bed;
use crate::local::fault::{self, Fault};
use crate::local::up;
use crate::local::{api, folder::Folder};

impl Bed<'_> {
    /// Kills nodes, all at once: they have ended when this returns, and have said goodbye to nobody.
    ///
    /// # Errors
    /// When one of them does not run; nothing was done then.
    pub fn kill(&self, nodes: &[usize]) -> anyhow::Result<()> {
        fault::apply(self.folder, &numbers(nodes), Fault::Kill)
    }

    /// Starts a node again that has ended, with what it kept, and waits until all that run know it.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(&mut self, node: usize) -> anyhow::Result<()> {
        self.testbed.nodes[node] = up::start(self.folder, number(node), self.interrupt)?;
        self.clients[node] = client(self.folder, number(node))?;
        Ok(())
    }

    /// Stops nodes where they stand, until they are resumed.
    ///
    /// # Errors
    /// When one of them does not run; nothing was done then.
    pub fn pause(&self, nodes: &[usize]) -> anyhow::Result<()> {
        fault::apply(self.folder, &numbers(nodes), Fault::Pause)
    }

    /// Lets nodes go on.
    ///
    /// # Errors
    /// When one of them does not run; nothing was done then.
    pub fn resume(&self, nodes: &[usize]) -> anyhow::Result<()> {
        fault::apply(self.folder, &numbers(nodes), Fault::Resume)
    }

    /// Cuts nodes off from all others. They reach one another.
    ///
    /// # Errors
    /// When ways of this bed cannot be changed.
    pub fn cut_off(&self, nodes: &[usize]) -> anyhow::Result<()> {
        fault::partition(self.folder, &[numbers(nodes)])
    }

    /// Makes all ways again what they were at the start.
    ///
    /// # Errors
    /// When ways of this bed cannot be changed.
    pub fn heal(&self) -> anyhow::Result<()> {
        fault::heal(self.folder)
    }
}

/// A client of a node, which says in its folder where it is.
pub(super) fn client(folder: &Folder, number: u32) -> anyhow::Result<Client> {
    let data = folder.node(number);
    let token = std::fs::read_to_string(data.join("token"))?;
    let address = api::address(&data)?.to_string();
    Ok(Client::new(address, Some(token.trim().to_owned())))
}

fn numbers(nodes: &[usize]) -> Vec<u32> {
    nodes.iter().map(|node| number(*node)).collect()
}

/// What a testbed calls a node of a bed.
fn number(node: usize) -> u32 {
    u32::try_from(node).expect("nodes are few") + 1
}
