//! A store that answers late.

use super::*;
use crate::audit::chain::{ChainHash, Place};
use crate::audit::queue::{Haste, Queue};
use crate::audit::record::PolicySetChange;
use crate::audit::store::{Link, Node};
use crate::audit::text_rule::{ContentMode, TextRule};
use crate::audit::{AuditStore, Checkpoint, Settings};

/// What is given up at the first attempt goes on in the store, and is there before the second one.
#[derive(Default)]
struct Late {
    attempts: usize,
    end: Option<(Head, Seq)>,
}

impl Session for Late {
    fn head(&mut self, _: &Node) -> Result<(Head, Seq), AuditError> {
        Ok(self.end.unwrap_or((Head::EMPTY, Seq(0))))
    }

    fn commit(&mut self, links: &[Link<'_>], checkpoint: Option<(Place, &Checkpoint)>) -> Result<(), AuditError> {
        self.attempts += 1;
        if self.attempts == 1 {
            return Err(AuditError::Unreachable("no answer".to_owned()));
        }
        let Link { place, hash, .. } = links.last().unwrap();
        self.end.get_or_insert((
            Head { seq: place.seq(), hash: *hash },
            checkpoint.map_or(Seq(0), |(_, checkpoint)| checkpoint.head.seq),
        ));
        Err(AuditError::ChainMoved)
    }

    fn would_take(&mut self, _: &[Link<'_>]) -> Result<(), AuditError> {
        Ok(())
    }

    fn gateways(&mut self) -> Result<Vec<Node>, AuditError> {
        Ok(Vec::new())
    }

    fn extent(&mut self, _: i64) -> Result<Option<(Place, Place)>, AuditError> {
        Ok(None)
    }

    fn record_at(&mut self, _: Place) -> Result<Option<(Place, i64, ChainHash)>, AuditError> {
        Ok(None)
    }

    fn used_bytes(&mut self) -> Result<u64, AuditError> {
        Ok(0)
    }

    fn cut(&mut self, _: Place, _: &Checkpoint) -> Result<(), AuditError> {
        Ok(())
    }

    fn clean_contexts(&mut self, _: Timestamp, _: usize) -> Result<usize, AuditError> {
        Ok(0)
    }

    fn tidy(&mut self) {}

    fn finish(&mut self) -> Result<(), AuditError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_commit_that_was_given_up_and_got_through_is_not_taken_for_another_process() {
    let settings = Settings::new(AuditStore::None).unwrap();
    let rule = TextRule { key: settings.key.clone(), mode: ContentMode::Full };
    let (queue, receiver) = Queue::new(4, rule);
    let chain = Chain::new(Node { number: 1, id: "node-1".to_owned() }, &settings);
    let mut writer = Writer::new(receiver, Arc::default(), chain, None, Keep::default());
    let changed = PolicySetChange {
        at: Timestamp::UNIX_EPOCH,
        from_generation: Some(1),
        to_generation: 2,
        policies: Vec::new(),
        reason: "files changed".to_owned(),
    };
    let durable = queue.reserve(1).unwrap().send(vec![changed.into()], Haste::AtOnce);
    let batch = writer.inbox.queued().unwrap();

    let mut store = Late::default();
    assert!(writer.commit(&mut store, batch, Attempt::First) == Connection::Broken);
    writer.find_head(&mut store).unwrap();
    assert!(writer.settle_unsure(&mut store) == Connection::Usable);
    assert_eq!(durable.await, Ok(Seq(1)), "it is there");
    assert_eq!((store.attempts, writer.chain.head()), (2, store.end.unwrap().0), "and is not written behind itself");
    assert_eq!(writer.chain.due_in(), None, "its signature too");
}
