//! Testbeds: nodes in processes of their own on this machine, in one folder.
//!
//! A testbed is its folder and the processes that name it. [`folder`] says what lies where, [`process`] finds
//! the processes and signals them, [`api`] asks the nodes, [`up`] starts them and waits until they know one
//! another, [`down`] ends them, [`status`] shows them, [`fault`] hurts them and the ways between them, [`bed`] is one for the time of a
//! measurement. Nothing else is remembered: a command that is killed half-way
//! leaves nothing that the next one does not find. All of it reads `/proc`, and so needs Linux.

pub mod api;
pub mod background;
pub mod bed;
pub mod cores;
pub mod down;
pub mod fault;
pub mod folder;
pub mod hook;
pub mod interrupt;
pub(crate) mod launch;
pub mod netns;
pub mod process;
pub mod program;
pub mod shape;
pub mod status;
pub mod table;
pub mod up;
