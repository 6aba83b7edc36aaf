//! Packs a stream of bytes into records of whole lines.

use std::io;
use std::ops::Range;

use bytes::Bytes;

/// How many bytes are asked for at once; a record of lines is about this long when there is enough to read.
pub(crate) const READ_BYTES: usize = 256 * 1024;

/// Bytes that were read and not yet handed on. A read goes straight into the record that it will be.
#[derive(Debug)]
pub(crate) struct Lines {
    /// The header, if it is to be repeated, then bytes without a line's end once `take` has run.
    buffer: Vec<u8>,
    header: Bytes,
    line_max: usize,
    /// Bytes of the line at the front that were thrown away, for it is longer than `line_max`.
    dropped: u64,
}

/// What [`Lines::take`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Whole lines, after the header if one is repeated.
    pub(crate) lines: Option<Bytes>,
    /// How many bytes of the stream are done with, those of a line that is too long included.
    pub(crate) bytes: u64,
    /// The length of a line that was too long and has been left out.
    pub(crate) too_long: Option<u64>,
}

impl Lines {
    /// Lines of at most `line_max` bytes, which has to be [`READ_BYTES`] or more.
    pub(crate) fn new(line_max: usize) -> Self {
        assert!(line_max >= READ_BYTES, "a line has to be allowed to be as long as one read");
        Self { buffer: Vec::new(), header: Bytes::new(), line_max, dropped: 0 }
    }

    /// Repeats `header` at the beginning of each further record.
    pub(crate) fn repeat(&mut self, header: Bytes) {
        let mut buffer = Vec::with_capacity(header.len() + self.held().len() + READ_BYTES);
        buffer.extend_from_slice(&header);
        buffer.extend_from_slice(self.held());
        self.buffer = buffer;
        self.header = header;
    }

    /// How many bytes were read and not handed on.
    pub(crate) fn waiting(&self) -> u64 {
        self.dropped + self.held().len() as u64
    }

    /// Of these, the bytes of a line that may still be taken.
    pub(crate) fn held(&self) -> &[u8] {
        self.buffer.get(self.header.len()..).unwrap_or_default()
    }

    /// Reads once; `read` appends to the vector within its capacity and says how much.
    pub(crate) fn fill(
        &mut self,
        read: impl FnOnce(&mut Vec<u8>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.buffer.capacity() == 0 {
            self.buffer = self.fresh(&[]);
        }
        if self.buffer.capacity() - self.buffer.len() < READ_BYTES / 4 {
            // Exactly, so that what one read brings stays bounded.
            self.buffer.reserve_exact(READ_BYTES);
        }
        read(&mut self.buffer)
    }

    /// Takes all whole lines out, if there are any.
    pub(crate) fn take(&mut self) -> Taken {
        let mut taken = Taken::default();
        let mut begin = self.header.len();
        // Only the line at the front can be too long: all others came by one read.
        let front = self.held();
        if self.dropped > 0 || front.len() > self.line_max {
            let end = memchr::memchr(b'\n', front).map(|at| at + 1);
            let length = self.dropped + end.unwrap_or(front.len()) as u64;
            if length > self.line_max as u64 + 1 || (end.is_none() && length > self.line_max as u64)
            {
                let Some(end) = end else {
                    self.dropped = length;
                    self.buffer.truncate(begin);
                    return taken;
                };
                (taken.too_long, taken.bytes) = (Some(length), length);
                self.dropped = 0;
                begin += end;
            }
        }
        let rest = self.buffer.get(begin..).unwrap_or_default();
        let end = memchr::memrchr(b'\n', rest).map_or(begin, |at| begin + at + 1);
        if end == begin {
            self.buffer.drain(self.header.len()..begin);
            return taken;
        }
        taken.bytes += (end - begin) as u64;
        let tail = self.fresh(self.buffer.get(end..).unwrap_or_default());
        let mut lines = std::mem::replace(&mut self.buffer, tail);
        lines.truncate(end);
        lines.drain(self.header.len()..begin);
        taken.lines = Some(fit(lines));
        taken
    }

    /// What is left at the end: a last line without its line end.
    pub(crate) fn rest(&mut self) -> Taken {
        let mut taken = Taken { bytes: self.waiting(), ..Taken::default() };
        if self.dropped > 0 {
            taken.too_long = Some(taken.bytes);
        } else if taken.bytes > 0 {
            taken.lines = Some(fit(std::mem::take(&mut self.buffer)));
        }
        self.buffer = Vec::new();
        self.dropped = 0;
        taken
    }

    fn fresh(&self, tail: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(self.header.len() + tail.len() + READ_BYTES);
        buffer.extend_from_slice(&self.header);
        buffer.extend_from_slice(tail);
        buffer
    }
}

/// Where the header of a text stands that begins with `text`: its first line that is not empty, with its end. A byte
/// order mark before it is none of it.
pub(crate) fn header_in(text: &[u8]) -> Option<Range<usize>> {
    let mark = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let line = text.get(mark..)?;
    let begin = mark + line.iter().position(|b| !matches!(b, b'\r' | b'\n'))?;
    let end = begin + memchr::memchr(b'\n', text.get(begin..)?)?;
    Some(begin..end + 1)
}

/// Without a copy, unless a short record would keep a long buffer alive.
fn fit(lines: Vec<u8>) -> Bytes {
    if lines.len() < lines.capacity() / 4 {
        Bytes::copy_from_slice(&lines)
    } else {
        Bytes::from(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in pieces of random length and gives back the records, the bytes accounted for and the
    /// lengths of lines left out.
    fn pack(text: &[u8], seed: u64, header: Option<&[u8]>) -> (Vec<Bytes>, u64, Vec<u64>) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lines = Lines::new(READ_BYTES);
        if let Some(header) = header {
            lines.repeat(Bytes::copy_from_slice(header));
        }
        let (mut records, mut bytes, mut left_out) = (Vec::new(), 0, Vec::new());
        let mut rest = text;
        let mut note = |taken: Taken| {
            records.extend(taken.lines);
            left_out.extend(taken.too_long);
            bytes += taken.bytes;
        };
        while !rest.is_empty() {
            let n = random.usize(1..=rest.len().min(100_000));
            let read = lines.fill(|buffer| {
                let n = n.min(buffer.capacity() - buffer.len());
                buffer.extend_from_slice(&rest[..n]);
                Ok(n)
            });
            rest = &rest[read.unwrap()..];
            note(lines.take());
        }
        note(lines.rest());
        assert_eq!(lines.waiting(), 0);
        (records, bytes, left_out)
    }

    #[test]
    fn lines_stay_whole_and_none_is_lost_however_they_arrive() {
        for seed in 0..50 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut text = Vec::new();
            for _ in 0..200 {
                let long = random.u8(..) < 3;
                let n = random.usize(0..if long { READ_BYTES } else { 80 });
                text.extend(std::iter::repeat_n(random.alphanumeric() as u8, n));
                text.push(b'\n');
            }
            text.extend_from_slice(b"the end");
            let (records, bytes, left_out) = pack(&text, seed, None);
            assert!(records.concat() == text && left_out.is_empty(), "seed {seed}");
            assert_eq!(bytes, text.len() as u64);
            let whole = records[..records.len() - 1].iter().all(|r| r.ends_with(b"\n"));
            assert!(whole, "seed {seed}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_whatever_its_place_in_a_read() {
        for seed in 0..50 {
            let mut text = b"before\n".to_vec();
            text.extend(std::iter::repeat_n(b'x', READ_BYTES + 1));
            text.extend_from_slice(b"\nafter\n");
            let (records, bytes, left_out) = pack(&text, seed, Some(b"h\n"));
            let all: Vec<u8> = records.concat();
            let all = String::from_utf8(all).unwrap().replace("h\n", "");
            assert_eq!(all, "before\nafter\n", "seed {seed}");
            assert_eq!((bytes, left_out), (text.len() as u64, vec![READ_BYTES as u64 + 2]));
        }
        let exact = [vec![b'x'; READ_BYTES], b"\n".to_vec()].concat();
        let (records, _, left_out) = pack(&exact, 1, None);
        assert!(records.concat() == exact && left_out.is_empty());
    }

    #[test]
    fn a_header_stands_before_each_record() {
        let text: Vec<u8> = (0..100_000).flat_map(|i| format!("{i},x\n").into_bytes()).collect();
        let (records, bytes, _) = pack(&text, 3, Some(b"n,c\n"));
        assert!(records.len() > 2 && bytes == text.len() as u64);
        let rows: Vec<u8> =
            records.iter().flat_map(|r| r.strip_prefix(b"n,c\n").unwrap().to_vec()).collect();
        assert!(rows == text);
    }
}
