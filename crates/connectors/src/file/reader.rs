//! Reads one file from where it stands.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use millstream_core::record::{Name, Record};
use millstream_core::source::Pulled;
use rustix::buffer::spare_capacity;

use super::lines::{Lines, READ_BYTES, Taken, header_in};
use super::place::{FileId, Place, changed, ends_at};

/// A file that lines are read from.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) split: Name,
    pub(super) path: PathBuf,
    pub(super) place: Place,
    file: File,
    lines: Lines,
    options: ReaderOptions,
    /// Whether the header is known and repeated.
    repeats: bool,
    /// Whether all that was there has been read, so that the file has to be looked at before reading on.
    rests: bool,
    /// When the file was changed, as of the last looks at it, and how many of them found just that.
    looks: (i64, u8),
    /// Where it stood before it was cut: a copy of it may turn up.
    pub(super) before_cut: Option<Place>,
}

/// Looks at the bytes of a file whose time of change is new, and whose length is not.
pub(super) const LOOKS: u8 = 2;

/// How lines are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReaderOptions {
    pub(super) header: bool,
    pub(super) line_max: usize,
}

/// What one read brought.
#[derive(Debug)]
pub(super) enum Read {
    /// Lines, or only a new position.
    Some(Pulled, Option<TooLong>),
    /// More of a line whose end is not there yet.
    Part,
    /// Nothing: all is read for now.
    End,
}

/// A line that was left out.
#[derive(Debug)]
pub(super) struct TooLong {
    pub(super) at: u64,
    pub(super) bytes: u64,
}

impl Reader {
    /// Goes on at `place`, or at the beginning if the file does not hold what was read up to there.
    pub(super) fn open(
        split: Name,
        path: &Path,
        place: Option<&Place>,
        options: ReaderOptions,
    ) -> io::Result<Self> {
        let file = File::open(path)?;
        let id = FileId::of(&file.metadata()?);
        let begin = Place::begin(id);
        let place = match place {
            Some(place) if place.is_in(&file)? => place.of(id),
            _ => begin,
        };
        let lines = Lines::new(options.line_max);
        let path = path.to_owned();
        let mut reader = Self {
            split,
            path,
            place,
            file,
            lines,
            options,
            repeats: false,
            rests: false,
            looks: (0, 0),
            before_cut: None,
        };
        if reader.place.at > 0 {
            reader.find_header()?;
        }
        Ok(reader)
    }

    /// Goes to the last line's end: only what comes after it is read.
    pub(super) fn skip_to_end(&mut self) -> io::Result<Pulled> {
        let length = self.file.metadata()?.len();
        let from = length.saturating_sub(READ_BYTES as u64);
        let mut last = Vec::with_capacity(READ_BYTES);
        rustix::io::pread(&self.file, spare_capacity(&mut last), from)?;
        let at = memchr::memrchr(b'\n', &last).map_or(from, |i| from + i as u64 + 1);
        self.place = self.place.moved(&self.file, at)?;
        self.find_header()?;
        Ok(self.pulled(None))
    }

    /// Reads once. With `last`, a line without its end counts as one when there is no more.
    pub(super) fn read(&mut self, last: bool) -> io::Result<Read> {
        if self.rests && !self.wakes()? {
            return if last { self.finish() } else { Ok(Read::End) };
        }
        let from = self.place.at + self.lines.waiting();
        let file = &self.file;
        let read = self.lines.fill(|buffer| {
            loop {
                match rustix::io::pread(file, spare_capacity(buffer), from) {
                    Err(rustix::io::Errno::INTR) => {}
                    other => return Ok(other?),
                }
            }
        })?;
        if read == 0 {
            self.rests = true;
            return if last { self.finish() } else { Ok(Read::End) };
        }
        let taken = self.lines.take();
        self.took(taken)
    }

    /// Whether there is more to read; begins again if the file was cut or written anew.
    fn wakes(&mut self) -> io::Result<bool> {
        let metadata = self.file.metadata()?;
        let (length, known) = (metadata.len(), self.place.at + self.lines.waiting());
        if length == known && self.is_as_looked_at(&metadata) {
            return Ok(false);
        }
        if length < known || !self.holds_what_was_read()? {
            let begin = Place::begin(self.place.id);
            self.before_cut = Some(std::mem::replace(&mut self.place, begin));
            self.lines = Lines::new(self.options.line_max);
            self.repeats = false;
        } else if length == known {
            return Ok(false);
        }
        self.rests = false;
        Ok(true)
    }

    /// Whether two looks before this one have found the same time of change. One is not enough: a file system's
    /// clock stands still for some milliseconds, in which a file can be written anew.
    fn is_as_looked_at(&mut self, metadata: &Metadata) -> bool {
        let changed = changed(metadata);
        let looks = if self.looks.0 == changed { self.looks.1.saturating_add(1) } else { 1 };
        self.looks = (changed, looks);
        looks > LOOKS
    }

    fn holds_what_was_read(&self) -> io::Result<bool> {
        let end = self.place.at + self.lines.waiting();
        Ok(self.place.is_in(&self.file)? && ends_at(&self.file, self.lines.held(), end)?)
    }

    fn finish(&mut self) -> io::Result<Read> {
        let taken = self.lines.rest();
        self.took(taken)
    }

    fn took(&mut self, taken: Taken) -> io::Result<Read> {
        if taken.bytes == 0 {
            return Ok(if self.rests { Read::End } else { Read::Part });
        }
        let began = self.place.at;
        self.place = self.place.moved(&self.file, began + taken.bytes)?;
        if !self.repeats && self.options.header {
            self.header_from(began, taken.lines.as_ref())?;
        }
        let too_long = taken.too_long.map(|bytes| TooLong { at: began, bytes });
        Ok(Read::Some(self.pulled(taken.lines), too_long))
    }

    fn pulled(&self, lines: Option<Bytes>) -> Pulled {
        Pulled {
            split: self.split.clone(),
            records: lines.into_iter().map(Record::new).collect(),
            position: Some(self.place.position()),
            ended: false,
        }
    }

    /// Takes the header from the first record, or from the file's beginning.
    fn header_from(&mut self, began: u64, lines: Option<&Bytes>) -> io::Result<()> {
        match lines.and_then(|lines| lines.get(header_in(lines)?)) {
            Some(header) if began == 0 => {
                self.lines.repeat(Bytes::copy_from_slice(header));
                self.repeats = true;
                Ok(())
            }
            _ => self.find_header(),
        }
    }

    /// Takes the header from the file's beginning, if it has been read.
    fn find_header(&mut self) -> io::Result<()> {
        if !self.options.header {
            return Ok(());
        }
        let mut begin = Vec::new();
        while begin.len() <= self.options.line_max {
            let searched = begin.len();
            begin.reserve_exact(READ_BYTES);
            if rustix::io::pread(&self.file, spare_capacity(&mut begin), searched as u64)? == 0 {
                return Ok(());
            }
            let Some(place) = header_in(&begin) else { continue };
            // One that is still to come is read as any line, and repeated from then on.
            if place.end as u64 <= self.place.at {
                let header = begin.get(place).unwrap_or_default();
                self.lines.repeat(Bytes::copy_from_slice(header));
                self.repeats = true;
            }
            return Ok(());
        }
        Ok(())
    }

    /// Says that the split ends here.
    pub(super) fn ended(&mut self) -> Pulled {
        self.place.ended = true;
        Pulled { ended: true, ..self.pulled(None) }
    }

    /// Whether all that was there has been read.
    pub(super) fn rests(&self) -> bool {
        self.rests
    }

    /// Whether the file still holds what was read of it.
    pub(super) fn is_whole(&self) -> io::Result<bool> {
        self.place.is_in(&self.file)
    }
}
