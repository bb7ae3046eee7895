//! Server-sent events as upstreams send them: bytes in, data of events out, wherever the network cut them.
//!
//! Reads what the standard's `text/event-stream` allows (CR, LF and CRLF, a byte order mark, comments, data of several
//! lines) and keeps the data alone: no dialect here says more in an event's other fields. A body that is one JSON object
//! is the data of one event: servers that do not stream answer so.

use bytes::{Bytes, BytesMut};

/// The largest event that is read, in bytes.
pub(crate) const MAX_EVENT_BYTES: usize = 4 << 20;

/// An event is larger than [`MAX_EVENT_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// A stream of events, as far as it has come.
#[derive(Debug, Default)]
pub(crate) struct Events {
    form: Form,
    /// The line that has begun.
    line: BytesMut,
    /// The data of the event that has begun, a line feed behind each of its lines.
    data: BytesMut,
    /// Whether the last byte ended a line as CR: a line feed behind it is part of the same end.
    after_return: bool,
    /// Whether the first line was read.
    is_under_way: bool,
}

/// What a body is, as its first byte tells.
#[derive(Debug, Default, PartialEq)]
enum Form {
    /// None has come but white space, which says nothing in either form.
    #[default]
    Unknown,
    Events,
    /// One JSON object, which no event begins with.
    Object,
}

impl Events {
    /// Reads bytes; the data of each event that they end goes to `take`.
    pub(crate) fn read(&mut self, bytes: &[u8], mut take: impl FnMut(Bytes)) -> Result<(), TooLarge> {
        let mut rest = bytes;
        if self.form == Form::Unknown {
            rest = bytes.trim_ascii_start();
            self.form = match rest.first() {
                None => Form::Unknown,
                Some(b'{') => Form::Object,
                Some(_) => Form::Events,
            };
        }
        if self.form == Form::Object {
            self.line.extend_from_slice(rest);
            return self.bounded();
        }
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_return)
                && let Some(behind) = rest.strip_prefix(b"\n")
            {
                rest = behind;
                continue;
            }
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                self.line.extend_from_slice(rest);
                return self.bounded();
            };
            let (line, behind) = rest.split_at(end);
            self.line.extend_from_slice(line);
            self.after_return = behind.first() == Some(&b'\r');
            rest = behind.get(1..).unwrap_or_default();
            self.bounded()?;
            if let Some(data) = self.end_line() {
                take(data);
            }
        }
        Ok(())
    }

    /// The data of an event that the end of the stream cut short. The standard forgets it; some servers leave out the
    /// empty line behind their last event, and one that was really cut is no JSON.
    pub(crate) fn rest(&mut self) -> Option<Bytes> {
        if self.form == Form::Object {
            return (!self.line.is_empty()).then(|| self.line.split().freeze());
        }
        // The line that has begun, then the empty one that did not come.
        self.end_line().or_else(|| self.end_line())
    }

    /// Bytes of the event that has begun.
    pub(crate) fn begun(&self) -> usize {
        self.line.len() + self.data.len()
    }

    fn bounded(&self) -> Result<(), TooLarge> {
        if self.begun() > MAX_EVENT_BYTES { Err(TooLarge) } else { Ok(()) }
    }

    /// Reads the line that has ended; the data of an event if that ends with it.
    fn end_line(&mut self) -> Option<Bytes> {
        let line = self.line.split();
        let mut line = line.as_ref();
        if !std::mem::replace(&mut self.is_under_way, true) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            let mut data = self.data.split();
            data.truncate(data.len().saturating_sub(1));
            return (!data.is_empty()).then(|| data.freeze());
        }
        if let Some(value) = line.strip_prefix(b"data") {
            let value = match value.strip_prefix(b":") {
                Some(value) => value.strip_prefix(b" ").unwrap_or(value),
                None if value.is_empty() => value,
                // Another field whose name begins so.
                None => return None,
            };
            self.data.extend_from_slice(value);
            self.data.extend_from_slice(b"\n");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let (mut events, mut read) = (Events::default(), Vec::new());
        for piece in pieces {
            events.read(piece, |data| read.push(String::from_utf8(data.to_vec()).unwrap())).unwrap();
        }
        read
    }

    #[test]
    fn a_stream_cut_anywhere_has_the_same_events() {
        let stream = "\u{feff}data: {\"a\":\"Grüße\"}\n\n: a comment\r\nevent: x\r\ndata:1\r\ndata: 2\r\n\r\n\
                      data\rdata: 3\r\rdataset: no\nid: 7\ndata:  4\n\n\n\ndata: not ended";
        let expected = ["{\"a\":\"Grüße\"}", "1\n2", "\n3", " 4"];
        let bytes = stream.as_bytes();
        assert_eq!(read([bytes]), expected);
        assert_eq!(read(bytes.chunks(1)), expected);
        for cut in 0..=bytes.len() {
            let (one, two) = bytes.split_at(cut);
            assert_eq!(read([one, two]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn the_last_event_may_lack_its_empty_line() {
        for (stream, rest) in [
            ("data: [DONE]", Some("[DONE]")),
            ("data: [DONE]\n", Some("[DONE]")),
            ("data: [DONE]\r", Some("[DONE]")),
            ("data: 1\ndata: 2", Some("1\n2")),
            ("data: [DONE]\n\n", None),
            (": a comment", None),
            ("", None),
            (" \n{\"a\":\n\n1}\n", Some("{\"a\":\n\n1}\n")),
        ] {
            let mut events = Events::default();
            events.read(stream.as_bytes(), |_| ()).unwrap();
            assert_eq!(events.rest().as_deref(), rest.map(str::as_bytes), "{stream:?}");
            assert_eq!(events.rest(), None);
        }
    }

    #[test]
    fn an_event_without_an_end_is_bounded() {
        let mut events = Events::default();
        let piece = vec![b'x'; MAX_EVENT_BYTES / 2];
        events.read(b"data: ", |_| ()).unwrap();
        assert_eq!(events.read(&piece, |_| ()), Ok(()));
        assert_eq!(events.read(&piece, |_| ()), Err(TooLarge));
        let mut events = Events::default();
        let line = [b"data: ".as_slice(), &piece, b"\n"].concat();
        assert_eq!(events.read(&line, |_| ()), Ok(()));
        assert_eq!(events.read(&line, |_| ()), Err(TooLarge));
    }
}
