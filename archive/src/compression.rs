//! Decompressors, chosen by content, with bounded memory.

use std::io::{self, BufRead, Read};

use liblzma::stream::{CONCATENATED, Stream};

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const XZ_MAGIC: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const BZIP2_MAGIC: &[u8] = b"BZh";
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// What a decompressor may take: twice what `xz -9` and `zstd --ultra` need.
const MEMORY: u64 = 128 << 20;
/// The same for zstd, as the logarithm of its window.
const WINDOW_LOG: u32 = 27;

pub(crate) fn is_compressed(head: &[u8]) -> bool {
    [GZIP_MAGIC, XZ_MAGIC, BZIP2_MAGIC, ZSTD_MAGIC]
        .iter()
        .any(|magic| head.starts_with(magic))
}

/// Decompresses what is compressed, and passes on what is not.
///
/// # Errors
/// Fails if nothing can be read.
pub(crate) fn decompressed<'a>(mut reader: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let magic = reader.fill_buf()?;
    Ok(if magic.starts_with(GZIP_MAGIC) {
        Box::new(flate2::bufread::MultiGzDecoder::new(reader))
    } else if magic.starts_with(XZ_MAGIC) {
        let stream = Stream::new_stream_decoder(MEMORY, CONCATENATED)?;
        Box::new(liblzma::bufread::XzDecoder::new_stream(reader, stream))
    } else if magic.starts_with(BZIP2_MAGIC) {
        Box::new(bzip2::bufread::MultiBzDecoder::new(reader))
    } else if magic.starts_with(ZSTD_MAGIC) {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
        decoder.window_log_max(WINDOW_LOG)?;
        Box::new(decoder)
    } else {
        Box::new(reader)
    })
}
