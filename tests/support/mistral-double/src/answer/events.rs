//! Events as bytes, and the bytes as writes.

use std::time::Duration;

use bytes::Bytes;
use double::Step;

use crate::behaviour::{EventForm, Writes};

/// One event with this data.
pub(super) fn event(form: EventForm, number: usize, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(data.len() + 16);
    let end: &[u8] = match form {
        EventForm::Plain | EventForm::Talkative => b"\n",
        EventForm::CarriageReturnLineFeed => b"\r\n",
        EventForm::CarriageReturn => b"\r",
    };
    if form == EventForm::Talkative {
        if number == 0 {
            bytes.extend_from_slice("\u{feff}".as_bytes());
        }
        let extra = format!(": keep-alive\n\nevent: message\nid: {number}\nretry: 1000\n");
        bytes.extend_from_slice(extra.as_bytes());
    }
    bytes.extend_from_slice(b"data: ");
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(end);
    bytes.extend_from_slice(end);
    bytes
}

/// The writes of a stream, with a pause between events.
pub(super) fn writes(style: Writes, events: Vec<Vec<u8>>, pause: Duration) -> Vec<Step> {
    let mut steps = Vec::with_capacity(events.len() * 2);
    match style {
        Writes::PerEvent => {
            for event in events {
                between(&mut steps, pause);
                steps.push(Step::Send(event.into()));
            }
        }
        Writes::SplitCharacters => {
            for event in events {
                between(&mut steps, pause);
                let cuts = (1..event.len()).filter(|at| is_inside_character(&event, *at)).collect();
                split(&mut steps, &event.into(), cuts);
            }
        }
        Writes::Bytes(size) => {
            let all: Bytes = events.concat().into();
            let cuts = (1..all.len()).filter(|at| at % size.max(1) == 0).collect();
            split(&mut steps, &all, cuts);
        }
        Writes::AllAtOnce => steps.push(Step::Send(events.concat().into())),
    }
    steps
}

/// Without a pause hyper may join events in one write, as a busy server does.
fn between(steps: &mut Vec<Step>, pause: Duration) {
    if !pause.is_zero() && !steps.is_empty() {
        steps.push(Step::Pause(pause));
    }
}

/// The first continuation byte of a character.
fn is_inside_character(bytes: &[u8], at: usize) -> bool {
    let continues = |byte: Option<&u8>| byte.is_some_and(|byte| byte & 0xC0 == 0x80);
    continues(bytes.get(at)) && !continues(bytes.get(at - 1))
}

fn split(steps: &mut Vec<Step>, bytes: &Bytes, cuts: Vec<usize>) {
    let mut from = 0;
    for cut in cuts.into_iter().chain([bytes.len()]) {
        if from > 0 {
            steps.push(Step::Flush);
        }
        steps.push(Step::Send(bytes.slice(from..cut)));
        from = cut;
    }
}
