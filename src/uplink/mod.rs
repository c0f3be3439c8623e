//! SEND: node → API server, and the receiving end.
//!
//! In: the ring on a node; on the aggregator, bodies that were pushed. Out: pushes, and a filled cluster store. It waits
//! for nobody else's sake: the tick goes on whatever the network does. It shows nothing. Next: `store::cluster`, `view::kube_api`.
//!
//! | step | file |
//! |---|---|
//! | what is new in the ring goes out to the aggregator | [`push`] |
//! | … and to long-term stores | [`export`] |
//! | snapshots as bodies of pushes, and back | [`wire`] |
//! | who is in the cluster | [`directory`] |
//! | a push that arrived, believed or refused | [`receive`] |
//! | replicas among themselves | [`peers`] |

pub mod directory;
pub mod export;
#[cfg(test)]
mod model_tests;
pub mod peers;
pub mod push;
pub mod receive;
pub mod wire;
#[cfg(test)]
mod wire_tests;
