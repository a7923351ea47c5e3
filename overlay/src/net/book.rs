//! Where peers were last said to be.

use std::collections::BTreeMap;

use libp2p::Multiaddr;
use model::NodeId;

/// Of how many peers addresses are kept. Source: the bound on links; 4 addresses of 256 bytes each are 4 MiB.
const PEERS_MAX: usize = 4_096;

/// The addresses of peers. Those heard of least recently make room for others.
#[derive(Debug, Default)]
pub(super) struct Book {
    pages: BTreeMap<NodeId, Page>,
    /// Grows with each thing that is learnt.
    turn: u64,
}

#[derive(Debug)]
struct Page {
    turn: u64,
    addresses: Vec<Multiaddr>,
}

impl Book {
    /// A peer is at these addresses. Saying nothing changes nothing.
    pub(super) fn learn(&mut self, node: NodeId, addresses: Vec<Multiaddr>) {
        if addresses.is_empty() {
            return;
        }
        self.turn += 1;
        let page = Page {
            turn: self.turn,
            addresses,
        };
        self.pages.insert(node, page);
        if self.pages.len() > PEERS_MAX {
            let oldest = self.pages.iter().min_by_key(|(_, page)| page.turn);
            let oldest = oldest.map(|(node, _)| *node);
            self.pages.retain(|node, _| Some(*node) != oldest);
        }
    }

    /// Where a peer is.
    pub(super) fn find(&self, node: NodeId) -> Vec<Multiaddr> {
        let page = self.pages.get(&node);
        page.map(|page| page.addresses.clone()).unwrap_or_default()
    }

    /// The peers that were heard of most recently.
    pub(super) fn latest(&self, count: usize) -> Vec<NodeId> {
        let mut turns: Vec<(u64, NodeId)> = self
            .pages
            .iter()
            .map(|(node, page)| (page.turn, *node))
            .collect();
        turns.sort_unstable_by(|a, b| b.cmp(a));
        turns.truncate(count);
        turns.into_iter().map(|(_, node)| node).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: usize) -> NodeId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        NodeId(bytes)
    }

    #[test]
    fn the_book_is_bounded_and_forgets_the_oldest() {
        let address: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().expect("an address");
        let mut book = Book::default();
        for number in 0..=PEERS_MAX {
            book.learn(node(number), vec![address.clone()]);
        }
        assert_eq!(book.pages.len(), PEERS_MAX);
        assert!(book.find(node(0)).is_empty());
        assert_eq!(book.find(node(1)), [address]);
        assert_eq!(book.latest(1), [node(PEERS_MAX)]);
        book.learn(node(1), vec![]);
        assert_eq!(book.find(node(1)).len(), 1);
    }
}
