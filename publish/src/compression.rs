//! Compressors whose output depends on nothing but their input: fixed levels, one thread, no
//! name and no time in the header.

use std::{
    io::{self, Write},
    path::Path,
};

use flate2::{GzBuilder, write::GzEncoder};
use liblzma::write::XzEncoder;

/// How the content of an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip: read everywhere.
    Gzip,
    /// xz: the smallest, and read by every dpkg and rpm that is still supported.
    Xz,
    /// zstd: the fastest to unpack; needs dpkg 1.21.18 (Debian 12, Ubuntu 18.04) or rpm 4.14.
    Zstd,
}

/// The level of gzip that the program has if none is given.
pub(crate) const GZIP_LEVEL: u32 = 6;
/// The level of xz that the program has if none is given; higher ones need much memory to unpack.
pub(crate) const XZ_LEVEL: u32 = 6;
/// The level of zstd that rpm and dpkg builders use.
pub(crate) const ZSTD_LEVEL: i32 = 19;

/// Endings that tar knows as compressed with something else.
const FOREIGN: [&str; 9] = ["Z", "taZ", "bz2", "tz2", "tbz2", "tbz", "lz", "lzma", "lzo"];

impl Compression {
    /// What the ending of a file's name asks for, as with `tar --auto-compress`: an ending
    /// that says nothing asks for none. Gives nothing for compressions that are not written here.
    pub fn of_file_name(path: &Path) -> Option<Self> {
        let ending = path.extension().and_then(|ending| ending.to_str());
        match ending.unwrap_or_default() {
            "gz" | "tgz" | "taz" => Some(Self::Gzip),
            "xz" | "txz" => Some(Self::Xz),
            "zst" | "tzst" => Some(Self::Zstd),
            "tlz" => None,
            ending if FOREIGN.contains(&ending) => None,
            _ => Some(Self::None),
        }
    }

    /// The ending of a file with this content, with its dot.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
        }
    }
}

/// Compresses what is written to it.
pub(crate) enum Encoder<W: Write> {
    None(W),
    Gzip(GzEncoder<W>),
    Xz(XzEncoder<W>),
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    pub(crate) fn new(compression: Compression, to: W) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None(to),
            Compression::Gzip => Self::Gzip(
                GzBuilder::new()
                    .mtime(0)
                    .write(to, flate2::Compression::new(GZIP_LEVEL)),
            ),
            Compression::Xz => Self::Xz(XzEncoder::new(to, XZ_LEVEL)),
            Compression::Zstd => Self::Zstd(zstd::Encoder::new(to, ZSTD_LEVEL)?),
        })
    }

    /// Writes what is still to be written, and gives back where it went.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::None(to) => Ok(to),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Xz(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(to) => to.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Xz(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::None(to) => to.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Xz(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ask_for_what_tar_understands_by_them() {
        for (name, compression) in [
            ("a.dkms.tar.gz", Some(Compression::Gzip)),
            ("a.tgz", Some(Compression::Gzip)),
            ("a.tar.xz", Some(Compression::Xz)),
            ("a.tar.zst", Some(Compression::Zstd)),
            ("a.tar", Some(Compression::None)),
            ("a.tar.what", Some(Compression::None)),
            ("gz", Some(Compression::None)),
            ("a.tar.bz2", None),
            ("a.tar.lzma", None),
            ("a.tar.Z", None),
        ] {
            assert_eq!(
                Compression::of_file_name(Path::new(name)),
                compression,
                "{name}"
            );
        }
    }
}
