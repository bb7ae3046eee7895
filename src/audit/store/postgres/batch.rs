//! Records as columns: one statement writes many rows.

use std::borrow::Cow;

use crate::audit::chain::Place;
use crate::audit::row::{Effect, Opening};
use crate::audit::store::{Link, storable};

/// The columns of `records`, and of what the records do to the other tables.
#[derive(Default)]
pub(super) struct Batch<'r> {
    pub(super) places: Vec<i64>,
    pub(super) ats: Vec<i64>,
    pub(super) kinds: Vec<&'static str>,
    pub(super) ids: Vec<&'r str>,
    pub(super) bodies: Vec<&'r str>,
    pub(super) hashes: Vec<&'r [u8]>,
    pub(super) contents: Contents<'r>,
    pub(super) entries: Entries<'r>,
    pub(super) contexts: Contexts<'r>,
    pub(super) closed: Closed<'r>,
    pub(super) matched: Matched<'r>,
    pub(super) erased: Vec<i64>,
}

#[derive(Default)]
pub(super) struct Contents<'r> {
    pub(super) places: Vec<i64>,
    pub(super) texts: Vec<&'r str>,
}

#[derive(Default)]
pub(super) struct Entries<'r> {
    pub(super) places: Vec<i64>,
    pub(super) ids: Vec<&'r str>,
    pub(super) context_ids: Vec<Option<&'r str>>,
    pub(super) kinds: Vec<&'static str>,
    pub(super) ats: Vec<i64>,
    pub(super) tenants: Vec<Cow<'r, str>>,
    pub(super) clients: Vec<Cow<'r, str>>,
    pub(super) users: Vec<Cow<'r, str>>,
    pub(super) request_types: Vec<Cow<'r, str>>,
    pub(super) decisions: Vec<&'static str>,
}

#[derive(Default)]
pub(super) struct Contexts<'r> {
    pub(super) ids: Vec<&'r str>,
    pub(super) clients: Vec<Cow<'r, str>>,
    pub(super) tenants: Vec<Cow<'r, str>>,
    pub(super) approved: Vec<bool>,
    pub(super) expiries: Vec<i64>,
}

/// Entries that are completed.
#[derive(Default)]
pub(super) struct Closed<'r> {
    pub(super) ids: Vec<&'r str>,
    pub(super) places: Vec<i64>,
    pub(super) decisions: Vec<&'static str>,
}

/// Policies that matched, by the ids of their entries.
#[derive(Default)]
pub(super) struct Matched<'r> {
    pub(super) ids: Vec<&'r str>,
    pub(super) policies: Vec<&'r str>,
}

impl<'r> Batch<'r> {
    pub(super) fn new(links: &'r [Link<'r>]) -> Self {
        let mut batch = Self::default();
        for link in links {
            batch.add(link);
        }
        batch
    }

    fn add(&mut self, Link { place: Place(place), hash, row }: &'r Link<'r>) {
        let at = row.at.as_microsecond();
        self.places.push(*place);
        self.ats.push(at);
        self.kinds.push(row.kind.as_str());
        self.ids.push(&row.id);
        self.bodies.push(&row.body);
        self.hashes.push(&hash.0);
        if let Some(content) = &row.content {
            self.contents.places.push(*place);
            self.contents.texts.push(content);
        }
        match &*row.effect {
            Effect::None => {}
            Effect::Erase(places) => self.erased.extend(places.iter().map(|Place(place)| place)),
            Effect::Open(opening) => self.open(*place, at, &row.id, opening),
            Effect::Close { decision, matched } => {
                self.closed.ids.push(&row.id);
                self.closed.places.push(*place);
                self.closed.decisions.push(decision.as_str());
                self.matched(&row.id, matched);
            }
        }
    }

    fn open(&mut self, place: i64, at: i64, id: &'r str, opening: &'r Opening) {
        let Opening { entry, caller, request_type, decision, matched, context_id, context } = opening;
        let entries = &mut self.entries;
        entries.places.push(place);
        entries.ids.push(id);
        entries.context_ids.push(context_id.as_deref());
        entries.kinds.push(entry.as_str());
        entries.ats.push(at);
        entries.tenants.push(storable(&caller.tenant));
        entries.clients.push(storable(&caller.client));
        entries.users.push(storable(&caller.user));
        entries.request_types.push(storable(request_type));
        entries.decisions.push(decision.as_str());
        self.matched(id, matched);
        if let Some(context) = context {
            self.contexts.ids.push(id);
            self.contexts.clients.push(storable(&context.client));
            self.contexts.tenants.push(storable(&context.tenant));
            self.contexts.approved.push(context.approved);
            self.contexts.expiries.push(context.expires_at.as_microsecond());
        }
    }

    fn matched(&mut self, id: &'r str, policies: &'r [String]) {
        for policy in policies {
            self.matched.ids.push(id);
            self.matched.policies.push(policy);
        }
    }
}
